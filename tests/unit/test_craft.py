"""The tests' own packets, read back by dpkt, which shares no code with them."""

from __future__ import annotations

import io
import struct

import dpkt
import pytest

from craft import (
    BAD,
    ETHERNET,
    LOOP,
    NULL,
    PSEUDO,
    RAW,
    SLL,
    SLL2,
    Conversation,
    Packet,
    Tag,
    batch,
    batches,
    cut,
    destination_options,
    ethernet,
    fragments,
    hop_by_hop,
    ip,
    ipv4,
    merge,
    mss,
    ones_sum,
    pcap,
    pseudo_header,
    routing,
    tcp,
    timestamps,
    wscale,
)

READERS = {
    NULL: dpkt.loopback.Loopback,
    LOOP: dpkt.loopback.Loopback,
    ETHERNET: dpkt.ethernet.Ethernet,
    SLL: dpkt.sll.SLL,
    SLL2: dpkt.sll2.SLL2,
}
ENDS = {4: ("10.1.2.3", "192.168.0.254"), 6: ("2001:db8::1", "fe80::2")}


def network_layer(link_type: int, frame: bytes) -> dpkt.Packet:
    if link_type == RAW:
        return dpkt.ip.IP(frame) if frame[0] >> 4 == 4 else dpkt.ip6.IP6(frame)
    return READERS[link_type](frame).data


def checksum_holds(src: str, dst: str, segment: bytes) -> bool:
    return ones_sum(pseudo_header(src, dst, len(segment)) + segment) == 0xFFFF


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("link_type", [NULL, ETHERNET, RAW, LOOP, SLL, SLL2])
@pytest.mark.parametrize("payload", [b"", b"odd", b"a longer payload than the padding"])
def test_frame_reads_back(link_type: int, version: int, payload: bytes) -> None:
    src, dst = ENDS[version]
    talk = Conversation(src, dst, 1234, 80, client_isn=2**32 - 2, link_type=link_type)
    frame = talk.client(5, payload, options=timestamps(7, 8)).packets[0].frame
    packet = network_layer(link_type, frame)
    segment = packet.data
    assert (segment.sport, segment.dport) == (1234, 80)
    assert (segment.seq, segment.ack, segment.win) == (4, 500_001, 65535)
    assert segment.flags == dpkt.tcp.TH_ACK | dpkt.tcp.TH_PUSH
    assert segment.data[: len(payload)] == payload
    assert checksum_holds(src, dst, tcp_bytes(packet, version))


def tcp_bytes(packet: dpkt.Packet, version: int) -> bytes:
    return bytes(packet)[20 : packet.len] if version == 4 else bytes(packet)[40 : 40 + packet.plen]


def test_checksums_against_dpkt() -> None:
    segment = tcp("10.0.0.1", "10.0.0.2", 1, 2, seq=3, payload=b"payload")
    packet = dpkt.ip.IP(ipv4("10.0.0.1", "10.0.0.2", segment, options=b"\x94\x04\0\0"))
    written = packet.sum, packet.data.sum
    packet.sum = packet.data.sum = 0
    bytes(packet)  # dpkt fills in checksums that are 0
    reread = dpkt.ip.IP(bytes(packet))
    assert (reread.sum, reread.data.sum) == written


def test_wrong_and_offloaded_checksums() -> None:
    ends = "10.0.0.1", "10.0.0.2", 1, 2
    assert not checksum_holds(*ends[:2], tcp(*ends, payload=b"x", checksum=BAD))
    field = struct.unpack_from("!H", tcp(*ends, payload=b"x", checksum=PSEUDO), 16)[0]
    assert field == ones_sum(pseudo_header(*ends[:2], 21))


def test_vlan_tags_and_padding() -> None:
    packet = ip("10.0.0.1", "10.0.0.2", tcp("10.0.0.1", "10.0.0.2", 1, 2))
    frame = dpkt.ethernet.Ethernet(ethernet(packet, [Tag(7, tpid=0x88A8), Tag(42, pcp=5)]))
    assert [(tag.id, tag.pri) for tag in frame.vlan_tags] == [(7, 0), (42, 5)]
    assert len(ethernet(packet)) == 60
    assert isinstance(frame.data.data, dpkt.tcp.TCP)


def test_header_overrides() -> None:
    segment = tcp("10.0.0.1", "10.0.0.2", 1, 2, data_offset=3, options=mss() + wscale(7))
    assert segment[12] >> 4 == 3
    assert len(segment) == 20 + 8
    assert ipv4("10.0.0.1", "10.0.0.2", segment, total_length=0)[2:4] == b"\0\0"


def test_extension_headers() -> None:
    segment = tcp("::1", "::2", 1, 2, payload=b"data")
    chain = [hop_by_hop(), routing(), destination_options()]
    packet = dpkt.ip6.IP6(ip("::1", "::2", segment, extensions=chain))
    assert [type(header).__name__ for header in packet.all_extension_headers] == [
        "IP6HopOptsHeader",
        "IP6RoutingHeader",
        "IP6DstOptsHeader",
    ]
    assert packet.data.data == b"data"


def test_fragments_of_ipv4() -> None:
    packet = ipv4("10.0.0.1", "10.0.0.2", bytes(range(50)), ident=9, options=b"\x94\x04\0\0")
    read = [dpkt.ip.IP(piece) for piece in fragments(packet, 16, ident=77)]
    assert [(piece.offset, piece.mf, len(piece.data)) for piece in read] == [
        (0, 1, 16), (2, 1, 16), (4, 1, 16), (6, 0, 2)
    ]  # fmt: skip
    assert b"".join(bytes(piece.data) for piece in read) == bytes(range(50))
    assert all(ones_sum(bytes(piece)[: piece.hl * 4]) == 0xFFFF for piece in read)
    assert {(piece.id, piece.opts, piece.len - len(piece.data)) for piece in read} == {
        (77, b"\x94\x04\0\0", 24)
    }


def test_fragments_of_ipv6() -> None:
    packet = ip("fe80::1", "fe80::2", bytes(range(50)), extensions=[hop_by_hop()])
    read = [dpkt.ip6.IP6(piece) for piece in fragments(packet, [8, 40], ident=77, unfragmented=48)]
    headers = [piece.extension_hdrs[44] for piece in read]
    assert [(header.frag_off * 8, header.m_flag) for header in headers] == [(0, 1), (8, 1), (40, 0)]
    assert {(piece.nxt, piece.extension_hdrs[0].nxt, piece.p) for piece in read} == {(0, 44, 6)}
    assert {header.id for header in headers} == {77}
    assert [piece.plen for piece in read] == [16 + 8, 16 + 32, 16 + 10]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_reads_back(byte_order: str, nanoseconds: bool) -> None:
    packets = [Packet(1_600_000_000_123_456_789, b"a" * 60, 60), cut(Packet(1, b"b" * 100, 100), 50)]
    data = pcap(packets, RAW, nanoseconds=nanoseconds, byte_order=byte_order)
    reader = dpkt.pcap.Reader(io.BytesIO(data))
    assert [frame for _, frame in reader] == [b"a" * 60, b"b" * 50]
    wire_lengths = [struct.unpack_from(byte_order + "I", data, at + 12)[0] for at in (24, 24 + 16 + 60)]
    assert wire_lengths == [60, 100]
    fraction = struct.unpack_from(byte_order + "I", data, 28)[0]
    assert fraction == (123_456_789 if nanoseconds else 123_456)


def test_batches() -> None:
    packets = [Packet(index * 1_000_001_000, bytes([index]) * index, index) for index in range(1, 6)]
    frames, meta = batch(packets)
    assert frames == b"".join(packet.frame for packet in packets)
    assert list(struct.iter_unpack("=4I", meta))[2] == (3, 3, 3, 3)
    assert [len(meta) // 16 for _, meta in batches(packets, 2)] == [2, 2, 1]
    assert [len(meta) // 16 for _, meta in batches(packets, [1, 3])] == [1, 3, 1]
    assert b"".join(frames for frames, _ in batches(packets, [4])) == frames


def test_conversation() -> None:
    talk = Conversation().handshake(options=mss()).client(0, b"abc").server_ack(3).other()
    talk.wait(2).server(0, b"reply").client_ack(5).client(3, b"0123456789", captured=4).close()
    seen = [dpkt.ethernet.Ethernet(packet.frame).data.data for packet in talk.packets]
    opening = [(1000, 0), (500_000, 1001), (1001, 500_001), (1001, 500_001), (500_001, 1004)]
    assert [(s.seq, s.ack) for s in seen[:5]] == opening
    assert seen[-4].data == b"0123"
    assert [(s.seq, s.ack) for s in seen[-3:]] == [(1014, 500_006), (500_006, 1015), (1015, 500_007)]
    assert talk.packets[6].time_ns - talk.packets[5].time_ns > 2 * 10**9
    assert merge(talk.packets[4:], talk.packets[:4]) == talk.packets


def test_names_and_keys() -> None:
    talk = Conversation("10.0.0.1", "10.0.0.2", 9999, 36559, tags=[Tag(42, 5)])
    assert talk.client_name(1) == "010.000.000.001.09999-010.000.000.002.36559--42c1"
    assert talk.server_key() == bytes([10, 0, 0, 2, 10, 0, 0, 1]) + struct.pack("!HHH", 36559, 9999, 42)
    assert Conversation("2001:db8::1", "::2", 80, 7).client_name() == "2001:db8::1.00080-::2.00007"

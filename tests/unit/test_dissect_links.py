"""Link layers: what stands before the packet, in which order of bytes, and frames that carry none."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import craft
from craft import monitors as m
from craft import tunnels as t
from dissecting import dissect, dissect_all
from flowfs.core.decode import LINK_TYPES, Segment, decode, decode_ip
from flowfs.dissect.wireless import MAX_SUBFRAMES, frames_of

SRC, DST = "10.0.0.1", "10.0.0.2"
PACKET4 = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 80, payload=b"abcdef"))
LONG = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 80, payload=bytes(1400)))
FULL = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 80, payload=bytes(1460)))
PACKET6 = craft.ipv6("::1", "::2", craft.tcp("::1", "::2", 1025, 80, payload=b"abcdef"))
SEGMENT, RARE = 0, 2

Link = tuple[int, Callable[[bytes], bytes]]


def qos(packet: bytes) -> bytes:
    return m.wifi(packet, qos=True)


LINKS: dict[str, Link] = {
    "ppp": (9, t.ppp_ip),
    "ppp hdlc": (9, lambda packet: t.ppp_ip(packet, address=True)),
    "ppp compressed": (9, lambda packet: t.ppp_ip(packet, compressed=True)),
    "ppp hdlc compressed": (9, lambda packet: t.ppp_ip(packet, compressed=True, address=True)),
    "ppp cisco": (9, lambda packet: m.cisco_hdlc(t.ethertype(packet), packet)),
    "serial": (50, lambda packet: t.ppp_ip(packet, address=True)),
    "serial cisco": (50, lambda packet: m.cisco_hdlc(t.ethertype(packet), packet, 0x8F)),
    "pppoe": (51, lambda packet: t.pppoe(t.ppp_ip(packet))),
    "hdlc": (104, lambda packet: m.cisco_hdlc(t.ethertype(packet), packet)),
    "nflog": (239, m.nflog),
    "nflog attributes": (239, lambda packet: m.nflog(packet, [(1, bytes(4)), (10, b"prefix\0"), (3, b"")])),
    "wifi": (105, m.wifi),
    "wifi from": (105, lambda packet: m.wifi(packet, flags=0x02)),
    "wifi ad hoc": (105, lambda packet: m.wifi(packet, flags=0)),
    "wifi retry": (105, lambda packet: m.wifi(packet, flags=0x39)),
    "wifi 4 addresses": (105, lambda packet: m.wifi(packet, flags=0x03)),
    "wifi qos": (105, qos),
    "wifi qos 4 addresses": (105, lambda packet: m.wifi(packet, qos=True, flags=0x03)),
    "wifi ht control": (105, lambda packet: m.wifi(packet, qos=True, flags=0x81)),
    "wifi ordered": (105, lambda packet: m.wifi(packet, flags=0x81)),
    "wifi aggregated": (105, lambda packet: m.ieee80211(m.subframes(packet), qos=True, aggregated=True)),
    "radiotap": (127, lambda packet: m.radiotap(qos(packet))),
    "radiotap flags": (127, lambda packet: m.radiotap(qos(packet), flags=0)),
    "radiotap time": (127, lambda packet: m.radiotap(m.wifi(packet), flags=0, time=True)),
    "radiotap words": (127, lambda packet: m.radiotap(m.wifi(packet), flags=0, time=True, words=3)),
    "radiotap words even": (127, lambda packet: m.radiotap(m.wifi(packet), flags=0, time=True, words=4)),
    "radiotap padded": (127, lambda packet: m.radiotap(m.wifi(packet, qos=True, padded=True), flags=0x20)),
    "radiotap padded 4 addresses": (
        127,
        lambda packet: m.radiotap(m.wifi(packet, flags=3, padded=True), flags=0x20),
    ),
    "prism": (119, lambda packet: m.prism(qos(packet))),
    "prism big": (119, lambda packet: m.prism(qos(packet), ">")),
    "prism avs": (119, lambda packet: m.avs(qos(packet))),
    "avs": (163, lambda packet: m.avs(qos(packet))),
    "avs 2": (163, lambda packet: m.avs(m.wifi(packet), 2)),
    "ppi wifi": (192, lambda packet: m.ppi(105, qos(packet), struct.pack("<HH", 2, 20) + bytes(20))),
    "ppi ethernet": (192, lambda packet: m.ppi(1, t.frame_of(packet))),
    "ppi raw": (192, lambda packet: m.ppi(12, packet)),
    "null little": (0, lambda packet: b"\x02\0\0\0" + packet),
    "null big": (0, lambda packet: b"\0\0\0\x1e" + packet),
    "loop little": (108, lambda packet: b"\x1e\0\0\0" + packet),
    "loop big": (108, lambda packet: b"\0\0\0\x02" + packet),
    "raw": (12, lambda packet: packet),
    "raw bsd": (14, lambda packet: packet),
    "ipv4": (228, lambda packet: packet),
    "ipv6": (229, lambda packet: packet),
    "ethernet": (1, t.frame_of),
    "cooked": (113, lambda packet: craft.link(113, packet)),
    "cooked 2": (276, lambda packet: craft.link(276, packet)),
}
FRAMES = {
    f"{name} v{packet[0] >> 4}": (link_type, put(packet), packet)
    for name, (link_type, put) in LINKS.items()
    for packet in (PACKET4, PACKET6)
}
each_frame = pytest.mark.parametrize(("link_type", "frame", "packet"), FRAMES.values(), ids=FRAMES)


def test_every_link_type_is_here() -> None:
    assert {link_type for link_type, _ in LINKS.values()} == LINK_TYPES


@each_frame
def test_what_is_inside(link_type: int, frame: bytes, packet: bytes) -> None:
    assert dissect(link_type, frame) == (0, packet, 0)


@each_frame
def test_cut_at_every_byte(link_type: int, frame: bytes, packet: bytes) -> None:
    before = len(frame) - len(packet)
    for length in range(len(frame)):
        found = dissect(link_type, frame[:length])
        assert found is None or found == (0, packet[: max(0, length - before)], 0)
        assert found is not None or length < before + 40


@each_frame
def test_a_check_sequence_behind_it(link_type: int, frame: bytes, packet: bytes) -> None:
    found = dissect(link_type, frame + m.FCS)
    assert found is not None
    segment = Segment()
    assert decode_ip(found[1], 0, len(found[1]), 0, segment) == SEGMENT
    assert found[1][segment.start : segment.end] == b"abcdef"


@each_frame
def test_the_core_reads_it_or_asks_for_it(link_type: int, frame: bytes, packet: bytes) -> None:
    bare = link_type in (0, 1, 12, 14, 108, 113, 228, 229, 276)
    assert decode(frame, 0, len(frame), link_type, Segment()) == (SEGMENT if bare else RARE)


# --- 802.11 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        m.wifi(PACKET4, kind=0),
        m.wifi(PACKET4, kind=1),
        m.wifi(PACKET4, kind=3),
        m.wifi(PACKET4, no_data=True),
        m.wifi(PACKET4, qos=True, no_data=True),
        m.wifi(PACKET4, flags=0x41),
        m.wifi(PACKET4, flags=0x05),
        m.wifi(PACKET4, fragment=1),
        b"\x09" + m.wifi(PACKET4)[1:],
        m.ieee80211(PACKET4),
    ],
    ids=["management", "control", "extension", "null", "qos null", "protected", "more fragments", "fragment",
         "version", "no LLC"],
)  # fmt: skip
def test_a_frame_that_carries_nothing_for_us(frame: bytes) -> None:
    assert dissect(105, frame) is None
    assert dissect(127, m.radiotap(frame)) is None


def aggregate(*packets: bytes, cut: int | None = None) -> bytes:
    return m.ieee80211(m.subframes(*packets)[:cut], qos=True, aggregated=True)


@pytest.mark.parametrize(
    "packets",
    [
        [PACKET4, PACKET6],
        [LONG, PACKET4],
        [PACKET4, LONG, LONG],
        [FULL, FULL, PACKET6],
        [PACKET4[:41] for _ in range(MAX_SUBFRAMES)],
    ],
)
def test_each_frame_of_an_aggregate_is_one_of_its_own(packets: list[bytes]) -> None:
    """Padded to four bytes, and up to 2304 long, which is no Ethernet type (IEEE 802.11, 9.3.2.2.2)."""
    frame = aggregate(*packets)
    assert dissect_all(105, frame) == [(0, packet, 1) for packet in packets]
    assert dissect_all(127, m.radiotap(frame + m.FCS, flags=0x10)) == [(0, packet, 1) for packet in packets]
    assert [packet for _, packet, _ in dissect_all(105, frame + m.FCS)] == packets
    assert dissect_all(192, m.ppi(105, frame)) == [(0, packet, 1) for packet in packets]


def test_what_is_no_tcp_in_an_aggregate_hides_nothing() -> None:
    arp = t.snap(0x0806, bytes(28))
    body = 2 * m.ADDRESS + struct.pack("!H", len(arp)) + arp + bytes(-(14 + len(arp)) % 4)
    frame = m.ieee80211(body + m.subframes(PACKET4), qos=True, aggregated=True)
    assert dissect_all(105, frame) == [(0, PACKET4, 1)]
    assert len(frames_of(body + m.subframes(PACKET4))) == 2


def test_an_aggregate_that_is_cut_gives_what_is_there() -> None:
    for cut in range(1, 54):
        found = dissect_all(105, aggregate(PACKET4, LONG, cut=-cut))
        assert found == [(0, PACKET4, 1), (0, LONG[:-cut], 1)]
    assert dissect_all(105, aggregate(PACKET4, LONG, cut=-len(LONG))) == [(0, PACKET4, 1)]


def test_an_aggregate_is_bounded() -> None:
    """What is beyond is a frame in which there is nothing, so that it is counted."""
    for count, there in ((MAX_SUBFRAMES, MAX_SUBFRAMES), (MAX_SUBFRAMES + 1, MAX_SUBFRAMES + 1), (900, 65)):
        body = m.subframes(*[PACKET4] * count)
        assert len(frames_of(body)) == there
        assert len(dissect_all(105, aggregate(*[PACKET4] * count))) == min(count, MAX_SUBFRAMES)
    assert len(frames_of(bytes(5000))) == MAX_SUBFRAMES + 1


def test_radiotap_tells_of_a_check_sequence() -> None:
    """It is not taken for a second subframe, nor for payload where the packet's length is open."""
    segment = craft.tcp(SRC, DST, 1025, 80, payload=b"abcdef")
    packet = craft.ipv4(SRC, DST, segment, total_length=0)
    assert dissect(127, m.radiotap(m.wifi(packet) + m.FCS, flags=0x10)) == (0, packet, 0)
    assert dissect(127, m.radiotap(m.wifi(packet) + m.FCS, flags=0)) == (0, packet + m.FCS, 0)


def test_a_frame_that_came_in_damaged_is_left_out() -> None:
    """Its receiver did not take it either."""
    assert dissect(127, m.radiotap(m.wifi(PACKET4), flags=0x40)) is None
    assert dissect(127, m.radiotap(m.wifi(PACKET4), flags=0x40, time=True, words=2)) is None


@pytest.mark.parametrize(
    "header",
    [
        b"\x01\0\x08\0\0\0\0\0",  # another version
        b"\0\0\x08\0\2\0\0\0",  # flags that are not there
        b"\0\0\xff\xff\0\0\0\0",
        b"\0\0\x00\x00\0\0\0\0",
        b"\0\0\xff\xff" + b"\xff" * 65531,
        b"\0\0",
    ],
    ids=["version", "flags", "long", "short", "endless", "cut"],
)
def test_radiotap_that_is_refused(header: bytes) -> None:
    assert dissect(127, header + m.wifi(PACKET4)) is None


@pytest.mark.parametrize("link_type", [119, 163])
@pytest.mark.parametrize(
    "header", [bytes(8), b"\x80\x21\x10\1" + bytes(4), b"\x80\x21\x10\1\xff\xff\xff\xff"]
)
def test_monitors_headers_that_are_refused(link_type: int, header: bytes) -> None:
    assert dissect(link_type, header + m.wifi(PACKET4)) is None


# --- others ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        m.ppi(192, m.ppi(1, t.frame_of(PACKET4))),
        m.ppi(147, PACKET4),
        m.ppi(12, PACKET4, version=1),
        struct.pack("<BBHI", 0, 0, 7, 12) + PACKET4,
        struct.pack("<BBHI", 0, 0, 65535, 12) + PACKET4,
    ],
    ids=["in itself", "unknown", "version", "short", "long"],
)
def test_ppi_that_is_refused(frame: bytes) -> None:
    assert dissect(192, frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        m.nflog(PACKET4, version=1),
        m.nflog(PACKET4, [(1, b"")] * 64),
        b"\2\0\0\7" + struct.pack("=HH", 0, 1) * 9 + m.nflog(PACKET4)[4:],
        b"\2\0\0\7" + struct.pack("=HH", 3, 9) + PACKET4,
        b"\2\0\0\7" + struct.pack("=HH", 65535, 1) + PACKET4,
        b"\2\0\0\7",
    ],
    ids=["version", "too many", "no length", "shorter than itself", "long", "none"],
)
def test_nflog_that_is_refused(frame: bytes) -> None:
    assert dissect(239, frame) is None


def test_nflog_says_how_long_its_packet_is() -> None:
    assert dissect(239, m.nflog(PACKET4, [(1, b"")] * 63) + b"behind") == (0, PACKET4, 0)


def test_hdlc_with_something_else() -> None:
    assert dissect(104, m.cisco_hdlc(0x8035, PACKET4)) is None
    assert dissect(104, m.cisco_hdlc(0x8847, t.labels(16) + PACKET4)) == (0, PACKET4, 1)


def test_llc_in_a_cooked_frame() -> None:
    """Its protocol is 4 then, which is no length."""
    snap = t.snap(0x0800, PACKET4)
    assert dissect(113, craft.link_header(113, PACKET4)[:-2] + b"\0\4" + snap) == (0, PACKET4, 1)
    assert dissect(276, b"\0\4" + craft.link_header(276, PACKET4)[2:] + snap) == (0, PACKET4, 1)


@pytest.mark.parametrize("link_type", [-1, 2, 147, 220, 1 << 20])
def test_an_unknown_link_type(link_type: int) -> None:
    assert dissect(link_type, PACKET4) is None


@settings(max_examples=1000)
@given(
    st.sampled_from(list(FRAMES.values())),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    st.integers(0, 300),
)
def test_almost_right_bytes(
    sample: tuple[int, bytes, bytes], changes: list[tuple[int, int]], cut: int
) -> None:
    mutated = bytearray(sample[1])
    for position, value in changes:
        mutated[position % len(mutated)] = value
    for frame in (bytes(mutated), bytes(mutated[:cut])):
        for _, packet, _ in dissect_all(sample[0], frame):
            assert packet in frame or packet[0] >> 4 == 6 or packet[10:12] == b"\0\0"

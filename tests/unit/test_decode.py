"""core/decode.py: any bytes give a verdict; what is decoded is where the headers say."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft import (
    ETHERNET,
    LOOP,
    NULL,
    RAW,
    SLL,
    SLL2,
    Tag,
    destination_options,
    fragment_header,
    hop_by_hop,
    ip,
    link,
    link_header,
    packed,
    routing,
    tcp,
)
from flowfs.core.decode import Segment, decode, decode_ip, key_of, reverse_key, turned
from flowfs.core.memory import ones_sum

# As in decode.py, which hides them when compiled.
SEGMENT, NOT_TCP, RARE, UNKNOWN, BAD_HEADER, BAD_FLAGS, FRAGMENT, CUT_SHORT = range(8)
UNCHECKED, RIGHT, OFFLOADED, WRONG = range(4)
RAW_BSD, IPV4_ONLY, IPV6_ONLY = 14, 228, 229
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

TAGGED = (ETHERNET, SLL, SLL2)
ALL = (ETHERNET, RAW, RAW_BSD, NULL, LOOP, SLL, SLL2, IPV4_ONLY, IPV6_ONLY)
TAGS = ((), (Tag(42, pcp=5),), (Tag(7, tpid=0x88A8), Tag(8, tpid=0x9100), Tag(42)))
ENDS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("2001:db8::1", "2001:db8::2")}
PAYLOAD = b"payload of the segment"


def segment_of(version: int, payload: bytes = PAYLOAD, **fields: object) -> bytes:
    """One TCP segment, seq and ack beyond 2**31 so that a sign would show."""
    fields = {"seq": 0xFEDCBA98, "ack": 0x89ABCDEF, "flags": "PA", "window": 0xABCD} | fields
    return tcp(*ENDS[version], 40000, 80, payload=payload, **fields)  # type: ignore[arg-type]


def frame_of(link_type: int, version: int, packet: bytes, tags: tuple[Tag, ...] = ()) -> bytes:
    """Those link types that craft does not know are bare IP."""
    return link(link_type if link_type in (ETHERNET, NULL, LOOP, SLL, SLL2) else RAW, packet, tags)


def valid_frames() -> list[tuple[int, bytes, bytes, int]]:
    """(link type, frame, key, offset of the payload) of every way in which a segment may come."""
    found = []
    for link_type in ALL:
        for version in (4, 6):
            for tags in TAGS if link_type in TAGGED else ((),):
                for options in (b"", b"\x94\x04\0\0") if version == 4 else (b"",):
                    extra: dict[str, Any] = {"options": options} if options else {}
                    header = segment_of(version, b"", options=b"\x01" * 12)
                    packet = ip(*ENDS[version], segment_of(version, options=b"\x01" * 12), **extra)
                    frame = frame_of(link_type, version, packet, tags)
                    key = b"".join(packed(end) for end in ENDS[version]) + struct.pack("!2H", 40000, 80)
                    key += b"\0\x2a" if tags else b""
                    before = len(frame_of(link_type, version, packet, tags)) - len(packet)
                    padding = max(0, 60 - before - len(packet)) if link_type == ETHERNET else 0
                    start = before - padding + len(ip(*ENDS[version], header, **extra))
                    found.append((link_type, frame, key, start))
    return found


VALID = valid_frames()
each_valid_frame = pytest.mark.parametrize(
    "link_type, frame, key, start", VALID, ids=[f"{entry[0]}-{entry[3]}" for entry in VALID]
)


def verdict_of(frame: bytes, link_type: int, before: bytes = b"") -> tuple[int, Segment]:
    """decode() within a batch: what stands around the frame has no influence."""
    segment = Segment()
    base = before + frame + b"\xa5" * 80
    verdict = decode(base, len(before), len(before) + len(frame), link_type, segment)
    if verdict == SEGMENT:
        segment.key = key_of(base, segment)
        assert segment.start <= segment.end <= segment.wire_end
        assert segment.start == segment.end or len(before) <= segment.start < segment.end <= len(
            before
        ) + len(frame)
        assert len(segment.key) in (12, 14, 36, 38)
        assert segment.key_split == (4 if len(segment.key) < 36 else 16)
    return verdict, segment


@each_valid_frame
def test_valid(link_type: int, frame: bytes, key: bytes, start: int) -> None:
    for before in (b"", b"other frame"):
        verdict, segment = verdict_of(frame, link_type, before)
        assert verdict == SEGMENT
        assert segment.key == key
        assert (segment.seq, segment.ack) == (0xFEDCBA98, 0x89ABCDEF)
        assert (segment.flags, segment.window) == (0x18, 0xABCD)
        at = len(before)
        assert (segment.start, segment.end, segment.wire_end) == (
            at + start,
            *[at + start + len(PAYLOAD)] * 2,
        )


@each_valid_frame
def test_every_truncation(link_type: int, frame: bytes, key: bytes, start: int) -> None:
    """Short of the TCP header: cut short. Behind it: what there is of the payload, and where it would end."""
    for length in range(len(frame)):
        verdict, segment = verdict_of(frame[:length], link_type, b"before")
        # The twelve bytes of options need not be there: the header says how long they are.
        assert verdict == (SEGMENT if length >= start - 12 else CUT_SHORT)
        if verdict == SEGMENT:
            assert segment.key == key
            assert segment.wire_end - 6 == start + len(PAYLOAD)
            assert segment.end - segment.start == min(max(0, length - start), len(PAYLOAD))


@given(st.binary(max_size=120), st.one_of(st.sampled_from(ALL), st.integers(0, 300)))
def test_any_bytes(frame: bytes, link_type: int) -> None:
    assert verdict_of(frame, link_type)[0] in range(8)


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 255)), max_size=4),
    st.data(),
)
def test_any_bytes_changed(
    valid: tuple[int, bytes, bytes, int], changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    frame = bytearray(valid[1])
    for place, value in changes:
        frame[place % len(frame)] = value
    length = data.draw(st.integers(0, len(frame)))
    assert verdict_of(bytes(frame[:length]), valid[0])[0] in range(8)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("padding", [0, 1, 6, 100])
def test_padding_is_no_payload(version: int, padding: int) -> None:
    """61: what lies beyond the IP packet's length belongs to the link layer [V1]."""
    packet = ip(*ENDS[version], segment_of(version, b"1234"))
    verdict, segment = verdict_of(link_header(ETHERNET, packet) + packet + b"\x55" * padding, ETHERNET)
    assert verdict == SEGMENT
    assert segment.end - segment.start == segment.wire_end - segment.start == 4


@pytest.mark.parametrize("version", [4, 6])
def test_length_zero_is_all_that_was_captured(version: int) -> None:
    """62: a segment that the network card was to cut up."""
    length: dict[str, Any] = {"total_length": 0} if version == 4 else {"payload_length": 0}
    packet = ip(*ENDS[version], segment_of(version, bytes(3000)), **length)
    verdict, segment = verdict_of(link_header(ETHERNET, packet) + packet, ETHERNET)
    assert verdict == SEGMENT
    assert segment.end - segment.start == segment.wire_end - segment.start == 3000


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "words, payload, verdict",
    [
        (0, 22, BAD_HEADER),
        (4, 22, BAD_HEADER),
        (5, 0, SEGMENT),
        (6, 3, BAD_HEADER),
        (6, 4, SEGMENT),
        (15, 39, BAD_HEADER),
        (15, 40, SEGMENT),
    ],
)
def test_data_offset(version: int, words: int, payload: int, verdict: int) -> None:
    """64: below five words it lies within the header; it must not lie beyond the packet."""
    packet = ip(*ENDS[version], segment_of(version, bytes(payload), data_offset=words))
    found, segment = verdict_of(packet + b"\x55" * 80, RAW)
    assert found == verdict
    if found == SEGMENT:
        assert segment.end - segment.start == payload - 4 * (words - 5)


@pytest.mark.parametrize(
    "fields, verdict",
    [
        ({"ihl": 4}, BAD_HEADER),
        ({"ihl": 0}, BAD_HEADER),
        ({"total_length": 19}, BAD_HEADER),
        ({"total_length": 20}, BAD_HEADER),  # no room for TCP's header
        ({"total_length": 39}, BAD_HEADER),
        ({"total_length": 40}, SEGMENT),
        ({"total_length": 65535}, SEGMENT),  # the rest was cut off
        ({"checksum": 1}, SEGMENT),  # V2 has to say what that means
        ({"checksum": 1, "fragment": 0x2000}, BAD_HEADER),
        ({"checksum": 0}, SEGMENT),  # left to the network card
        ({"protocol": 17}, NOT_TCP),
        ({"version": 5}, UNKNOWN),
        ({"fragment": 0x2000}, FRAGMENT),
        ({"fragment": 1}, FRAGMENT),
        ({"fragment": 0x8000}, SEGMENT),  # RFC 3514
    ],
)
def test_ipv4_header(fields: dict[str, Any], verdict: int) -> None:
    packet = ip(*ENDS[4], segment_of(4), **fields)
    assert verdict_of(link_header(ETHERNET, packet) + packet, ETHERNET)[0] == verdict


def test_ipv4_options_are_in_the_checksum() -> None:
    packet = bytearray(ip(*ENDS[4], segment_of(4), options=b"\x94\x04\0\0"))
    assert verdict_of(bytes(packet), RAW)[1].checksum == RIGHT
    packet[22] ^= 1
    assert verdict_of(bytes(packet), RAW)[1].checksum == WRONG


# --- checksums [V2] ------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(0, 9))
def test_ones_sum(data: bytes, before: int) -> None:
    """Against 16-bit words added one by one."""
    words = [data[at : at + 2].ljust(2, b"\0") for at in range(0, len(data), 2)]
    total = sum(int.from_bytes(word, "big") for word in words)
    assert ones_sum(b"\xff" * before + data + b"\xff", before, before + len(data)) == total % 0xFFFF


@pytest.mark.parametrize("version", [4, 6])
@given(payload=st.binary(max_size=200), flip=st.integers(0, 10_000), by=st.integers(1, 255))
def test_a_checksum_sees_every_byte(version: int, payload: bytes, flip: int, by: int) -> None:
    """Of addresses, header and payload; compiled as well, where the sum is a loop in C."""
    packet = bytearray(ip(*ENDS[version], segment_of(version, payload)))
    assert verdict_of(bytes(packet), RAW)[1].checksum == RIGHT
    summed = [*range(12, len(packet))] if version == 4 else [*range(8, len(packet))]
    lengths = {32, 33} if version == 4 else {52, 53}  # of the header, and flags: other verdicts
    place = [at for at in summed if at not in lengths][flip % (len(summed) - 2)]
    packet[place] ^= by
    assert verdict_of(bytes(packet), RAW)[1].checksum == WRONG


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 31, 32, 1447, 1448, 60_000])
@pytest.mark.parametrize("how, checksum", [("good", RIGHT), ("pseudo", OFFLOADED), ("bad", WRONG)])
def test_what_a_checksum_is(version: int, size: int, how: str, checksum: int) -> None:
    payload = random.Random(size).randbytes(size)
    packet = ip(*ENDS[version], segment_of(version, payload, checksum=how))
    assert verdict_of(packet, RAW)[1].checksum == checksum
    segment = Segment(verify=False)
    assert decode(packet, 0, len(packet), RAW, segment) == SEGMENT
    assert segment.checksum == UNCHECKED


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [65_535, 70_000, 150_001])
def test_a_checksum_over_more_than_a_length_holds(version: int, size: int) -> None:
    """Length 0, left to the network card: the length in the pseudo-header is the true one."""
    length: dict[str, Any] = {"total_length": 0} if version == 4 else {"payload_length": 0}
    payload = random.Random(size).randbytes(size)
    start = segment_of(version, b"", checksum=0) + payload
    words = [*map(packed, ENDS[version]), (6).to_bytes(2, "big"), len(start).to_bytes(4, "big"), start]
    whole = b"".join(words)
    total = ones_sum(whole, 0, len(whole))
    segment = bytearray(start)
    segment[16:18] = (0xFFFF - total).to_bytes(2, "big")
    assert verdict_of(ip(*ENDS[version], bytes(segment), **length), RAW)[1].checksum == RIGHT


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_cut_off_cannot_be_checked(version: int) -> None:
    packet = ip(*ENDS[version], segment_of(version, checksum="bad"))
    assert verdict_of(packet[:-1], RAW)[1].checksum == UNCHECKED
    assert verdict_of(packet, RAW)[1].checksum == WRONG


def test_padding_is_not_in_the_checksum() -> None:
    packet = ip(*ENDS[4], segment_of(4, b"abc"))
    assert verdict_of(link_header(ETHERNET, packet) + packet + b"\x55" * 9, ETHERNET)[1].checksum == RIGHT


@pytest.mark.parametrize("payload_length, verdict", [(19, BAD_HEADER), (20, SEGMENT), (65535, SEGMENT)])
def test_ipv6_payload_length(payload_length: int, verdict: int) -> None:
    assert verdict_of(ip(*ENDS[6], segment_of(6), payload_length=payload_length), RAW)[0] == verdict


@pytest.mark.parametrize("extension", [hop_by_hop(), routing(), destination_options()])
def test_extension_headers_take_the_long_way(extension: object) -> None:
    assert verdict_of(ip(*ENDS[6], segment_of(6), extensions=[extension]), RAW)[0] == RARE


@pytest.mark.parametrize("protocol", [4, 6, 17, 41, 47, 51])
@pytest.mark.parametrize("field", [0x2000, 1, 0x3FFF])
def test_ipv4_fragments_of_what_may_hold_tcp(protocol: int, field: int) -> None:
    packet = ip(*ENDS[4], segment_of(4), fragment=field, protocol=protocol)
    frame = link(ETHERNET, packet, [Tag(42)])
    found, segment = verdict_of(frame, ETHERNET, b"before")
    assert (found, segment.start, segment.vlan) == (FRAGMENT, 6 + 18, 42)


@pytest.mark.parametrize("protocol", [1, 50, 89])
def test_ipv4_fragments_of_others(protocol: int) -> None:
    assert verdict_of(ip(*ENDS[4], bytes(64), fragment=0x2000, protocol=protocol), RAW)[0] == NOT_TCP


def test_a_fragment_with_a_broken_header_is_none() -> None:
    cases: list[dict[str, Any]] = [{"checksum": 1}, {"ihl": 4}, {"total_length": 19}]
    for broken in cases:
        packet = ip(*ENDS[4], segment_of(4), fragment=0x2000, **broken)
        assert verdict_of(packet, RAW)[0] == BAD_HEADER


@pytest.mark.parametrize(
    "offset, more, verdict", [(0, True, FRAGMENT), (8, False, FRAGMENT), (0, False, RARE)]
)
def test_ipv6_fragments(offset: int, more: bool, verdict: int) -> None:
    """An atomic one is none: dissection takes its header out [G2]."""
    packet = ip(*ENDS[6], segment_of(6), extensions=[fragment_header(offset, more)])
    found, segment = verdict_of(link(ETHERNET, packet, [Tag(42)]), ETHERNET, b"before")
    assert found == verdict
    if verdict == FRAGMENT:
        assert (segment.start, segment.vlan) == (6 + 18, 42)
    assert verdict_of(packet[:43], RAW)[0] == CUT_SHORT


def test_ipv6_without_tcp() -> None:
    assert verdict_of(ip(*ENDS[6], segment_of(6), next_header=17), RAW)[0] == NOT_TCP
    assert verdict_of(ip(*ENDS[6], segment_of(6), next_header=59), RAW)[0] == NOT_TCP


@pytest.mark.parametrize(
    "flags, verdict",
    [
        ("SF", BAD_FLAGS),
        ("SR", BAD_FLAGS),
        ("SFRPAUEC", BAD_FLAGS),
        ("S", SEGMENT),
        ("RF", SEGMENT),
        ("", SEGMENT),
    ],
)
def test_flags(flags: str, verdict: int) -> None:
    assert verdict_of(ip(*ENDS[4], segment_of(4, flags=flags)), RAW)[0] == verdict


@pytest.mark.parametrize(
    "ethertype, verdict",
    [
        (0x0806, UNKNOWN),  # ARP
        (0x88CC, UNKNOWN),
        (0x8847, RARE),  # MPLS
        (0x8864, RARE),  # PPPoE
        (0x0026, RARE),  # a length: LLC follows
        (1500, RARE),
        (1501, UNKNOWN),
    ],
)
def test_ethernet_types(ethertype: int, verdict: int) -> None:
    packet = ip(*ENDS[4], segment_of(4))
    for link_type in (ETHERNET, SLL):
        header = link_header(link_type, packet)[:-2] + struct.pack("!H", ethertype)
        assert verdict_of(header + packet, link_type)[0] == verdict


@pytest.mark.parametrize("ethertype, verdict", [(0x0806, UNKNOWN), (0x8847, RARE), (0x8864, RARE)])
def test_cooked_v2_knows_the_same_types(ethertype: int, verdict: int) -> None:
    """It has the type first; dissect knows it as well."""
    packet = ip(*ENDS[4], segment_of(4))
    header = struct.pack("!H", ethertype) + link_header(SLL2, packet)[2:]
    assert verdict_of(header + packet, SLL2)[0] == verdict


def test_cooked_v2_knows_the_same_tags() -> None:
    frame = link(SLL2, ip(*ENDS[4], segment_of(4)), [Tag(7, tpid=0x9100), Tag(42)])
    assert verdict_of(frame, SLL2)[0] == SEGMENT


def test_endless_tags() -> None:
    packet = ip(*ENDS[4], segment_of(4))
    assert verdict_of(link_header(ETHERNET, packet, [Tag(5)] * 5000), ETHERNET)[0] == CUT_SHORT
    verdict, segment = verdict_of(
        link_header(ETHERNET, packet, [Tag(5)] * 5000 + [Tag(0)]) + packet, ETHERNET
    )
    assert (verdict, len(segment.key)) == (SEGMENT, 12)


@pytest.mark.parametrize("vid, suffix", [(0, b""), (1, b"\0\1"), (4095, b"\x0f\xff")])
@pytest.mark.parametrize("pcp", [0, 5, 7])
def test_vlan_without_its_priority(vid: int, suffix: bytes, pcp: int) -> None:
    """65"""
    frame = link(ETHERNET, ip(*ENDS[4], segment_of(4)), [Tag(vid, pcp=pcp)])
    assert verdict_of(frame, ETHERNET)[1].key[12:] == suffix


def test_a_segment_keeps_nothing_of_the_one_before() -> None:
    """One object serves a whole capture."""
    frames = [entry for entry in VALID for _ in range(2)]
    random.Random(0).shuffle(frames)
    shared = Segment()
    for link_type, frame, key, start in frames:
        assert decode(frame, 0, len(frame), link_type, shared) == SEGMENT
        assert (key_of(frame, shared), shared.start, shared.end) == (key, start, start + len(PAYLOAD))


def test_decode_ip_takes_the_vlan_of_who_calls() -> None:
    packet = ip(*ENDS[6], segment_of(6))
    segment = Segment()
    assert decode_ip(packet, 0, len(packet), 42, segment) == SEGMENT
    addresses = packed(ENDS[6][0]) + packed(ENDS[6][1])
    assert key_of(packet, segment) == addresses + struct.pack("!3H", 40000, 80, 42)


@given(st.sampled_from([4, 16]), st.binary(min_size=2, max_size=2), st.booleans(), st.data())
def test_reverse_key(split: int, vlan: bytes, tagged: bool, data: st.DataObject) -> None:
    address, port = st.binary(min_size=split, max_size=split), st.binary(min_size=2, max_size=2)
    src, dst, sport, dport = (data.draw(kind) for kind in (address, address, port, port))
    tail = vlan if tagged else b""
    key = src + dst + sport + dport + tail
    assert reverse_key(key, len(key), split) == turned(key) == dst + src + dport + sport + tail

"""Frames that the core leaves to dpkt: what comes out of them, and that nothing else does."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import craft
from flowfs.dissect import dissect

SRC4, DST4, SRC6, DST6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
LINK_TYPES = (0, 1, 12, 101, 108, 113, 228, 229, 276)

SEGMENT4 = craft.tcp(SRC4, DST4, 1025, 80, seq=7, payload=b"abcdef")
SEGMENT6 = craft.tcp(SRC6, DST6, 1025, 80, seq=7, payload=b"abcdef")
PACKET4 = craft.ipv4(SRC4, DST4, SEGMENT4)
PACKET6 = craft.ipv6(SRC6, DST6, SEGMENT6)
AUTHENTICATION = craft.Extension(51, struct.pack("!BHII", 4, 0, 1, 2) + bytes(12))  # AH counts words of 4


def ethernet(ethertype: int, data: bytes) -> bytes:
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + struct.pack("!H", ethertype) + data


def inside(link_type: int, frame: bytes) -> tuple[int, bytes] | None:
    """What dissect() gives, but for the layers."""
    found = dissect(link_type, frame)
    return None if found is None else found[:2]


def labels(*values: int) -> bytes:
    bottom = len(values) - 1
    return b"".join(
        struct.pack("!I", value << 12 | (number == bottom) << 8 | 64) for number, value in enumerate(values)
    )


def chain(*extensions: craft.Extension) -> bytes:
    return craft.ipv6(SRC6, DST6, SEGMENT6, extensions=extensions)


@pytest.mark.parametrize("link_type", [1, 0, 108, 12, 113, 276])
@pytest.mark.parametrize("packet", [PACKET4, PACKET6], ids=["v4", "v6"])
def test_any_link_layer(link_type: int, packet: bytes) -> None:
    frame = craft.link_header(link_type, packet) + packet
    assert inside(link_type, frame) == (0, packet)


@pytest.mark.parametrize("count", range(1, 9))
def test_extension_headers_are_taken_out(count: int) -> None:
    kinds = (craft.hop_by_hop(), craft.routing(), AUTHENTICATION, craft.destination_options())
    extensions = [kinds[number % 4] for number in range(count)]
    assert inside(1, craft.ethernet(chain(*extensions))) == (0, PACKET6)


def test_more_than_eight_extension_headers_are_refused() -> None:
    assert dissect(12, chain(*[craft.destination_options()] * 9)) is None


def test_padding_behind_the_packet_is_left_out() -> None:
    assert inside(1, craft.ethernet(chain(craft.hop_by_hop()), pad_to=300)) == (0, PACKET6)


def test_a_packet_cut_by_the_snapshot_length_keeps_its_stated_length() -> None:
    packet = chain(craft.hop_by_hop())[:-3]
    assert inside(12, packet) == (0, PACKET6[:-3])


def test_length_zero_means_all_that_is_there() -> None:
    packet = craft.ipv6(SRC6, DST6, SEGMENT6, extensions=[craft.hop_by_hop()], payload_length=0)
    expected = craft.ipv6(SRC6, DST6, SEGMENT6, payload_length=0)
    assert inside(12, packet) == (0, expected)


def jumbo(payload_bytes: int, stated: int) -> bytes:
    segment = craft.tcp(SRC6, DST6, 1, 2, payload=bytes(payload_bytes))
    option = craft.Extension(0, b"\0\xc2\x04" + struct.pack("!I", stated or len(segment) + 8))
    return craft.ipv6(SRC6, DST6, segment, extensions=[option], payload_length=0)


@pytest.mark.parametrize("payload_bytes", [65511, 65515, 65516, 80000])
def test_a_jumbogram(payload_bytes: int) -> None:
    found = dissect(12, jumbo(payload_bytes, 0) + b"padding")
    assert found is not None
    packet = found[1]
    length = 20 + payload_bytes
    assert len(packet) == 40 + length
    assert int.from_bytes(packet[4:6], "big") == (length if length <= 65535 else 0)


def test_a_jumbogram_that_is_none_is_as_long_as_it_is() -> None:
    found = dissect(12, jumbo(100, 65535))
    assert found is not None
    assert found[1][4:6] == b"\0\0"
    assert len(found[1]) == 40 + 20 + 100


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [(0, ["2001:db8::9", "2001:db8::f"]), (4, ["2001:db8::f", "2001:db8::9"])],
    ids=["source route", "segment routing"],
)
def test_the_final_destination_of_a_routing_header_counts(kind: int, addresses: list[str]) -> None:
    body = struct.pack("!BBBI", 4, kind, 1, 0) + b"".join(map(craft.packed, addresses))
    assert inside(12, chain(craft.Extension(43, body))) == (0, craft.ipv6(SRC6, "2001:db8::f", SEGMENT6))
    arrived = body[:2] + b"\0" + body[3:]
    assert inside(12, chain(craft.Extension(43, arrived))) == (0, PACKET6)


@pytest.mark.parametrize("depth", [1, 2, 16])
@pytest.mark.parametrize("packet", [PACKET4, chain(craft.hop_by_hop())], ids=["v4", "v6"])
def test_mpls(depth: int, packet: bytes) -> None:
    expected = PACKET6 if packet[0] >> 4 == 6 else packet
    for ethertype in (0x8847, 0x8848):
        assert inside(1, ethernet(ethertype, labels(*range(16, 16 + depth)) + packet)) == (0, expected)


def test_an_endless_label_stack_ends() -> None:
    assert dissect(1, ethernet(0x8847, bytes(4) * 5000)) is None


@pytest.mark.parametrize("protocol", [b"\x00\x21", b"\x21"], ids=["whole", "compressed"])
def test_pppoe(protocol: bytes) -> None:
    header = struct.pack("!BBHH", 0x11, 0, 1, len(protocol) + len(PACKET4))
    assert inside(1, ethernet(0x8864, header + protocol + PACKET4 + b"pad")) == (0, PACKET4)
    assert dissect(1, ethernet(0x8864, b"\x11\x09" + header[2:] + protocol + PACKET4)) is None


def test_pppoe_with_ipv6() -> None:
    header = struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(PACKET6), 0x57)
    assert inside(1, ethernet(0x8864, header + PACKET6)) == (0, PACKET6)


def test_llc_and_snap() -> None:
    snap = b"\xaa\xaa\x03\0\0\0\x08\0" + PACKET4
    assert inside(1, ethernet(len(snap), snap + b"padding")) == (0, PACKET4)
    llc = b"\x06\x06\x03" + PACKET4
    assert inside(1, ethernet(len(llc), llc)) == (0, PACKET4)
    assert dissect(1, ethernet(20, b"\x42\x42\x03" + bytes(17))) is None


def test_the_innermost_vlan_counts_without_its_priority() -> None:
    tags = [craft.Tag(7, 5, 0x88A8), craft.Tag(42, 3)]
    packet = chain(craft.hop_by_hop())
    assert inside(1, craft.ethernet(packet, tags)) == (42, PACKET6)
    assert inside(113, craft.link(113, packet, tags)) == (42, PACKET6)
    assert inside(276, craft.link(276, packet, tags)) == (42, PACKET6)
    assert inside(1, craft.ethernet(packet, [craft.Tag(0, 5)])) == (0, PACKET6)


def test_a_vlan_within_mpls_within_a_vlan_ends() -> None:
    assert dissect(1, ethernet(0x8100, b"\0\x2a\x81\0" * 4000)) is None


@pytest.mark.parametrize(
    "packet",
    [
        craft.ipv4(SRC4, DST4, SEGMENT4, protocol=17),
        craft.ipv4(SRC4, DST4, SEGMENT4, version=5),
        craft.ipv6(SRC6, DST6, SEGMENT6, next_header=17, extensions=[craft.hop_by_hop()]),
        craft.ipv6(SRC6, DST6, b"", extensions=[craft.hop_by_hop()]),
        craft.ipv6(SRC6, DST6, SEGMENT6, extensions=[craft.hop_by_hop()], payload_length=8),
        craft.ipv6(SRC6, DST6, SEGMENT6, extensions=[craft.Extension(60, b"\xff" * 7)]),
    ],
    ids=lambda packet: packet[:48].hex(),
)
def test_what_is_no_segment(packet: bytes) -> None:
    assert dissect(12, packet) is None


@pytest.mark.parametrize(
    "packet",
    [
        chain(craft.fragment_header(more=True)),
        chain(craft.hop_by_hop(), craft.fragment_header(offset=80)),
        craft.ipv4(SRC4, DST4, SEGMENT4, fragment=0x2000),
        craft.ipv4(SRC4, DST4, SEGMENT4, fragment=0x0003, protocol=47),
    ],
    ids=lambda packet: packet[:48].hex(),
)
def test_fragments_are_left_as_they_stand(packet: bytes) -> None:
    assert inside(12, packet) == (0, packet)
    assert inside(1, ethernet(0x8847, labels(16) + packet)) == (0, packet)


def test_an_atomic_fragment_is_none() -> None:
    """Its header is taken out like others (RFC 6946)."""
    extensions = craft.hop_by_hop(), craft.fragment_header(), craft.destination_options()
    assert inside(12, chain(*extensions)) == (0, PACKET6)


def test_layers_go_on_from_where_they_were() -> None:
    frame = ethernet(0x8847, labels(16) + PACKET4)
    assert dissect(1, frame, 7, 3) == (7, PACKET4, 5)
    assert dissect(1, frame, 0, 6) == (0, PACKET4, 8)
    assert dissect(1, frame, 0, 7) is None


SAMPLES = [
    craft.ethernet(chain(craft.hop_by_hop(), craft.routing(), craft.destination_options())),
    craft.ethernet(jumbo(10, 65600), [craft.Tag(42)]),
    ethernet(0x8847, labels(16, 17) + PACKET4),
    ethernet(0x8864, struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(PACKET6), 0x57) + PACKET6),
    ethernet(8 + len(PACKET4), b"\xaa\xaa\x03\0\0\0\x08\0" + PACKET4),
    craft.link(113, chain(AUTHENTICATION)),
]


def sound(link_type: int, frame: bytes) -> None:
    """What holds for any frame: nothing, or a packet of IPv4, or one of IPv6 with TCP behind its header."""
    found = dissect(link_type, frame)
    if found is None:
        return
    vlan, packet, _ = found
    assert 0 <= vlan < 4096
    assert len(packet) <= len(frame)
    assert packet[0] >> 4 in (4, 6)
    if packet[0] >> 4 == 6 and packet not in frame:  # else it is a fragment
        assert packet[6] == 6
        stated = int.from_bytes(packet[4:6], "big")
        assert not stated or len(packet) <= 40 + stated


@given(st.sampled_from(LINK_TYPES), st.binary(max_size=200))
def test_any_bytes(link_type: int, frame: bytes) -> None:
    sound(link_type, frame)


@settings(max_examples=500)
@given(
    st.sampled_from(LINK_TYPES),
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_almost_right_bytes(link_type: int, frame: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(frame)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    sound(link_type, bytes(mutated[:cut]))
    sound(1, bytes(mutated))

"""The way down from a frame to TCP: every encapsulation alone, cut at every byte, padded, nested."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import craft
from craft import monitors
from craft import tunnels as t
from dissecting import dissect, dissect_all
from flowfs.core.decode import LINK_TYPES, Segment, decode, decode_ip
from flowfs.dissect.descent import MAX_LAYERS
from flowfs.dissect.links import LINKS

SRC4, DST4, SRC6, DST6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
SEGMENT4 = craft.tcp(SRC4, DST4, 1025, 80, seq=7, payload=b"abcdef")
SEGMENT6 = craft.tcp(SRC6, DST6, 1025, 80, seq=7, payload=b"abcdef")
PACKET4 = craft.ipv4(SRC4, DST4, SEGMENT4)
PACKET6 = craft.ipv6(SRC6, DST6, SEGMENT6)
TCP_SEGMENT, RARE = 0, 2  # verdicts of core.decode, which hides them when compiled
RAW = 12

Put = Callable[[bytes], bytes]


def over_udp(port: int, put: Put, version: int = 4) -> Put:
    return lambda packet: t.outer(17, t.udp(port, put(packet)), version=version)


def over_gre(put: Put, version: int = 4) -> Put:
    return lambda packet: t.outer(47, put(packet), version=version)


def framed(put: Put) -> Put:
    """A tunnel that carries Ethernet."""
    return lambda packet: put(t.frame_of(packet))


def gre_ip(
    packet: bytes, checksum: bool = False, key: int | None = None, sequence: int | None = None
) -> bytes:
    return t.gre(t.ethertype(packet), packet, checksum=checksum, key=key, sequence=sequence)


def geneve_ip(packet: bytes) -> bytes:
    return t.geneve(t.ethertype(packet), packet, options=bytes(8))


def in_ip(packet: bytes, version: int) -> bytes:
    return t.outer(41 if packet[0] >> 4 == 6 else 4, packet, version=version)


def vxlan_gpe(packet: bytes) -> bytes:
    return t.vxlan(packet, flags=0x0C, next_protocol=2 if packet[0] >> 4 == 6 else 1)


bridged = partial(t.gre, t.TRANSPARENT_ETHERNET)
TUNNELS: dict[str, Put] = {
    "ip": partial(in_ip, version=4),
    "ip in 6": partial(in_ip, version=6),
    "gre": over_gre(gre_ip),
    "gre in 6": over_gre(gre_ip, 6),
    **{
        f"gre {checksum:d} {key} {sequence}": over_gre(
            partial(gre_ip, checksum=checksum, key=key, sequence=sequence)
        )
        for checksum, key, sequence in itertools.product((False, True), (None, 9), (None, 8))
    },
    "gre bridged": over_gre(framed(bridged)),
    "erspan 1": over_gre(framed(partial(t.gre, 0x88BE))),
    "erspan 2": over_gre(framed(lambda frame: t.gre(0x88BE, t.erspan2(frame), sequence=1))),
    "erspan 3": over_gre(framed(lambda frame: t.gre(0x22EB, t.erspan3(frame), sequence=1))),
    "erspan 3 platform": over_gre(
        framed(lambda frame: t.gre(0x22EB, t.erspan3(frame, platform=True), sequence=1))
    ),
    "pptp": over_gre(lambda packet: t.pptp(t.ppp_ip(packet, address=True))),
    "pptp ack": over_gre(lambda packet: t.pptp(t.ppp_ip(packet, compressed=True), acknowledgment=7)),
    "aruba": over_gre(lambda packet: t.gre(0x8200, monitors.wifi(packet, qos=True))),
    "vxlan": over_udp(4789, framed(t.vxlan)),
    "vxlan in 6": over_udp(4789, framed(t.vxlan), 6),
    "vxlan linux": over_udp(8472, framed(t.vxlan)),
    "vxlan gbp": over_udp(4789, framed(partial(t.vxlan, flags=0x88, policy=0x1234))),
    "vxlan gpe": over_udp(4790, vxlan_gpe),
    "vxlan gpe frame": over_udp(4789, framed(partial(t.vxlan, flags=0x0C, next_protocol=3))),
    "geneve": over_udp(6081, geneve_ip),
    "geneve frame": over_udp(6081, framed(partial(t.geneve, t.TRANSPARENT_ETHERNET))),
    "geneve full": over_udp(6081, framed(partial(t.geneve, t.TRANSPARENT_ETHERNET, options=bytes(252)))),
    "gtp": over_udp(2152, t.gtp_user),
    "gtp sequence": over_udp(2152, partial(t.gtp_user, sequence=7)),
    "gtp extensions": over_udp(
        2152, partial(t.gtp_user, sequence=7, extensions=[(0x85, b"\0\x09"), (0xC0, bytes(6))])
    ),
}
TEREDO: dict[str, Put] = {
    "teredo": over_udp(3544, t.teredo),
    "teredo origin": over_udp(3544, partial(t.teredo, origin=True)),
    "teredo all": over_udp(3544, partial(t.teredo, authentication=(b"me", b"value"), origin=True)),
    "teredo empty authentication": over_udp(3544, partial(t.teredo, authentication=(b"", b""))),
}
SHIMS: dict[str, Put] = {
    "vlan": lambda packet: t.frame_of(packet, [craft.Tag(0)]),
    "mpls": lambda packet: t.ethernet(0x8847, t.labels(16) + packet),
    "mpls 16": lambda packet: t.ethernet(0x8848, t.labels(*range(16, 32)) + packet),
    "pseudowire": lambda packet: t.ethernet(0x8847, t.labels(16, 17) + t.frame_of(packet)),
    "pseudowire control": lambda packet: t.ethernet(0x8847, t.labels(16) + b"\0\0\0\1" + t.frame_of(packet)),
    "pppoe": lambda packet: t.ethernet(0x8864, t.pppoe(t.ppp_ip(packet))),
    "pppoe compressed": lambda packet: t.ethernet(0x8864, t.pppoe(t.ppp_ip(packet, compressed=True))),
    "snap": lambda packet: t.ethernet(8 + len(packet), t.snap(t.ethertype(packet), packet)),
}
PLACES = {
    f"{name} v{packet[0] >> 4}": (put(packet), packet)
    for puts, packets in ((TUNNELS | SHIMS, (PACKET4, PACKET6)), (TEREDO, (PACKET6,)))
    for name, put in puts.items()
    for packet in packets
}
each_place = pytest.mark.parametrize(("frame", "packet"), PLACES.values(), ids=PLACES)


@each_place
def test_what_is_inside(frame: bytes, packet: bytes) -> None:
    assert dissect(1, frame) == (0, packet, 1)


@each_place
def test_cut_at_every_byte(frame: bytes, packet: bytes) -> None:
    """Nothing, or what is there of the packet; once its header is there, the latter."""
    before = len(frame) - len(packet)
    for length in range(len(frame)):
        found = dissect(1, frame[:length])
        assert found is None or found == (0, packet[: max(0, length - before)], 1)
        assert found is not None or length < before + 40


@each_place
def test_data_behind_it(frame: bytes, packet: bytes) -> None:
    """Padding is no payload, whichever header tells where the packet ends."""
    found = dissect(1, frame + b"padding" * 9)
    assert found is not None
    assert payload_of(found[1]) == b"abcdef"


@each_place
def test_the_core_asks_for_it(frame: bytes, packet: bytes) -> None:
    verdict = decode(frame, 0, len(frame), 1, Segment())
    assert verdict == RARE or frame[12:14] == b"\x81\0"


def payload_of(packet: bytes) -> bytes:
    segment = Segment()
    assert decode_ip(packet, 0, len(packet), 0, segment) == TCP_SEGMENT
    return packet[segment.start : segment.end]


# --- nesting -----------------------------------------------------------------------------------


def nested(put: Put, depth: int) -> bytes:
    """`put` takes an IP packet and gives a frame, whose packet goes in again."""
    packet = PACKET4
    for _ in range(depth):
        packet = put(packet)[14:]
    return t.frame_of(packet)


@pytest.mark.parametrize("name", ["ip", "ip in 6", "gre", "gre bridged", "vxlan", "geneve", "gtp", "aruba"])
@pytest.mark.parametrize("depth", [2, MAX_LAYERS, MAX_LAYERS + 1])
def test_nested_tunnels(name: str, depth: int) -> None:
    expected = (0, PACKET4, depth) if depth <= MAX_LAYERS else None
    assert dissect(1, nested(TUNNELS[name], depth)) == expected


@pytest.mark.parametrize("depth", [MAX_LAYERS, MAX_LAYERS + 1])
def test_nested_tags(depth: int) -> None:
    tags = [craft.Tag(number + 1) for number in range(depth)]
    expected = (depth, PACKET4, depth) if depth <= MAX_LAYERS else None
    assert dissect(1, t.frame_of(PACKET4, tags)) == expected


def test_a_stack_of_everything() -> None:
    inner = t.frame_of(PACKET4, [craft.Tag(3, pcp=7)])
    packet = t.outer(17, t.udp(4789, t.vxlan(inner)))[14:]
    bridge = t.ethernet(0x8847, t.labels(16) + packet)
    frame = t.outer(47, t.gre(0x6558, bridge), tags=[craft.Tag(9, tpid=0x88A8), craft.Tag(8)])
    assert dissect(1, frame) == (3, PACKET4, 6)


def test_the_way_goes_on_where_it_was_left() -> None:
    """A datagram that was reassembled has its VLAN and its layers behind it."""
    frame = nested(TUNNELS["gre"], 3)
    assert dissect(RAW, frame[14:], 42, 5) == (42, PACKET4, 8)
    assert dissect(RAW, frame[14:], 42, 6) is None
    assert dissect(RAW, PACKET4, 42, MAX_LAYERS) == (42, PACKET4, MAX_LAYERS)
    assert dissect(RAW, PACKET4, 42, MAX_LAYERS + 1) is None


def test_the_innermost_vlan_counts_without_its_priority() -> None:
    tags = [craft.Tag(7, 5, 0x88A8), craft.Tag(42, 3)]
    for link_type in (1, 113, 276):
        assert dissect(link_type, craft.link(link_type, PACKET6, tags)) == (42, PACKET6, 2)
    assert dissect(1, t.frame_of(PACKET6, [craft.Tag(0, 5)])) == (0, PACKET6, 1)


@pytest.mark.parametrize("inside, vlan", [((), 300), ((craft.Tag(7),), 7)])
def test_the_vlan_of_a_tunnel_counts_unless_there_is_one_inside(
    inside: tuple[craft.Tag, ...], vlan: int
) -> None:
    """As zeek__tunnels_gre-aruba.pcap has it."""
    frame = t.outer(17, t.udp(4789, t.vxlan(t.frame_of(PACKET4, inside))), tags=[craft.Tag(300)])
    assert dissect(1, frame) == (vlan, PACKET4, 2 + len(inside))


def test_endless_tags_and_labels_end() -> None:
    assert dissect(1, t.ethernet(0x8100, b"\0\x2a\x81\0" * 4000)) is None
    assert dissect(1, t.ethernet(0x8847, bytes(4) * 5000)) is None
    assert dissect(1, t.ethernet(0x8847, t.labels(*range(16, 33)) + PACKET4)) is None


# --- without tunnels ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TUNNELS, *TEREDO])
def test_tunnels_can_be_left_alone(name: str) -> None:
    frame = (TUNNELS | TEREDO)[name](PACKET6)
    assert dissect(1, frame, tunnels=False) is None


@pytest.mark.parametrize("name", SHIMS)
def test_what_is_no_tunnel_is_looked_into_all_the_same(name: str) -> None:
    assert dissect(1, SHIMS[name](PACKET4), tunnels=False) == (0, PACKET4, 1)
    assert dissect(1, SHIMS[name](nested(TUNNELS["gre"], 1)[14:]), tunnels=False) is None


def test_fragments_of_tunnels_are_left_alone_with_them() -> None:
    for protocol, found in ((6, True), (51, True), (47, False), (17, False), (4, False)):
        packet = craft.ipv4(SRC4, DST4, SEGMENT4, protocol=protocol, fragment=0x2000)
        assert dissect(RAW, packet, tunnels=False) == ((0, packet, 0) if found else None)
        assert dissect(RAW, packet) == (0, packet, 0)


# --- any bytes ---------------------------------------------------------------------------------

FRAMES = [frame for frame, _ in PLACES.values()]


def sound(link_type: int, frame: bytes, vlan: int = 0, layers: int = 0) -> None:
    """What holds for any frame: nothing, or an IP packet with TCP behind its header, or a fragment."""
    for found in dissect_all(link_type, frame, vlan, layers):
        vlan, packet, passed = found
        assert 0 <= vlan < 4096
        assert layers <= passed <= MAX_LAYERS
        assert len(packet) <= len(frame)
        assert dissect(RAW, packet, vlan, passed) == found, "what was found stands as it is"
        if packet[0] >> 4 == 4:
            assert packet[9] == 6 or struct.unpack("!H", packet[6:8])[0] & 0x3FFF
        else:
            assert packet[0] >> 4 == 6
            assert packet[6] in (0, 6, 43, 44, 51, 60, 135, 139, 140)


@given(
    st.sampled_from(sorted(LINK_TYPES)) | st.integers(-1, 300), st.binary(max_size=200), st.integers(0, 10)
)
def test_any_bytes(link_type: int, frame: bytes, layers: int) -> None:
    sound(link_type, frame, 0, layers)


@settings(max_examples=1000)
@given(
    st.sampled_from(FRAMES),
    st.sampled_from(FRAMES),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=4),
    st.integers(0, 600),
)
def test_almost_right_bytes(outer: bytes, inner: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(t.outer(47, t.gre(0x6558, inner)) if cut % 2 else outer)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    sound(1, bytes(mutated))
    sound(1, bytes(mutated[:cut]))


def test_both_rooms_know_the_same_link_types() -> None:
    assert LINKS.keys() == LINK_TYPES

"""IPv6's extension headers, AH, fragments: what comes out of IP packets, and that nothing else does."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import craft
from craft import tunnels as t
from dissecting import dissect
from flowfs.core.decode import Segment, decode_ip

SRC4, DST4, SRC6, DST6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
SEGMENT4 = craft.tcp(SRC4, DST4, 1025, 80, seq=7, payload=b"abcdef")
SEGMENT6 = craft.tcp(SRC6, DST6, 1025, 80, seq=7, payload=b"abcdef")
PACKET4 = craft.ipv4(SRC4, DST4, SEGMENT4)
PACKET6 = craft.ipv6(SRC6, DST6, SEGMENT6)
AUTHENTICATION = craft.Extension(51, t.authentication_header(0, b"")[1:])
MOBILITY, HOST_IDENTITY, SHIM6 = (craft.Extension(number, b"\0" + bytes(6)) for number in (135, 139, 140))
ATOMIC = craft.fragment_header(ident=9)
RAW, TCP_SEGMENT = 12, 0


def chain(*extensions: craft.Extension, **fields: Any) -> bytes:
    return craft.ipv6(SRC6, DST6, SEGMENT6, extensions=extensions, **fields)


def payload_of(packet: bytes) -> bytes:
    segment = Segment()
    assert decode_ip(packet, 0, len(packet), 0, segment) == TCP_SEGMENT
    return packet[segment.start : segment.end]


# --- extension headers -------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 9))
def test_extension_headers_are_taken_out(count: int) -> None:
    kinds = (craft.hop_by_hop(), craft.routing(), AUTHENTICATION, craft.destination_options(), ATOMIC)
    extensions = [kinds[number % 5] for number in range(count)]
    assert dissect(1, craft.ethernet(chain(*extensions))) == (0, PACKET6, 0)


@pytest.mark.parametrize("extension", [MOBILITY, HOST_IDENTITY, SHIM6, ATOMIC, AUTHENTICATION])
def test_each_extension_header_alone(extension: craft.Extension) -> None:
    assert dissect(RAW, chain(extension)) == (0, PACKET6, 0)


@pytest.mark.parametrize("extension", [craft.destination_options(), ATOMIC], ids=["options", "atomic"])
def test_more_than_eight_extension_headers_are_refused(extension: craft.Extension) -> None:
    assert dissect(RAW, chain(*[extension] * 8)) == (0, PACKET6, 0)
    assert dissect(RAW, chain(*[extension] * 9)) is None


def test_a_chain_cut_at_every_byte() -> None:
    packet = chain(craft.hop_by_hop(), ATOMIC, AUTHENTICATION, craft.routing())
    before = len(packet) - len(SEGMENT6)
    for length in range(len(packet)):
        found = dissect(RAW, packet[:length])
        assert found == ((0, PACKET6[: 40 + length - before], 0) if length > before else None)


@pytest.mark.parametrize("protocol, inner", [(4, PACKET4), (41, PACKET6)])
def test_a_tunnel_behind_extension_headers(protocol: int, inner: bytes) -> None:
    extensions = [craft.hop_by_hop(), ATOMIC, craft.destination_options()]
    packet = craft.ipv6(SRC6, DST6, inner, extensions=extensions, next_header=protocol)
    assert dissect(1, craft.ethernet(packet, pad_to=400)) == (0, inner, 1)


def test_padding_behind_the_packet_is_left_out() -> None:
    assert dissect(1, craft.ethernet(chain(craft.hop_by_hop()), pad_to=300)) == (0, PACKET6, 0)


def test_padding_behind_a_long_packet_is_left_out() -> None:
    segment = craft.tcp(SRC6, DST6, 1, 2, payload=bytes(1400))
    packet = craft.ipv6(SRC6, DST6, segment, extensions=[craft.hop_by_hop(), ATOMIC])
    assert dissect(RAW, packet + b"padding") == (0, craft.ipv6(SRC6, DST6, segment), 0)


def test_a_packet_cut_by_the_snapshot_length_keeps_its_stated_length() -> None:
    assert dissect(RAW, chain(craft.hop_by_hop())[:-3]) == (0, PACKET6[:-3], 0)


def test_length_zero_means_all_that_is_there() -> None:
    packet = chain(craft.hop_by_hop(), ATOMIC, payload_length=0)
    assert dissect(RAW, packet) == (0, craft.ipv6(SRC6, DST6, SEGMENT6, payload_length=0), 0)


def jumbo(payload_bytes: int, stated: int) -> bytes:
    segment = craft.tcp(SRC6, DST6, 1, 2, payload=bytes(payload_bytes))
    option = craft.Extension(0, b"\0\xc2\x04" + struct.pack("!I", stated or len(segment) + 8))
    return craft.ipv6(SRC6, DST6, segment, extensions=[option], payload_length=0)


def steps(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs, all that it calls included."""
    count = 0

    def step(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        count += event == "line"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("kind", [0, 60])
@pytest.mark.parametrize("payload_length", [None, 0])
def test_many_options_of_one_byte_are_little_work(kind: int, payload_length: int | None) -> None:
    """A header of 2048 bytes, each of them an option (Pad1); where a jumbogram may be, it is looked into."""
    work = []
    for size in (64, 2048):
        options = craft.Extension(kind, bytes([size // 8 - 1]) + bytes(size - 2))
        packet = chain(*[options] * 8, payload_length=payload_length)
        assert dissect(RAW, packet) is not None
        work.append(steps(partial(dissect, RAW, packet)))
    assert work[1] <= work[0]


@pytest.mark.parametrize("payload_bytes", [65511, 65515, 65516, 80000])
def test_a_jumbogram(payload_bytes: int) -> None:
    found = dissect(RAW, jumbo(payload_bytes, 0) + b"padding")
    assert found is not None
    packet = found[1]
    length = 20 + payload_bytes
    assert len(packet) == 40 + length
    assert int.from_bytes(packet[4:6], "big") == (length if length <= 65535 else 0)


def test_a_jumbo_option_among_more_than_there_are_in_earnest() -> None:
    """Of a header that long no option is read, and all that is there belongs to the packet."""
    for bytes_of_options, behind in ((64, 0), (72, 7)):
        body = bytes([bytes_of_options // 8 - 1, 0xC2, 4]) + struct.pack("!I", 80020 + bytes_of_options)
        segment = craft.tcp(SRC6, DST6, 1, 2, payload=bytes(80000))
        extension = craft.Extension(0, body + bytes(bytes_of_options - 8))
        packet = craft.ipv6(SRC6, DST6, segment, extensions=[extension], payload_length=0)
        found = dissect(RAW, packet + b"padding")
        assert found is not None
        assert len(found[1]) == 40 + 80020 + behind


def test_a_jumbogram_that_is_none_is_as_long_as_it_is() -> None:
    found = dissect(RAW, jumbo(100, 65535))
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
    on_the_way = craft.ipv6(SRC6, "2001:db8::f", SEGMENT6)
    assert dissect(RAW, chain(craft.Extension(43, body))) == (0, on_the_way, 0)
    arrived = body[:2] + b"\0" + body[3:]
    assert dissect(RAW, chain(craft.Extension(43, arrived))) == (0, PACKET6, 0)
    nowhere = struct.pack("!BBBI", 0, kind, 1, 0)
    assert dissect(RAW, chain(craft.Extension(43, nowhere))) == (0, PACKET6, 0)


# --- AH in IPv4 --------------------------------------------------------------------------------


def authenticated(**fields: Any) -> bytes:
    return craft.ipv4(SRC4, DST4, t.authentication_header(6, SEGMENT4), protocol=51, **fields)


@pytest.mark.parametrize("options", [b"", b"\x94\x04\0\0"])
def test_authentication_is_taken_out_of_ipv4(options: bytes) -> None:
    """The checksum stays open, as a sender leaves it to the network card."""
    expected = craft.ipv4(SRC4, DST4, SEGMENT4, options=options, checksum=0)
    found = dissect(1, craft.ethernet(authenticated(options=options), pad_to=300))
    assert found == (0, expected, 0)
    assert payload_of(expected) == b"abcdef"


def test_authentication_with_length_zero() -> None:
    found = dissect(RAW, authenticated(total_length=0))
    assert found == (0, craft.ipv4(SRC4, DST4, SEGMENT4, total_length=0, checksum=0), 0)


def test_authentication_before_a_tunnel() -> None:
    packet = craft.ipv4(SRC4, DST4, t.authentication_header(4, PACKET4), protocol=51)
    assert dissect(RAW, packet) == (0, PACKET4, 1)


def test_authentication_cut_at_every_byte() -> None:
    packet = authenticated()
    for length in range(len(packet)):
        found = dissect(RAW, packet[:length])
        assert (found is None) == (length < 20 + 24)


@pytest.mark.parametrize(
    "packet",
    [
        craft.ipv4(
            SRC4, DST4, t.authentication_header(51, t.authentication_header(6, SEGMENT4)), protocol=51
        ),
        craft.ipv4(SRC4, DST4, b"\x06\xff" + SEGMENT4, protocol=51),
        craft.ipv4(SRC4, DST4, t.authentication_header(60, SEGMENT4), protocol=51),
        authenticated(checksum=1),
        authenticated(total_length=30),
    ],
    ids=["twice", "longer than the packet", "what IPv4 does not have", "checksum", "no room"],
)
def test_authentication_that_is_refused(packet: bytes) -> None:
    assert dissect(RAW, packet) is None


# --- fragments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fragment", [0x2000, 0x0003, 0x2003])
@pytest.mark.parametrize("protocol", [4, 6, 17, 41, 47, 51])
def test_an_ipv4_fragment_comes_as_it_stands(protocol: int, fragment: int) -> None:
    packet = craft.ipv4(SRC4, DST4, SEGMENT4, protocol=protocol, fragment=fragment)
    assert dissect(RAW, packet) == (0, packet, 0)
    frame = t.outer(47, t.gre(0x0800, packet), tags=[craft.Tag(5)])
    assert dissect(1, frame) == (5, packet, 2)


@pytest.mark.parametrize("following", [0, 4, 6, 17, 41, 43, 44, 47, 51, 60, 135, 139, 140])
@pytest.mark.parametrize("offset, more", [(0, True), (80, True), (80, False)])
def test_an_ipv6_fragment_comes_as_it_stands(following: int, offset: int, more: bool) -> None:
    extensions = [craft.hop_by_hop(), craft.fragment_header(offset, more)]
    packet = craft.ipv6(SRC6, DST6, SEGMENT6, extensions=extensions, next_header=following)
    assert dissect(RAW, packet) == (0, packet, 0)
    assert dissect(1, t.outer(41, packet)) == (0, packet, 1)


def test_an_atomic_fragment_before_a_true_one_is_taken_out() -> None:
    """So that whoever puts fragments together finds one fragment header."""
    true = craft.fragment_header(more=True, ident=5)
    others = craft.hop_by_hop(), craft.destination_options()
    for length in ({}, {"payload_length": 0}):
        expected = (0, chain(*others, true, craft.routing(), **length), 0)
        for extensions in (
            (others[0], ATOMIC, others[1], true),
            (ATOMIC, *others, true),
            (ATOMIC, ATOMIC, others[0], ATOMIC, others[1], ATOMIC, true),
        ):
            assert dissect(RAW, chain(*extensions, craft.routing(), **length)) == expected


@pytest.mark.parametrize("protocol", [1, 2, 50, 58, 59, 89, 132])
def test_fragments_of_what_is_never_tcp_are_left_out(protocol: int) -> None:
    assert dissect(RAW, craft.ipv4(SRC4, DST4, SEGMENT4, protocol=protocol, fragment=0x2000)) is None
    extensions = [craft.fragment_header(more=True)]
    packet = craft.ipv6(SRC6, DST6, SEGMENT6, extensions=extensions, next_header=protocol)
    assert dissect(RAW, packet) is None


@pytest.mark.parametrize(
    "packet",
    [
        chain(craft.fragment_header(more=True), payload_length=7),
        chain(craft.hop_by_hop(), craft.fragment_header(more=True), payload_length=8),
        chain(ATOMIC, payload_length=8),
        chain(ATOMIC, payload_length=3),
        chain(ATOMIC, craft.fragment_header(more=True), payload_length=8),
        chain(*[craft.hop_by_hop()] * 8, craft.fragment_header(more=True)),
        chain(craft.hop_by_hop(), payload_length=8),
        chain(craft.Extension(60, b"\xff" * 7)),
        craft.ipv6(SRC6, DST6, b"", extensions=[craft.hop_by_hop()]),
        craft.ipv6(SRC6, DST6, SEGMENT6, next_header=17, extensions=[craft.hop_by_hop()]),
        craft.ipv6(SRC6, DST6, SEGMENT6, next_header=59),
        craft.ipv4(SRC4, DST4, SEGMENT4, protocol=17),
        craft.ipv4(SRC4, DST4, SEGMENT4, protocol=60),
        craft.ipv4(SRC4, DST4, SEGMENT4, version=5),
        craft.ipv4(SRC4, DST4, craft.ipv6(SRC6, DST6, SEGMENT6, version=5), protocol=41),
        craft.ipv4(SRC4, DST4, chain(craft.hop_by_hop(), version=5), protocol=41),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, ihl=4),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, ihl=15, checksum=0),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, total_length=19),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, checksum=0x1234),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, checksum=0x1200),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=4, checksum=0x0012),
        craft.ipv4(SRC4, DST4, PACKET6, protocol=4),
        craft.ipv4(SRC4, DST4, PACKET4, protocol=41),
    ],
    ids=lambda packet: packet[:48].hex(),
)
def test_what_is_no_segment(packet: bytes) -> None:
    assert dissect(RAW, packet) is None


@pytest.mark.parametrize("version", [4, 6])
def test_the_length_of_a_long_outer_packet(version: int) -> None:
    inner = craft.ipv4(SRC4, DST4, craft.tcp(SRC4, DST4, 1, 2, payload=bytes(1400)))
    assert dissect(1, t.outer(4, inner, version=version) + b"padding") == (0, inner, 1)


def test_an_outer_checksum_that_is_left_open() -> None:
    packet = craft.ipv4(SRC4, DST4, PACKET4, protocol=4, checksum=0, options=b"\x94\x04\0\0")
    assert dissect(RAW, packet) == (0, PACKET4, 1)
    right = craft.ipv4(SRC4, DST4, PACKET4, protocol=4, options=b"\x94\x04\0\0")
    assert dissect(RAW, right) == (0, PACKET4, 1)
    assert dissect(RAW, right[:22] + b"\1" + right[23:]) is None, "options are in the checksum"


# --- any bytes ---------------------------------------------------------------------------------

SAMPLES = [
    chain(craft.hop_by_hop(), craft.routing(), ATOMIC, craft.destination_options()),
    chain(craft.hop_by_hop(), ATOMIC, craft.fragment_header(more=True)),
    chain(AUTHENTICATION),
    jumbo(10, 65600),
    authenticated(),
    craft.ipv6(SRC6, DST6, PACKET4, extensions=[ATOMIC, craft.routing()], next_header=4),
]


@settings(max_examples=1000)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_almost_right_bytes(packet: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(packet)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    for sample in (bytes(mutated), bytes(mutated[:cut])):
        found = dissect(RAW, sample)
        if found is None or found[1] == sample:
            continue
        assert len(found[1]) < len(sample)
        if found[1][0] >> 4 == 6 and found[1][6] == 6 and sample[4:6] != b"\0\0" and found[2] == 0:
            assert len(found[1]) <= 40 + int.from_bytes(sample[4:6], "big"), "only the packet's own bytes"

"""core/fragment.py: what a fragment is, and what none can be, through the table that it is taken to [G2]."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft import (
    Extension,
    destination_options,
    fragment,
    fragment_header,
    fragments,
    hop_by_hop,
    ipv4,
    ipv6,
    routing,
)
from defragging import DST4, DST6, SRC4, SRC6, Table, packet
from flowfs.core.limits import (
    KIB,
)

versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def table() -> Table:
    return Table()


# --- IPv6 [G2] -----------------------------------------------------------------------------------


def test_an_atomic_fragment_is_alone(table: Table) -> None:
    """RFC 6946: it does not meet those that have its id, whole or discarded."""
    whole, other = packet(6), packet(6, 60)
    atomic = fragment(other, 0)
    assert table.take(fragment(whole, 0, 48)) is None
    assert table.take(atomic) == other
    assert table.take(fragment(whole, 48)) == whole
    table.take_all([fragment(whole, 0, 48), fragment(whole, 40, 80)])
    assert table.take(atomic) == other
    assert table.counters.datagrams_reassembled == 3


MANY = [destination_options()] * 9


@pytest.mark.parametrize(
    "before, after, taken",
    [(0, 0, True), (7, 0, True), (0, 7, True), (3, 4, True), (8, 0, False), (0, 8, False), (4, 4, False)],
)
def test_at_most_eight_extension_headers(before: int, after: int, taken: bool, table: Table) -> None:
    """The fragment header is one of them."""
    whole = packet(6, 200, extensions=MANY[: before + after])
    unfragmented = 40 + 8 * before
    pieces = fragments(whole, 104, unfragmented=unfragmented)
    assert table.take_all(pieces) == ([whole] if taken else [])
    if not taken:
        assert table.counters.fragments_bad == (len(pieces) if before == 8 else 1)


AUTHENTICATION = Extension(51, struct.pack("!BHII", 4, 0, 1, 2) + bytes(12))  # counts words of 4


@pytest.mark.parametrize("cut", [8, 16, 24, 32, 40, 48])
@pytest.mark.parametrize(
    "after", [[], [destination_options()], [routing(), destination_options()], [AUTHENTICATION]]
)
def test_the_first_fragment_holds_the_chain(cut: int, after: list[Extension], table: Table) -> None:
    """RFC 7112: all headers down to TCP's 20 bytes."""
    whole = packet(6, 100, extensions=after)
    holds = cut >= sum(1 + len(extension.body) for extension in after) + 20
    assert table.take_all(fragments(whole, [cut])) == ([whole] if holds else [])
    assert table.counters.fragments_bad == (not holds)


def test_a_chain_within_a_chain_that_was_cut(table: Table) -> None:
    """A length that points beyond the fragment."""
    long = Extension(60, b"\x05" + bytes(46))
    whole = packet(6, 100, extensions=[long])
    assert table.take(fragment(whole, 0, 40)) is None
    assert table.fates() == {"bad": 1}
    assert table.take_all(fragments(whole, [72])) == [whole]


# --- what cannot be ------------------------------------------------------------------------------

WHOLE4, WHOLE6 = packet(4), packet(6)
NO_HEADER = ipv6(SRC6, DST6, bytes(30), extensions=[hop_by_hop()])


@pytest.mark.parametrize(
    "piece",
    [
        fragment(WHOLE4, 0, 0, more=True),
        fragment(WHOLE4, 48, 48, more=False),
        fragment(WHOLE4, 0, 47, more=True),
        fragment(WHOLE4, 0, 1, more=True),
        ipv4(SRC4, DST4, bytes(40), fragment=0x2000, total_length=0),
        ipv4(SRC4, DST4, bytes(40), fragment=0x2000, total_length=19),
        ipv4(SRC4, DST4, bytes(40), fragment=0x2000, ihl=4),
        ipv4(SRC4, DST4, bytes(40), fragment=0x2000, ihl=15),
        fragment(WHOLE6, 0, 0, more=True),
        fragment(WHOLE6, 48, 48, more=False),
        fragment(WHOLE6, 0, 47, more=True),
        ipv6(SRC6, DST6, bytes(40), extensions=[fragment_header(more=True)], payload_length=0),
        ipv6(SRC6, DST6, bytes(40), extensions=[fragment_header(more=True)], payload_length=7),
        ipv6(SRC6, DST6, bytes(40), next_header=44, payload_length=3),
        NO_HEADER,
        ipv6(SRC6, DST6, bytes(40), version=5, extensions=[fragment_header(more=True)]),
        ipv6(SRC6, DST6, bytes(9), extensions=[Extension(60, b"\xff" + bytes(6)), fragment_header(8)]),
    ],
    ids=lambda piece: piece[:48].hex(),
)
def test_lengths_that_cannot_be(piece: bytes, table: Table) -> None:
    assert table.take(piece) is None
    assert table.fates() == {"bad": 1}
    assert table.empty()


@versions
def test_cut_by_the_snapshot_length(version: int, table: Table) -> None:
    """It is not taken, so its datagram does not become whole."""
    whole = packet(version)
    first, last = fragments(whole, 56)
    for captured in range(len(last)):
        assert table.defrag.take(last, 0, captured, 0, table.now_ns) is None
    assert table.fates() == {"cut_short": len(last)}
    assert table.take(first) is None
    assert table.take(last) == whole


# --- any bytes


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*fragments(WHOLE4, 32), *fragments(WHOLE6, 32), NO_HEADER]),
            st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3),
            st.one_of(st.just(1 << 16), st.integers(0, 100)),
        ),
        max_size=30,
    )
)
def test_any_bytes(pieces: list[tuple[bytes, list[tuple[int, int]], int]]) -> None:
    """A verdict, never an error; what comes out is an IP packet as long as it says."""
    table = Table(64 * KIB)
    for piece, changes, captured in pieces:
        changed = bytearray(piece)
        for place, value in changes:
            changed[place % len(changed)] = value
        whole = table.defrag.take(bytes(changed[:captured]), 0, min(captured, len(changed)), 0, table.now_ns)
        table.check()
        if whole is not None:
            at, own = (2, 0) if whole[0] >> 4 == 4 else (4, 40)
            assert int.from_bytes(whole[at : at + 2], "big") + own == len(whole)
    table.defrag.clear()
    table.check()
    assert table.empty()

"""core/defrag.py: whole datagrams from their fragments, whatever comes [G1]."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft import (
    destination_options,
    fragment,
    fragments,
    hop_by_hop,
    ip,
    ipv4,
    routing,
)
from defragging import DST4, ENDS, SRC4, TIMEOUT_NS, Table, packet
from flowfs.core.limits import (
    DATAGRAM_BYTES,
    REASSEMBLE_IPV4_NS,
    SECOND_NS,
)

versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def table() -> Table:
    return Table()


# --- whole datagrams -----------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("cuts", [[8], [24], [96], [8, 16], [24, 32, 64, 72]])
def test_every_order(version: int, cuts: list[int]) -> None:
    whole = packet(version)
    pieces = fragments(whole, cuts)
    for order in itertools.permutations(pieces):
        if version == 6 and cuts[0] < 20:
            break  # TCP's header is not in the first one
        table = Table()
        assert table.take_all(order) == [whole]
        assert table.empty()
        assert table.fates() == {"reassembled": len(pieces)}
        assert table.counters.datagrams_reassembled == 1


def test_eight_bytes_a_fragment(table: Table) -> None:
    """They split TCP's header, which only IPv4 may [57]."""
    whole = packet(4, 997)
    pieces = fragments(whole, 8)
    assert table.take_all(pieces[::-1]) == [whole]
    assert table.take_all(pieces[1::2] + pieces[::2]) == [whole]


@versions
def test_duplicates_in_every_order(version: int) -> None:
    whole = packet(version, 90)
    pieces = fragments(whole, [24, 56])
    for order in set(itertools.permutations([*pieces, *pieces[:2]])):
        table = Table()
        table.take_all(order)
        assert table.counters.datagrams_reassembled == 1
        assert table.counters.fragments_discarded == table.counters.fragments_different == 0


@versions
def test_the_largest_datagram(version: int, table: Table) -> None:
    whole = packet(version, 65535 - (20 if version == 4 else 0))
    assert table.take_all(fragments(whole, 1480)) == [whole]
    assert table.take_all(fragments(whole, 65504)[::-1]) == [whole]


def test_the_first_fragment_has_the_header(table: Table) -> None:
    """Its options, TTL and TOS, also where it comes last."""
    whole = packet(4, 64, options=b"\x94\x04\0\0", ttl=9, tos=4)
    other = packet(4, 64, options=b"", ttl=200)
    assert table.take_all([fragment(other, 32), fragment(whole, 0, 32)]) == [whole]


def test_ipv6_loses_the_fragment_header_alone(table: Table) -> None:
    """RFC 8200, 4.5: what preceded it stays, and so does what follows."""
    whole = packet(6, 120, extensions=[hop_by_hop(), routing(), destination_options()])
    assert table.take_all(fragments(whole, 48, unfragmented=56)) == [whole]
    assert table.take_all(fragments(whole, 64, unfragmented=40)) == [whole]


def test_of_ipv6_the_first_one_says_what_follows(table: Table) -> None:
    """Whatever protocol the others name (RFC 8200, 4.5)."""
    whole = packet(6, 80)
    other = packet(6, 80, next_header=58)
    assert table.take_all([fragment(other, 40), fragment(whole, 0, 40)]) == [whole]


# --- what is of one datagram ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"ident": 2}, {"protocol": 17}, {"source": "10.0.0.9"}, {"vlan": 42}, {"destination": "10.0.0.9"}],
    ids=str,
)
def test_datagrams_are_apart(change: dict[str, object], table: Table) -> None:
    """59: an id, a protocol, an address or a VLAN of its own."""
    whole = packet(4)
    src, dst = str(change.get("source", SRC4)), str(change.get("destination", DST4))
    protocol, ident = int(str(change.get("protocol", 6))), int(str(change.get("ident", 1)))
    other = ipv4(src, dst, b"x" * 100, protocol=protocol)
    vlan = int(str(change.get("vlan", 0)))
    assert table.take(fragment(other, 48, ident=ident), vlan) is None
    assert table.take(fragment(whole, 0, 48)) is None
    assert table.take(fragment(whole, 48)) == whole
    assert table.defrag.waiting == 1


@pytest.mark.parametrize("ident, vlan", [(0x01000001, 0), (0x02000001, 42)])
def test_ipv6_datagrams_are_apart(ident: int, vlan: int, table: Table) -> None:
    """By all of the id, and by the VLAN."""
    whole, other = packet(6), packet(6, 120)
    assert table.take(fragment(other, 48, ident=ident), vlan) is None
    assert table.take_all(fragments(whole, 48, ident=0x02000001)) == [whole]
    assert table.defrag.waiting == 1


# --- overlaps [G1] -------------------------------------------------------------------------------

# (start, end, more) of what is there; of what comes; what becomes of it.
OVERLAPS = [
    ([(0, 32, True)], (0, 32, True), "duplicate"),
    ([(0, 32, True)], (24, 32, True), "duplicate"),
    ([(32, 64, True)], (32, 40, True), "duplicate"),
    ([(32, 64, True)], (40, 48, True), "duplicate"),
    ([(32, 48, True), (48, 64, True)], (32, 64, True), "duplicate"),
    ([(32, 48, True), (48, 64, True), (64, 80, True)], (40, 72, True), "duplicate"),
    ([(32, 50, False)], (32, 50, False), "duplicate"),
    ([(32, 50, False)], (40, 50, False), "duplicate"),
    ([(32, 48, True), (48, 50, False)], (32, 50, False), "duplicate"),
    ([(32, 64, True)], (64, 72, True), "free"),
    ([(32, 64, True)], (24, 32, True), "free"),
    ([(0, 24, True), (40, 64, True)], (24, 40, True), "free"),
    ([(32, 64, True)], (96, 100, False), "free"),
    ([(32, 64, True)], (24, 40, True), "discarded"),
    ([(32, 64, True)], (56, 72, True), "discarded"),
    ([(32, 64, True)], (24, 72, True), "discarded"),
    ([(32, 64, True)], (32, 72, True), "discarded"),
    ([(32, 64, True)], (24, 64, True), "discarded"),
    ([(32, 40, True), (56, 64, True)], (32, 64, True), "discarded"),
    ([(32, 40, True), (56, 64, True)], (48, 64, True), "discarded"),
    ([(32, 40, True), (56, 64, True)], (32, 48, True), "discarded"),
    ([(32, 40, True), (56, 64, True)], (40, 64, True), "discarded"),
    # Two ends.
    ([(32, 50, False)], (32, 51, False), "discarded"),
    ([(32, 50, False)], (32, 49, False), "discarded"),
    ([(32, 50, False)], (8, 30, False), "discarded"),
    ([(32, 50, False)], (48, 56, True), "discarded"),
    ([(32, 50, False)], (56, 64, True), "discarded"),
    ([(32, 48, False)], (32, 48, True), "discarded"),  # no end, says the second
    ([(32, 48, False)], (40, 48, True), "discarded"),
    ([(32, 48, True)], (32, 48, False), "discarded"),
    ([(32, 64, True)], (40, 48, False), "discarded"),
    ([(32, 64, True)], (8, 16, False), "discarded"),
    # Beyond 65535.
    ([(32, 64, True)], (65528, 65536, True), "discarded"),
    ([(32, 64, True)], (65512, 65520, False), "discarded"),
    ([], (65528, 65530, False), "discarded"),
]


@versions
@pytest.mark.parametrize("there, coming, fate", OVERLAPS, ids=str)
def test_overlaps(
    version: int, there: list[tuple[int, int, bool]], coming: tuple[int, int, bool], fate: str
) -> None:
    """Of IPv6 16 bytes of the 65535 are taken by a header before the fragment's, of IPv4 20."""
    extensions: dict[str, Any] = {"extensions": [hop_by_hop(), routing()]} if version == 6 else {}
    whole = packet(version, 500, **extensions)
    table = Table()

    def piece(place: tuple[int, int, bool]) -> bytes:
        start, end, more = place
        at = start % 256 & ~7
        count = end - start
        return fragment(whole, at, at + count, more=more, offset=start, unfragmented=56)

    assert table.take_all(map(piece, there)) == []
    assert table.defrag.waiting == len(there)
    assert table.take(piece(coming)) is None
    assert table.counters.fragments_different == 0
    if fate == "free":
        assert (table.fates(), table.defrag.waiting) == ({}, len(there) + 1)
    elif fate == "duplicate":
        assert (table.fates(), table.defrag.waiting) == ({fate: 1}, len(there))
    else:
        assert (table.fates(), table.defrag.waiting) == ({fate: len(there) + 1}, 0)
        assert table.defrag.used_bytes == DATAGRAM_BYTES
        assert table.take_all(fragments(whole, 104, unfragmented=56)) == []  # it is remembered
        assert table.fates() == {fate: len(there) + 1 + 5}


@versions
@pytest.mark.parametrize("place", [0, 39, 63])
def test_other_bytes_at_the_same_place_discard_the_datagram(version: int, place: int, table: Table) -> None:
    whole = packet(version, 100)
    header_bytes = len(whole) - 100
    changed = bytearray(whole)
    changed[header_bytes + place] ^= 1
    pieces = fragments(whole, [40, 64])
    start, end = (0, 40) if place < 40 else (40, 64)
    assert table.take_all(pieces[:2]) == []
    assert table.take(fragment(bytes(changed), start, end, more=True)) is None
    assert table.counters.fragments_different == 1
    assert table.take(pieces[2]) is None
    assert table.fates() == {"discarded": 4}


def test_a_discarded_datagram_is_remembered_until_its_time_is_over(table: Table) -> None:
    """Counted from its first fragment; then its id may be used again."""
    whole = packet(4)
    table.take(fragment(whole, 0, 48))
    table.now_ns += 10 * SECOND_NS
    table.take(fragment(whole, 40, 80))
    table.now_ns += REASSEMBLE_IPV4_NS - 10 * SECOND_NS - 1
    assert table.take_all(fragments(whole, 48)) == []
    assert table.fates() == {"discarded": 5}
    table.now_ns += 1
    assert table.take_all(fragments(whole, 48)) == [whole]
    assert table.fates() == {"discarded": 5, "reassembled": 3}
    assert table.empty()


def test_a_long_header_makes_it_too_long(table: Table) -> None:
    """The first fragment comes last, and with its options the rest does not fit."""
    first = fragment(packet(4, 65511, options=b"\x94\x04\0\0"), 0, 32768)
    assert len(table.take_all([fragment(packet(4, 65511), 32768), first])) == 1
    too_long = fragment(packet(4, 65512), 32768)
    assert table.take_all([too_long, first, too_long]) == []
    assert table.fates() == {"reassembled": 2, "discarded": 3}
    assert table.defrag.used_bytes == DATAGRAM_BYTES


# --- against a slow model ------------------------------------------------------------------------


class Model:
    """One datagram as a dictionary of bytes by place, and what each fragment said of its end."""

    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self.bytes: dict[int, int] = {}
        self.said: list[tuple[int, bool]] = []  # (end, more) of those that were kept
        self.discarded = False

    def take(self, offset: int, data: bytes, more: bool) -> tuple[str, bytes]:
        places = {offset + index: byte for index, byte in enumerate(data)}
        end = offset + len(data)
        there = places.keys() & self.bytes.keys()
        self.discarded = self.discarded or self.contradicts(end, more) or len(there) not in (0, len(data))
        if self.discarded:
            return "discarded", b""
        if there:
            self.discarded = not places.items() <= self.bytes.items()
            return "discarded" if self.discarded else "duplicate", b""
        self.bytes |= places
        self.said.append((end, more))
        ends = [end for end, more in self.said if not more]
        if ends and len(self.bytes) == ends[0]:
            return "whole", bytes(self.bytes[place] for place in range(ends[0]))
        return "kept", b""

    def contradicts(self, end: int, more: bool) -> bool:
        """Of every two fragments: one that is the last ends where the other ends, or behind it."""
        for other_end, other_more in self.said:
            if not more and (end < other_end or (end == other_end) == other_more):
                return True
            if not other_more and (other_end < end or (end == other_end) == more):
                return True
        return False


UNITS = st.integers(0, 9)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([4, 4, 6]),
        st.integers(1, 2),  # id
        UNITS,
        st.integers(1, 6),
        st.sampled_from([0, 0, 0, 0, 1]),  # changed
        st.sampled_from([True, True, True, False]),
        st.sampled_from([0, 0, 0, 0, SECOND_NS, 29 * SECOND_NS, 40 * SECOND_NS]),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_like_the_model(steps: list[tuple[int, int, int, int, int, bool, int]]) -> None:
    """Datagrams of at most 120 bytes behind a TCP header that the first fragment holds."""
    table = Table()
    models: dict[tuple[int, int], Model] = {}
    for version, ident, unit, units, changed, more, wait_ns in steps:
        table.now_ns += wait_ns
        start, end = (0, 24 + 8 * units) if unit == 0 else (16 + 8 * unit, 16 + 8 * (unit + units))
        data = bytes((place + changed) % 251 for place in range(start, end))
        whole = ip(*ENDS[version], bytes(start) + data)
        before = table.fates()
        found = table.take(fragment(whole, start, end, ident=ident, more=more))
        if start == 0 and not more:
            assert found is not None  # atomic
            continue
        fate, content = step(models, version, ident, start, data, more, table.now_ns)
        assert (found or b"")[20 if version == 4 else 40 :] == content
        compare(fate, before, table)


def step(
    models: dict[tuple[int, int], Model],
    version: int,
    ident: int,
    start: int,
    data: bytes,
    more: bool,
    now_ns: int,
) -> tuple[str, bytes]:
    key = version, ident
    if key in models and models[key].deadline_ns <= now_ns:
        del models[key]
    model = models.setdefault(key, Model(now_ns + TIMEOUT_NS[version]))
    fate, content = model.take(start, data, more)
    if fate == "whole":
        del models[key]
    return fate, content


def compare(fate: str, before: dict[str, int], table: Table) -> None:
    after = table.fates()
    grown = {name for name in after if after[name] != before.get(name, 0)} - {"expired"}
    expected = {"kept": set(), "whole": {"reassembled"}}.get(fate, {fate})
    assert grown == expected

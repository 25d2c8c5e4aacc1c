"""core/defrag.py: time and room, and what goes first when there is none [G3]."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest

from craft import (
    fragment,
    fragments,
    hop_by_hop,
)
from defragging import TIMEOUT_NS, Table, packet
from flowfs.core.limits import (
    CHUNK_OVERHEAD_BYTES,
    DATAGRAM_BYTES,
    DUE_PER_TICK,
    KIB,
    MAX_DATAGRAMS,
    MAX_FRAGMENTS,
    MIB,
    REASSEMBLE_IPV4_NS,
    SECOND_NS,
)

versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def table() -> Table:
    return Table()


WHOLE4, WHOLE6 = packet(4), packet(6)


# --- time [G3] -----------------------------------------------------------------------------------


@versions
def test_a_fragment_that_comes_too_late(version: int, table: Table) -> None:
    whole = packet(version)
    first, last = fragments(whole, 56)
    table.take(first)
    table.now_ns += TIMEOUT_NS[version] - 1
    assert table.take(last) == whole
    table.take(first)
    table.now_ns += TIMEOUT_NS[version]
    assert table.take(last) is None
    assert table.fates() == {"reassembled": 2, "expired": 1}
    assert table.defrag.waiting == 1


@versions
def test_time_alone_ends_them(version: int, table: Table) -> None:
    first = fragments(packet(version), 56)[0]
    table.take(first)
    assert not table.defrag.tick(table.now_ns + TIMEOUT_NS[version] - 1)
    assert table.defrag.waiting == 1
    assert not table.defrag.tick(table.now_ns + TIMEOUT_NS[version])
    assert table.fates() == {"expired": 1}
    assert table.empty()


def test_they_end_in_slices(table: Table) -> None:
    first = fragments(packet(4, 48), 24)[0]
    count = 2 * DUE_PER_TICK + 5
    for number in range(count):
        piece = first[:12] + number.to_bytes(4, "big") + first[16:]
        table.defrag.take(piece, 0, len(piece), 0, 0)
    later_ns = REASSEMBLE_IPV4_NS
    more = [table.defrag.tick(later_ns) for _ in range(3)]
    assert more == [True, True, False]
    assert table.fates() == {"expired": count}
    assert table.empty()


def test_the_capture_ends(table: Table) -> None:
    for version in (4, 6):
        table.take(fragments(packet(version), 56)[0])
    table.take_all([fragment(WHOLE4, 0, 48, ident=3), fragment(WHOLE4, 40, 80, ident=3)])
    table.defrag.clear()
    table.check()
    assert table.fates() == {"expired": 2, "discarded": 2}
    assert table.empty()


# --- room [G3] -----------------------------------------------------------------------------------


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


@versions
def test_what_is_charged(version: int, table: Table) -> None:
    """The header with the first fragment, the overhead with each."""
    fields: dict[str, Any] = {"options": bytes(40)} if version == 4 else {"extensions": [hop_by_hop()] * 4}
    whole = packet(version, 200, **fields)
    first, last = fragments(whole, [104], unfragmented=72)
    table.take(last)
    assert table.defrag.used_bytes == DATAGRAM_BYTES + CHUNK_OVERHEAD_BYTES + 96
    table.now_ns += 61 * SECOND_NS
    assert not table.defrag.tick(table.now_ns)
    table.take(first)
    assert table.defrag.used_bytes == DATAGRAM_BYTES + CHUNK_OVERHEAD_BYTES + 104 + len(whole) - 200


def test_at_most_so_many_fragments_of_a_datagram(table: Table) -> None:
    whole = packet(4, 8 * MAX_FRAGMENTS)
    assert table.take_all(fragments(whole, 8)) == [whole]
    more = packet(4, 8 * MAX_FRAGMENTS + 8)
    assert table.take_all(fragments(more, 8)) == []
    assert table.fates() == {"reassembled": MAX_FRAGMENTS, "evicted": MAX_FRAGMENTS + 1}
    assert table.take_all(fragments(more, 104)) == []  # it is remembered
    assert table.defrag.used_bytes == DATAGRAM_BYTES


def test_at_most_so_many_datagrams() -> None:
    table = Table(64 * MIB)
    first = fragments(packet(4, 48), 24)[0]
    for number in range(MAX_DATAGRAMS + 10):
        src = bytes((10, 0, number >> 8, number & 255))
        piece = first[:12] + src + first[16:]
        table.defrag.take(piece, 0, len(piece), 0, table.now_ns)
    table.check()
    assert table.defrag.waiting == len(table.defrag.ipv4) == MAX_DATAGRAMS
    assert table.fates() == {"evicted": 10}
    assert bytes((10, 0, 0, 9, 0, 0)) not in table.defrag.sources
    assert bytes((10, 0, 0, 10, 0, 0)) in table.defrag.sources


def test_a_source_has_its_share(table: Table) -> None:
    """Beyond it its own oldest go, and nobody else's."""
    whole = packet(4, 3000, source="10.0.0.7")
    assert table.take(fragment(whole, 0, 1480)) is None
    for ident in range(1000):
        table.take(fragment(packet(4, 3000), 0, 1480, ident=ident))
    mine = table.defrag.sources[bytes((10, 0, 0, 1, 0, 0))]
    assert table.defrag.share_bytes - 4 * KIB < mine.charged_bytes <= table.defrag.share_bytes == 512 * KIB
    assert table.fates() == {"evicted": 1000 - mine.datagrams.length}
    assert mine.datagrams.oldest.key[8:10] == struct.pack("!H", 1000 - mine.datagrams.length)
    assert table.take(fragment(whole, 1480)) == whole


def test_the_same_address_on_another_vlan_is_another_source(table: Table) -> None:
    for ident in range(400):
        table.take(fragment(packet(4, 3000), 0, 1480, ident=ident), vlan=42)
    evicted = table.counters.fragments_evicted
    table.take(fragment(packet(4, 3000), 0, 1480), vlan=43)
    assert len(table.defrag.sources) == 2
    assert table.counters.fragments_evicted == evicted > 0


def test_when_full_the_oldest_of_the_heaviest_goes() -> None:
    table = Table(MIB)
    for sender, count in ((1, 20), (2, 75), (3, 20)):  # 2 holds the most, 1 is the oldest
        for ident in range(count):
            table.take(fragment(packet(4, 3000, source=address(sender)), 0, 1480, ident=ident))
    number = 100
    while table.counters.fragments_evicted < 3:
        assert table.counters.fragments_evicted == 0 or number < 1000
        table.take(fragment(packet(4, 3000, source=address(number)), 0, 1480, ident=1))
        number += 1
    left = {src[3]: source.datagrams.length for src, source in table.defrag.sources.items()}
    heavy = table.defrag.sources[bytes((10, 0, 0, 2, 0, 0))].datagrams
    evicted = 75 - heavy.length
    assert (left[1], left[3]) == (20, 20)
    assert evicted == table.counters.fragments_evicted
    assert heavy.oldest.key[8:10] == struct.pack("!H", evicted)


def test_an_honest_datagram_survives_forged_senders() -> None:
    """Each of them holds one tiny fragment; the two halves of an honest one come with a hundred between."""
    table = Table(MIB)
    tiny = fragment(packet(4, 48), 0, 8)

    numbers = itertools.count(0x0B000000)

    def forged(count: int) -> None:
        for number in itertools.islice(numbers, count):
            piece = tiny[:12] + number.to_bytes(4, "big") + tiny[16:]
            table.defrag.take(piece, 0, len(piece), 0, table.now_ns)

    forged(3000)
    assert table.counters.fragments_evicted > 0
    whole = packet(4, 2900)
    for ident in range(50):
        first, last = fragments(whole, 1480, ident=ident)
        table.take(first)
        forged(100)
        assert table.take(last) is not None
        table.take(fragment(whole, 0, 1480, ident=1000 + ident % 3))  # some never become whole
    table.check()


def test_one_that_cannot_fit() -> None:
    table = Table(64 * KIB)
    whole = packet(4, 30_000)
    assert table.take_all(fragments(whole, 15_000)) == []
    assert table.fates() == {"evicted": 2}
    assert table.empty()
    assert table.take_all(fragments(whole, 4096)) == []
    assert table.fates() == {"evicted": 2 + 2, "discarded": 6}
    assert table.defrag.used_bytes == DATAGRAM_BYTES  # it is remembered
    assert Table(0).take(fragment(whole, 0, 80)) is None


def test_the_datagram_itself_may_be_the_oldest() -> None:
    """Then the fragment has lost what it belongs to."""
    table = Table(64 * KIB)
    pieces = fragments(packet(4, 4000), 2000)
    table.take(pieces[0])
    for ident in range(2, 4):
        table.take(fragment(packet(4, 4000), 0, 1480, ident=ident))
    table.take(pieces[1])
    assert table.fates() == {"evicted": 2}
    assert table.defrag.waiting == 2

"""core/evict.py: who goes first when memory is short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.counters import Counters
from flowfs.core.evict import BySize
from flowfs.core.flow import FIN, Flow
from flowfs.core.limits import IDLE_VICTIM_NS, MIB, SECOND_NS, Limits
from flowfs.core.store import Store

BLOCK_BYTES = 65536
NO_LIMIT = 1 << 62


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40)), max_size=60))
def test_by_size_like_a_dictionary(steps: list[tuple[str, int]]) -> None:
    """The heaviest within a factor of two; of one power the one that came to it first."""
    by_size = BySize()
    levels: dict[str, int] = {}
    for member, size in steps:
        level = size.bit_length()
        if levels.get(member, 0) != level:
            levels.pop(member, None)
            if level:
                levels[member] = level
        by_size.put(member, size)
        assert by_size.heaviest() == max(levels, key=lambda name: levels[name], default=None)


def test_by_size_of_the_largest() -> None:
    by_size = BySize()
    by_size.put("a", 1 << 62)
    by_size.put("b", 1)
    assert by_size.heaviest() == "a"
    by_size.put("a", 0)
    by_size.put("a", 0)
    assert by_size.heaviest() == "b"


class Ranked:
    """A store with flows by name; `first()` says who would go first."""

    def __init__(self) -> None:
        self.store = Store(Limits(payload_bytes=8 * MIB), Counters())
        self.flows: dict[str, Flow] = {}

    def add(self, name: str, count: int = 1, at_s: float = 0) -> Flow:
        flow = self.flows.get(name)
        if flow is None:
            flow = self.store.create(b"key of 12 " + name.encode() * 2, 0, None)
            assert flow is not None
            self.flows[name] = flow
        assert self.store.append(flow, bytes(count), 0, count, round(at_s * SECOND_NS)) == count
        return flow

    def end(self, name: str, at_s: float = 0) -> None:
        self.store.set_state(self.flows[name], FIN, round(at_s * SECOND_NS))

    def first(self, at_s: float = 0, held_limit_bytes: int = NO_LIMIT) -> tuple[str | None, bool]:
        ranking = self.store.ranking
        victim = ranking.victim(round(at_s * SECOND_NS), held_limit_bytes, None)
        name = next((name for name, flow in self.flows.items() if flow is victim), None)
        return name, ranking.head_is_enough

    def order(self, at_s: float = 0) -> str:
        """Everyone, as they would go if each were evicted whole."""
        gone = ""
        while (name := self.first(at_s)[0]) is not None:
            self.store.evict(self.flows[name])
            gone += name
        return gone


@pytest.fixture
def ranked() -> Iterator[Ranked]:
    ranked = Ranked()
    yield ranked
    for flow in ranked.flows.values():
        ranked.store.evict(flow)


def test_nobody(ranked: Ranked) -> None:
    assert ranked.store.ranking.victim(0, 0, None) is None


def test_closed_first_in_the_order_of_closing(ranked: Ranked) -> None:
    for name in "abcd":
        ranked.add(name)
    for name in "cab":
        ranked.end(name)
    assert ranked.first() == ("c", False)
    assert ranked.order() == "cabd"


def test_then_the_longest_idle(ranked: Ranked) -> None:
    for at_s, name in enumerate("abcd"):
        ranked.add(name, at_s=at_s)
    ranked.add("a", at_s=5)
    ranked.add("large", 4 * BLOCK_BYTES, at_s=20)
    idle_s = IDLE_VICTIM_NS / SECOND_NS
    assert ranked.first(at_s=1 + idle_s) == ("b", False)
    ranked.store.evict(ranked.flows["b"])
    assert ranked.first(at_s=2 + idle_s) == ("c", False)


def test_then_the_head_of_the_largest(ranked: Ranked) -> None:
    for name, blocks in (("a", 3), ("b", 9), ("c", 2)):
        ranked.add(name, blocks * BLOCK_BYTES)
    assert ranked.first() == ("b", True)


def test_then_who_was_longest_without_payload(ranked: Ranked) -> None:
    """Nobody is idle yet, and nobody has a head worth taking."""
    for at_s, name in enumerate("abc"):
        ranked.add(name, at_s=at_s * 2)
    ranked.add("a", at_s=6)
    assert ranked.first(at_s=6) == ("b", True)


def test_activity_counts_by_the_second(ranked: Ranked) -> None:
    ranked.add("a", at_s=1)
    ranked.add("b", at_s=1.1)
    ranked.add("a", at_s=1.5)
    assert ranked.first(at_s=2)[0] == "a"
    ranked.add("a", at_s=2.1)
    assert ranked.first(at_s=3)[0] == "b"


def test_who_is_read_goes_last(ranked: Ranked) -> None:
    for name in "abc":
        ranked.add(name)
    for name in "ab":
        ranked.end(name)
    ranked.store.open(ranked.flows["a"])
    assert ranked.order(at_s=100) == "bca"
    ranked.store.release(ranked.flows["a"])


def test_who_goes_on_is_counted_read_or_not(ranked: Ranked) -> None:
    store, flow = ranked.store, ranked.add("a")
    ranked.add("b")
    assert store.open_flows() == 2
    for _ in range(2):
        store.open(flow)
        assert store.open_flows() == 2
    ranked.end("a")
    assert store.open_flows() == 1
    for _ in range(2):
        store.release(flow)
        assert store.open_flows() == 1
    store.open(flow)
    store.release(flow)
    assert store.open_flows() == 1


def test_who_is_read_and_holds_more_than_its_share(ranked: Ranked) -> None:
    flow = ranked.add("a", 4 * BLOCK_BYTES)
    ranked.add("b", 4 * BLOCK_BYTES)
    ranked.store.open(flow)
    assert ranked.store.ranking.held_open_bytes == flow.held_bytes
    assert ranked.first(held_limit_bytes=flow.held_bytes) == ("b", True)
    assert ranked.first(held_limit_bytes=flow.held_bytes - 1) == ("a", True)
    ranked.add("a", 4 * BLOCK_BYTES)
    assert ranked.store.ranking.held_open_bytes == flow.held_bytes
    ranked.store.release(flow)
    assert ranked.store.ranking.held_open_bytes == 0


def test_back_among_the_others_after_reading(ranked: Ranked) -> None:
    ranked.add("a", 4 * BLOCK_BYTES)
    ranked.add("b")
    ranked.end("b")
    for name in "ab":
        ranked.store.open(ranked.flows[name])
        ranked.store.release(ranked.flows[name])
    assert ranked.first() == ("b", False)
    ranked.store.evict(ranked.flows["b"])
    assert ranked.first() == ("a", True)


def test_closed_while_it_is_read(ranked: Ranked) -> None:
    for name in "ab":
        ranked.add(name)
    ranked.store.open(ranked.flows["b"])
    ranked.end("b")
    assert ranked.first()[0] == "a"
    ranked.store.release(ranked.flows["b"])
    assert ranked.first() == ("b", False)

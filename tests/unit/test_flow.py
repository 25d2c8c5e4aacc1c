"""core/flow.py: where a file's bytes lie, and what it is found by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.counters import Counters
from flowfs.core.flow import (
    FIN,
    IDLE,
    OPEN,
    RST,
    STATE_NAMES,
    Flow,
    extent,
    extent_count,
    extent_of,
    name_key,
)
from flowfs.core.limits import MIB, Limits
from flowfs.core.ranges import ACK
from flowfs.core.store import Store

GAP_CLASS, CLASS_MASK = 9, 0xFF


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(Limits(payload_bytes=MIB), Counters())
    yield store
    for flow in store.list_after(0, 100):
        store.evict(flow)


def created(store: Store) -> Flow:
    flow = store.create(b"k" * 12, 0, None)
    assert flow is not None
    return flow


def test_states_have_names() -> None:
    assert [STATE_NAMES[state] for state in (OPEN, FIN, RST, IDLE)] == ["open", "fin", "rst", "idle"]


def test_a_new_one() -> None:
    flow = Flow(7, b"k" * 12, 3, None)
    assert (flow.serial, flow.key, flow.generation) == (7, b"k" * 12, 3)
    assert (flow.size, flow.start, flow.held_bytes, flow.opens, flow.state) == (0, 0, 0, 0, OPEN)
    assert not any((flow.evicted, flow.watched, flow.named))
    assert flow.gaps() == []
    assert extent_count(flow) == 0


def test_extents_follow_each_other(store: Store) -> None:
    flow = created(store)
    for count, gap in ((300, 0), (0, 50), (1000, 7), (3, 0), (70_000, 0)):
        store.append(flow, bytes(count), 0, count, 0)
        if gap:
            store.skip(flow, gap, ACK)
    position, gaps = 0, []
    for index in range(extent_count(flow) + 1):
        start, reference, end = extent(flow, index)
        assert start == position < end
        assert {extent_of(flow, offset) for offset in (start, end - 1)} == {index}
        if reference & CLASS_MASK == GAP_CLASS:
            gaps.append((start, end - start, "ack"))
        else:
            assert end - start <= 256 << (reference & CLASS_MASK)
        position = end
    assert position == flow.size == 71_360
    assert gaps == flow.gaps() == [(300, 50, "ack"), (1350, 7, "ack")]


def test_of_one_block(store: Store) -> None:
    """Most files have no list of extents."""
    flow = created(store)
    store.append(flow, b"abc", 0, 3, 0)
    assert extent_count(flow) == 0
    assert extent(flow, 0)[::2] == (0, 3)
    assert extent_of(flow, 2) == 0


@given(st.data())
def test_no_two_names_share_a_key(data: st.DataObject) -> None:
    kind = st.sampled_from([12, 14, 36, 38]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
    named = st.tuples(kind, st.one_of(st.just(0), st.integers(0, 2**40)))
    one, other = data.draw(named), data.draw(named)
    assert (name_key(*one) == name_key(*other)) == (one == other)

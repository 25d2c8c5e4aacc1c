"""What the fuzz targets look for would be found: each promise is broken once."""

from __future__ import annotations

from typing import Any

import pytest

from craft import Conversation, batch
from flowfs.capture.sources import Batch
from flowfs.core.flow import OPEN
from fuzz.captures import packets_of
from fuzz.watching import LIMITS, POOLS, Glance, Watched, check_budgets, check_evicted, compare, glance_at


@pytest.fixture
def watched() -> Watched:
    watched = Watched(LIMITS[0])
    watched.feed(Conversation().handshake().client(0, b"abc").packets, 1)
    return watched


@pytest.fixture
def seen(watched: Watched) -> Glance:
    (flow,) = watched.engine.list_after(0, 9)
    return glance_at(watched.engine, flow)


def test_nothing_is_found_where_nothing_is(watched: Watched, seen: Glance) -> None:
    assert seen.pieces == ((0, b"abc"),)
    watched.feed(Conversation().client(3, b"def").packets, 1)
    compare(watched.engine, seen)
    watched.finish()


@pytest.mark.parametrize(
    "lie",
    [{"pieces": ((0, b"abd"),)}, {"size": 4}, {"start": 1}],
    ids=min,
)
def test_a_flow_that_changed(watched: Watched, seen: Glance, lie: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        compare(watched.engine, seen._replace(**lie))


def test_an_end_that_is_taken_back(watched: Watched, seen: Glance) -> None:
    watched.look()
    watched._seen[seen.flow.serial] = seen._replace(state=OPEN + 1)
    with pytest.raises(AssertionError):
        watched.look()


def test_freed_bytes_that_can_be_read(watched: Watched, seen: Glance) -> None:
    with pytest.raises(AssertionError, match="freed"):
        check_evicted(watched.engine, seen.flow, 0)


@pytest.mark.parametrize("pool", POOLS)
def test_an_exceeded_budget(watched: Watched, pool: str) -> None:
    numbers = watched.engine.statistics()
    check_budgets(numbers, LIMITS[0])
    numbers[f"{pool}_used_bytes"] = numbers[f"{pool}_limit_bytes"] + 1
    with pytest.raises(AssertionError, match=pool):
        check_budgets(numbers, LIMITS[0])


def test_a_byte_without_a_fate(watched: Watched) -> None:
    watched.engine.counters.payload_bytes += 1
    with pytest.raises(AssertionError):
        watched.finish()


def test_a_packet_beyond_what_was_read() -> None:
    frames, meta = batch(Conversation().handshake().packets)
    whole = Batch(frames, memoryview(meta), 1, 1000)
    assert len(packets_of(whole)) == 3
    with pytest.raises(AssertionError):
        packets_of(whole._replace(frames=frames[:-1]))

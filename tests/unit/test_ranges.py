"""core/ranges.py against a plain list of what was appended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.ranges import ACK, CLOSE, LIMIT, MEMORY, ONE_WAY, REASONS, SNAPLEN, Ranges

STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(0, 5)), max_size=30)


def built(steps: list[tuple[int, int, int]]) -> tuple[Ranges, list[tuple[int, int, int]]]:
    """Ranges of (distance to the last, length, reason), and each byte of them as (offset, reason)."""
    ranges, plain, position = Ranges(), [], 0
    for distance, length, reason in steps:
        position += distance
        ranges.append(position, position + length, reason)
        plain.append((position, position + length, reason))
        position += length
    return ranges, plain


def test_reasons_have_names() -> None:
    named = {
        ACK: "ack",
        LIMIT: "limit",
        ONE_WAY: "one-way",
        CLOSE: "close",
        SNAPLEN: "snaplen",
        MEMORY: "memory",
    }
    assert named == dict(enumerate(REASONS))


def test_nothing_is_lost() -> None:
    assert Ranges().rows() == []
    assert Ranges().within(0, 1 << 62) == []


def test_only_neighbours_for_the_same_reason_are_joined() -> None:
    ranges, _ = built([(3, 2, ACK), (0, 2, ACK), (0, 1, LIMIT), (1, 1, LIMIT)])
    assert ranges.rows() == [(3, 4, "ack"), (7, 1, "limit"), (9, 1, "limit")]


@given(STEPS, st.integers(0, 200), st.integers(0, 200))
def test_within(steps: list[tuple[int, int, int]], start: int, length: int) -> None:
    end = start + length
    ranges, plain = built(steps)
    expected = [at for low, high, _ in plain for at in range(low, high) if start <= at < end]
    assert [at for low, high in ranges.within(start, end) for at in range(low, high)] == expected
    assert all(low < high for low, high in ranges.within(start, end))


@given(STEPS, st.lists(st.integers(0, 200), max_size=5))
def test_forget_before(steps: list[tuple[int, int, int]], starts: list[int]) -> None:
    """What ends behind `start` stays; of the rest at most as much again is still there."""
    ranges, _ = built(steps)
    for start in sorted(starts):
        due = [row for row in ranges.rows() if row[0] + row[1] > start]
        ranges.forget_before(start)
        assert ranges.rows()[len(ranges.rows()) - len(due) :] == due
        assert len(ranges.rows()) <= 2 * len(due) + 1


def test_offsets_beyond_four_gib() -> None:
    ranges = Ranges()
    ranges.append(1 << 40, (1 << 40) + (1 << 33), ACK)
    assert ranges.within((1 << 40) + 5, (1 << 40) + 7) == [((1 << 40) + 5, (1 << 40) + 7)]
    assert ranges.rows() == [(1 << 40, 1 << 33, "ack")]


@given(STEPS, st.integers(0, 200), st.integers(0, 50), st.integers(1, 5))
def test_how_much_is_lost(steps: list[tuple[int, int, int]], start: int, length: int, limit: int) -> None:
    ranges, _ = built(steps)
    found = ranges.within(start, start + length)
    assert ranges.count(start, start + length) == sum(high - low for low, high in found)
    assert ranges.within(start, start + length, limit) == found[:limit]


@given(STEPS, st.integers(0, 100), st.integers(0, 100))
def test_how_much_is_lost_of_what_is_not_forgotten(
    steps: list[tuple[int, int, int]], forgotten: int, length: int
) -> None:
    ranges, _ = built(steps)
    before = ranges.count(forgotten, forgotten + length)
    ranges.forget_before(forgotten)
    ranges.append(1000, 1007, LIMIT)
    assert ranges.count(forgotten, forgotten + length) == before
    assert ranges.count(forgotten, 2000) == before + ranges.count(forgotten + length, 1000) + 7

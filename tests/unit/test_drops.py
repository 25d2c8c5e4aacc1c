"""core/drops.py: no drop is forgotten, nor told of to whom it cannot concern while there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.drops import Drops
from flowfs.core.limits import MAX_DROP_INTERVALS

ALWAYS = 1 << 62

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(1, 5)), max_size=12)


def told(drops: Drops, since: int, until: int, *sources: int) -> int:
    return drops.during(set(sources) or {0}, since, until)


def test_nothing_was_dropped() -> None:
    assert told(Drops(), 0, ALWAYS) == 0
    assert Drops().intervals == 0


def test_a_life_and_an_interval() -> None:
    drops = Drops()
    drops.add(0, 100, 200, 7)
    assert [told(drops, *life) for life in ((0, 99), (0, 100), (150, 160), (200, 300), (201, ALWAYS))] == [
        *(0, 7, 7, 7, 0)
    ]
    assert told(drops, 0, ALWAYS) == 7


def test_each_source_by_itself() -> None:
    drops = Drops()
    drops.add(0, 10, 20, 1)
    drops.add(1, 10, 20, 2)
    assert [told(drops, 15, 15, *sources) for sources in ((0,), (1,), (0, 1), (2,))] == [1, 2, 3, 0]
    assert drops.intervals == 2


def test_a_clock_that_was_set_back() -> None:
    drops = Drops()
    drops.add(0, 200, 100, 3)
    drops.add(0, 50, 150, 4)
    assert [told(drops, at, at) for at in (49, 50, 99, 200, 201)] == [0, 7, 7, 7, 0]


def test_intervals_that_touch_stay_apart() -> None:
    drops = Drops()
    drops.add(0, 10, 20, 1)
    drops.add(0, 20, 30, 2)
    assert drops.intervals == 2
    assert [told(drops, at, at) for at in (15, 20, 25)] == [1, 3, 2]


@given(INTERVALS, st.integers(0, 70), st.integers(0, 70))
def test_what_a_list_of_all_says(given_intervals: list[tuple[int, int, int]], one: int, other: int) -> None:
    """At least that, and nothing if nothing that overlaps with something overlaps with it."""
    drops = Drops()
    for since, length, count in given_intervals:
        drops.add(0, since, since + length, count)
    since, until = sorted((one, other))
    slow = sum(
        count for begin, length, count in given_intervals if begin <= until and begin + length >= since
    )
    assert told(drops, since, until) >= slow
    covered = {at for begin, length, _ in given_intervals for at in range(begin, begin + length + 1)}
    assert bool(told(drops, since, until)) == any(since <= at <= until for at in covered)
    assert told(drops, -ALWAYS, ALWAYS) == sum(count for _, _, count in given_intervals)


def test_too_many_become_coarser_and_none_is_forgotten() -> None:
    drops = Drops()
    times = range(0, 100_000, 10)
    for at in times:
        drops.add(0, at, at + 1, 1)
        assert drops.intervals <= MAX_DROP_INTERVALS
    assert told(drops, 0, ALWAYS) == len(times)
    assert all(told(drops, at, at) for at in times)
    spans = [sum(told(drops, at, at + 1) > 1 for at in part) for part in (times[:5000], times[5000:])]
    assert min(spans) > 1000  # not only the oldest grew


def test_those_closest_together_are_joined() -> None:
    """A long time without a drop stays one."""
    drops = Drops()
    quiet = 10**9  # between groups of 500
    times = [10 * at + at // 500 * quiet for at in range(3 * MAX_DROP_INTERVALS)]
    for at in times:
        drops.add(0, at, at + 1, 1)
    assert drops.intervals <= MAX_DROP_INTERVALS
    for first in times[500::500]:
        assert told(drops, first - quiet + 100, first - 1) == 0


def test_a_number_beyond_32_bits() -> None:
    drops = Drops()
    drops.add(0, 0, 1, 1 << 40)
    drops.add(0, 1, 2, 1 << 40)
    assert told(drops, 0, 2) == 1 << 41

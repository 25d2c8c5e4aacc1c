"""core/ladder.py against plain lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.evict import Ranked
from flowfs.core.ladder import Ladder

FAR = 1 << 40


@given(
    st.lists(st.tuples(st.integers(0, 150), st.sampled_from([None, -FAR, -3, 0, 1, 2, 63, 64, FAR]))),
    st.sampled_from([1, 64]),
)
def test_like_lists(moves: list[tuple[int, int | None]], span: int) -> None:
    """Members are put on rungs, or taken out (None), in any order."""
    ladder = Ladder(span)
    members = [Ranked() for _ in range(151)]
    rungs: dict[int, list[Ranked]] = {}
    for number, rung in moves:
        member = members[number]
        ladder.leave(member)
        for others in rungs.values():
            if member in others:
                others.remove(member)
        if rung is not None:
            ladder.put(member, rung)
            rungs.setdefault(rung, []).append(member)
        check(ladder, [member for rung in sorted(rungs) for member in rungs[rung]])


def check(ladder: Ladder, expected: list[Ranked]) -> None:
    assert ladder.first() is (expected[0] if expected else None)
    if expected:
        assert ladder.second() is (expected[1] if len(expected) > 1 else None)
        assert ladder.first() is expected[0]
    assert sorted(map(id, filter(None, ladder.members))) == sorted(map(id, expected))


def test_as_many_as_it_takes() -> None:
    """Places are used again, and all are found in order."""
    ladder = Ladder(1)
    members = [Ranked() for _ in range(1000)]
    for _ in range(3):
        for number, member in enumerate(members):
            ladder.put(member, number * 7919 % 1000)
        found = []
        while (first := ladder.first()) is not None:
            ladder.leave(first)
            found.append(first)
        assert found == [members[rung * pow(7919, -1, 1000) % 1000] for rung in range(1000)]
    assert len(ladder.members) <= 2048


def test_rungs_that_are_left_behind_are_forgotten() -> None:
    """One climbs a million rungs, such as a flow that grows: few are remembered."""
    ladder = Ladder(1)
    below, climber = Ranked(), Ranked()
    ladder.put(below, -1)
    for rung in range(100_000):
        ladder.leave(climber)
        ladder.put(climber, rung)
        assert len(ladder.order) < 100
    assert (ladder.first(), ladder.second()) == (below, climber)

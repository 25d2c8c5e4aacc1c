"""core/exchange.py against a list of turns, with budgets that are too small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.counters import Counters
from flowfs.core.exchange import Owner, TurnBudget
from flowfs.core.limits import FIRST_TURNS, KIB, MAX_TURNS, SECOND_NS, TURN_NS, TURN_SILENCE_NS, TURNS_BYTES

FIRST_BYTES = TURNS_BYTES + 16 * FIRST_TURNS
BRIEF = 2  # that need no memory of their own


def kept(owner: Owner, number: int = 0) -> tuple[int, list[tuple[int, int, int]]]:
    """The number of the first turn, and (time, side, offset) of each."""
    first, items = owner.turns_from(number)
    return first, [(time, place & 1, place >> 1) for time, place in zip(items[::2], items[1::2], strict=True)]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1 << 60)), max_size=60),
    st.sampled_from([0, FIRST_BYTES, 400, 2 * KIB, 100 * KIB]),
    st.integers(0, 70),
)
def test_the_latest_are_kept(turns: list[tuple[int, int]], limit_bytes: int, number: int) -> None:
    counters = Counters()
    budget, owner = TurnBudget(limit_bytes, counters), Owner(0, 0, 0)
    expected = [(at, side, offset) for at, (side, offset) in enumerate(turns)]
    for at, side, offset in expected:
        owner.take_turn(side, offset, at, budget)
        assert budget.used_bytes <= limit_bytes
    first, found = kept(owner)
    assert found == expected[first:]
    assert first == counters.turns_forgotten
    assert len(found) >= min(len(turns), BRIEF if limit_bytes < FIRST_BYTES else FIRST_TURNS // 2)
    if limit_bytes == 100 * KIB:
        assert first == 0
    if number <= len(turns):
        assert kept(owner, number) == (max(number, first), expected[max(number, first) :])
    owner.forget_turns(budget)
    assert budget.used_bytes == 0
    assert kept(owner)[1] == []


def test_the_largest_number_of_turns() -> None:
    budget, owner = TurnBudget(1 << 20, Counters()), Owner(0, 0, 0)
    for at in range(MAX_TURNS):
        owner.take_turn(at & 1, at, at, budget)
    assert len(kept(owner)[1]) == MAX_TURNS
    assert budget.used_bytes == TURNS_BYTES + 16 * MAX_TURNS
    owner.take_turn(0, MAX_TURNS, MAX_TURNS, budget)
    assert kept(owner)[0] == MAX_TURNS // 2
    assert kept(owner)[1][-1] == (MAX_TURNS, 0, MAX_TURNS)
    assert budget.used_bytes == TURNS_BYTES + 16 * MAX_TURNS


def test_first_turns_find_room_where_others_have_many() -> None:
    counters = Counters()
    budget, talker, other = TurnBudget(2 * KIB, counters), Owner(0, 0, 0), Owner(0, 0, 0)
    for at in range(1000):
        talker.take_turn(at & 1, at, at, budget)
    assert budget.used_bytes <= KIB
    assert counters.turns_forgotten > 900
    for at in range(FIRST_TURNS):
        other.take_turn(at & 1, at, at, budget)
    assert kept(other) == (0, [(at, at & 1, at) for at in range(FIRST_TURNS)])


def test_who_speaks() -> None:
    budget, owner = TurnBudget(KIB, Counters()), Owner(0, 0, 0)
    assert not owner.is_speaking(0)
    owner.take_turn(1, 0, SECOND_NS, budget)
    assert owner.is_speaking(SECOND_NS + TURN_SILENCE_NS - 1)
    assert not owner.is_speaking(SECOND_NS + TURN_SILENCE_NS)
    owner.take_turn(0, 0, SECOND_NS, budget)
    owner.speaker = -1
    assert not owner.is_speaking(SECOND_NS)


@pytest.mark.parametrize("turns", [1, BRIEF, BRIEF + 1, 20])
def test_nobody_speaks_for_ever(turns: int) -> None:
    budget, owner = TurnBudget(KIB, Counters()), Owner(0, 0, 0)
    for at in range(turns):
        owner.take_turn(at & 1, at, at * SECOND_NS, budget)
    began_ns = (turns - 1) * SECOND_NS
    owner.said_ns = began_ns + TURN_NS - 1
    assert owner.is_speaking(began_ns + TURN_NS - 1)
    assert not owner.is_speaking(began_ns + TURN_NS)

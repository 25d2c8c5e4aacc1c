# cython: boundscheck=False, wraparound=False, cdivision=True
"""Who of a connection spoke when: its turns, in the order in which their bytes became readable.

A turn is what one side said before the other spoke, or before it was silent for TURN_SILENCE_NS. Its time is
the packet time at which its first byte became readable. So bytes that waited behind a hole are of the moment
at which the hole was filled, and those behind a lost one, as well as the zeros for it, of that at which it
was given up: the order is that of the files' growth. Knows offsets in streams, sides and times; no byte, no
file, no TCP. Always true:
 - turns ascend in time, and those of one side in offset; each has all up to the next one of its side;
 - what holds them was charged to the budget of all connections' before it was taken;
 - the latest are kept: where there is no room for more, the older half is forgotten, and counted;
 - a turn is never added to once the other side spoke, TURN_SILENCE_NS passed, or fall_silent() was called.

They stand in one array, `turns`: how many, how many were forgotten, then a time and a place for each.
"""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:
    from .counters import Counters
    from .memory import item, numbers, put, stretch
    from .order import Link

from .limits import FIRST_TURNS, GROWN_TURNS_SHARE, MAX_TURNS, TURN_SILENCE_NS, TURNS_BYTES

NOBODY = -1
_HEAD = 2  # items before the first turn: how many there are, and how many before them were forgotten
_COUNT, _FORGOTTEN = 0, 1
_EACH = 2  # items: a time in nanoseconds, and the offset of its first byte, shifted by one, with the side
_ITEM_BYTES = 8
_NONE = array("q")


class TurnBudget:
    """The memory that turns of all connections take."""

    __slots__ = ("counters", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int, counters: Counters) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.counters = counters

    def take(self, count: int, limit_bytes: int) -> bool:
        """Charge so many bytes, if no more than `limit_bytes` are in use then."""
        if self.used_bytes + count > limit_bytes:
            return False
        self.used_bytes += count
        return True


class Owner(Link):
    """What a file needs to know of the connection whose direction it is, and who of it spoke when."""

    __slots__ = (
        *("carried", "files", "first_ns", "generation", "other_source", "said_ns", "source", "speaker"),
        "turns",
    )

    def __init__(self, generation: int, first_ns: int, source: int) -> None:
        self.owns_nothing(generation, first_ns, source)

    def owns_nothing(self, generation: int, first_ns: int, source: int) -> None:
        """Begin without files. Subclasses call this, see Link.unlinked()."""
        self.unlinked()
        self.generation = generation
        self.first_ns = first_ns
        self.source = self.other_source = source  # where its packets came by
        self.files = 0  # of this connection that the store has
        self.carried = False  # there was a file
        self.speaker = NOBODY  # the side whose turn it is
        self.said_ns = 0  # when it was last added to
        self.turns: array[int] | None = None

    def fall_silent(self) -> None:
        """The turn is over: whatever comes begins another."""
        self.speaker = NOBODY

    def is_speaking(self, now_ns: int) -> bool:
        """Whether the last turn may still be added to, at that time or later."""
        return self.speaker != NOBODY and now_ns - self.said_ns < TURN_SILENCE_NS

    def turns_from(self, number: int) -> tuple[int, array[int]]:
        """The turns from this number on, 0 being the first of all, or from the first that is known on.

        The number of the first, then for each a time, and the offset of its first byte * 2 + its side.
        """
        turns = self.turns
        if turns is None:
            return number, array("q")
        first = max(number, item(turns, _FORGOTTEN))
        start = _HEAD + (first - item(turns, _FORGOTTEN)) * _EACH
        return first, turns[start : _HEAD + item(turns, _COUNT) * _EACH]

    def take_turn(self, side: int, offset: int, now_ns: int, budget: TurnBudget) -> None:
        """A side begins a turn, `offset` being that of its first byte in the stream."""
        self.speaker = side
        self.said_ns = now_ns
        turns = self.turns
        if turns is None:
            length = _HEAD + FIRST_TURNS * _EACH
            if not budget.take(TURNS_BYTES + length * _ITEM_BYTES, budget.limit_bytes):
                budget.counters.turns_forgotten += 1
                return
            turns = self.turns = numbers(_NONE, length)
            put(turns, _COUNT, 0)
            put(turns, _FORGOTTEN, 0)
        count = item(turns, _COUNT)
        if _HEAD + count * _EACH == len(turns):
            if not self._grow(turns, count, budget):
                self._forget_half(turns, count, budget)
            count = item(turns, _COUNT)
        put(turns, _HEAD + count * _EACH, now_ns)
        put(turns, _HEAD + count * _EACH + 1, offset << 1 | side)
        put(turns, _COUNT, count + 1)

    def _grow(self, turns: array[int], count: int, budget: TurnBudget) -> bool:
        """Make room for twice as many turns, if the first ones of others leave it; whether they did."""
        if count >= MAX_TURNS:
            return False
        if not budget.take(count * _EACH * _ITEM_BYTES, budget.limit_bytes // GROWN_TURNS_SHARE):
            return False
        stretch(turns, _HEAD + 2 * count * _EACH)
        return True

    def _forget_half(self, turns: array[int], count: int, budget: TurnBudget) -> None:
        """Forget the older half of the turns."""
        gone = count // 2
        kept = (count - gone) * _EACH
        for index in range(kept):
            put(turns, _HEAD + index, item(turns, _HEAD + gone * _EACH + index))
        put(turns, _COUNT, count - gone)
        put(turns, _FORGOTTEN, item(turns, _FORGOTTEN) + gone)
        budget.counters.turns_forgotten += gone

    def forget_turns(self, budget: TurnBudget) -> None:
        """Give back what turns were charged."""
        if self.turns is not None:
            budget.used_bytes -= TURNS_BYTES + len(self.turns) * _ITEM_BYTES
            self.turns = None

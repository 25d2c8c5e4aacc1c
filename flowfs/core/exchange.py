# cython: boundscheck=False, wraparound=False, cdivision=True
"""Who of a connection spoke when: its turns, in the order in which their bytes became readable.

A turn is what one side said before the other spoke, before it was silent for TURN_SILENCE_NS, or within
TURN_NS. Its time is the packet time at which its first byte became readable. So bytes that waited behind a
hole are of the moment at which the hole was filled, and those behind a lost one, as well as the zeros for it,
of that at which it was given up: the order is that of the files' growth. Knows offsets in streams, sides and
times; no byte, no file, no TCP. Always true:
 - turns ascend in time, and those of one side in offset; each has all up to the next one of its side;
 - what holds them was charged to the budget of all connections' before it was taken;
 - the latest are kept: where there is no room for more, the older half is forgotten, and counted;
 - a turn is never added to once the other side spoke, one of these times passed, or fall_silent() was called.

The first BRIEF stand in the connection's own record, as most have no more; with the next one all go to an
array, `turns`: a time and a place for each.
"""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:
    from .counters import Counters
    from .memory import item, numbers, put, stretch
    from .order import Link

from .limits import FIRST_TURNS, GROWN_TURNS_SHARE, MAX_TURNS, TURN_NS, TURN_SILENCE_NS, TURNS_BYTES

NOBODY = -1
_BRIEF = 2  # turns of which a connection's record has room
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


@cython.no_gc
@cython.cclass
class Owner(Link):
    """What a file needs to know of the connection whose direction it is, and who of it spoke when."""

    __slots__ = (
        *("answer_ns", "answer_place", "carried", "files", "first_ns", "generation", "link", "opening_ns"),
        *("opening_place", "other_source", "said_ns", "session", "source", "speaker", "turn_count", "turns"),
        "turns_gone",
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
        self.session = 0  # its number among those of which there was one, if that is wanted
        self.link: bytes | None = None  # the Ethernet addresses, if they are wanted; see links.in_order()
        self.speaker = NOBODY  # the side whose turn it is
        self.said_ns = 0  # when it was last added to
        self.turn_count = 0
        self.turns_gone = 0  # those before them that were forgotten
        self.opening_ns = self.opening_place = self.answer_ns = self.answer_place = (
            0  # while there are no more
        )
        self.turns: array[int] | None = None

    def fall_silent(self) -> None:
        """The turn is over: whatever comes begins another."""
        self.speaker = NOBODY

    def is_speaking(self, now_ns: int) -> bool:
        """Whether the last turn may still be added to, at that time or later."""
        if self.speaker == NOBODY or now_ns - self.said_ns >= TURN_SILENCE_NS:
            return False
        return now_ns - self._began_ns() < TURN_NS

    def _began_ns(self) -> int:
        """When the last turn began."""
        if self.turns is not None:
            return item(self.turns, (self.turn_count - 1) * _EACH)
        return self.answer_ns if self.turn_count > 1 else self.opening_ns

    def turns_from(self, number: int) -> tuple[int, array[int]]:
        """The turns from this number on, 0 being the first of all, or from the first that is known on.

        The number of the first, then for each a time, and the offset of its first byte * 2 + its side.
        """
        first = max(number, self.turns_gone)
        start, end = (first - self.turns_gone) * _EACH, self.turn_count * _EACH
        if self.turns is not None:
            return first, self.turns[start:end]
        brief = array("q", (self.opening_ns, self.opening_place, self.answer_ns, self.answer_place))
        return first, brief[start:end]

    def take_turn(self, side: int, offset: int, now_ns: int, budget: TurnBudget) -> None:
        """A side begins a turn, `offset` being that of its first byte in the stream."""
        self.speaker = side
        self.said_ns = now_ns
        place = offset << 1 | side
        if self.turns is None and self.turn_count == 0:
            self.opening_ns = now_ns
            self.opening_place = place
        elif self.turns is None and self.turn_count < _BRIEF:
            self.answer_ns = now_ns
            self.answer_place = place
        else:
            self._add(place, now_ns, budget)
        self.turn_count += 1

    def _add(self, place: int, now_ns: int, budget: TurnBudget) -> None:
        """Put a turn behind the others, in place of some if need be."""
        if not self._has_room() and not self._grow(budget):
            self._forget_half(budget)
        turns = self.turns
        if turns is None:
            self.answer_ns = now_ns
            self.answer_place = place
        else:
            put(turns, self.turn_count * _EACH, now_ns)
            put(turns, self.turn_count * _EACH + 1, place)

    def _has_room(self) -> bool:
        return self.turns is not None and self.turn_count * _EACH < len(self.turns)

    def _grow(self, budget: TurnBudget) -> bool:
        """Make room for twice as many turns, if the first ones of others leave it; whether they did."""
        count = self.turn_count
        turns = self.turns
        if turns is None:
            if not budget.take(TURNS_BYTES + FIRST_TURNS * _EACH * _ITEM_BYTES, budget.limit_bytes):
                return False
            turns = self.turns = numbers(_NONE, FIRST_TURNS * _EACH)
            put(turns, 0, self.opening_ns)
            put(turns, 1, self.opening_place)
            put(turns, 2, self.answer_ns)
            put(turns, 3, self.answer_place)
            return True
        if count >= MAX_TURNS:
            return False
        if not budget.take(count * _EACH * _ITEM_BYTES, budget.limit_bytes // GROWN_TURNS_SHARE):
            return False
        stretch(turns, 2 * count * _EACH)
        return True

    def _forget_half(self, budget: TurnBudget) -> None:
        """Forget the older half of the turns."""
        gone = self.turn_count // 2
        turns = self.turns
        if turns is None:
            self.opening_ns = self.answer_ns
            self.opening_place = self.answer_place
        else:
            for index in range((self.turn_count - gone) * _EACH):
                put(turns, index, item(turns, gone * _EACH + index))
        self.turn_count -= gone
        self.turns_gone += gone
        budget.counters.turns_forgotten += gone

    def forget_turns(self, budget: TurnBudget) -> None:
        """Give back what turns were charged."""
        if self.turns is not None:
            budget.used_bytes -= TURNS_BYTES + len(self.turns) * _ITEM_BYTES
            self.turns = None
        self.turn_count = 0

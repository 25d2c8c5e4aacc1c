# cython: boundscheck=False, wraparound=False, cdivision=True
"""The orders in which flows go when memory is short, each by its name in EVICT_POLICIES. Ranks; never frees.

 - closed-first: closed flows, the oldest first; then the longest idle; then the head of the largest;
 - lru: whoever was longest without payload, closed or not;
 - oldest: whoever appeared first;
 - largest: the head of whoever holds most.

closed-first is in `evict`. What the three others share, of which each changes but the order:
 - of lru and oldest, a flow that is closed or idle goes whole. One that is active gives its head, block by
   block, and goes whole once it has a single one; its next payload begins a new file, the youngest of all.
   largest takes heads alone, also those of closed flows, so that all come to hold the same;
 - flows that somebody has open come last, as in closed-first: the one that is open longest gives its head,
   and goes whole, with an error to its readers, if a block is all it has. They come first while they hold
   more than their share of the budget;
 - a flow that is being written gives its head if it holds two of the largest blocks, else the next one goes;
 - to make place among --max-flows the first goes if it is closed or idle; if it is active, the oldest closed
   one, then the longest idle; while all are active, the newcomer is refused.

How a flow is closed or idle, and the room for connections [M2], are no matter of policy.

A heap finds who is first in O(1), and a change of one flow costs O(log n); nothing costs anything a packet
that is not so in closed-first, but for the move of a flow that came back from a reader.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .evict import Ranked, Ranking

from .limits import IDLE_VICTIM_NS


class Ordered(Ranking):
    """Flows in one order, which a subclass defines: before() says which of two goes before the other."""

    __slots__ = ("heap",)

    def __init__(self, large_bytes: int) -> None:
        Ranking.__init__(self, large_bytes)
        self.heap: list[Ranked] = []  # a binary heap; each member knows its `place` in it

    def before(self, one: Ranked, other: Ranked) -> bool:
        """Whether `one` goes before `other`."""
        return one.serial < other.serial

    def add(self, flow: Ranked) -> None:
        """Take in a flow, or put it where it belongs after `ended` or `opens` changed."""
        Ranking.add(self, flow)
        if flow.opens == 0:
            self._enter(flow)

    def remove(self, flow: Ranked) -> None:
        """Forget a flow."""
        self._leave(flow)
        Ranking.remove(self, flow)

    def victim(self, now_ns: int, held_limit_bytes: int, keep: Ranked | None) -> Any:
        """The flow that should give memory next, see Ranking.victim()."""
        held = self._oldest(self.held, keep)
        first = self._first(keep)
        self.head_is_enough = True
        if first is None or (held is not None and self.held_open_bytes > held_limit_bytes):
            return held
        self.head_is_enough = first is keep or not self._goes_whole(first, now_ns)
        return first

    def leaver(self, now_ns: int) -> Any:
        """The flow that should go to make place for another; None if all are active."""
        first = self._first(None)
        if first is not None and (first.ended or now_ns - first.last_ns >= IDLE_VICTIM_NS):
            return first
        return Ranking.leaver(self, now_ns)

    def _goes_whole(self, flow: Ranked, now_ns: int) -> bool:
        """Whether more than the head is taken of a flow that nobody has open."""
        return flow.ended or now_ns - flow.last_ns >= IDLE_VICTIM_NS

    def _weigh(self, flow: Ranked) -> None:
        """Nobody's size matters."""

    def _first(self, keep: Ranked | None) -> Any:
        """The first in the order; not `keep`, unless that can give its head."""
        if not self.heap:
            return None
        if self.heap[0] is keep and not self._can_give_its_head(self.heap[0]):
            return self._second()
        return self.heap[0]

    def _second(self) -> Any:
        """The second in the order."""
        if len(self.heap) < 3:
            return self.heap[1] if len(self.heap) == 2 else None
        return self.heap[1] if self.before(self.heap[1], self.heap[2]) else self.heap[2]

    # --- the heap ----------------------------------------------------------------------------------

    def _enter(self, flow: Ranked) -> None:
        """Take in a flow that is not there."""
        flow.place = len(self.heap)
        self.heap.append(flow)
        self._move(flow)

    def _leave(self, flow: Ranked) -> None:
        """Take out a flow, if it is there."""
        if flow.place < 0:
            return
        last = self.heap.pop()
        if last is not flow:
            self._put(last, flow.place)
            self._move(last)
        flow.place = -1

    def _move(self, flow: Ranked) -> None:
        """Put a flow to its place, after it has changed."""
        heap = self.heap
        place = flow.place
        while place > 0 and self.before(flow, heap[(place - 1) // 2]):
            self._put(heap[(place - 1) // 2], place)
            place = (place - 1) // 2
        child = 2 * place + 1
        while child < len(heap):
            if child + 1 < len(heap) and self.before(heap[child + 1], heap[child]):
                child += 1
            if not self.before(heap[child], flow):
                break
            self._put(heap[child], place)
            place = child
            child = 2 * place + 1
        self._put(flow, place)

    def _put(self, flow: Ranked, place: int) -> None:
        self.heap[place] = flow
        flow.place = place


class Oldest(Ordered):
    """Whoever appeared first."""

    __slots__ = ()


class Largest(Ordered):
    """The head of whoever holds most; of several, that of the oldest."""

    __slots__ = ()

    def before(self, one: Ranked, other: Ranked) -> bool:
        """Whether `one` holds more."""
        if one.held_bytes != other.held_bytes:
            return one.held_bytes > other.held_bytes
        return one.serial < other.serial

    def _goes_whole(self, flow: Ranked, now_ns: int) -> bool:
        return False

    def _weigh(self, flow: Ranked) -> None:
        if flow.place >= 0:
            self._move(flow)


class LeastRecent(Ordered):
    """Whoever was longest without payload; as for all, that is kept to the second.

    Most open flows stand in that order in `active` as it is, for nothing. In the heap are those that do not:
    closed ones, and those that came back from a reader, until there is payload for them. Those of the latter
    at the end of `active` do no harm there: whoever stands behind one is younger.
    """

    __slots__ = ()

    def before(self, one: Ranked, other: Ranked) -> bool:
        """Whether the last payload of `one` is older."""
        if one.touched_ns != other.touched_ns:
            return one.touched_ns < other.touched_ns
        return one.serial < other.serial

    def add(self, flow: Ranked) -> None:
        """Take in a flow, or put it where it belongs after `ended` or `opens` changed."""
        is_new = flow.queue is None and not flow.ended
        Ranking.add(self, flow)
        if flow.opens == 0 and not is_new:
            self._enter(flow)

    def touch(self, flow: Ranked, now_ns: int) -> None:
        """Payload came."""
        Ranking.touch(self, flow, now_ns)
        if flow.place >= 0 and flow.touched_ns == now_ns:
            if flow.ended:
                self._move(flow)
            else:
                self._leave(flow)

    def _first(self, keep: Ranked | None) -> Any:
        first = Ordered._first(self, keep)
        active = self._oldest(self.active, keep)
        if first is None or (active is not None and self.before(active, first)):
            return active
        return first


def ranking_of(policy: str, large_bytes: int) -> Ranking:
    """The ranking by one of EVICT_POLICIES. A flow that holds less than `large_bytes` has no head to give."""
    if policy == "lru":
        return LeastRecent(large_bytes)
    if policy == "oldest":
        return Oldest(large_bytes)
    if policy == "largest":
        return Largest(large_bytes)
    assert policy == "closed-first", policy
    return Ranking(large_bytes)

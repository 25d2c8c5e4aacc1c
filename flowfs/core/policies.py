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

Choosing and moving one flow costs O(1), whatever the number of flows: see `ladder`. Nothing costs anything a
packet that is not so in closed-first; of lru it is a move a second and flow that has payload.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .evict import Ranked, Ranking
    from .ladder import Ladder
    from .order import Link

from .limits import IDLE_VICTIM_NS, SECOND_NS

_SECOND_NS = SECOND_NS  # a C integer when compiled
_EACH_ITS_OWN = 1  # a number is a rung
_APPEARED_TOGETHER = 64  # flows are a rung: one that comes back goes past so many others at most


class Ordered(Ranking):
    """Flows in one order, which a subclass defines: the lowest number goes first."""

    __slots__ = ("ladder",)

    def __init__(self, large_bytes: int) -> None:
        Ranking.__init__(self, large_bytes)
        self.ladder = Ladder(_EACH_ITS_OWN)

    def number(self, flow: Ranked) -> int:
        """Where `flow` stands in the order."""
        return 0

    def add(self, flow: Ranked) -> None:
        """Take in a flow, or put it where it belongs after `ended` or `opens` changed."""
        place = flow.place
        flow.place = -1  # so that remove() leaves it where it stands: whether it is closed does not matter
        Ranking.add(self, flow)
        flow.place = place
        if flow.opens:
            self.ladder.leave(flow)
        elif place < 0:
            self.ladder.put(flow, self.number(flow))

    def remove(self, flow: Ranked) -> None:
        """Forget a flow."""
        self.ladder.leave(flow)
        Ranking.remove(self, flow)

    def move(self, flow: Ranked) -> None:
        """The flow has changed: put it where it belongs, if it is in the order."""
        if flow.place >= 0 and self.ladder.number_of(flow) != self.number(flow):
            self.ladder.leave(flow)
            self.ladder.put(flow, self.number(flow))

    def replace(self, there: Link, other: Link, flow: Ranked) -> None:
        """See Ranking.replace()."""
        Ranking.replace(self, there, other, flow)
        if flow.place >= 0:
            self.ladder.replace(flow.place, other)

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
        first = self.ladder.first()
        if keep is not None and first is keep and not self._can_give_its_head(keep):
            first = self.ladder.second()
        return self._brought_back(first)


class Oldest(Ordered):
    """Whoever appeared first."""

    __slots__ = ()

    def __init__(self, large_bytes: int) -> None:
        Ordered.__init__(self, large_bytes)
        self.ladder = Ladder(_APPEARED_TOGETHER)

    def number(self, flow: Ranked) -> int:
        """Which grows from flow to flow."""
        return flow.serial


class Largest(Ordered):
    """The head of whoever holds most; of several, of the one that has held so much for longest.

    There are no more rungs than there can be sizes: of a budget of 256 MiB, in units of 256 B, it is 1448.
    """

    __slots__ = ()

    def number(self, flow: Ranked) -> int:
        """The most is the lowest."""
        return -flow.held_bytes

    def _goes_whole(self, flow: Ranked, now_ns: int) -> bool:
        return False

    def _weigh(self, flow: Ranked) -> None:
        self.move(flow)


class LeastRecent(Ordered):
    """Whoever was longest without payload, to the second; reading does not count."""

    __slots__ = ()

    def number(self, flow: Ranked) -> int:
        """The second in which it was last seen to have payload, or appeared."""
        return flow.touched_ns // _SECOND_NS

    def touch(self, flow: Ranked, now_ns: int) -> None:
        """Payload came."""
        Ranking.touch(self, flow, now_ns)
        if flow.touched_ns == now_ns:
            self.move(flow)


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

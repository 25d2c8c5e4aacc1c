"""Which flow goes first when memory is short. Ranks; never frees.

The order, that of closed-first [M3]: the oldest closed flow that nobody has open; then the flow idle longest,
if it is idle; then the head of the largest; then whatever was longest without payload. Flows that somebody
has open come last, unless they hold more than their share of the budget. Each step costs O(1), however many
flows there are. `policies` has the other orders.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import cython

if not cython.compiled:
    from .order import Link, Queue, leave

from .limits import IDLE_VICTIM_NS, TOUCH_NS


@cython.no_gc
@cython.cclass
class Ranked(Link):
    """A flow as far as the ranking sees it."""

    serial: int  # the order of appearance, which the subclass sets
    __slots__ = ("ended", "grows_held", "held_bytes", "is_large", "last_ns", "opens", "place", "serial")

    def __init__(self) -> None:
        self.unranked()

    def unranked(self) -> None:
        """Begin in no ranking. Subclasses call this, see Link.unlinked()."""
        self.unlinked()
        self.held_bytes = 0  # capacity charged
        self.last_ns = 0  # last payload
        self.opens = 0
        self.ended = False
        self.is_large = False  # stands in Ranking.large
        self.grows_held = False  # counts in Ranking.growing_held
        self.place = -1  # on the ladder of a policy that has one


@cython.no_gc
@cython.cclass
class Packed(Link):
    """What stands for a flow of which nothing comes; it lies in `record`, and its owner can bring it back."""

    __slots__ = ("record",)

    def __init__(self) -> None:
        self.unlinked()
        self.record: Any = None


class BySize:
    """Members by the power of two that their size reaches: the heaviest is right within a factor of two.

    An ordered set a power, so that equal sizes come in the order of arrival. (A plain dict would do,
    but finds its first key in time proportional to the keys deleted before it.)
    """

    __slots__ = ("levels", "members")

    def __init__(self) -> None:
        self.levels: list[OrderedDict[object, None]] = [OrderedDict() for _ in range(64)]
        self.members: dict[object, int] = {}

    def put(self, member: object, size: int) -> None:
        """`member` has this size; 0 takes it out."""
        level = size.bit_length()
        known = self.members.get(member, 0)
        if level == known:
            return
        if known:
            del self.levels[known][member]
            del self.members[member]
        if level:
            self.levels[level][member] = None
            self.members[member] = level

    def heaviest(self) -> Any:
        """A member of the highest level."""
        if not self.members:
            return None
        for level in reversed(self.levels):
            if level:
                return next(iter(level))
        return None


class Ranking:
    """The flows of a store, in the order in which they would go."""

    __slots__ = (
        *("active", "bring_back", "closed", "growing_held", "head_is_enough", "held", "held_open_bytes"),
        *("large", "large_bytes", "touch_ns"),
    )

    def __init__(self, large_bytes: int) -> None:
        self.closed = Queue()
        self.active = Queue()
        self.held = Queue()  # open in some reader
        self.held_open_bytes = 0
        self.growing_held = 0  # of `held` those that go on
        self.large = BySize()
        self.large_bytes = large_bytes  # a flow that holds less has no head worth taking
        self.touch_ns = TOUCH_NS
        self.head_is_enough = True  # of the last victim()
        self.bring_back: Callable[[Packed], Ranked] | None = None  # set by who puts flows away

    def add(self, flow: Ranked) -> None:
        """Take in a flow, or put it where it belongs after `ended` or `opens` changed."""
        self.remove(flow)
        if flow.opens:
            self.held.append(flow)
            self.held_open_bytes += flow.held_bytes
            flow.grows_held = not flow.ended
            self.growing_held += flow.grows_held
            return
        if flow.ended:
            self.closed.append(flow)
        else:
            self.active.append(flow)
        self._weigh(flow)

    def remove(self, flow: Ranked) -> None:
        """Forget a flow."""
        if flow.queue is self.held:
            self.held_open_bytes -= flow.held_bytes
            self.growing_held -= flow.grows_held
            flow.grows_held = False
        if flow.is_large:
            flow.is_large = False
            self.large.put(flow, 0)
        leave(flow)

    def grew(self, flow: Ranked, by_bytes: int) -> None:
        """The flow's held_bytes has changed by `by_bytes`."""
        if flow.queue is self.held:
            self.held_open_bytes += by_bytes
        else:
            self._weigh(flow)

    def going_on(self) -> int:
        """How many flows have not ended."""
        return self.active.length + self.growing_held

    def replace(self, there: Link, other: Link, flow: Ranked) -> None:
        """`other` stands where `there` stands; one of them is the flow, the other what stands for it."""
        assert there.queue is not None
        there.queue.replace(there, other)

    def touch(self, flow: Ranked, now_ns: int) -> None:
        """Payload came. The order of activity is kept to TOUCH_NS."""
        flow.last_ns = now_ns
        if now_ns - flow.touched_ns >= self.touch_ns:
            flow.touched_ns = now_ns
            if flow.queue is self.active:
                self.active.append(flow)

    def victim(self, now_ns: int, held_limit_bytes: int, keep: Ranked | None) -> Any:
        """The flow that should give memory next, None if there is none; `head_is_enough` says how much.

        That is no second value, since each victim would cost a tuple. Of `keep`, which is being written, it
        can only be the head.
        """
        self.head_is_enough = False
        closed = self._oldest(self.closed, keep)
        if closed is not None:
            return closed
        idlest = self._oldest(self.active, keep)
        held = self._oldest(self.held, keep)
        self.head_is_enough = True
        if held is not None and self.held_open_bytes > held_limit_bytes:
            return held
        if idlest is not None and now_ns - idlest.last_ns >= IDLE_VICTIM_NS:
            self.head_is_enough = False
            return idlest
        largest = self.large.heaviest()
        if largest is not None:
            return largest
        return held if idlest is None else idlest

    def leaver(self, now_ns: int) -> Any:
        """The flow that should go to make place for another: closed or idle; None if there is none [M2]."""
        closed = self._oldest(self.closed, None)
        if closed is not None:
            return closed
        idlest = self._oldest(self.active, None)
        if idlest is not None and now_ns - idlest.last_ns >= IDLE_VICTIM_NS:
            return idlest
        return None

    def _oldest(self, queue: Queue, keep: Ranked | None) -> Any:
        """The oldest member of a queue; not `keep`, unless that can give its head."""
        oldest: Any = queue.oldest
        if keep is not None and oldest is keep and not self._can_give_its_head(keep):
            oldest = keep.newer
        return self._brought_back(oldest)

    def _brought_back(self, found: Any) -> Any:
        """The flow that was found, whatever stands for it; None if nothing was."""
        if isinstance(found, Packed):
            assert self.bring_back is not None
            return self.bring_back(found)
        return found

    def oldest_closed(self) -> Any:
        """The closed flow that nobody has open and that was closed first."""
        return self._oldest(self.closed, None)

    def _can_give_its_head(self, flow: Ranked) -> bool:
        """Whether a flow that is being written may give memory: it is open, and has more than one block."""
        return not flow.ended and flow.held_bytes >= self.large_bytes

    def _weigh(self, flow: Ranked) -> None:
        large = flow.held_bytes >= self.large_bytes
        if large or flow.is_large:
            flow.is_large = large
            self.large.put(flow, flow.held_bytes if large else 0)

# cython: boundscheck=False, wraparound=False, cdivision=True
"""Members on rungs: whoever stands first on the lowest rung is found at once, among millions as among few.

Knows members by their numbers, of any size; what these mean is the business of `policies`. So many of them
are a rung. A member carries its `place`, so that it can be taken out, or another can stand for it. Costs
O(1), and O(log rungs) where a rung gets its first member; so rungs should be coarse, such as seconds.
"""

from __future__ import annotations

from array import array
from heapq import heapify, heappop, heappush
from typing import Any

import cython

if not cython.compiled:
    from .evict import Ranked
    from .order import Link

_SPARE_RUNGS = 64  # empty ones that are not worth a look


class Ladder:
    """The numbers of a rung, of which there are `span`, are in order; equal ones as they came.

    That takes time with each member of the rung that has a higher number than the one that comes.
    """

    __slots__ = (
        *("after", "before", "free", "heads", "members", "numbers", "occupied", "order", "span", "tails"),
    )

    def __init__(self, span: int) -> None:
        self.span = span
        # By place, 24 bytes each; a place + 1 leads to another, 0 to none.
        self.members: list[Link | None] = []
        self.numbers = memoryview(array("q"))
        self.after = memoryview(array("i"))  # also from a free place to the next
        self.before = memoryview(array("i"))
        self.free = 0
        self.heads: dict[int, int] = {}
        self.tails: dict[int, int] = {}
        self.order: list[int] = []  # a heap of the rungs; some may be empty, the lowest as well
        self.occupied = 0  # rungs

    def put(self, member: Ranked, number: int) -> None:
        """Let `member`, which is not there, stand on the rung of a number."""
        place = self._take_place()
        rung = number // self.span
        behind = self._last_of(rung)
        while behind and self.numbers[behind - 1] > number:
            behind = self.before[behind - 1]
        following = self.heads[rung] if behind == 0 else self.after[behind - 1]
        self.members[place] = member
        member.place = place
        self.numbers[place] = number
        self.before[place] = behind
        self.after[place] = following
        if behind:
            self.after[behind - 1] = place + 1
        else:
            self.heads[rung] = place + 1
        if following:
            self.before[following - 1] = place + 1
        else:
            self.tails[rung] = place + 1

    def leave(self, member: Ranked) -> None:
        """Take out a member, if it is there."""
        place = member.place
        if place < 0:
            return
        member.place = -1
        self.members[place] = None
        behind = self.before[place]
        following = self.after[place]
        if behind:
            self.after[behind - 1] = following
        else:
            self.heads[self.numbers[place] // self.span] = following
        if following:
            self.before[following - 1] = behind
        else:
            self.tails[self.numbers[place] // self.span] = behind
        self.occupied -= behind == 0 and following == 0
        self.after[place] = self.free
        self.free = place + 1

    def number_of(self, member: Ranked) -> int:
        """The number of a member that is there."""
        return self.numbers[member.place]

    def replace(self, place: int, other: Link) -> None:
        """`other` stands for the member at a place from here on."""
        self.members[place] = other

    def first(self) -> Any:
        """The first member of the lowest rung that has any, or what stands for it; None if there is none."""
        order = self.order
        while order:
            head = self.heads[order[0]]
            if head:
                return self.members[head - 1]
            rung = heappop(order)
            del self.heads[rung], self.tails[rung]
        return None

    def second(self) -> Any:
        """Who would be first if first(), which there must be, left."""
        following = self.after[self.heads[self.order[0]] - 1]
        if following:
            return self.members[following - 1]
        lowest = heappop(self.order)
        found = self.first()
        heappush(self.order, lowest)
        return found

    def _last_of(self, rung: int) -> int:
        """The last on a rung, which has a member from now on."""
        tail = self.tails.get(rung)
        if tail is None:
            self._drop_empty_rungs()
            self.heads[rung] = self.tails[rung] = tail = 0
            heappush(self.order, rung)
        if tail == 0:
            self.occupied += 1
        return tail

    def _drop_empty_rungs(self) -> None:
        """If they are many: then they are half, which makes it O(1) a rung."""
        if len(self.order) > 2 * self.occupied + _SPARE_RUNGS:
            self.heads = {rung: head for rung, head in self.heads.items() if head}
            self.tails = {rung: tail for rung, tail in self.tails.items() if tail}
            self.order = list(self.heads)
            heapify(self.order)

    def _take_place(self) -> int:
        if self.free == 0:
            self._grow()
        place = self.free - 1
        self.free = self.after[place]
        return place

    def _grow(self) -> None:
        """Twice as many places; the new ones are free."""
        count = len(self.members)
        more = max(64, count)
        self.members = self.members + [None] * more  # not +=, which would have room to spare
        numbers = memoryview(array("q", (0,)) * (count + more))
        before = memoryview(array("i", (0,)) * (count + more))
        after = memoryview(array("i", (0,)) * (count + more))
        numbers[:count] = self.numbers
        before[:count] = self.before
        after[:count] = self.after
        for place in range(count, count + more - 1):
            after[place] = place + 2
        self.numbers, self.before, self.after = numbers, before, after
        self.free = count + 1

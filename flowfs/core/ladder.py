# cython: boundscheck=False, wraparound=False, cdivision=True
"""Members on rungs: whoever stands first on the lowest rung is found at once, among millions as among few.

Knows rungs by their numbers, in any order and of any size; what they mean is the business of `policies`. A
member carries its `place`, so that it can be taken out. Costs O(1), and O(log rungs) where a rung gets its
first member; so the numbers should be coarse, such as seconds.
"""

from __future__ import annotations

from array import array
from heapq import heapify, heappop, heappush
from typing import Any

import cython

if not cython.compiled:
    from .evict import Ranked

_SPARE_RUNGS = 64  # empty ones that are not worth a look


class Ladder:
    """Who comes later stands behind; if `is_sorted`, behind those of the same rung that appeared earlier.

    That takes time with each member of the rung which appeared later.
    """

    __slots__ = (
        *("after", "before", "free", "heads", "is_sorted", "members", "occupied", "order", "rungs", "tails"),
    )

    def __init__(self, is_sorted: bool) -> None:
        self.is_sorted = is_sorted
        # By place, 24 bytes each; the number of a place + 1 leads to another, 0 to none.
        self.members: list[Ranked | None] = []
        self.rungs = memoryview(array("q"))
        self.after = memoryview(array("i"))  # also from a free place to the next
        self.before = memoryview(array("i"))
        self.free = 0
        self.heads: dict[int, int] = {}
        self.tails: dict[int, int] = {}
        self.order: list[int] = []  # a heap of the rungs; some may be empty, the lowest as well
        self.occupied = 0  # rungs

    def put(self, member: Ranked, rung: int) -> None:
        """Let `member`, which is not there, stand on a rung."""
        place = self._take_place()
        behind = self._last_of(rung)
        if self.is_sorted:
            behind = self._appeared_before(member, behind)
        following = self.heads[rung] if behind == 0 else self.after[behind - 1]
        self.members[place] = member
        member.place = place
        self.rungs[place] = rung
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
            self.heads[self.rungs[place]] = following
        if following:
            self.before[following - 1] = behind
        else:
            self.tails[self.rungs[place]] = behind
        self.occupied -= behind == 0 and following == 0
        self.after[place] = self.free
        self.free = place + 1

    def rung_of(self, member: Ranked) -> int:
        """The rung of a member that is there."""
        return self.rungs[member.place]

    def first(self) -> Any:
        """The first member of the lowest rung that has any, None if nobody is there."""
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

    def _appeared_before(self, member: Ranked, behind: int) -> int:
        """The last that appeared before `member`, from `behind` on."""
        while behind:
            other = self.members[behind - 1]
            assert other is not None
            if other.serial < member.serial:
                break
            behind = self.before[behind - 1]
        return behind

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
        self.members += [None] * more
        self.rungs = memoryview(array("q", bytes(self.rungs) + bytes(8 * more)))
        self.before = memoryview(array("i", bytes(self.before) + bytes(4 * more)))
        numbers = array("i", range(count + 2, count + more + 2))
        numbers[more - 1] = 0
        self.after = memoryview(array("i", bytes(self.after)) + numbers)
        self.free = count + 1

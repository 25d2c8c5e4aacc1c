"""When packets were lost before they came here: what kernels and interfaces dropped, by source.

Knows times and counts, no connection: who asks says when a connection lived and by which sources its packets
came. A count is told some time after the packets were dropped, so it is of an interval, in which nobody knows
more. Always true: no packet that was told of is forgotten; the intervals of a source do not overlap, are in
order, and are MAX_DROP_INTERVALS at the most. Beyond that those closest together become one, which says
the same of a longer time: a connection may then be told of drops that were before it or after it, never of
fewer than there were.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from .limits import MAX_DROP_INTERVALS


class _Intervals:
    """Of one source: [since, until], both inclusive, and how many packets."""

    def __init__(self) -> None:
        self.since_ns = array("q")
        self.until_ns = array("q")
        self.counts = array("q")

    def add(self, since_ns: int, until_ns: int, count: int) -> None:
        """Note an interval; it takes in those that it overlaps."""
        first = bisect_right(self.until_ns, since_ns)  # one that only touches it stays by itself
        last = max(first, bisect_left(self.since_ns, until_ns))
        if first < last:
            since_ns = min(since_ns, self.since_ns[first])
            until_ns = max(until_ns, self.until_ns[last - 1])
            count += sum(self.counts[first:last])
        self.since_ns[first:last] = array("q", (since_ns,))
        self.until_ns[first:last] = array("q", (until_ns,))
        self.counts[first:last] = array("q", (count,))
        if len(self.counts) > MAX_DROP_INTERVALS:
            self._coarsen()

    def _coarsen(self) -> None:
        """Join neighbours, those first between which least time lies without a drop, to 3/4 of them."""

        def cost(place: int) -> tuple[int, int]:
            gap_ns = self.since_ns[place + 1] - self.until_ns[place]
            return gap_ns, self.until_ns[place + 1] - self.since_ns[place]

        chosen: set[int] = set()
        for place in sorted(range(len(self.counts) - 1), key=cost):
            if place - 1 not in chosen and place + 1 not in chosen:  # no chains: all grow alike
                chosen.add(place)
                if len(chosen) == MAX_DROP_INTERVALS // 4:
                    break
        for place in sorted(chosen, reverse=True):
            self.until_ns[place] = self.until_ns[place + 1]
            self.counts[place] += self.counts[place + 1]
            del self.since_ns[place + 1], self.until_ns[place + 1], self.counts[place + 1]

    def during(self, since_ns: int, until_ns: int) -> int:
        """How many packets were dropped in intervals that have a moment in common with [since, until]."""
        first = bisect_left(self.until_ns, since_ns)
        last = bisect_right(self.since_ns, until_ns)
        return sum(self.counts[first:last])


class Drops:
    """The drops of all sources, by their numbers."""

    def __init__(self) -> None:
        self._sources: dict[int, _Intervals] = {}

    def add(self, source: int, since_ns: int, until_ns: int, count: int) -> None:
        """`count` packets of a source were dropped between two times of the packets' clock, in any order."""
        intervals = self._sources.setdefault(source, _Intervals())
        intervals.add(min(since_ns, until_ns), max(since_ns, until_ns), count)

    def during(self, sources: set[int], since_ns: int, until_ns: int) -> int:
        """How many packets of these sources may have been dropped in this time; 0: none was."""
        found = (self._sources.get(source) for source in sources)
        return sum(intervals.during(since_ns, until_ns) for intervals in found if intervals is not None)

    @property
    def intervals(self) -> int:
        """How many are kept."""
        return sum(len(intervals.counts) for intervals in self._sources.values())

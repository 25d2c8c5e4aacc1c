"""Ranges of a stream that were lost: offsets only, no bytes, no TCP.

Half open, ascending and disjoint. Appended to at the end; forgotten only where the bytes were freed.
"""

from array import array
from bisect import bisect_right

ACK, LIMIT, ONE_WAY, CLOSE, SNAPLEN, MEMORY = range(6)
REASONS = ("ack", "limit", "one-way", "close", "snaplen", "memory")


class Ranges:
    """Lost ranges, each with the reason for which it was given up."""

    __slots__ = ("ends", "reasons", "starts", "totals")

    def __init__(self) -> None:
        self.starts = array("q")
        self.ends = array("q")
        self.reasons = bytearray()
        self.totals = array("q")  # of each, how much the ranges before it have

    def append(self, start: int, end: int, reason: int) -> None:
        """Add [start, end), which lies behind all that is there; joined to the last if it continues it."""
        if self.ends and self.ends[-1] == start and self.reasons[-1] == reason:
            self.ends[-1] = end
            return
        self.totals.append(self._until(len(self.starts)))
        self.starts.append(start)
        self.ends.append(end)
        self.reasons.append(reason)

    def _until(self, index: int) -> int:
        """How much the ranges before the one with this number have."""
        if index < len(self.starts):
            return self.totals[index]
        return self.totals[-1] + self.ends[-1] - self.starts[-1] if self.totals else 0

    def count(self, start: int, end: int) -> int:
        """How much of [start, end) they have; costs little, however many there are."""
        return self._before(end) - self._before(start)

    def _before(self, offset: int) -> int:
        index = bisect_right(self.ends, offset)
        total = self._until(index)
        return total + max(0, offset - self.starts[index]) if index < len(self.starts) else total

    def within(self, start: int, end: int, limit: int = 1 << 62) -> list[tuple[int, int]]:
        """The parts of these ranges that lie in [start, end); the first `limit` of them."""
        found: list[tuple[int, int]] = []
        if start == end:
            return found
        index = bisect_right(self.ends, start)
        while index < len(self.starts) and self.starts[index] < end and len(found) < limit:
            found.append((max(start, self.starts[index]), min(end, self.ends[index])))
            index += 1
        return found

    def forget_before(self, start: int) -> None:
        """Drop the ranges that end before `start`, once they are half of all (so a call costs little)."""
        count = bisect_right(self.ends, start)
        if count * 2 >= len(self.ends):
            del self.starts[:count], self.ends[:count], self.reasons[:count], self.totals[:count]

    def rows(self) -> list[tuple[int, int, str]]:
        """(offset, length, reason) of each."""
        return [
            (start, end - start, REASONS[reason])
            for start, end, reason in zip(self.starts, self.ends, self.reasons, strict=True)
        ]

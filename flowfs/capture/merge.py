"""Several capture files as one: their packets in the order of time.

Files whose first packet lies further on are not begun before their time, so that a thousand rotated files
take no more memory than two. Of equal times the source named first comes first. Always true: what is given of
one file is in the order of that file, however its time goes; what a packet costs grows with the logarithm of
how many files are begun (5,000 of two packets each: 0.6 s).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice

from .savefile import Savefile
from .sources import META_BYTES, Batch, Damage

_FOREVER_NS = 1 << 80

Wait = Callable[[int], bool]
"""Waits until a descriptor is readable, or A_WHILE, or for NOTHING; False if nobody wants more."""


class _Head:
    """A source that was begun, and what was read of it and not given yet."""

    def __init__(self, source: Savefile) -> None:
        self.source = source
        self._batch: Batch | None = None
        self._times_ns: list[int] = []
        self._given = 0

    def time_ns(self) -> int:
        """The time of the next packet."""
        return self._times_ns[self._given]

    def fill(self) -> None:
        """Read; nothing must be left. Raises Damage."""
        batch = self.source.next_batch()
        rows = array("I", batch.meta.tobytes())
        self._times_ns = [
            seconds * 10**9 + fraction * batch.fraction_ns
            for seconds, fraction in zip(rows[::4], rows[1::4], strict=True)
        ]
        self._batch, self._given = batch, 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left of what was read."""
        return self._given == len(self._times_ns)

    def take_until(self, limit_ns: int, inclusive: bool) -> Batch:
        """The packets up to one that lies behind the limit."""
        assert self._batch is not None
        stop = start = self._given
        times = self._times_ns
        while stop < len(times) and (times[stop] < limit_ns or (inclusive and times[stop] == limit_ns)):
            stop += 1
        self._given = stop
        return self._batch._replace(meta=self._batch.meta[start * META_BYTES : stop * META_BYTES])


_Place = tuple[int, int, _Head]
"""The time of a head's next packet and the number of its source, which no other has; and the head."""


def in_order(
    sources: Sequence[Savefile], wait: Wait, warn: Callable[[str], None], follow: bool = False
) -> Iterator[tuple[Savefile, Batch]]:
    """Batches until all sources have ended, or `wait` says that nobody wants more; Damage is a warning.

    `follow`: the file that begins last may still be written, and has no end.
    """
    later = deque(sorted(sources, key=lambda source: (source.start_ns, source.number)))
    later[-1].follow = follow
    if len(sources) == 1:
        yield from _one(sources[0], wait, warn)
        return
    heads: list[_Place] = []  # a heap
    while later or heads:
        while later and (not heads or later[0].start_ns <= heads[0][0]):
            if not _put(heads, _Head(later.popleft()), wait, warn):
                return
        if not heads:
            continue
        _, number, first = heappop(heads)
        limits = [place[:2] for place in heads[:1]]
        limits += [(source.start_ns, source.number) for source in islice(later, 1)]
        limit_ns, limit_number = min(limits, default=(_FOREVER_NS, 0))
        yield first.source, first.take_until(limit_ns, number < limit_number)
        if not _put(heads, first, wait, warn):
            return


def _one(source: Savefile, wait: Wait, warn: Callable[[str], None]) -> Iterator[tuple[Savefile, Batch]]:
    while not source.ended and wait(source.waits_for):
        try:
            batch = source.next_batch()
        except Damage as damage:
            warn(str(damage))
            return
        finally:
            _pass_on(source, warn)
        if batch.meta:
            yield source, batch


def _pass_on(source: Savefile, warn: Callable[[str], None]) -> None:
    for line in source.complaints:
        warn(line)
    source.complaints.clear()


def _put(heads: list[_Place], head: _Head, wait: Wait, warn: Callable[[str], None]) -> bool:
    """Put a head where its next packet belongs, read if need be; not if it has ended. False to stop."""
    while head.empty and not head.source.ended:
        if not wait(head.source.waits_for):
            return False
        try:
            head.fill()
        except Damage as damage:
            warn(str(damage))
        finally:
            _pass_on(head.source, warn)
    if not head.empty:
        heappush(heads, (head.time_ns(), head.source.number, head))
    return True

"""One part of a flow while it is written: its file, its bytes, and what will be said of it.

Reads the engine in pieces, as any reader does. Holes are not written: the file is sparse there. Always true:
`end` only goes on once all bytes before it are written; what lies behind it in the file is written again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..core.engine import Engine
from ..core.flow import STATE_NAMES, Evicted, Flow
from ..core.notes import About
from ..tree import Directories
from ..tree.meta import described
from .place import Place

PIECE_BYTES = 128 * 1024  # read in one turn of the engine: 20 µs

_ZEROS = bytes(PIECE_BYTES)

Gap = tuple[int, int, str]
"""Offset, length, reason."""


class BrokenOff(Exception):
    """Nobody wants to wait any longer."""


class Read(NamedTuple):
    """What comes next of a part, in memory; `gaps` are offsets in the flow."""

    end: int
    about: About
    gaps: list[Gap]
    pieces: list[tuple[int, bytes | memoryview]]


class Part:
    """The bytes [begin, end) of a flow, in the file `name` of the scratch directory.

    `wanted`: what it is to be called, which is the flow's path in the mount; asked for while it has one.
    """

    def __init__(
        self, engine: Engine, directories: Directories, place: Place, flow: Flow, begin: int, name: str
    ) -> None:
        self.flow = flow
        self.wanted = directories.wanted(flow)
        self.name = name
        self.begin = self.end = begin
        self.gaps: list[Gap] = []
        self._engine = engine
        self._directories = directories
        self._place = place
        self._hash = hashlib.sha256()
        self._about: About | None = None
        os.close(place.create(name))

    def read(self, end: int) -> Read:
        """All of [self.end, end). Raises Evicted if that is not there any more."""
        about = self._engine.about(self.flow)
        if self.flow.evicted:
            raise Evicted
        gaps = [gap for gap in about.holes if gap[0] < end and gap[0] + gap[1] > self.end]
        return Read(end, about, gaps, list(self._pieces(end, gaps)))

    def write(self, read: Read, goes_on: Callable[[], bool], safe: bool) -> None:
        """Write what was read; if `safe`, wait until it is on the disk.

        Raises BrokenOff if it does not go on, OSError. Then what was written counts for nothing.
        """
        digest = self._hash.copy()
        file = self._place.open(self.name)
        try:
            for offset, data in read.pieces:
                if not goes_on():
                    raise BrokenOff
                digest.update(data)
                if isinstance(data, bytes) and data is not _ZEROS:
                    _write(file, data, offset - self.begin)
            os.ftruncate(file, read.end - self.begin)
            if safe:
                os.fdatasync(file)
        finally:
            os.close(file)
        self._take_gaps(read.gaps, read.end)
        self._about = read.about
        self._hash = digest
        self.end = read.end

    def is_all_there(self) -> bool:
        """Whether the engine still has all of it, so that it can be written again."""
        return not self.flow.evicted and self.flow.start <= self.begin

    def _pieces(self, end: int, gaps: list[Gap]) -> Iterator[tuple[int, bytes | memoryview]]:
        """All of [self.end, end) in pieces; of a gap there are _ZEROS, the last of them cut."""
        offset = self.end
        for start, length, _ in gaps:
            yield from self._data(offset, min(max(start, offset), end))
            offset = max(offset, start)
            stop = min(start + length, end)
            while offset < stop:
                count = min(PIECE_BYTES, stop - offset)
                yield offset, _ZEROS if count == PIECE_BYTES else memoryview(_ZEROS)[:count]
                offset += count
        yield from self._data(offset, end)

    def _data(self, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
        while offset < end:
            data = self._engine.read(self.flow, offset, min(PIECE_BYTES, end - offset))
            if not data:
                raise Evicted
            yield offset, data
            offset += len(data)

    def _take_gaps(self, gaps: list[Gap], end: int) -> None:
        """Offsets in the part; one that the last step had cut is joined."""
        for start, length, reason in gaps:
            first = max(start, self.end) - self.begin
            last = min(start + length, end) - self.begin
            if self.gaps and sum(self.gaps[-1][:2]) == first and self.gaps[-1][2] == reason:
                first = self.gaps.pop()[0]
            self.gaps.append((first, last - first, reason))

    def sync(self) -> None:
        """What was written is on the disk."""
        file = self._place.open(self.name)
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def finish(self) -> None:
        """Nothing more comes: ask for the last time what is known of the flow, and cut the file to size.

        Its times are those of the flow, as in the mount.
        """
        if not self.flow.evicted:
            about = self._engine.about(self.flow)
            if not self.flow.evicted:
                self._about = about
        file = self._place.open(self.name)
        try:
            os.ftruncate(file, self.end - self.begin)
            os.utime(file, ns=(self.flow.first_ns, self.flow.last_ns))
        finally:
            os.close(file)

    def record(self, file: str, sources: Sequence[str]) -> dict[str, object]:
        """The line of flows.jsonl, in the words of `.flowfs/meta/NAME.json`.

        `origin`, `size` and `holes` are those of the file, which may be a part of the flow; `state` is open
        if it does not reach to the flow's end.
        """
        flow, about = self.flow, self._about
        assert about is not None
        about = about._replace(origin=about.origin + self.begin, holes=self.gaps)
        called = self._directories.called(flow)._replace(name=self.wanted)
        known = described(flow, about, sources, called)
        del known["freed_bytes"]  # nothing of a file that is saved
        size = self.end - self.begin
        state = known["state"] if self.end == flow.size else STATE_NAMES[0]
        return {"file": file, **known, "state": state, "size": size, "sha256": self._hash.hexdigest()}


def _write(file: int, data: bytes, offset: int) -> None:
    """All of it, however often that takes."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, offset)
        view = view[count:]
        offset += count

"""The parts that are under way: being written, in the batch that is made safe together, and named.

Always true: a flow has at most one part that is a draft or in the batch; a part counts as saved once its file
is on the disk with its name and its line in the journal, and one that failed is written again, or is lost
with what has gone of its flow meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Sequence

from ..core.engine import Engine
from ..core.flow import Evicted, Flow
from ..core.unsaved import Unsaved
from ..tree import Directories
from .part import Part
from .place import Place

NAMES_S = 1.0  # how often names are made safe
BATCH_PARTS = 256
BATCH_BYTES = 32 << 20
FEW_PARTS = 4  # are made safe one by one

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A smaller part may have room, where larger ones have none."""


class Parts:
    """Of one archive."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        unsaved: Unsaved,
        sources: Sequence[str],
        directories: Directories,
    ) -> None:
        self._engine = engine
        self._directories = directories
        self._place = place
        self._unsaved = unsaved
        self._sources = sources
        self._drafts: dict[Flow, Part] = {}
        self._batch: dict[Flow, Part] = {}
        self._batch_bytes = 0
        self._named: list[Part] = []
        self._named_s = 0.0  # since when there are any
        self._number = 0

    # --- one part --------------------------------------------------------------------------------------

    def draft(self, flow: Flow) -> Part | None:
        """The part that is being written."""
        return self._drafts.get(flow)

    def is_in_batch(self, flow: Flow) -> bool:
        """Whether the flow has a part that has to be complete before the next one begins."""
        return flow in self._batch

    def begin(self, flow: Flow, start: int) -> Part:
        """A new part, empty."""
        self._number += 1
        number = str(self._number)
        part = self._drafts[flow] = Part(self._engine, self._directories, self._place, flow, start, number)
        return part

    def write(self, part: Part, end: int, goes_on: Callable[[], bool], safe: bool) -> None:
        """Write up to `end`. Raises Evicted if that is not there any more, BrokenOff, OSError.

        From the moment on that it was read it is no loss if it goes, unless writing fails.
        """
        read = part.read(end)
        if not self._unsaved.took(part.flow, part.end, end):
            raise Evicted
        try:
            part.write(read, goes_on, safe)
        except BaseException:  # whatever it is goes on; what was taken is not written
            self._unsaved.failed(part.flow, part.end, end)
            raise

    def hand_over(self, part: Part) -> None:
        """The part has all that it will have."""
        self._drafts.pop(part.flow, None)
        self._batch[part.flow] = part
        self._batch_bytes += part.end - part.begin
        self._unsaved.handed_over(part.flow, part.end)

    def drop_if_empty(self, part: Part) -> None:
        """Leave no file in which nothing counts, least of all on a disk that is full."""
        if part.end == part.begin:
            self._place.discard(part.name)
            self._drafts.pop(part.flow, None)

    def _forget(self, part: Part) -> None:
        self._place.discard(part.name)
        self._drafts.pop(part.flow, None)
        if self._batch.pop(part.flow, None) is not None:
            self._batch_bytes -= part.end - part.begin

    def lose(self, part: Part) -> None:
        """Its file is gone, or cannot be relied on: what is there of the flow is to be written again."""
        self._forget(part)
        if part.end > part.begin:
            self._unsaved.failed(part.flow, part.begin, part.end)
        if part.flow.evicted:
            self._unsaved.settled(part.flow, part.end)

    def lose_all(self) -> None:
        """The files of all parts are gone."""
        self.lose_unnamed()
        named, self._named = self._named, []
        for part in named:
            self.lose(part)

    def lose_unnamed(self) -> None:
        """The files of those that have no name yet are."""
        self.see_to_the_gone()
        for part in (*self._batch.values(), *self._drafts.values()):
            self.lose(part)

    def see_to_the_gone(self) -> None:
        """What a reader removed is not wanted; of what went otherwise the part that is there is."""
        for flow, written in self._unsaved.gone():
            part = self._drafts.get(flow) or self._batch.get(flow)
            if part is None:
                self._unsaved.settled(flow, flow.size)
            elif written < 0:
                self._forget(part)
            elif flow in self._drafts and part.end > part.begin:
                self.hand_over(part)
            else:
                self.drop_if_empty(part)

    # --- completing parts --------------------------------------------------------------------------------

    def is_full(self) -> bool:
        """Whether the batch should be committed."""
        return len(self._batch) >= BATCH_PARTS or self._batch_bytes >= BATCH_BYTES

    def commit(self) -> list[Flow]:
        """Make the batch safe, and give its parts their names; returns flows for which there is no room.

        Raises OSError if some failed otherwise, after all had their turn; those are to be written again.
        """
        if not self._batch:
            return []
        failed = self._make_batch_safe()
        self.see_to_the_gone()
        for part in list(self._batch.values()):
            try:
                self._name(part)
            except OSError as error:
                failed.append((part, error))
                if error.errno in NO_ROOM:
                    self._give_up(part)
        for _, why in failed:
            if why.errno not in NO_ROOM:
                raise why
        return [part.flow for part, _ in failed]

    def _make_batch_safe(self) -> list[tuple[Part, OSError]]:
        """Those that are not, and why: what the kernel cannot write it drops, and says so but once."""
        parts = list(self._batch.values())
        failed = _those_that_fail(parts, Part.finish)
        if len(parts) > FEW_PARTS:
            try:
                self._place.sync_all()
                parts = []
            except OSError:  # of one of them, which says so itself
                pass
        failed += _those_that_fail(parts, Part.sync)
        for part, _ in failed:
            if part.flow in self._batch:
                self.lose(part)
        return failed

    def _give_up(self, part: Part) -> None:
        """There is no room for its name: if it can be written again its file goes, and others have room."""
        if part.flow in self._batch and part.is_all_there():
            self.lose(part)

    def _name(self, part: Part) -> None:
        self._place.journal.reserve(part.record(part.wanted, self._sources))
        name = self._place.publish(part.name, part.wanted)
        self._named_s = self._named_s if self._named else time.monotonic()
        self._named.append(part)
        del self._batch[part.flow]
        self._batch_bytes -= part.end - part.begin
        with contextlib.suppress(OSError):  # the line waits, and make_names_safe() says why
            self._place.journal.add(part.record(name, self._sources))

    def make_names_safe(self, at_once: bool) -> bool:
        """Now and then; whether it was done. Raises OSError, and is to be tried again then."""
        if not self._named or not (at_once or time.monotonic() - self._named_s >= NAMES_S):
            return False
        self._place.journal.write()
        self._place.sync_names()
        named, self._named = self._named, []
        for part in named:
            self._unsaved.completed(part.flow, part.begin, part.end)
        return True

    # --- what is not complete ----------------------------------------------------------------------------

    def left(self) -> tuple[int, int]:
        """Flows and bytes in parts that are not safe; flows that `Unsaved.left` has not again.

        From any thread; of a part that moves meanwhile it may be wrong.
        """
        parts = [*self._drafts.values(), *self._batch.values(), *self._named]
        flows = {part.flow for part in parts if part.flow.saved or part.flow.evicted}
        counted = sum(not self._unsaved.has_lost(flow) for flow in flows)
        return counted, sum(part.end - part.begin for part in parts)


def _those_that_fail(parts: Sequence[Part], step: Callable[[Part], None]) -> list[tuple[Part, OSError]]:
    failed = []
    for part in parts:
        try:
            step(part)
        except OSError as error:
            failed.append((part, error))
    return failed

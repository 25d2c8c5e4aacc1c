"""The thread that saves flows, and what it tells.

Asks the engine what is to be saved next, and does so: in pieces, in batches that are made safe together, each
part complete or not at all. Nobody waits for it but who wants to: a capture goes on, and what goes before it
is saved is lost and counted. When the disk fails it says so once, and tries again until that works.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence

from ..core.engine import Engine
from ..core.flow import Evicted, Flow
from ..core.unsaved import Errand, Unsaved
from ..tree.names import name_of
from .part import BrokenOff, Part
from .place import ArchiveError, Place

IDLE_S = 0.05  # how often it is asked whether there is something to be saved
RETRY_S = 0.5  # after a fault
NAMES_S = 1.0  # how often names are made safe
BATCH_PARTS = 256
BATCH_BYTES = 32 << 20
ERRAND_BYTES = 1 << 20  # after so much of a flow its memory can go, and the next one is looked at
FEW_PARTS = 4  # are made safe one by one
PATIENCE_S = 20.0  # at the end, for a disk that fails


class Archive:
    """One directory that an engine's flows are saved in. Raises ArchiveError if that cannot be."""

    def __init__(self, path: str, engine: Engine, sources: Sequence[str] = ()) -> None:
        self.path = path
        self.warnings: list[str] = []
        """One line each; grows while it runs."""
        self.trouble = ""
        """Why nothing can be saved at this moment, if so."""
        self._place = Place.make(path)
        self._engine = engine
        self._unsaved = Unsaved(engine)
        self._sources = sources
        self._drafts: dict[Flow, Part] = {}
        self._batch: dict[Flow, Part] = {}
        self._batch_bytes = 0
        self._number = 0
        self._named_s = 0.0  # when the first name was given that is not safe; 0.0 if all are
        self._said: set[str] = set()
        self._poked = threading.Event()
        self._ended = threading.Event()
        self._stopping = self._broken_off = False
        self._thread = threading.Thread(target=self._work, name="archive", daemon=True)

    # --- for others ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to save."""
        self._thread.start()

    def poke(self) -> None:
        """Somebody waits. From any thread."""
        self._poked.set()

    def stop(self) -> None:
        """Save what is left of an engine that has finished, and end."""
        self._stopping = True
        self._poked.set()

    def break_off(self) -> None:
        """End now."""
        self._broken_off = True
        self.stop()

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, by then."""
        return self._ended.wait(timeout_s)

    def left_bytes(self) -> int:
        """How much is not saved."""
        return self._unsaved.left()[1]

    def left(self) -> str:
        """What is not saved, in words; empty if nothing is left."""
        flows, size = self._unsaved.left()
        for part in list(self._batch.values()):  # of a thread that still waits for the disk
            if part.flow.evicted:
                flows += 1
                size += part.end - part.begin
        if not flows:
            return ""
        why = f" ({self.trouble})" if self.trouble else ""
        return f"--archive {self.path}: {flows} flows, {size / 1e6:,.1f} MB, were not saved{why}"

    def about(self) -> dict[str, object]:
        """For status.json."""
        saved, there = self._unsaved.counts()
        return {"directory": self.path, "trouble": self.trouble, "unsaved_flows": max(0, there - saved)}

    # --- the thread ------------------------------------------------------------------------------------

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        tried_since = 0.0
        try:
            while not self._broken_off:
                stopping = self._stopping  # before the engine is asked, which has finished by then
                try:
                    more = self._step()
                except OSError as error:
                    tried_since = tried_since or time.monotonic()
                    self._fail(error)
                    if stopping and time.monotonic() - tried_since > PATIENCE_S:
                        break
                    self._nap(RETRY_S)
                    continue
                tried_since, self.trouble = 0.0, ""
                if not more and stopping:
                    break
                if not more:
                    self._nap(IDLE_S)
        except BrokenOff:
            pass
        finally:
            try:
                self._close()
            finally:
                self._ended.set()

    def _nap(self, seconds: float) -> None:
        self._poked.wait(seconds)
        self._poked.clear()

    def _goes_on(self) -> bool:
        return not self._broken_off

    def _step(self) -> bool:
        """Save something; whether there may be more to be saved. Raises OSError, BrokenOff."""
        self._place.journal.write()
        self._see_to_the_gone()
        errand = self._unsaved.next()
        if errand is None or errand.flow in self._batch:
            self._commit()
            self._make_names_safe(self._stopping)
            return errand is not None
        self._run(errand)
        if len(self._batch) >= BATCH_PARTS or self._batch_bytes >= BATCH_BYTES:
            self._commit()
            self._make_names_safe(False)
        return True

    def _run(self, errand: Errand) -> None:
        """Write some of a flow; all of it if that is little."""
        flow = errand.flow
        part = self._drafts.get(flow)
        if part is not None and part.end != errand.start:  # what lay between was lost
            self._hand_over(part)
            self._commit()
            part = None
        if part is None and errand.start == errand.end:
            self._unsaved.settled(flow, errand.end)
            return
        part = part or self._begin(errand)
        end = min(errand.end, part.end + ERRAND_BYTES)
        final = errand.final and end == errand.end
        try:
            if end > part.end:
                part.extend(end, self._goes_on, not final)
        except Evicted:  # meanwhile
            self._drop_if_empty(part)
            return
        except (OSError, BrokenOff):
            self._drop_if_empty(part)
            raise
        if not final:
            self._unsaved.wrote(flow, end)
        if final or flow.evicted:  # meanwhile, perhaps before the engine knew of a part
            self._hand_over(part)

    def _begin(self, errand: Errand) -> Part:
        self._number += 1
        part = Part(self._engine, self._place, errand.flow, errand.start, str(self._number))
        self._drafts[errand.flow] = part
        return part

    def _drop_if_empty(self, part: Part) -> None:
        """Leave no file in which nothing counts, least of all on a disk that is full."""
        if part.end == part.begin:
            self._place.discard(part.name)
            self._drafts.pop(part.flow, None)

    def _see_to_the_gone(self) -> None:
        for flow, written in self._unsaved.gone():
            part = self._drafts.get(flow)
            if part is None:
                continue
            if written < 0:
                self._place.discard(part.name)
                del self._drafts[flow]
            else:
                self._hand_over(part)

    def _hand_over(self, part: Part) -> None:
        """The part has all that it will have."""
        self._drafts.pop(part.flow, None)
        self._batch[part.flow] = part
        self._batch_bytes += part.end - part.begin
        self._unsaved.handed_over(part.flow, part.end)

    # --- completing parts --------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Make the batch safe, and give its parts their names. Raises OSError."""
        if not self._batch:
            return
        try:
            self._make_batch_safe()
        except OSError:
            self._lose_parts()  # what the kernel cannot write it drops, and says so but once
            raise
        for flow, part in list(self._batch.items()):
            wanted = name_of(flow.key, flow.generation).decode()
            self._place.journal.reserve(part.record(wanted, self._sources))
            name = self._place.publish(part.name, wanted)
            self._named_s = self._named_s or time.monotonic()
            del self._batch[flow]
            self._batch_bytes -= part.end - part.begin
            self._unsaved.completed(flow, part.begin, part.end)
            self._place.journal.add(part.record(name, self._sources))

    def _make_batch_safe(self) -> None:
        for part in self._batch.values():
            part.finish()
        if len(self._batch) > FEW_PARTS:
            self._place.sync_all()
        else:
            for part in self._batch.values():
                part.sync()

    def _make_names_safe(self, at_once: bool) -> None:
        if self._named_s and (at_once or time.monotonic() - self._named_s >= NAMES_S):
            self._place.sync_names()
            self._named_s = 0.0

    # --- what goes wrong -----------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Say it, once; and find out what is left of what was written."""
        what = error.strerror or str(error)
        try:
            lost = self._place.reopen() or isinstance(error, FileNotFoundError)
        except OSError as gone:
            lost, what = True, gone.strerror or str(gone)
        self.trouble = what
        if what not in self._said:
            self._said.add(what)
            self.warnings.append(
                f"--archive {self.path}: {what}; nothing can be saved until that is mended: files wait to be"
                " read on, and of interfaces what has to go meanwhile is lost"
            )
        if lost:
            self._lose_parts()

    def _lose_parts(self) -> None:
        """The files of all parts are gone: of flows that are still there they are written again."""
        for part in (*self._batch.values(), *self._drafts.values()):
            self._place.discard(part.name)
            if part.end > part.begin:
                self._unsaved.failed(part.flow, part.begin, part.end)
        self._drafts.clear()
        self._batch.clear()
        self._batch_bytes = 0

    def _close(self) -> None:
        self._lose_parts()
        try:
            self._place.journal.write()  # there is room for it, now that parts are discarded
            if self._named_s:
                self._place.sync_names()
        except OSError as error:
            self.trouble = os.strerror(error.errno or 0)
        self._place.close()


__all__ = ["Archive", "ArchiveError"]

"""The thread that saves flows, and what it tells.

Asks the engine what is to be saved next, and does so: in pieces, in batches that are made safe together, each
part complete or not at all. Nobody waits for it but who wants to: a capture goes on, and what goes before it
is saved is lost and counted. When the disk fails it says so once, and tries again until that works; what does
not fit on it lets what is smaller go first. Its own faults end it, and are for whoever asks `fault`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from rich.filesize import decimal

from ..core.engine import Engine
from ..core.flow import Evicted, Flow
from ..core.unsaved import Errand, Unsaved
from ..tree import Directories, Flat
from .part import BrokenOff, Part
from .parts import NO_ROOM, Parts
from .place import Place
from .trouble import Trouble

IDLE_S = 0.05  # how often it is asked whether there is something to be saved
RETRY_S = 0.5  # after a fault
REST_S = 0.02  # how often who rests looks whether the end has come
ERRAND_BYTES = 1 << 20  # after so much of a flow its memory can go, and the next one is looked at
MOST_POSTPONED = 1000  # of a capture that goes on, until it is tried again
PATIENCE_S = 20.0  # at the end, for a disk that fails


class Archive:
    """One directory that an engine's flows are saved in. Raises ArchiveError if that cannot be."""

    def __init__(
        self,
        path: str,
        engine: Engine,
        sources: Sequence[str] = (),
        directories: Directories | None = None,
    ) -> None:
        self.path = path
        self.trouble = Trouble(path)
        self.fault: BaseException | None = None
        """What should not be, and has ended it."""
        self._place = Place.make(path)
        self._engine = engine
        self._unsaved = Unsaved(engine)
        named = Flat(engine) if directories is None else directories
        self._parts = Parts(engine, self._place, self._unsaved, sources, named)
        self._postponed = 0
        self._too_large_bytes = sys.maxsize  # there is no room for so many
        self._last_round = False
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
        """How much is not saved of what is there."""
        return self._unsaved.left()[1] + self._parts.left()[1]

    def missing(self) -> str:
        """What is not saved, and what was lost before, in words; empty if that is nothing."""
        counters = self._engine.counters
        there, under_way = self._unsaved.left(), self._parts.left()
        flows = there[0] + under_way[0] + counters.archive_lost_flows
        size = there[1] + under_way[1] + counters.archive_lost_bytes
        if not flows and not size:
            return ""
        why = self.trouble.what or self.trouble.last
        if not why and counters.archive_lost_flows:
            why = "they went before: the disk is too slow, or --max-memory too small"
        said = f" ({why})" if why else ""
        were = f"1 flow, {decimal(size)}, was" if flows == 1 else f"{flows:,} flows, {decimal(size)}, were"
        return f"--archive {self.path}: {were} not saved{said}"

    def about(self) -> dict[str, object]:
        """For status.json."""
        flows, held_bytes = self._unsaved.unsaved()
        return {
            "directory": self.path,
            "trouble": self.trouble.what,
            "is_in_trouble": bool(self.trouble.what),
            "unsaved_flows": flows,
            "unsaved_bytes": held_bytes,
        }

    # --- the thread ------------------------------------------------------------------------------------

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._save()
        except BrokenOff:
            pass
        except BaseException as error:  # noqa: BLE001  nobody above would hear of it: who asks raises it
            self.fault = error
        try:
            self._close()
        except BaseException as error:  # noqa: BLE001  as above; the first one counts
            self.fault = self.fault or error
        finally:
            self._ended.set()

    def _save(self) -> None:
        """Until all is saved and no more is wanted, or nothing can be saved for too long."""
        saved, stuck_s = -1, 0.0
        while not self._broken_off:
            stopping = self._stopping  # before the engine is asked, which has finished by then
            failed = more = False
            try:
                more = self._step()
            except OSError as error:
                self._fail(error)
                failed = True
            self.trouble.settle()
            saved_before, saved = saved, self._engine.counters.archive_saved_flows
            if saved != saved_before:
                stuck_s = 0.0
            if more:
                continue
            if failed or self._postponed:
                stuck_s = stuck_s or time.monotonic()
                if stopping and time.monotonic() - stuck_s > PATIENCE_S:
                    break
                self._rest(RETRY_S)
                self._try_again()
            elif stopping:
                break
            else:
                self._nap(RETRY_S if self.trouble.what else IDLE_S)

    def _nap(self, seconds: float) -> None:
        if not self._broken_off:
            self._poked.wait(seconds)
        self._poked.clear()

    def _rest(self, seconds: float) -> None:
        """Whoever waits: the disk would not be faster if it were asked more often."""
        until_s, stopping = time.monotonic() + seconds, self._stopping
        while not self._broken_off and self._stopping == stopping and time.monotonic() < until_s:
            time.sleep(REST_S)  # no event: poke() ends naps, not this

    def _try_again(self) -> None:
        """What was postponed. Once the end has come, all others had their turn: files may fill the disk."""
        self._last_round = self._stopping and self._postponed > 0
        self._postponed, self._too_large_bytes = 0, sys.maxsize
        self._unsaved.resume()

    def _goes_on(self) -> bool:
        return not self._broken_off

    def _step(self) -> bool:
        """Save something; whether there may be more to be saved. Raises OSError, BrokenOff."""
        self._place.journal.write()
        self._parts.see_to_the_gone()
        errand = self._unsaved.next()
        if errand is None or self._parts.is_in_batch(errand.flow):
            self._commit()
            self._see_to_names(self._stopping and errand is None)
            return errand is not None
        self._run(errand)
        if self._parts.is_full():
            self._commit()
            self._see_to_names(False)
        return self._stopping or self._postponed < MOST_POSTPONED

    def _commit(self) -> None:
        for flow in self._parts.commit():
            self._postpone(flow, sys.maxsize, os.strerror(errno.ENOSPC))

    def _see_to_names(self, at_once: bool) -> None:
        """Make names safe; or else find out whether a disk that failed works again."""
        done = self._parts.make_names_safe(at_once)
        if self.trouble.what and not self._postponed:
            if not done:
                self._place.try_out()
            self.trouble.mended()

    # --- an errand -------------------------------------------------------------------------------------

    def _run(self, errand: Errand) -> None:
        """Write some of a flow; all of it if that is little."""
        flow = errand.flow
        part = self._parts.draft(flow)
        if part is not None and part.end != errand.start:  # what lay between was lost
            self._parts.hand_over(part)
            self._commit()
            part = None
        if part is None and errand.start == errand.end:
            self._unsaved.settled(flow, errand.end)
            return
        if errand.end - errand.start >= self._too_large_bytes:
            self._postpone(flow, self._too_large_bytes)
            return
        try:
            part = part or self._parts.begin(flow, errand.start)
            self._write(part, errand)
        except OSError as error:
            self._make_way(flow, error, errand.end - errand.start)

    def _write(self, part: Part, errand: Errand) -> None:
        flow = part.flow
        end = min(errand.end, part.end + ERRAND_BYTES)
        final = errand.final and end == errand.end
        try:
            if end > part.end:
                self._parts.write(part, end, self._goes_on, not final)
        except Evicted:  # meanwhile
            self._parts.drop_if_empty(part)
            return
        except (OSError, BrokenOff):
            self._parts.drop_if_empty(part)
            raise
        if not final:
            self._unsaved.wrote(flow, end)
        self._parts.see_to_the_gone()  # perhaps a reader has removed it
        if final and self._parts.draft(flow) is part:
            self._parts.hand_over(part)

    def _make_way(self, flow: Flow, error: OSError, size_bytes: int) -> None:
        """There is no room for so much of a flow: see to it that others find some. Raises other errors."""
        part = self._parts.draft(flow)
        if error.errno not in NO_ROOM:
            raise error
        if part is None:
            self._postpone(flow, size_bytes, os.strerror(error.errno))
        elif error.errno == errno.EFBIG:  # it goes on in another file
            self._parts.hand_over(part)
        else:
            if self._stopping and not self._last_round and part.is_all_there():
                self._parts.lose(part)  # smaller ones first
            else:
                self._parts.hand_over(part)
            self._postpone(flow, size_bytes, os.strerror(error.errno))

    def _postpone(self, flow: Flow, size_bytes: int, why: str = "") -> None:
        self._unsaved.postpone(flow)
        self._postponed += 1
        self._too_large_bytes = min(self._too_large_bytes, size_bytes)
        if why:
            self.trouble.fault(why)

    # --- what goes wrong -----------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Say it, once; and find out what is left of what was written."""
        what, missing = _why(error), isinstance(error, FileNotFoundError)
        try:
            replaced = self._place.reopen()
        except OSError as gone:
            replaced, what = True, _why(gone)
        self.trouble.fault(what)
        if replaced:
            self._parts.lose_all()
        elif missing:
            self._parts.lose_unnamed()

    def _close(self) -> None:
        self._parts.lose_unnamed()
        try:
            self._place.journal.write()  # there is room for it, as parts are discarded
            self._parts.make_names_safe(True)
        except OSError as error:
            self.trouble.fault(_why(error))
        self._place.close()


def _why(error: OSError) -> str:
    return error.strerror or str(error)

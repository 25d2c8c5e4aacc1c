"""The engine as whoever saves its flows sees it: what is to be saved next, and what became of it.

Each method takes the engine's turn once, so saving holds the capture up no longer than a reader does. Knows
no files. What is saved is in parts: each has all bytes of a flow from an offset to an end. The Flow of an
errand is the file itself until its parts are completed() or it is settled(); from then on another may stand
for the file, see `desk`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from typing import NamedTuple

from .dormant import is_saved
from .engine import Engine
from .evict import Packed
from .flow import Flow
from .limits import HURRY_SHARE, SLICES

_LISTED = 4096  # flows looked through at once for one that is not saved, 0.2 ms
_SHOWN = 128  # flows of which more is to be known, 0.5 ms


class Errand(NamedTuple):
    """Save the bytes [start, end) of a flow; if `final`, no more are expected and the part is complete."""

    flow: Flow
    start: int
    end: int
    final: bool


class Unsaved:
    """Of one engine, which was made with Limits.archives."""

    def __init__(self, engine: Engine) -> None:
        saving = engine.store.saving
        assert saving is not None, "the engine was told that nobody saves its flows"
        self.engine = engine
        # Ascending: the numbers of files that cannot be saved at this time, once the capture has ended. There
        # may be a million: they stay packed, and nothing else is known of them.
        self._put_off = array("q")
        self._saving = saving
        self._turn = engine.turn

    def next(self) -> Errand | None:
        """What is to be saved next; None if that can wait, or if the rest is saved or postponed."""
        with self._turn:
            engine = self.engine
            hurry = engine.finished or self._is_in_a_hurry()
            victim = self._victim() if hurry and not engine.finished else None
            flow = self._saving.next(engine.now_ns, hurry, victim)
            if flow is not None:
                return self._errand(flow)
            if not engine.finished and not (hurry and self._saving.later):
                return None
        return self._next_of_all()

    def _errand(self, flow: Flow) -> Errand:
        self._saving.begin(flow)
        final = self.engine.finished or flow.state != 0
        return Errand(flow, self._saving.written(flow), flow.size, final)

    def _is_in_a_hurry(self) -> bool:
        """Whether open flows are to be saved as well, since their memory will soon be needed."""
        engine = self.engine
        store = engine.store
        wanted = engine.limits.max_flows // SLICES + engine.slice_packets
        half_bytes = store.arena.capacity_bytes // HURRY_SHARE
        return store.is_short(half_bytes, wanted) or engine.flows.is_short(8 * engine.slice_packets)

    def _victim(self) -> Flow | None:
        store = self.engine.store
        victim: Flow | None = store.ranking.victim(store.now_ns, store.pin_limit_bytes, None)
        return victim

    def _next_of_all(self) -> Errand | None:
        """From file to file, each once; while the capture goes on, those that are not all written."""
        saving, store = self._saving, self.engine.store
        while True:
            with self._turn:
                serials = store.serials_after(saving.serial, _LISTED)
                for serial, found in zip(serials, store.list_after(saving.serial, _LISTED), strict=True):
                    if self._is_to_be_saved(found) and not self._is_put_off(serial):
                        return self._errand(self.engine.flows.file(found))
                    saving.serial = serial
            if not serials:
                return None

    def _is_put_off(self, serial: int) -> bool:
        at = bisect_left(self._put_off, serial)
        return at < len(self._put_off) and self._put_off[at] == serial

    def _is_to_be_saved(self, found: Flow | Packed) -> bool:
        if isinstance(found, Packed):
            return not is_saved(found)
        return self._saving.lacks(found) and (self.engine.finished or not found.saved)

    def took(self, flow: Flow, start: int, end: int) -> bool:
        """The bytes [start, end) are read: if they go now, that is no loss. wrote() or failed() follows.

        False if some of them have gone and were counted as lost: then they must not be written.
        """
        with self._turn:
            return bool(self._saving.take(flow, start, end))

    def wrote(self, flow: Flow, end: int) -> None:
        """All before `end` is written: if the flow goes now, only what comes behind is lost."""
        with self._turn:
            self._saving.wrote(flow, end)
            if flow.size == end:
                self.engine.store.save(flow)

    def handed_over(self, flow: Flow, end: int) -> None:
        """All of a part is written, up to `end`, and completed() or failed() will follow."""
        with self._turn:
            self._saving.wrote(flow, end)
            if flow.size == end:
                self.engine.store.save(flow)
                if not flow.evicted:
                    self._saving.hand_over(flow)

    def completed(self, flow: Flow, begin: int, end: int) -> None:
        """The part [begin, end) of the flow is complete, and safe."""
        with self._turn:
            counters = self.engine.counters
            counters.archive_saved_flows += 1
            counters.archive_saved_bytes += end - begin
            self._settle(flow, end)

    def settled(self, flow: Flow, end: int) -> None:
        """No part of the flow is under way, and all before `end` is safe."""
        with self._turn:
            self._settle(flow, end)

    def _settle(self, known: Flow, end: int) -> None:
        flow = self._file(known)
        if flow is None:
            self._saving.forget(known)
        elif flow.size == end:  # else a later part follows
            self.engine.store.save(flow)
            self._saving.complete(flow)
            self.engine.flows.settle(flow)

    def _file(self, flow: Flow) -> Flow | None:
        """The file of which this is, or was, the Flow; None if it was evicted."""
        if flow.evicted:
            return None
        found = self.engine.store.get(flow.serial)
        return None if found is None else self.engine.flows.file(found)

    def failed(self, flow: Flow, begin: int, end: int) -> None:
        """The bytes [begin, end), which were taken or written, are not safe; they are to be written again.

        Those that have gone are lost.
        """
        with self._turn:
            there = self._file(flow)
            if there is None:
                self._saving.lose(flow, begin, end)
            else:
                self.engine.store.unsave(there)
                self._saving.fail(there, begin, end)

    def postpone(self, flow: Flow) -> None:
        """It cannot be saved at this time; others are next until resume()."""
        with self._turn:
            if self.engine.finished and self._saving.put_off(flow):
                insort(self._put_off, flow.serial)
                self.engine.flows.settle(flow)
            else:
                self._saving.postpone(flow)

    def resume(self) -> None:
        """Try again what was postponed."""
        with self._turn:
            del self._put_off[:]
            self._saving.resume()

    def gone(self) -> list[tuple[Flow, int]]:
        """Flows that went since the last call while a part of them was written: up to where it goes.

        -1 if a reader removed the flow, so that nothing of it is wanted.
        """
        if not self._saving.gone:
            return []
        with self._turn:
            gone = self._saving.gone
            self._saving.gone = []
            return gone

    def left(self) -> tuple[int, int]:
        """What was not written of the flows that are there: how many of these, and how many bytes.

        Flows that stand in archive_lost_flows already are not counted again.
        """
        serial = flows = size = 0
        while True:
            with self._turn:
                store = self.engine.store
                serials, files = store.serials_after(serial, _SHOWN), store.list_after(serial, _SHOWN)
                for found in files:
                    if isinstance(found, Packed) and is_saved(found):
                        continue
                    flow = self.engine.flows.shown(found)
                    if not flow.saved:
                        flows += not self._has_lost(flow)
                        size += flow.size - self._saving.written(flow)
            if not serials:
                return flows, size
            serial = serials[-1]

    def has_lost(self, flow: Flow) -> bool:
        """Whether it stands in archive_lost_flows, as far as that is known."""
        with self._turn:
            return self._has_lost(flow)

    def _has_lost(self, flow: Flow) -> bool:
        draft = self._saving.drafts.get(flow) or self._saving.leaving.get(flow)
        return draft is not None and draft.has_lost

    def unsaved(self) -> tuple[int, int]:
        """How many of the flows that are there are not saved, and the memory that cannot be freed without a
        loss. Takes no turn, so the numbers may be of two moments.
        """
        store = self.engine.store
        held_bytes = store.arena.used_bytes - self._saving.clean_bytes - store.pinned_bytes
        return max(0, store.count - self._saving.saved_flows), max(0, held_bytes)

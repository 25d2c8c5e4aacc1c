"""The engine as whoever saves its flows sees it: what is to be saved next, and what became of it.

Each method takes the engine's turn once, so saving holds the capture up no longer than a reader does. Knows
no files. What is saved is in parts: each has all bytes of a flow from an offset to an end.
"""

from __future__ import annotations

from typing import NamedTuple

from .engine import Engine
from .flow import Flow
from .limits import HURRY_SHARE, SLICES

_LISTED = 4096  # flows looked through at once for one that is not saved, 0.2 ms


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
        self._saving = saving
        self._turn = engine.turn

    def next(self) -> Errand | None:
        """What is to be saved next; None if that can wait, or if the rest is saved or postponed."""
        with self._turn:
            engine = self.engine
            hurry = engine.finished or self._is_in_a_hurry()
            flow = self._saving.next(engine.now_ns, hurry, self._victim() if hurry else None)
            if flow is not None:
                return self._errand(flow)
            if not engine.finished and not (hurry and self._saving.later):
                return None
        return self._next_of_all()

    def _errand(self, flow: Flow) -> Errand:
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
        saving = self._saving
        while True:
            with self._turn:
                flows = self.engine.store.list_after(saving.serial, _LISTED)
                for flow in flows:
                    if saving.lacks(flow) and (self.engine.finished or not flow.saved):
                        return self._errand(flow)
                    saving.serial = flow.serial
            if not flows:
                return None

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

    def _settle(self, flow: Flow, end: int) -> None:
        if not flow.evicted and flow.size == end:
            self.engine.store.save(flow)
        self._saving.complete(flow)

    def failed(self, flow: Flow, begin: int, end: int) -> None:
        """The bytes [begin, end), which were taken or written, are not safe; they are to be written again.

        Those that have gone are lost.
        """
        with self._turn:
            self.engine.store.unsave(flow)
            self._saving.fail(flow, begin, end)

    def postpone(self, flow: Flow) -> None:
        """It cannot be saved at this time; others are next until resume()."""
        with self._turn:
            self._saving.postpone(flow)

    def resume(self) -> None:
        """Try again what was postponed."""
        with self._turn:
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
                found = self.engine.store.list_after(serial, _LISTED)
                for flow in found:
                    if not flow.saved:
                        flows += not self._has_lost(flow)
                        size += flow.size - self._saving.written(flow)
            if not found:
                return flows, size
            serial = found[-1].serial

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

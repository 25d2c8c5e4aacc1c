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
        """What is to be saved next; None if that can wait, or if all is saved."""
        with self._turn:
            engine = self.engine
            hurry = engine.finished or self._is_in_a_hurry()
            flow = self._saving.next(engine.now_ns, hurry, self._victim() if hurry else None)
            if flow is None and engine.finished:
                flow = self._next_of_all()
            if flow is None:
                return None
            final = engine.finished or flow.state != 0
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

    def _next_of_all(self) -> Flow | None:
        """Once the capture has ended: from file to file, each once."""
        saving = self._saving
        flows = self.engine.store.list_after(saving.serial, _LISTED)
        for flow in flows:
            if not flow.saved or flow in saving.drafts:
                return flow
            saving.serial = flow.serial
        return None

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
                self._saving.ended.pop(flow, None)

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
        if flow.evicted:
            return
        if flow.size == end:
            self.engine.store.save(flow)
        self._saving.complete(flow)

    def failed(self, flow: Flow, begin: int, end: int) -> None:
        """The part [begin, end) is not safe, although that was said; it is to be written again."""
        with self._turn:
            self.engine.store.unsave(flow)
            self._saving.fail(flow, begin, end)

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
        """How many flows are not saved, and how many bytes of them."""
        serial = flows = size = 0
        while True:
            with self._turn:
                found = self.engine.store.list_after(serial, _LISTED)
                for flow in found:
                    if not flow.saved:
                        flows += 1
                        size += flow.size - self._saving.written(flow)
                    elif flow in self._saving.drafts:  # it was handed over, and is not complete
                        flows += 1
                        size += flow.size - flow.start
            if not found:
                return flows, size
            serial = found[-1].serial

    def counts(self) -> tuple[int, int]:
        """How many of the flows that are there are saved, and how many there are. Takes no turn."""
        return self._saving.saved_flows, self.engine.store.count

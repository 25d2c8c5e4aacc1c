# cython: boundscheck=False, wraparound=False, cdivision=True
"""The register: which files there are, and what happened to them since somebody asked.

Knows files by number (the order of appearance), some by name as well; neither bytes nor memory. Always true:
a number is given once, and a file is found by it until it is struck out.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import cython

if not cython.compiled:
    from .evict import Packed
    from .flow import Flow, name_key
    from .memory import push

_MIN_ROWS = 64  # not worth closing ranks

# What can happen to a file beside a change of its state, which counts as an event of that number.
NEW, EVICTED, REMOVED = 16, 17, 18
MAX_EVENTS = 1 << 16  # that wait to be taken, ~150 bytes each


class Event(NamedTuple):
    """What happened to a file, and what it was like then; `what`: a state, or NEW, EVICTED, REMOVED."""

    what: int
    time_ns: int
    serial: int
    key: bytes
    generation: int
    size: int


class Register:
    """All files, by serial number; some by key and generation, too."""

    def __init__(self) -> None:
        self.next_serial = 1
        self.count = 0
        self.names: dict[bytes, Flow | Packed] = {}  # of files that nobody else finds, see keep_name()
        # Rows in order of serial; the row of an evicted flow is None until half of them are.
        self.serials = array("q")
        self.rows: list[Flow | Packed | None] = []
        self.first_row = 0  # all rows before it are None
        # What happened since somebody asked.
        self.appeared = 0
        self.grown: list[Flow] = []
        self.gone: list[Flow] = []
        self.freed: list[Flow] = []  # `cached` ones of which bytes were freed
        self.orphans: list[Flow] = []  # evicted, and their owner was not told yet
        self.events: list[Event] | None = None  # if somebody wants them
        self.events_lost = 0  # that were not taken in time

    def keep_name(self, flow: Flow) -> None:
        """The file is found here from now on: its connection is not found by addresses and ports any more.

        The table of connections finds all others, so that most files cost no second entry.
        """
        if not flow.evicted:
            self.names[name_key(flow.key, flow.generation)] = flow

    def has_name(self, key: bytes, generation: int) -> bool:
        """Whether find() has one."""
        return bool(self.names) and name_key(key, generation) in self.names

    def find(self, key: bytes, generation: int) -> Any:
        """The file of this name, of those whose name was kept, or what stands for it."""
        return self.names.get(name_key(key, generation)) if self.names else None

    def get(self, serial: int) -> Any:
        """The file with this number, or what stands for it, unless it was evicted."""
        row = bisect_left(self.serials, serial)
        if row < len(self.serials) and self.serials[row] == serial:
            return self.rows[row]
        return None

    def list_after(self, serial: int, count: int) -> list[Any]:
        """At most `count` files with a greater number, ascending, or what stands for them."""
        return [self.rows[row] for row in self._rows_after(serial, count)]

    def serials_after(self, serial: int, count: int) -> list[int]:
        """The numbers of what list_after() gives."""
        return [self.serials[row] for row in self._rows_after(serial, count)]

    def _rows_after(self, serial: int, count: int) -> list[int]:
        found: list[int] = []
        row = max(bisect_right(self.serials, serial), self.first_row)
        while row < len(self.rows) and len(found) < count:
            if self.rows[row] is not None:
                found.append(row)
            row += 1
        return found

    # --- what sleeps -------------------------------------------------------------------------------

    def put_away(self, flow: Flow, packed: Packed) -> None:
        """The file is `packed` from here on."""
        self.rows[flow.row] = packed
        self._rename(flow, packed)

    def take_up(self, packed: Packed, flow: Flow) -> None:
        """It is a Flow again, `serial` and all."""
        flow.row = bisect_left(self.serials, flow.serial)
        self.rows[flow.row] = flow
        self._rename(flow, flow)

    def _rename(self, flow: Flow, found: Flow | Packed) -> None:
        if self.names:
            key = name_key(flow.key, flow.generation)
            if key in self.names:
                self.names[key] = found

    # --- for the store -----------------------------------------------------------------------------

    def _enter(self, key: bytes, generation: int, owner: Any) -> Flow:
        """A new file, empty."""
        flow = Flow.__new__(Flow)
        flow.begin(self.next_serial, key, generation, owner)
        self.next_serial += 1
        flow.row = len(self.rows)
        push(self.serials, flow.serial)
        self.rows.append(flow)
        self.count += 1
        self.appeared += 1
        return flow

    def _strike(self, flow: Flow) -> None:
        """The file is not found any more."""
        flow.evicted = True
        if self.names:
            self.names.pop(name_key(flow.key, flow.generation), None)
        self.count -= 1
        self._drop_row(flow.row)
        self.orphans.append(flow)
        if flow.named:
            self.gone.append(flow)

    def _drop_row(self, row: int) -> None:
        self.rows[row] = None
        if row == self.first_row:
            while row < len(self.rows) and self.rows[row] is None:
                row += 1
            self.first_row = row
        if len(self.rows) > _MIN_ROWS and self.count * 2 < len(self.rows):
            self._close_ranks()

    def _close_ranks(self) -> None:
        """Leave out the rows of evicted flows."""
        kept = [row for row in range(len(self.rows)) if self.rows[row] is not None]
        self.serials = array("q", [self.serials[row] for row in kept])
        self.rows = [self.rows[row] for row in kept]
        for row in range(len(self.rows)):
            found = self.rows[row]
            if isinstance(found, Flow):
                flow: Flow = found
                flow.row = row
        self.first_row = 0

    # --- what happened -----------------------------------------------------------------------------

    def _tell(self, flow: Flow) -> None:
        """Remember that the flow changed, if somebody was given its attributes since the last time."""
        if flow.watched:
            flow.watched = False
            self.grown.append(flow)

    def _tell_freed(self, flow: Flow) -> None:
        """Remember that bytes went that a reader may have where it can still read them."""
        if flow.cached and not flow.freed:
            flow.freed = True
            self.freed.append(flow)

    def take_events(self) -> tuple[list[Event], int]:
        """What happened since the last call, and how much more did; it is recorded from the first one on."""
        events, lost = self.events or [], self.events_lost
        self.events = []
        self.events_lost = 0
        return events, lost

    def _happened(self, what: int, flow: Flow, now_ns: int) -> None:
        """Only if there are `events`."""
        assert self.events is not None
        if len(self.events) == MAX_EVENTS:
            self.events_lost += 1
            return
        self.events.append(Event(what, now_ns, flow.serial, flow.key, flow.generation, flow.size))

    def take_freed(self) -> list[Flow]:
        """Files that were open at some time and of which bytes were freed since this was last asked."""
        freed = self.freed
        self.freed = []
        for flow in freed:
            flow.freed = False
        return freed

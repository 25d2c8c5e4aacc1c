# cython: boundscheck=False, wraparound=False, cdivision=True
"""What readers ask of the core: which files there are, what is in them, and what happened to them.

Each method takes the engine's turn, see `engine`. Knows no packet. Always true:
 - a Flow that was found or listed is the file as it was at that moment: as long as it is not open it may be a
   copy (`sleepers`), or another may stand for the file soon. What is asked about it later is answered for
   the file of its number;
 - whoever finds or lists a file knows its name, so `named` is set; and its size, so `watched` is, unless it
   has just grown and will again: only sizes read while it was set hold until changes() name the file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cython

if not cython.compiled:
    from .counters import Counters
    from .flow import Flow
    from .life import Lives
    from .roster import Roster
    from .store import Store

from .flow import Evicted
from .limits import HOT_NS, NEVER_NS, Limits
from .notes import About
from .register import Event
from .roster import Entry
from .turn import Turn

_HOT_NS = HOT_NS


class Changes(NamedTuple):
    """What happened since it was last asked for."""

    appeared: int  # files
    grown: list[Flow]  # those with `watched` set that grew or changed
    gone: list[Flow]  # evicted ones with `named` set
    freed: list[Flow]  # those that were open at some time and of which bytes were freed


class Origin(NamedTuple):
    """Of a connection; None where that is known no more, or was not recorded."""

    link: bytes | None  # the Ethernet addresses, see links.in_order()
    session: int | None  # its number among those of which there was a file


class Desk:
    """The side of an engine that readers see."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counters = Counters()
        self.store = Store(limits, self.counters)
        self.flows = Lives(limits, self.store, self.counters)
        self.turn = Turn()
        self.now_ns = 0  # packet time
        self.finished = False

    def changed(self) -> bool:
        """Whether changes() has anything to say. Takes no turn."""
        store = self.store
        return bool(store.appeared or self.is_urgent())

    def is_urgent(self) -> bool:
        """Whether changes() has what somebody may wait for, as nobody does for a new file: it is looked for.

        Takes no turn.
        """
        store = self.store
        return bool(store.grown or store.gone or store.freed)

    def changes(self) -> Changes:
        """What happened since the last call."""
        with self.turn:
            store = self.store
            changes = Changes(store.appeared, store.grown, store.gone, store.take_freed())
            store.appeared = 0
            store.grown = []
            store.gone = []
            for flow in changes.freed:
                self.flows.put_back(flow)
            return changes

    def events(self) -> tuple[list[Event], int]:
        """What happened since the last call, and how much more did; it is recorded from the first one on."""
        with self.turn:
            return self.store.take_events()

    # --- which files there are ---------------------------------------------------------------------

    def find(self, key: bytes, generation: int) -> Flow | None:
        """The file with this key and generation, if it is there."""
        with self.turn:
            found = self.flows.find(key, generation)
            return None if found is None else self._given(found, True)

    def get(self, serial: int) -> Flow | None:
        """The file with this number, if it is there; its name is not asked for."""
        with self.turn:
            found = self.store.get(serial)
            return None if found is None else self._given(found, False)

    def list_after(self, serial: int, count: int) -> list[Flow]:
        """At most `count` files with a number above `serial`, ascending."""
        with self.turn:
            return [self._given(found, True) for found in self.store.list_after(serial, count)]

    def entries_after(self, serial: int, count: int, roster: Roster) -> list[Entry]:
        """What list_after() gives, as it is at this moment."""
        with self.turn:
            return self.flows.listed(self.store.list_after(serial, count), self._hot_ns(), roster)

    def seen_after(self, serial: int, count: int) -> list[Flow]:
        """The same for whoever only looks at them, and gives away neither names nor sizes."""
        with self.turn:
            return [self.flows.shown(found) for found in self.store.list_after(serial, count)]

    def told_after(self, serial: int, count: int) -> list[tuple[Flow, About]]:
        """As seen_after(), each with what about() says."""
        with self.turn:
            return [self.flows.told(found) for found in self.store.list_after(serial, count)]

    def _given(self, found: Any, names: bool) -> Flow:
        """What a reader gets of a file, who then knows its size, and its name if he `names` it."""
        return self.flows.given(found, names, self._hot_ns())

    def _hot_ns(self) -> int:
        """What is open and grew later will again soon."""
        return NEVER_NS if self.finished else self.now_ns - _HOT_NS

    # --- one file ----------------------------------------------------------------------------------

    def open(self, flow: Flow) -> Flow:
        """A reader takes the file, which is the Flow that is given back. Raises Evicted if it is gone."""
        with self.turn:
            there = self._there(flow)
            there.named = True
            self.store.open(there)
            return there

    def release(self, flow: Flow) -> None:
        """A reader is done with the file, as open() gave it."""
        with self.turn:
            self.store.release(flow)
            self.flows.put_back(flow)

    def read(self, flow: Flow, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; empty at the end. Raises Evicted if they were freed."""
        with self.turn:
            return self.store.read(self._readable(flow), offset, size)

    def read_into(self, flow: Flow, offset: int, size: int, to: memoryview) -> int:
        """The same into a writable view that has room for `size`; returns how many bytes they are."""
        with self.turn:
            return self.store.read_into(self._readable(flow), offset, size, to)

    def _readable(self, flow: Flow) -> Flow:
        """What to read from: the file, or a copy where it sleeps. Raises Evicted."""
        if flow.opens or flow.evicted:
            return flow
        found = self.store.get(flow.serial)
        if found is None:
            raise Evicted
        return self.flows.shown(found)

    def about(self, flow: Flow) -> About:
        """What is known of a file beside its bytes, as long as the file is there."""
        with self.turn:
            found = self.store.get(flow.serial)
            return self.flows.about(flow) if found is None else self.flows.told(found)[1]

    def origin(self, flow: Flow) -> Origin:
        """What frames and numbers its connection began with, if that is recorded: see `limits.links`."""
        with self.turn:
            connection, is_copy = self.flows.connection_of(flow)
            if connection is None:
                return Origin(None, None)
            origin = Origin(connection.link, connection.session)
            if is_copy:
                self.flows.drop(connection)
            return origin

    def remove(self, flow: Flow) -> Flow:
        """Take the file out of the directory and free it, as a reader wants, who needs not be told of it.

        Open readers keep it. Returns the file; raises Evicted if it is gone.
        """
        with self.turn:
            there = self._there(flow)
            there.named = False
            self.store.remove(there)
            self.flows.collect()
            return there

    def _there(self, flow: Flow) -> Flow:
        """The file itself, of which this is, or was, what readers see."""
        found = self.store.get(flow.serial)
        if found is None:
            raise Evicted
        return self.flows.file(found)

"""`.flowfs/events.jsonl`: a line of JSON for whatever happens to a flow, from the first look at it on.

Knows no directory. The log is turned as others are: when it is full it becomes events.jsonl.1, and a new one
begins; `tail -F` goes on with that. Always true: a log is only appended to, and what was not taken from the
engine in time is counted in a line that says so.
"""

from __future__ import annotations

import json
import time

from ..core.engine import Engine
from ..core.flow import STATE_NAMES
from ..core.register import EVICTED, NEW, REMOVED, Event
from .directories import Directories
from .names import name_of

FULL_BYTES = 4 << 20  # some 30,000 events

_NAMES = {**dict(enumerate(STATE_NAMES)), NEW: "new", EVICTED: "evicted", REMOVED: "removed"}


class Log:
    """One log, which grows. Indexed as bytes are, by one slice from `start` to `stop`."""

    def __init__(self, events: Events, number: int) -> None:
        self._events = events
        self.number = number
        self.text = bytearray()
        self.changed_ns = time.time_ns()

    def __len__(self) -> int:
        self._events.catch_up()
        return len(self.text)

    def __getitem__(self, part: slice) -> bytes:
        self._events.catch_up()
        return bytes(self.text[part])

    def has_ended(self) -> bool:
        """Whether another one is written."""
        self._events.catch_up()
        return self._events.log is not self

    def add(self, line: dict[str, object]) -> None:
        """Append it."""
        self.text += json.dumps(line, separators=(",", ":")).encode() + b"\n"


class Events:
    """The log that is written, and the one before it. Nothing is recorded until catch_up() is called."""

    def __init__(self, engine: Engine, directories: Directories) -> None:
        self._engine = engine
        self._directories = directories
        self._is_wanted = False
        self.log = Log(self, 1)
        self.before: Log | None = None

    def tidy(self) -> None:
        """Take in what happened, if anybody ever wanted that."""
        if self._is_wanted:
            self.catch_up()

    def catch_up(self) -> None:
        """Take in what happened."""
        self._is_wanted = True
        events, lost = self._engine.events()
        for event in events:
            self._add(described(event, self._directories))
        if lost:
            self._add({"event": "lost", "count": lost})
        if events or lost:
            self.log.changed_ns = time.time_ns()

    def _add(self, line: dict[str, object]) -> None:
        if len(self.log.text) >= FULL_BYTES:
            self.before, self.log = self.log, Log(self, self.log.number + 1)
        self.log.add(line)


def described(event: Event, directories: Directories) -> dict[str, object]:
    """As JSON can hold it."""
    line: dict[str, object] = {
        "event": _NAMES[event.what],
        "time_ns": event.time_ns,
        "name": directories.path(event).decode(),
        "size": event.size,
    }
    if directories.by_template:
        line["canonical"] = name_of(event.key, event.generation).decode("ascii")
    return line

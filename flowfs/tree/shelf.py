"""The flows that there are, by their names, by their numbers, and one after the other.

Owns which flow a number stands for: an evicted one is found here alone, as long as it is open. Knows no
attribute and no directory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core.engine import Engine
from ..core.flow import Flow
from ..core.notes import About
from .answers import Reason, TreeError
from .directories import Directories, flow_of

_LIST_COUNT = 256  # flows taken from the engine at once


class Shelf:
    """All flows of one engine. A number is a flow's `serial`; `directories`: where they are in the mount."""

    def __init__(self, engine: Engine, directories: Directories) -> None:
        self.engine = engine
        self.directories = directories
        self.held: dict[int, Flow] = {}
        """By number: those that are open."""

    def named(self, name: bytes) -> Flow:
        """The flow of this canonical name. NOT_FOUND."""
        return flow_of(self.engine, name)

    def numbered(self, serial: int) -> Flow:
        """The flow of this number. STALE once it was evicted and nobody has it open."""
        flow = self.engine.get(serial) or self.held.get(serial)
        if flow is None:
            raise TreeError(Reason.STALE)
        return flow

    def look(self, serial: int) -> Flow | None:
        """The flow of this number, to look at, if it is there."""
        found = self.engine.seen_after(serial - 1, 1)
        return found[0] if found and found[0].serial == serial else None

    def count(self, ever: bool = False) -> int:
        """How many flows there are, or have `ever` been."""
        return self.engine.statistics()["flows_total" if ever else "flows"]

    def after(self, serial: int) -> Iterator[Flow]:
        """The flows with higher numbers, ascending, to look at: of who sleeps they are copies."""
        while flows := self.engine.seen_after(serial, _LIST_COUNT):
            yield from flows
            serial = flows[-1].serial

    def told_after(self, serial: int) -> Iterator[tuple[Flow, About]]:
        """The same, each with what is known of it at the same moment."""
        while told := self.engine.told_after(serial, _LIST_COUNT):
            yield from told
            serial = told[-1][0].serial

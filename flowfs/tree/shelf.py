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
from .names import parse

_LIST_COUNT = 64  # flows taken from the engine at once


class Shelf:
    """All flows of one engine. A number is a flow's `serial`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.held: dict[int, Flow] = {}
        """By number: those that are open."""

    def named(self, name: bytes) -> Flow:
        """The flow of this name. NOT_FOUND."""
        parsed = parse(name)
        flow = self.engine.find(*parsed) if parsed is not None else None
        if flow is None:
            raise TreeError(Reason.NOT_FOUND)
        return flow

    def numbered(self, serial: int) -> Flow:
        """The flow of this number. STALE once it was evicted and nobody has it open."""
        flow = self.engine.get(serial) or self.held.get(serial)
        if flow is None:
            raise TreeError(Reason.STALE)
        return flow

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

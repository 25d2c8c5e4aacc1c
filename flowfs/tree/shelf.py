"""The flows that there are, by their names, by their numbers, and one after the other.

Owns which flow a number stands for: an evicted one is found here alone, as long as it is open. Knows no
attribute and no directory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core.engine import Engine
from ..core.flow import Flow
from .answers import Reason, TreeError
from .directories import Directories, flow_of, flows_after


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

    def after(self, serial: int) -> Iterator[Flow]:
        """The flows with higher numbers, see flows_after()."""
        return flows_after(self.engine, serial)

"""The core that is under test, the interpreted one beside it, and what can be seen of either.

Owns the way to have both in one process: Python's sources are loaded under another package name, where the
finder below offers sources alone, so that no extension module comes into it. What is always true: two equal
`Tree`s show the same to every reader.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import flowfs.core
from craft import ETHERNET, Packet, batch
from flowfs.core.engine import Engine
from flowfs.core.flow import Flow
from flowfs.core.limits import Limits

Gap = tuple[int, int, str]  # as Flow.gaps() has them
Piece = tuple[int, bytes]  # what stands at an offset

_ALIAS = "interpreted_flowfs_core"
ALL = 1 << 40
EDGE = 300  # so much of a gap is read at either end: gaps of gigabytes are had for three packets


class Core(NamedTuple):
    """One of the cores; both have the types of the one that is imported as `flowfs.core`."""

    name: str
    engine: ModuleType
    flow: ModuleType

    def start(self, limits: Limits) -> Engine:
        from flowfs.dissect import dissect

        engine: Engine = self.engine.Engine(limits, dissect)
        return engine

    @property
    def evicted(self) -> type[Exception]:
        evicted: type[Exception] = self.flow.Evicted
        return evicted


class _SourcesAlone:
    """Finds the modules of the core under the other name, never an extension module."""

    folder = str(Path(flowfs.core.__file__).parent)
    finder = FileFinder(folder, (SourceFileLoader, [".py"]))

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name == _ALIAS:
            place = Path(cls.folder, "__init__.py")
            return spec_from_file_location(name, place, submodule_search_locations=[cls.folder])
        return cls.finder.find_spec(name) if name.startswith(_ALIAS + ".") else None


def under_test() -> Core:
    """The core that `import flowfs.core` gives."""
    return _core(flowfs.core.__name__, "compiled" if flowfs.core.compiled() else "interpreted")


def interpreted() -> Core:
    """The sources of the same core, run as they are."""
    if _SourcesAlone not in sys.meta_path:
        sys.meta_path.insert(0, _SourcesAlone)
    return _core(_ALIAS, "interpreted")


def _core(package: str, name: str) -> Core:
    engine = importlib.import_module(package + ".engine")
    return Core(name, engine, importlib.import_module(package + ".flow"))


# --- what is seen of a core ----------------------------------------------------------------------


class File(NamedTuple):
    """All that a reader can know of a flow."""

    serial: int
    key: bytes
    generation: int
    state: int
    source: int
    size: int
    start: int
    held_bytes: int
    first_ns: int
    last_ns: int
    changed_ns: int
    gaps: list[Gap]
    pieces: list[Piece]


class Tree(NamedTuple):
    files: list[File]
    statistics: dict[str, int]


def file(engine: Engine, flow: Flow) -> File:
    fields = {name: getattr(flow, name) for name in File._fields[:-2]}
    return File(**fields, gaps=flow.gaps(), pieces=pieces(engine, flow))


def pieces(engine: Engine, flow: Flow) -> list[Piece]:
    """Everything from `start` on, but for the middle of long gaps."""
    found: list[Piece] = []
    position = flow.start
    for offset, length, _ in [*flow.gaps(), (flow.size, 0, "")]:
        if offset + length < flow.start:
            continue
        first = max(offset, flow.start)
        found.append((position, engine.read(flow, position, first - position)))
        position = offset + length
        last = max(first, position - EDGE)
        found.append((first, engine.read(flow, first, min(EDGE, position - first))))
        found.append((last, engine.read(flow, last, position - last)))
    return [piece for piece in found if piece[1]]


def tree(engine: Engine) -> Tree:
    return Tree([file(engine, flow) for flow in engine.list_after(0, ALL)], engine.statistics())


def feed(engine: Engine, packets: Iterable[Packet], link_type: int = ETHERNET) -> None:
    engine.feed(*batch(packets), link_type)

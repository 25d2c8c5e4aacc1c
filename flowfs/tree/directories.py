"""Where flows are, and what they are called: the root alone, with a name that says which flow it is.

`Directories` is what the tree asks; `Flat` is the usual one, which writes a name when it is asked for, reads
it when it is looked up, and remembers nothing. `places` has the one for names by a template.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from ..core.engine import Engine
from ..core.flow import Flow
from ..core.roster import Entry, Roster
from .answers import DIRECTORY_MODE, FILE_MODE, FOREVER_S, Attributes, Reason, TreeError
from .folder import Folder
from .names import Keyed, name_of, parse, reversed_key
from .numbers import FIRST_FLOW, ROOT

PLACE_MODE = DIRECTORY_MODE | 0o200  # something in it can be removed
_ATTRIBUTES = partial(tuple.__new__, Attributes)  # Attributes(...) takes twice as long as all the rest
_LIST_COUNT = 128  # flows taken from the engine at once; the kernel asks for some 600 entries


class Called(NamedTuple):
    """A flow's path and that of the other direction, from the root, "" where there is none.

    `canonical`: what it is called where there are no directories, in `.flowfs`, if that is something else.
    """

    name: str
    peer: str
    canonical: str | None = None

    def named(self) -> dict[str, object]:
        """As JSON can hold it."""
        canonical = {} if self.canonical is None else {"canonical": self.canonical}
        return {"name": self.name, "peer": self.peer, **canonical}


class Directories(ABC):
    """What is in the root but `.flowfs`."""

    by_template = False

    def ready(self) -> None:  # noqa: B027  without an index there is nothing to do
        """Called before names are asked for. Raises Unready if there is a lot to be made before."""

    @abstractmethod
    def folder(self, inode: int) -> Folder | None:
        """The directory below the root with this inode."""

    @abstractmethod
    def find(self, parent: int, name: bytes) -> Flow | Folder:
        """What has this name in a directory. NOT_FOUND, STALE."""

    @abstractmethod
    def after(self, parent: int, cookie: int) -> Iterator[Entry | tuple[bytes, Flow | Folder, int]]:
        """What a directory lists behind an inode number: flows, by number, and then directories.

        The name of each, itself or its attributes, and its inode. Raises Unready, but only before the first.
        What was evicted may be among them.
        """

    @abstractmethod
    def path(self, flow: Keyed) -> bytes:
        """From the root; empty if it has none. From any thread."""

    @abstractmethod
    def called(self, flow: Keyed) -> Called:
        """From any thread."""

    @abstractmethod
    def wanted(self, flow: Flow) -> str:
        """The path that a flow has or would have, also when it was evicted. From any thread."""

    @abstractmethod
    def took_away(self, flows: Iterable[Flow]) -> list[tuple[int, bytes]]:
        """Flows have gone; returns names that went since the last call, each with its directory's inode."""

    def removed(self, flow: Flow) -> None:  # noqa: B027  without an index there is nothing to do
        """A flow went of which took_away() is not told, since the kernel knows."""

    def remove_folder(self, folder: Folder) -> None:  # noqa: B027  without directories there is none
        """Remove an empty directory. NOT_EMPTY."""

    def root_links(self) -> int:
        """How many links the root has: two, and one from each directory in it."""
        return 2


class Flat(Directories):
    """The root alone, by tcpflow's usual names. Stateless."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._roster = Roster(FIRST_FLOW, FILE_MODE, FOREVER_S, name_of, _ATTRIBUTES)

    def folder(self, inode: int) -> Folder | None:
        return None

    def find(self, parent: int, name: bytes) -> Flow | Folder:
        return flow_of(self._engine, name)

    def after(self, parent: int, cookie: int) -> Iterator[Entry]:
        serial = max(cookie - FIRST_FLOW, 0)
        while entries := self._engine.entries_after(serial, _LIST_COUNT, self._roster):
            yield from entries
            serial = entries[-1][2] - FIRST_FLOW

    def path(self, flow: Keyed) -> bytes:
        return name_of(flow.key, flow.generation)

    def called(self, flow: Keyed) -> Called:
        name, peer = self.path(flow), name_of(reversed_key(flow.key), flow.generation)
        return Called(name.decode("ascii"), peer.decode("ascii"))

    def wanted(self, flow: Flow) -> str:
        return self.path(flow).decode("ascii")

    def took_away(self, flows: Iterable[Flow]) -> list[tuple[int, bytes]]:
        return [(ROOT, name_of(flow.key, flow.generation)) for flow in flows]


def flow_of(engine: Engine, name: bytes) -> Flow:
    """The flow of this canonical name. NOT_FOUND."""
    parsed = parse(name)
    flow = engine.find(*parsed) if parsed is not None else None
    if flow is None:
        raise TreeError(Reason.NOT_FOUND)
    return flow

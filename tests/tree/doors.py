"""The directory behind two doors: the tree asked directly (`direct`), and the tree mounted (`mounted`).

Owns what is asked of a directory. What is always true: both doors give the same answer to the same question,
and refuse by an OSError with the errno of the mount; and what is fed, evicted or finished is known behind the
door when the call returns. Paths are those from the root of the directory, and links are not followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from craft import Conversation
from flowfs.tree.answers import Space
from treed import Fed

ALL = 1 << 24  # entries, and bytes of a file


class Stat(NamedTuple):
    """What stat(2) says."""

    inode: int
    mode: int
    links: int
    size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


class Entry(NamedTuple):
    """What a listing says. `kind`: that of a mode, as S_IFMT has it."""

    name: str
    inode: int
    kind: int


class Closing(Protocol):
    """What is closed at the end of a `with`."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class File(Closing, Protocol):
    """An open file."""

    def pread(self, offset: int, size: int) -> bytes: ...

    def stat(self) -> Stat: ...

    def poll(self) -> tuple[bool, bool]:
        """Whether the next read says anything, and whether no more will come; nobody waits for it."""


class Listing(Closing, Protocol):
    """A directory that is being listed."""

    def take(self, count: int) -> list[Entry]:
        """The next ones, so many unless it ends before; `.` and `..` are among them."""


class Held(Closing, Protocol):
    """What a path led to, whatever becomes of its name."""

    def open(self) -> File: ...

    def stat(self) -> Stat: ...


class Door(Fed, Protocol):
    """What can be asked. Everything below raises OSError."""

    def evict(self, conversation: Conversation, server: bool = False) -> None:
        """What the client, or the server, sent, as if memory were short."""

    def rest(self) -> None:
        """Time passes, in which nothing grows."""

    def lay_down_all(self) -> None:
        """Who can sleep does."""

    def finish(self) -> None:
        """The capture is over."""

    def statistics(self) -> dict[str, int]: ...

    def stat(self, path: str) -> Stat: ...

    def readlink(self, path: str) -> str: ...

    def listxattr(self, path: str) -> list[str]: ...

    def getxattr(self, path: str, name: str) -> bytes: ...

    def open(self, path: str) -> File: ...

    def hold(self, path: str) -> Held: ...

    def listing(self, path: str = "") -> Listing: ...

    def unlink(self, path: str) -> None: ...

    def rmdir(self, path: str) -> None: ...

    def space(self) -> Space:
        """What statfs(2) says; bytes as it counts them, in KiB."""

    def read(self, path: str) -> bytes:
        """All that is in a file."""
        found = b""
        with self.open(path) as file:
            while piece := file.pread(len(found), ALL):
                found += piece
        return found

    def entries(self, path: str = "") -> list[Entry]:
        """What is listed, but `.` and `..`."""
        with self.listing(path) as listing:
            dots, found = listing.take(2), listing.take(ALL)
        assert [entry.name for entry in dots] == [".", ".."]
        return found

    def names(self, path: str = "") -> list[str]:
        return [entry.name for entry in self.entries(path)]

    def walk(self, above: str = "") -> Iterator[tuple[str, Entry]]:
        """Whatever is listed below a directory, each with its path, as find(1) comes to it."""
        for entry in self.entries(above):
            path = f"{above}/{entry.name}" if above else entry.name
            yield path, entry
            if stat.S_ISDIR(entry.kind):
                yield from self.walk(path)


@contextmanager
def refused(number: int) -> Iterator[None]:
    """What is asked has this errno."""
    try:
        yield
    except OSError as error:
        said = error
    else:
        raise AssertionError(f"not refused by {os.strerror(number)}")
    assert said.errno == number, said

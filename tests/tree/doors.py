"""The directory behind two doors: the tree asked directly, and the tree mounted.

Owns what is asked of a directory (Door), and both ways to ask. What is always true: both give the same answer
to the same question, and refuse by an OSError with the errno of the mount; and what is fed, evicted or
finished is known behind the door when the call returns. Paths are those from the root of the directory, and
links are not followed.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, Self, TypeVar

from craft import Conversation
from engines import evict
from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, Limits
from flowfs.mount.operations import ERRNO
from flowfs.templates import DEFAULT
from flowfs.tree import ROOT, Attributes, Tree, TreeError, Unready, directories
from flowfs.tree.answers import Space
from mounted.served import Served
from treed import Fed, Treed

ALL = 1 << 24  # entries, and bytes of a file
_DIRENT = struct.Struct("=QqHB")  # linux_dirent64 up to the name: inode, cookie, length, kind
_DIRENT_BYTES = 280  # with the longest name
_LIBC = ctypes.CDLL(None, use_errno=True)
_Answer = TypeVar("_Answer")


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


# --- directly ----------------------------------------------------------------------------------------


_More = ParamSpec("_More")


def asked(
    tree: Tree, ask: Callable[Concatenate[Tree, _More], _Answer], *more: _More.args, **named: _More.kwargs
) -> _Answer:
    """What the tree answers once what it takes is made; what it refuses as the mount refuses it.

    Behind each answer it is asked what has changed, as by the mount.
    """
    while True:
        try:
            return ask(tree, *more, **named)
        except Unready as unready:
            unready.work()
        except TreeError as refusal:
            number = ERRNO[refusal.reason]
            raise OSError(number, os.strerror(number)) from refusal
        finally:
            tree.changes()


class Direct(Treed, Door):
    """The tree above an engine."""

    def __init__(
        self, names: str = DEFAULT, visible: bool = False, sources: tuple[str, ...] = (), **limits: Any
    ) -> None:
        engine = Engine(Limits(**limits))
        about = {"sources": list(sources)}
        tree = Tree(engine, lambda: about, visible, directories(engine, names))
        super().__init__(engine, tree)

    def _told(self) -> None:
        """As the mount is told, which tells the kernel."""
        self.tree.changes()

    def feed(self, conversation: Conversation) -> Conversation:
        super().feed(conversation)
        self._told()
        return conversation

    def evict(self, conversation: Conversation, server: bool = False) -> None:
        evict(self.engine, conversation.server_key() if server else conversation.client_key())
        self._told()

    def rest(self) -> None:
        self.engine.tick(self.engine.now_ns + HOT_NS)
        self._told()

    def lay_down_all(self) -> None:
        self.engine.flows.lay_down_all()

    def finish(self) -> None:
        self.engine.finish()
        self._told()

    def statistics(self) -> dict[str, int]:
        return self.engine.statistics()

    def _at(self, path: str) -> Attributes:
        """Name by name, as the kernel goes along a path."""
        found = asked(self.tree, Tree.attributes, ROOT)
        for name in path.encode().split(b"/") if path else []:
            found = asked(self.tree, Tree.lookup, found.inode, name)
        return found

    def _above(self, path: str) -> tuple[int, bytes]:
        above, _, name = path.rpartition("/")
        return self._at(above).inode, name.encode()

    def stat(self, path: str) -> Stat:
        return Stat(*self._at(path)[:8])

    def readlink(self, path: str) -> str:
        return asked(self.tree, Tree.target, self._at(path).inode).decode()

    def listxattr(self, path: str) -> list[str]:
        return [name.decode() for name in asked(self.tree, Tree.xattr_names, self._at(path).inode)]

    def getxattr(self, path: str, name: str) -> bytes:
        return asked(self.tree, Tree.xattr, self._at(path).inode, name.encode())

    def open(self, path: str) -> File:
        return self.hold(path).open()

    def hold(self, path: str) -> DirectHeld:
        return DirectHeld(self.tree, self._at(path).inode)

    def listing(self, path: str = "") -> Listing:
        return DirectListing(self.tree, self._at(path).inode)

    def unlink(self, path: str) -> None:
        asked(self.tree, Tree.unlink, *self._above(path))

    def rmdir(self, path: str) -> None:
        asked(self.tree, Tree.rmdir, *self._above(path))

    def space(self) -> Space:
        return self.tree.space()


class DirectHeld(Held):
    def __init__(self, tree: Tree, inode: int) -> None:
        self.tree = tree
        self.inode = inode

    def open(self) -> File:
        return DirectFile(self.tree, self.inode)

    def stat(self) -> Stat:
        return Stat(*asked(self.tree, Tree.attributes, self.inode)[:8])

    def close(self) -> None:
        """An inode number is held by nobody."""


class DirectFile(DirectHeld, File):
    def __init__(self, tree: Tree, inode: int) -> None:
        super().__init__(tree, inode)
        self.handle = asked(tree, Tree.open, inode).handle

    def pread(self, offset: int, size: int) -> bytes:
        return asked(self.tree, Tree.read, self.handle, offset, size)

    def poll(self) -> tuple[bool, bool]:
        return asked(self.tree, Tree.readiness, self.handle)

    def close(self) -> None:
        asked(self.tree, Tree.release, self.handle)


class DirectListing(Listing):
    def __init__(self, tree: Tree, inode: int) -> None:
        self.tree = tree
        self.handle = asked(tree, Tree.open_directory, inode)
        self.cookie = 0

    def take(self, count: int) -> list[Entry]:
        def some(tree: Tree) -> list[tuple[bytes, Attributes, int]]:
            return list(itertools.islice(tree.entries(self.handle, self.cookie), count))

        found = asked(self.tree, some)
        self.cookie = found[-1][2] if found else self.cookie
        return [
            Entry(name.decode(), attributes.inode, stat.S_IFMT(attributes.mode))
            for name, attributes, _ in found
        ]

    def close(self) -> None:
        self.tree.release_directory(self.handle)


# --- mounted -----------------------------------------------------------------------------------------


class Mounted(Door):
    """A running mount, asked by system calls."""

    def __init__(self, mount: Served) -> None:
        self.mount = mount

    def _told(self) -> None:
        """The kernel, of all that happened."""
        self.mount.ask("settle")

    def feed(self, conversation: Conversation) -> Conversation:
        self.mount.feed_packets(conversation.packets, conversation.link_type)
        conversation.packets.clear()
        self._told()
        return conversation

    def evict(self, conversation: Conversation, server: bool = False) -> None:
        key = conversation.server_key() if server else conversation.client_key()
        self.mount.ask("evict", key.hex(), 0)
        self._told()

    def rest(self) -> None:
        self.mount.ask("rest")
        self._told()

    def lay_down_all(self) -> None:
        self.mount.ask("lay_down_all")

    def finish(self) -> None:
        self.mount.ask("finish")
        self._told()

    def statistics(self) -> dict[str, int]:
        return self.mount.statistics()

    def _at(self, path: str) -> Path:
        return self.mount.path / path

    def stat(self, path: str) -> Stat:
        return stat_of(os.lstat(self._at(path)))

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def listxattr(self, path: str) -> list[str]:
        return os.listxattr(self._at(path), follow_symlinks=False)

    def getxattr(self, path: str, name: str) -> bytes:
        return os.getxattr(self._at(path), name, follow_symlinks=False)

    def open(self, path: str) -> File:
        return MountedFile(os.open(self._at(path), os.O_RDONLY | os.O_NOFOLLOW))

    def hold(self, path: str) -> Held:
        return MountedHeld(os.open(self._at(path), os.O_PATH | os.O_NOFOLLOW))

    def listing(self, path: str = "") -> Listing:
        return MountedListing(os.open(self._at(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))

    def unlink(self, path: str) -> None:
        self._at(path).unlink()
        self._told()

    def rmdir(self, path: str) -> None:
        self._at(path).rmdir()

    def space(self) -> Space:
        found = os.statvfs(self.mount.path)
        sizes = found.f_blocks * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize
        return Space(*sizes, found.f_files - found.f_ffree, found.f_ffree)


def stat_of(found: os.stat_result) -> Stat:
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    return Stat(found.st_ino, found.st_mode, found.st_nlink, found.st_size, found.st_blocks, *times)


class MountedHeld(Held):
    def __init__(self, number: int) -> None:
        self.number = number

    def open(self) -> File:
        return MountedFile(os.open(f"/proc/self/fd/{self.number}", os.O_RDONLY))

    def stat(self) -> Stat:
        return stat_of(os.fstat(self.number))

    def close(self) -> None:
        os.close(self.number)


class MountedFile(MountedHeld, File):
    def pread(self, offset: int, size: int) -> bytes:
        return os.pread(self.number, size, offset)

    def poll(self) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self.number, select.POLLIN | select.POLLRDNORM)
        events = dict(poll.poll(0)).get(self.number, 0)
        return bool(events & select.POLLIN), bool(events & select.POLLHUP)


class MountedListing(Listing):
    """By getdents64(2), since readdir(3) takes as much at once as fits into 32 KiB."""

    def __init__(self, number: int) -> None:
        self.number = number

    def take(self, count: int) -> list[Entry]:
        found: list[Entry] = []
        buffer = ctypes.create_string_buffer(min(32_768, count * _DIRENT_BYTES))
        while len(found) < count:
            length = _LIBC.getdents64(self.number, buffer, len(buffer))
            if length < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            if length == 0:
                break
            at = 0
            while at < length and len(found) < count:
                inode, cookie, step, kind = _DIRENT.unpack_from(buffer, at)
                name = buffer.raw[at + _DIRENT.size : at + step].partition(b"\0")[0]
                found.append(Entry(name.decode(), inode, kind << 12))  # as IFTODT of dirent.h
                at += step
            if at < length:
                os.lseek(self.number, cookie, os.SEEK_SET)
        return found

    def close(self) -> None:
        os.close(self.number)


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

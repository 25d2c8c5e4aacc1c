"""The door that is the tree itself, above an engine."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from craft import Conversation
from engines import evict
from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, Limits
from flowfs.mount.operations import ERRNO
from flowfs.templates import DEFAULT
from flowfs.tree import ROOT, Attributes, Tree, TreeError, Unready, directories
from flowfs.tree.answers import Space
from tree.doors import Door, Entry, File, Held, Listing, Stat
from treed import Treed

_Answer = TypeVar("_Answer")
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


def stat_of(attributes: Attributes) -> Stat:
    """What an inode is known by, in the order of stat(2)."""
    return Stat(*(getattr(attributes, name) for name in Stat._fields))


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
        return stat_of(self._at(path))

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
        return stat_of(asked(self.tree, Tree.attributes, self.inode))

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

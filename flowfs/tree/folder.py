"""A directory of flows: what is in it, by name, and in order of number. Knows no flow and no engine."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from .numbers import ROOT

_SLICE = 256  # numbers taken at once
_MIN_NUMBERS = 64  # not worth closing ranks


class Folder:
    """What is in it are flows, if `is_last`, or else directories: all paths of a template are as long.

    `up`: the inode of the directory that it is in; `children`: inodes by name, ascending.
    """

    __slots__ = ("_numbers", "changed_ns", "children", "inode", "is_last", "name", "parent")

    def __init__(self, inode: int, name: bytes, parent: Folder | None, is_last: bool, now_ns: int) -> None:
        self.inode = inode
        self.name = name
        self.parent = parent
        self.is_last = is_last
        self.changed_ns = now_ns
        self.children: dict[bytes, int] = {}
        self._numbers = array("q")  # the same, and some that are not there any more

    @property
    def up(self) -> int:
        return self.parent.inode if self.parent is not None else ROOT

    @property
    def links(self) -> int:
        """Two, and one from each directory in it."""
        return 2 if self.is_last else 2 + len(self.children)

    def add(self, name: bytes, inode: int, now_ns: int) -> None:
        """Something with a higher inode than any before."""
        self.children[name] = inode
        self._numbers.append(inode)
        self.changed_ns = now_ns

    def remove(self, name: bytes, now_ns: int) -> None:
        """Something goes."""
        del self.children[name]
        self.changed_ns = now_ns
        if len(self.children) * 2 < len(self._numbers) and len(self._numbers) > _MIN_NUMBERS:
            self._numbers = array("q", self.children.values())

    def after(self, inode: int) -> Iterator[int]:
        """Higher inodes, ascending, also ones that come meanwhile; some may not be there any more."""
        while True:
            found = self._numbers
            row = bisect_right(found, inode)
            some = found[row : row + _SLICE]
            if not some:
                return
            yield from some
            inode = some[-1]

"""Whose the files look like, and what their modes say."""

from __future__ import annotations

import stat

PRIVATE = 0o077  # the umask under which the tree's modes are shown as they are
_EVERYBODY = 0o111  # times the rights of one: owner, group and others


class Modes(dict[int, int]):
    """The tree's modes → the modes shown under `umask`.

    The tree knows its owner alone. What the owner may, everybody may, less what the umask takes away: with
    022, 0400 is shown as 0444. A symbolic link keeps its mode, which counts for nothing (symlink(7)).
    """

    def __init__(self, umask: int = PRIVATE) -> None:
        super().__init__()
        self._umask = umask

    def __missing__(self, mode: int) -> int:
        shown = mode
        if not stat.S_ISLNK(mode):
            owner = mode >> 6 & 7
            shown = stat.S_IFMT(mode) | owner * _EVERYBODY & ~self._umask
        self[mode] = shown
        return shown

"""Whose the files look like, and what their modes say."""

from __future__ import annotations

import os
import stat

from ..tree import DIRECTORY_MODE, ROOT_MODE, STREAM_MODE

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

    def let_us_write_streams(self, uid: int, gid: int) -> bool:
        """Whether this process comes to the FIFOs and may write to them, where they look like these ids'.

        As path_resolution(7) has it, for the real ids, which are those that serve in the end.
        """
        if os.getuid() == 0:
            return True
        whose = 6 if os.getuid() == uid else 3 if os.getgid() == gid else 0
        needed = ((ROOT_MODE, os.X_OK), (DIRECTORY_MODE, os.X_OK), (STREAM_MODE, os.W_OK))
        return all(self[mode] >> whose & right for mode, right in needed)

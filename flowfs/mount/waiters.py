"""Who waits for a file to have something to read, in poll(2), select(2), epoll_wait(2).

Knows inodes, handles and no flow. Always true: there is at most one waiter for each open file, since the
kernel wakes by one all who wait for that, and it goes when it was told or the file is closed. Telling never
waits.

A waiter is kept whether or not there is something to read already: who waits for edges (EPOLLET) does not ask
again before it was told. Whoever is told asks again, which brings the next one.
"""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class Waiter(Protocol):
    """Somebody to tell, once. What pyfuse3 calls a PollHandle is one."""

    def notify(self) -> None:
        """There may be something. Raises OSError if there is nobody any more."""


class Waiters:
    """By inode, since that is what changes, and then by handle."""

    def __init__(self) -> None:
        self._waiters: dict[int, dict[int, Waiter]] = {}
        self._inodes: dict[int, int] = {}  # by handle

    def __len__(self) -> int:
        return len(self._inodes)

    def keep(self, inode: int, handle: int, waiter: Waiter) -> None:
        """Tell this one when the inode changes, instead of who was to be told for the same handle."""
        self._inodes[handle] = inode
        self._waiters.setdefault(inode, {})[handle] = waiter

    def drop(self, handle: int) -> None:
        """Nobody waits with this handle any more, if anybody did."""
        inode = self._inodes.pop(handle, None)
        if inode is not None:
            waiters = self._waiters[inode]
            del waiters[handle]
            if not waiters:
                del self._waiters[inode]

    def wake(self, inode: int) -> None:
        """The inode has changed."""
        for handle, waiter in self._waiters.pop(inode, {}).items():
            del self._inodes[handle]
            try:
                waiter.notify()
            except OSError as error:  # the mount is being taken away
                _log.debug("inode %d: %s", inode, error)

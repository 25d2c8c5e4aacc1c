"""Who waits for a file to have something to read, in poll(2), select(2), epoll_wait(2).

Of most files somebody else learns that they changed, and calls wake(). For those of which nobody does, who
waits is looked after every LOOK_S, and those who are many more rarely. Knows inodes, handles and no flow.
Always true: there is at most one waiter for each open file, since the kernel wakes by one all who wait for
that, and it goes when it was told or the file is closed. Telling never waits.

A waiter is kept whether or not there is something to read already: who waits for edges (EPOLLET) does not ask
again before it was told. Whoever is told asks again, which brings the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import trio

LOOK_S = 0.1
OTHERS_SHARE = 19  # times as long as it takes to look after thousands is for everybody else
CHUNK = 16  # looks, of some 20 µs, before others have their turn

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
        self._looked_after: dict[int, None] = {}  # handles of files of which nobody learns that they changed
        self._some = trio.Event()

    def __len__(self) -> int:
        return len(self._inodes)

    def keep(self, inode: int, handle: int, waiter: Waiter, *, told: bool = True) -> None:
        """Tell this one when the inode changes, instead of who was to be told for the same handle.

        `told`: somebody calls wake() then.
        """
        self._inodes[handle] = inode
        self._waiters.setdefault(inode, {})[handle] = waiter
        if not told:
            self._looked_after[handle] = None
            self._some.set()

    async def look_after(self, has_changed: Callable[[int], bool]) -> None:
        """Wake those who wait with a handle that has changed, as nobody else learns. Until cancelled."""
        took_s = 0.0
        while True:
            await self._some.wait()
            await trio.sleep(max(LOOK_S, OTHERS_SHARE * took_s))
            begun_s = trio.current_time()
            for count, handle in enumerate(list(self._looked_after), 1):
                if handle in self._looked_after and has_changed(handle):
                    self.wake(self._inodes[handle])
                if count % CHUNK == 0:
                    await trio.lowlevel.checkpoint()
            took_s = trio.current_time() - begun_s
            if not self._looked_after:
                self._some = trio.Event()

    def drop(self, handle: int) -> None:
        """Nobody waits with this handle any more, if anybody did."""
        inode = self._inodes.pop(handle, None)
        self._looked_after.pop(handle, None)
        if inode is not None:
            waiters = self._waiters[inode]
            del waiters[handle]
            if not waiters:
                del self._waiters[inode]

    def wake(self, inode: int) -> None:
        """The inode has changed."""
        for handle, waiter in self._waiters.pop(inode, {}).items():
            del self._inodes[handle]
            self._looked_after.pop(handle, None)
            try:
                waiter.notify()
            except OSError as error:  # the mount is being taken away
                _log.debug("inode %d: %s", inode, error)

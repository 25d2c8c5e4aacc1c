"""`.flowfs/follow`: FIFOs into which flows are written for whoever opens one.

Owns the readers who may come, and the tasks that write for those who did. The kernel serves a FIFO by itself:
it asks for the name and never says that somebody opened it. So whoever asks for a name is a visitor, who may
be about to open it, waits in open(2) then, and is found out by opening the other end, which fails with ENXIO
while there is no reader. Always true:
 - a thread that waits in open(2) asks for nothing else, so of each thread only the last visit counts: `ls -l`
   of a thousand flows is one visitor. Each is looked after for PATIENCE_S, the last MAX_VISITORS of them;
 - each visit is to an inode of its own, so each reader has a pipe of its own, which begins where the flow
   does;
 - who looks for a reader goes through our own mount, and waits for an answer of ours: so that is done in a
   thread, and no handler waits for it;
 - that thread may find a reader when the mount has ended: then it closes what it opened, so that the reader
   sees the end;
 - nobody waits for a reader who is slow but the task that writes for it, of which there are MAX_FEEDERS at
   the most. Visitors beyond wait until one ends. What was freed ends a stream: a pipe has no errors.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from ..tree import FOLLOW, ROOT, Attributes, Tree, TreeError
from .waiters import Waiters

MAX_VISITORS = 1024  # 200 bytes each
MAX_FEEDERS = 64  # each has a pipe of 64 KiB, in the kernel
PATIENCE_S = 1.5  # from the answer to open(2), on a busy machine
FIRST_S = 0.001  # when it is tried for the first time; each time later, twice as long
PIECE_BYTES = 65536  # what a pipe holds
_NOBODY = -1

_log = logging.getLogger(__name__)


class _Visit:
    """Somebody who asked for a name. `pid`: of the thread, 0 if it is in another namespace."""

    __slots__ = ("began", "due", "inode", "name", "pause", "pid")

    def __init__(self, inode: int, name: bytes, pid: int, now: float) -> None:
        self.inode = inode
        self.name = name
        self.pid = pid
        self.began = now
        self.pause = FIRST_S
        self.due = now + FIRST_S

    def postpone(self, now: float) -> None:
        self.pause *= 2
        self.due = now + self.pause


class Streams:
    """The FIFOs of one mount on `path`. `settle`: see Operations.

    `can_be_written`: False where the modes keep us out, so that who opens one would wait for good.
    """

    def __init__(self, tree: Tree, waiters: Waiters, settle: Callable[[int], None], path: str) -> None:
        self._tree = tree
        self._waiters = waiters
        self._settle = settle
        self._path = os.path.join(os.fsencode(path), FOLLOW)
        self._visits: OrderedDict[int, _Visit] = OrderedDict()  # by thread, or a number < 0
        self._strangers = itertools.count(-1, -1)
        self._sought: tuple[int, int] = (0, 0)  # which inode we look for ourselves, in which thread
        self._news = trio.Event()
        self._handing_over = threading.Lock()
        self._pipes: Sequence[int | None] = ()  # that were opened, and are nobody's yet
        self._is_over = False
        self.feeders = 0
        self.can_be_written = True

    def __len__(self) -> int:
        return len(self._visits)

    def visit(self, attributes: Attributes, name: bytes, pid: int) -> Attributes:
        """What to answer a thread that asked for a FIFO. Called before that is sent; cheap."""
        inode, thread = self._sought
        if inode and pid in (thread, os.getpid()):
            return self._tree.attributes(inode)
        key = pid or next(self._strangers)
        self._visits.pop(key, None)
        self._visits[key] = _Visit(attributes.inode, name, pid, trio.current_time())
        if len(self._visits) > MAX_VISITORS:
            self._visits.popitem(last=False)
        self._news.set()
        return attributes

    # --- looking for readers -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._look_for_readers()
        finally:
            with self._handing_over:
                self._is_over = True
                _close_all(self._pipes)

    async def _look_for_readers(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._wait()
                now = trio.current_time()
                room = MAX_FEEDERS - self.feeders
                due = [(key, visit) for key, visit in self._visits.items() if visit.due <= now][:room]
                if not due:
                    continue
                visits = [visit for _, visit in due]
                await trio.to_thread.run_sync(self._open_all, visits, abandon_on_cancel=True)
                pipes, self._pipes = self._pipes, ()
                for (key, visit), pipe in zip(due, pipes, strict=True):
                    self._go_on(key, visit, pipe is not None)
                    if pipe is not None and pipe != _NOBODY:
                        self.feeders += 1
                        nursery.start_soon(self._serve, visit.inode, pipe)

    def _go_on(self, key: int, visit: _Visit, over: bool) -> None:
        """The visitor was looked for: once more, later, if it may still come."""
        now = trio.current_time()
        visit.postpone(now)
        if (over or now - visit.began > PATIENCE_S) and self._visits.get(key) is visit:
            del self._visits[key]

    async def _wait(self) -> None:
        """For somebody new, for the end of a feeder if there are too many, or for the next who is due."""
        due = min((visit.due for visit in self._visits.values()), default=float("inf"))
        if self.feeders >= MAX_FEEDERS:
            due = float("inf")
        with trio.move_on_at(due):
            await self._news.wait()
        self._news = trio.Event()

    def _open_all(self, visits: Sequence[_Visit]) -> None:
        """Have in `_pipes` the ends to write to. In a thread.

        None: nobody has opened the other end; _NOBODY: nor will.
        """
        pipes = []
        for visit in visits:
            self._sought = visit.inode, threading.get_native_id()
            pipes.append(_NOBODY if _has_ended(visit.pid) else self._open(visit))
        self._sought = 0, 0
        with self._handing_over:
            if self._is_over:
                _close_all(pipes)
            else:
                self._pipes = pipes

    def _open(self, visit: _Visit) -> int | None:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            pipe = os.open(os.path.join(self._path, visit.name), flags)
        except OSError as error:
            return None if error.errno == errno.ENXIO else _NOBODY
        found = os.fstat(pipe)
        if stat.S_ISFIFO(found.st_mode) and found.st_ino == visit.inode:
            return pipe
        os.close(pipe)  # another mount lies there
        return _NOBODY

    # --- writing -----------------------------------------------------------------------------------

    async def _serve(self, inode: int, pipe: int) -> None:
        """Write for one reader until the flow or the reader has ended."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_nobody_reads, pipe, nursery.cancel_scope)
                with suppress(TreeError, BrokenPipeError):
                    await self._feed(self._tree.followed(inode), pipe)
                nursery.cancel_scope.cancel()
        except Exception:  # noqa: BLE001  anything else would end the mount, with all that it holds
            _log.exception("a stream ended by a fault in flowfs")
        finally:
            os.close(pipe)
            self.feeders -= 1
            self._news.set()

    async def _until_nobody_reads(self, pipe: int, scope: trio.CancelScope) -> None:
        await trio.lowlevel.wait_readable(pipe)  # the end to write to never is, but for POLLERR
        scope.cancel()

    async def _feed(self, inode: int, pipe: int) -> None:
        """Raises TreeError, BrokenPipeError."""
        handle, offset = self._tree.open(inode).handle, 0
        try:
            while True:
                readiness = self._tree.readiness(handle)
                data = self._tree.read(handle, offset, PIECE_BYTES)
                offset += len(data)
                if data:
                    await self._write(pipe, data)
                elif readiness.ended:
                    return
                else:
                    waiter = _Growth()
                    self._waiters.keep(inode, handle, waiter)
                    await waiter.event.wait()
        finally:
            self._waiters.drop(handle)
            self._tree.release(handle)
            self._settle(ROOT)  # as when the kernel releases it

    async def _write(self, pipe: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(pipe)
        await trio.lowlevel.checkpoint()  # others have their turn


def _close_all(pipes: Sequence[int | None]) -> None:
    for pipe in pipes:
        if pipe is not None and pipe != _NOBODY:
            os.close(pipe)


def _has_ended(thread: int) -> bool:
    """Whether there is no such thread; 0 is never known to have ended."""
    try:
        os.kill(thread or os.getpid(), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


class _Growth:
    """A waiter of ours."""

    def __init__(self) -> None:
        self.event = trio.Event()

    def notify(self) -> None:
        self.event.set()

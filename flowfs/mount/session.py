"""One mount from its beginning to its end.

Owns the session with the kernel: mounting, serving, unmounting. One mount a process, since pyfuse3 keeps
its session in globals.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyfuse3
import trio

from ..mountpoint import MountError, mounted_at, prepare
from ..tree import Tree
from . import gate
from .modes import Modes
from .notifier import Notifier
from .operations import Operations
from .options import MountOptions
from .streams import Streams
from .waiters import Waiters

MAX_TASKS = 512  # pyfuse3's default 99 freezes the mount when as many handlers are blocked
READ_AHEAD_KIB = 1024  # cat of a finished flow: 2,200 MB/s instead of 735 with the default 128


class Mount:
    """One mounted tree. `open`, then `serve` in a nursery, `close` in the end, whatever happened.

    `warnings`: what had to be done to be able to mount, a line each.
    """

    def __init__(
        self,
        path: str,
        operations: Operations,
        notifier: Notifier,
        streams: Streams,
        warnings: list[str],
    ) -> None:
        self.path = path
        self.warnings = warnings
        self._operations = operations
        self._notifier = notifier
        self._streams = streams
        self._open = True

    @classmethod
    def open(
        cls, tree: Tree, mountpoint: str, options: MountOptions | None = None, source: str = ""
    ) -> Mount:
        """Mount the tree; from then on requests wait for `serve`. Raises MountError.

        `source` is what is captured, as fstab(5) names it. The mount belongs to the real user and group of
        the process: root that mounts for somebody else calls `setresgid(gid, 0, 0)` and
        `setresuid(uid, 0, 0)` before, and gives up the rest of its rights afterwards. No thread is started,
        so the process may fork between this and `serve`.
        """
        options = options or MountOptions()
        path, warnings = prepare(mountpoint)
        if options.contradiction:
            warnings.append(options.contradiction)
        logging.getLogger("pyfuse3").addFilter(_is_news)
        waiters = Waiters()
        notifier = Notifier(tree, waiters)
        streams = Streams(tree, waiters, notifier.settle, path)
        uid = os.getuid() if options.uid is None else options.uid
        gid = os.getgid() if options.gid is None else options.gid
        modes = Modes(options.umask)
        streams.can_be_written = not options.checked or modes.let_us_write_streams(uid, gid)
        operations = Operations(
            tree, notifier.settle, waiters, streams, lambda: notifier.learnt, uid, gid, modes
        )
        gate.put_up(operations.foresight.make)
        said = ""
        try:
            with _captured_stderr() as captured:
                pyfuse3.init(operations, path, options.for_fuse(source))
        except RuntimeError:
            said = captured[-1] if captured else "the kernel refused"
        if said:
            raise MountError(f"{mountpoint}: {said.removeprefix('fusermount3: ')}{_hint(said)}")
        return cls(path, operations, notifier, streams, warnings)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until the mount is taken away or `terminate` is called.

        For `nursery.start`: started once the kernel has taken the mount into use.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notifier.run)
            nursery.start_soon(self._streams.run)
            nursery.start_soon(self._operations.look_after_waiters)
            nursery.start_soon(self._get_ready, task_status)
            try:
                await pyfuse3.main(max_tasks=MAX_TASKS)
            except* ConnectionAbortedError:
                pass  # the mount was taken away just when a request was read; else the kernel says ENODEV
            nursery.cancel_scope.cancel()

    async def _get_ready(self, task_status: trio.TaskStatus[None]) -> None:
        await self._operations.ready.wait()
        mounted = mounted_at(self.path)
        if mounted is not None:
            with suppress(OSError):  # only root may, and it is about speed
                Path(f"/sys/class/bdi/{mounted.device}/read_ahead_kb").write_text(str(READ_AHEAD_KIB))
        task_status.started()

    def notify(self) -> None:
        """The engine has changes. Only on trio's thread; cheap."""
        self._notifier.notify()

    def terminate(self) -> None:
        """Let `serve` return. Only on trio's thread."""
        if self._open:
            pyfuse3.terminate()

    def close(self) -> None:
        """Take the mount away, even if files in it are open. Once more does nothing."""
        if self._open:
            self._open = False
            pyfuse3.close(unmount=True)


def _hint(said: str) -> str:
    if "user_allow_other" in said:
        return "; have root add that line to the file, or mount by sudo, or leave others out"
    return "; in a container: --device /dev/fuse --cap-add SYS_ADMIN" if "not permitted" in said else ""


def _is_news(record: logging.LogRecord) -> bool:
    """False for a reply that nobody waits for any more: pyfuse3 calls it an error when a reader is killed."""
    return "fuse_reply_* failed" not in str(record.msg)


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Lines that C code and child processes write to standard error: libfuse says only there what failed."""
    lines: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += filter(None, file.read().decode(errors="replace").splitlines())

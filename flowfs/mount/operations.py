"""The requests of the kernel, answered by the tree.

Owns errnos and flags; what there is and what it holds says the tree. Always true: handlers are plain
functions, which cannot wait, and `_handler` makes them what pyfuse3 calls; where something has to be made
first, it waits for that and asks again. So nothing else runs on trio's thread between the making of an answer
and its sending, and no notification is sent in between but by `settle`. A handler that fails in an unforeseen
way is logged and answered EIO: the mount goes on.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import select
import stat
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import pyfuse3
import trio

from ..tree import (
    FOREVER_S,
    MAX_NAME_BYTES,
    PAGE_BYTES,
    READ_BYTES,
    ROOT,
    STAT_BLOCK_BYTES,
    Attributes,
    Reason,
    Tree,
    TreeError,
    Unready,
)
from .foresight import Entry, Foresight
from .modes import Modes
from .streams import Streams
from .waiters import Waiters

ERRNO = {
    Reason.NOT_FOUND: errno.ENOENT,
    Reason.NOT_A_DIRECTORY: errno.ENOTDIR,
    Reason.IS_A_DIRECTORY: errno.EISDIR,
    Reason.NOT_A_LINK: errno.EINVAL,
    Reason.NO_ATTRIBUTE: errno.ENODATA,
    Reason.READ_ONLY: errno.EROFS,
    Reason.STALE: errno.ESTALE,  # the VFS then looks the name up again
    Reason.FREED: errno.EIO,
    Reason.NOT_OPEN: errno.EBADF,
    Reason.NOT_EMPTY: errno.ENOTEMPTY,
}
_SPACE_UNIT_BYTES = 1024  # of statfs
_READABLE = select.POLLIN | select.POLLRDNORM

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def _handler(
    answer: Callable[Concatenate[Operations, _Arguments], _Answer],
) -> Callable[Concatenate[Operations, _Arguments], Coroutine[Any, Any, _Answer]]:
    """Make a plain function a handler of pyfuse3's, which may raise nothing but FUSEError."""

    @functools.wraps(answer)
    async def handle(self: Operations, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        try:
            while True:
                try:
                    return answer(self, *args, **kwargs)
                except Unready as error:
                    await trio.to_thread.run_sync(error.work, abandon_on_cancel=True)
        except TreeError as error:
            raise pyfuse3.FUSEError(ERRNO[error.reason]) from None
        except pyfuse3.FUSEError:
            raise
        except Exception:  # noqa: BLE001  anything else would end the mount, with all that it holds
            _log.exception("%s: a fault in flowfs; answered EIO", answer.__name__)
            raise pyfuse3.FUSEError(errno.EIO) from None

    return handle


class Operations(pyfuse3.Operations):
    """The requests. `forget` is not among them: the tree remembers nothing for the kernel."""

    supports_dot_lookup = False

    def __init__(
        self,
        tree: Tree,
        settle: Callable[..., None],
        waiters: Waiters,
        streams: Streams,
        learnt: Callable[[], int],
        uid: int,
        gid: int,
        modes: Modes | None = None,
    ) -> None:
        super().__init__()
        self._tree = tree
        self._settle = settle
        self._waiters = waiters
        self._streams = streams
        self.foresight = Foresight(self._entries, learnt)
        self._uid = uid
        self._gid = gid
        self._modes = Modes() if modes is None else modes
        self.ready = trio.Event()

    def init(self) -> None:
        self.ready.set()

    def _entry(self, attributes: Attributes) -> pyfuse3.EntryAttributes:
        """What most files have it has from the beginning: one link, and that it may be kept for 300 s."""
        inode, size, blocks, atime_ns, mtime_ns, ctime_ns, mode, links, valid_s, name_valid_s = attributes
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = self._modes[mode]
        entry.st_uid = self._uid
        entry.st_gid = self._gid
        entry.st_size = size
        entry.st_blocks = blocks
        # tail(1) reads what has no more than this from its beginning, which may have been freed.
        entry.st_blksize = READ_BYTES if size <= blocks * STAT_BLOCK_BYTES else PAGE_BYTES
        entry.st_atime_ns = atime_ns
        entry.st_mtime_ns = mtime_ns
        entry.st_ctime_ns = ctime_ns
        if links != 1:
            entry.st_nlink = links
        if valid_s != FOREVER_S:
            entry.attr_timeout = valid_s
        if name_valid_s != FOREVER_S:
            entry.entry_timeout = name_valid_s
        return entry

    # --- names and attributes ----------------------------------------------------------------------

    @_handler
    def lookup(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        attributes = self._tree.lookup(parent_inode, name)
        if stat.S_ISFIFO(attributes.mode):
            if not self._streams.can_be_written:
                raise pyfuse3.FUSEError(errno.EACCES)
            attributes = self._streams.visit(attributes, name, ctx.pid)
        entry = self._entry(attributes)
        self._settle(entry.st_ino)
        return entry

    @_handler
    def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        entry = self._entry(self._tree.attributes(inode))
        self._settle(inode)
        return entry

    @_handler
    def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        return self._tree.target(inode)

    @_handler
    def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        return self._tree.open_directory(inode)

    @_handler
    def releasedir(self, fh: int) -> None:
        self._tree.release_directory(fh)

    @_handler
    def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        inodes: list[int] = []
        last = start_id
        try:
            for name, entry, cookie in self.foresight.entries(fh, start_id):
                if not pyfuse3.readdir_reply(token, name, entry, cookie):
                    self.foresight.plan(fh, last, len(inodes))
                    break
                inodes.append(entry.st_ino)
                last = cookie
        except (TreeError, Unready):
            if not inodes:
                raise  # else it is told who asks for what follows: these are given, and must not be again
        self._settle(*inodes)

    def _entries(self, fh: int, start_id: int) -> Iterator[Entry]:
        for name, attributes, cookie in self._tree.entries(fh, start_id):
            yield name, self._entry(attributes), cookie

    @_handler
    def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """access(2): as the owner's mode bits say, or root would have it. open(2) does not ask this.

        Nobody else asks: where others are let in, the kernel answers by itself.
        """
        allowed = (self._modes[self._tree.attributes(inode).mode] >> 6) & 7
        return mode & ~allowed == 0 or (ctx.uid == 0 and not mode & os.X_OK)

    @_handler
    def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        space = self._tree.space()
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _SPACE_UNIT_BYTES
        data.f_blocks = space.total_bytes // data.f_frsize
        data.f_bfree = data.f_bavail = (space.total_bytes - space.used_bytes) // data.f_frsize
        data.f_files = space.flows + space.free_flows
        data.f_ffree = data.f_favail = space.free_flows
        data.f_namemax = MAX_NAME_BYTES
        return data

    @_handler
    def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        if not name.startswith(b"user."):
            # Rather than ENODATA: `ls -l` then asks once a device instead of twice a file.
            raise pyfuse3.FUSEError(errno.ENOTSUP)
        return self._tree.xattr(inode, name)

    @_handler
    def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> tuple[bytes, ...]:
        return self._tree.xattr_names(inode)

    # --- reading -----------------------------------------------------------------------------------

    @_handler
    def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """A flow that may still grow is read past the page cache.

        Through it several readers at once see zeros at the old end. When a flow is final the cache is
        right, given that the kernel knows its final size: an attribute of old must not outlive this answer.
        """
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise pyfuse3.FUSEError(errno.EROFS)
        opened = self._tree.open(inode)
        self._settle(inode)
        cacheable = opened.cacheable
        return pyfuse3.FileInfo(fh=opened.handle, direct_io=not cacheable, keep_cache=cacheable)

    @_handler
    def read(self, fh: int, off: int, size: int) -> bytes | memoryview:  # type: ignore[override]  # its stubs know no views
        return self._tree.read_page(fh, off, size)

    @_handler
    def poll(
        self, inode: int, fh: int, poll_handle: pyfuse3.PollHandle | None, ctx: pyfuse3.RequestContext
    ) -> int:
        """Readable: behind what was read last with this handle there are bytes, or no more will come.

        Then POLLHUP stands beside it, as it does for a pipe that nobody writes to.
        """
        told = self._tree.is_told(fh)
        if not told and self._tree.has_grown(fh):
            self._waiters.wake(inode)  # who waits with the same handle would not be told of this any more
        readiness = self._tree.readiness(fh)
        if poll_handle is not None:
            self._waiters.keep(inode, fh, poll_handle, told=told)
        return (_READABLE if readiness.readable else 0) | (select.POLLHUP if readiness.ended else 0)

    async def look_after_waiters(self) -> None:
        """Wake those who wait for what `changes()` does not name. Until cancelled."""
        await self._waiters.look_after(self._has_changed)

    def _has_changed(self, fh: int) -> bool:
        """Whether a file is another than when somebody began to wait, or who waits is to meet a fault."""
        try:
            return self._tree.has_grown(fh)
        except Exception:  # noqa: BLE001  anything would end the mount, with all that it holds
            _log.exception("a fault in flowfs, of what somebody waits for")
            return True

    @_handler
    def release(self, fh: int) -> None:
        self._waiters.drop(fh)
        self._tree.release(fh)
        self._settle(ROOT)  # what was kept for this reader is freed: nobody else may come to ask

    # --- everything that writes --------------------------------------------------------------------

    @_handler
    def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        self._tree.unlink(parent_inode, name)
        self.foresight.forget()
        self._settle(ROOT)  # as in release()

    @_handler
    def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        self._tree.rmdir(parent_inode, name)
        self.foresight.forget()

    async def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise pyfuse3.FUSEError(errno.EROFS)

    create = link = mkdir = mknod = rename = symlink = write = _refuse
    removexattr = setattr = setxattr = _refuse

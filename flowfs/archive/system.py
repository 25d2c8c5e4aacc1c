"""Calls of Linux that Python's os does not have. Each raises OSError."""

from __future__ import annotations

import ctypes
import errno
import os

_KEEP_SIZE = 1  # <linux/falloc.h>
_RENAME_NOREPLACE = 1  # <linux/fs.h>
_NOT_KNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

_libc = ctypes.CDLL(None, use_errno=True)


def reserve(file: int, end: int) -> None:
    """See to it that the file can grow up to `end`; its size stays. Nothing is done where that is unknown."""
    if _libc.fallocate(file, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(end)):
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(number, os.strerror(number))


def move(source: int, name: str, target: int, final: str) -> None:
    """Rename from one directory to another; what is there is never replaced (FileExistsError)."""
    if not _libc.renameat2(source, name.encode(), target, final.encode(), _RENAME_NOREPLACE):
        return
    number = ctypes.get_errno()
    if number not in _NOT_KNOWN:
        raise OSError(number, os.strerror(number))
    os.link(name, final, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


def sync_all(file: int) -> None:
    """Wait until all that was written to the file system of `file` is on the disk."""
    if _libc.syncfs(file):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

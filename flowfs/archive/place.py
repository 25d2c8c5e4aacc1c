"""The directory of an archive: where parts are written, and how they get their names.

Parts are written in `.flowfs-*`, a directory in it of this process alone, and appear under their names when
they are complete: by a rename that never replaces anything. The process holds a lock on the archive, which
nobody shares: what two mounts saved could not be told apart. It holds one on its directory as well, so that
where the former cannot be had, the next one knows what is left by the dead. Files are 0600, and what is made
here is 0700. Raises OSError, which says what is wrong with the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Sequence

from . import system
from .journal import Journal

JOURNAL = "flows.jsonl"
SCRATCH = ".flowfs-"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PART = os.O_CLOEXEC | os.O_NOFOLLOW
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""The file system has none, or like NFS none on what is open for reading only."""
_ATTEMPTS = 100
_TRIED_BYTES = 4096


class ArchiveError(Exception):
    """The archive cannot be used, or has not got all; str() is one line with what to do about it."""


class Place:
    """One directory, open. Descriptors are kept, so that nothing else can take its place unseen."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.journal = Journal()
        self._directory = self._scratch = -1
        self._scratch_name = ""
        self._has_folders = False  # in which names are not safe yet
        self._open()

    @classmethod
    def make(cls, path: str) -> Place:
        """The directory, made if only its last part is missing. Raises ArchiveError."""
        option = f"--archive {path}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            return cls(path)
        except FileNotFoundError:
            raise ArchiveError(f"{option}: no such directory; make it: mkdir -p {path}") from None
        except NotADirectoryError:
            raise ArchiveError(f"{option}: not a directory") from None
        except PermissionError:
            raise ArchiveError(f"{option}: no right to write to it; name a directory of your own") from None
        except BlockingIOError:
            raise ArchiveError(
                f"{option}: another mount saves its flows there, or has not ended yet; give each its own"
            ) from None
        except OSError as error:
            raise ArchiveError(f"{option}: {error.strerror}") from None

    def _open(self) -> None:
        self._directory = os.open(self.path, _DIRECTORY)
        try:
            if not _is_ours(self._directory):
                raise BlockingIOError(errno.EWOULDBLOCK, "another mount saves its flows there")
            self._clear_after_the_dead()
            self._take_scratch()
            self.journal.open(JOURNAL, self._directory)
        except OSError:
            self.close()
            raise

    def reopen(self) -> bool:
        """After a fault: whether another directory stands there, so that all that was written is gone.

        It is not made again: where a disk was, its place would be filled instead.
        """
        there = os.stat(self.path)
        known = os.fstat(self._directory) if self._directory >= 0 else None
        if known is not None and os.path.samestat(there, known) and os.fstat(self._scratch).st_nlink:
            if not self.journal.is_there():
                self.journal.close()
                self.journal.open(JOURNAL, self._directory)
            return False
        self.close()
        self._open()
        return True

    def close(self) -> None:
        """Let go of it, and of what is not complete."""
        if self._scratch >= 0:
            with contextlib.suppress(OSError):
                _clear(self._scratch)
                os.rmdir(self._scratch_name, dir_fd=self._directory)
            os.close(self._scratch)
        if self._directory >= 0:
            os.close(self._directory)
        self.journal.close()
        self._directory = self._scratch = -1

    # --- the scratch directory -------------------------------------------------------------------------

    def _take_scratch(self) -> None:
        """Make a directory of our own, and lock it before another process takes it for one of the dead."""
        for _ in range(_ATTEMPTS):
            name = SCRATCH + secrets.token_hex(4)
            try:
                os.mkdir(name, 0o700, dir_fd=self._directory)
                self._scratch = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._directory)
            except (FileExistsError, FileNotFoundError):
                continue
            self._scratch_name = name
            if _is_ours(self._scratch) and os.fstat(self._scratch).st_nlink:
                return
            os.close(self._scratch)
            self._scratch = -1
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _clear_after_the_dead(self) -> None:
        """Remove what processes left that were killed; a lock tells the living."""
        for name in os.listdir(self._directory):
            if not name.startswith(SCRATCH):
                continue
            with contextlib.suppress(OSError):  # another one's, whom it does not harm
                descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._directory)
                try:
                    if _lock(descriptor):
                        _clear(descriptor)
                        os.rmdir(name, dir_fd=self._directory)
                finally:
                    os.close(descriptor)

    # --- parts -----------------------------------------------------------------------------------------

    def create(self, name: str) -> int:
        """A new file for a part; returns a descriptor to write."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PART, 0o600, dir_fd=self._scratch)

    def open(self, name: str) -> int:
        """The file of a part, to go on writing."""
        return os.open(name, os.O_WRONLY | _PART, dir_fd=self._scratch)

    def try_out(self) -> None:
        """Write something, make it safe, and remove it. Raises OSError if that does not work."""
        name = "try"
        self.discard(name)  # which may have failed before
        file = self.create(name)
        try:
            os.write(file, bytes(_TRIED_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
            self.discard(name)

    def discard(self, name: str) -> None:
        """Nobody wants the part."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._scratch)

    def publish(self, name: str, wanted: str) -> str:
        """Let a part appear as `wanted`, or with the next number that is free; returns its path.

        Directories are made; where one cannot be, since there is something else, it gets a number as well.
        """
        *folders, last = wanted.split("/")
        path, directory = self._open_folders(folders)
        self._has_folders = self._has_folders or bool(folders)
        try:
            number = _first_free(last, directory)
            while True:
                final = numbered(last, number)
                try:
                    system.move(self._scratch, name, directory, final)
                except FileExistsError:
                    number += 1
                else:
                    return "/".join((*path, final))
        finally:
            os.close(directory)

    def _open_folders(self, folders: Sequence[str]) -> tuple[list[str], int]:
        """What the directories, one in the other, are called in the end; the last one, open."""
        path: list[str] = []
        directory = os.dup(self._directory)
        try:
            for folder in folders:
                name, inner = _open_folder(directory, folder)
                os.close(directory)
                directory = inner
                path.append(name)
        except OSError:
            os.close(directory)
            raise
        return path, directory

    # --- the disk --------------------------------------------------------------------------------------

    def sync_all(self) -> None:
        """All that was written is on the disk: for many files one call is a hundred times as fast."""
        system.sync_all(self._scratch)

    def sync_names(self) -> None:
        """So are the names and the journal."""
        if self._directory < 0:
            raise OSError(errno.EBADF, "the directory cannot be opened again")
        if self._has_folders:
            system.sync_all(self._directory)
            self._has_folders = False
        else:
            os.fsync(self._directory)
        self.journal.sync()


def numbered(name: str, number: int) -> str:
    """The first part has the flow's name, those that follow sort behind it."""
    return f"{name}+{number:04}" if number else name


def _first_free(wanted: str, directory: int) -> int:
    """By steps that double, and then halve: there may be thousands."""
    used, free = -1, 0
    while _is_used(numbered(wanted, free), directory):
        free, used = 2 * free - used + 1, free
    while free - used > 1:
        middle = (used + free) // 2
        if _is_used(numbered(wanted, middle), directory):
            used = middle
        else:
            free = middle
    return free


def _is_used(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _open_folder(directory: int, wanted: str) -> tuple[str, int]:
    """A directory in another, made if it is not there: its name, and a descriptor."""
    number = 0
    while True:
        name = numbered(wanted, number)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)
        try:
            return name, os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
        number += 1


def _lock(directory: int) -> bool:
    """False if another process has the lock. Raises OSError where there are none."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_ours(directory: int) -> bool:
    """False if another process has the lock; where there are none, nobody can tell."""
    try:
        return _lock(directory)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True


def _clear(directory: int) -> None:
    for name in os.listdir(directory):
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=directory)

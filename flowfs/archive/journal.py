"""flows.jsonl: a line of JSON for each part, appended when the part has its name; there is room for both.

Always true: it is only appended to, each line by one write(2). A line that was cut, since the process was
killed or the disk is full, is followed by a new line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping

from . import system

RESERVE_BYTES = 64 * 1024
SPARE_BYTES = 64  # a number in a name, a line that was cut
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """An open journal, and the lines that wait for room on the disk."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self._file = -1
        self._torn = False
        self._unsafe: list[tuple[int, bytes]] = []  # where what was written since the last sync is
        self._is_doubtful = False  # that failed
        self._reserved = 0  # up to here the disk has room for it

    def open(self, name: str, directory: int) -> None:
        """Go on where the last one ended."""
        file = os.open(name, _FLAGS, 0o600, dir_fd=directory)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            os.close(file)
            raise FileExistsError(errno.EEXIST, f"{name} in it is no file")
        self._file = file
        self._torn = status.st_size > 0 and os.pread(self._file, 1, status.st_size - 1) != b"\n"

    def reserve(self, record: Mapping[str, object]) -> None:
        """See to it that there is room on the disk for a record like this. Raises OSError."""
        end = os.fstat(self._file).st_size + len(_line(record)) + SPARE_BYTES
        if end <= self._reserved:
            return
        try:
            system.reserve(self._file, end + RESERVE_BYTES)
            self._reserved = end + RESERVE_BYTES
        except OSError:
            system.reserve(self._file, end)
            self._reserved = end

    def add(self, record: Mapping[str, object]) -> None:
        """Append a record; it is kept until write() has succeeded. Raises OSError."""
        self.waiting.append(_line(record))
        self.write()

    def write(self) -> None:
        """Write what waits. Raises OSError."""
        if self.waiting and not self.is_there():
            raise FileNotFoundError(errno.ENOENT, "the journal was removed")
        while self.waiting:
            line = self.waiting[0]
            begin = os.fstat(self._file).st_size
            count = os.write(self._file, b"\n" + line if self._torn else line)
            if count < len(line) + self._torn:
                self._torn = True  # the next write says why
                continue
            self._unsafe.append((begin + self._torn, line))
            self._torn = False
            del self.waiting[0]

    def is_there(self) -> bool:
        """Whether the file still has a name."""
        return self._file >= 0 and os.fstat(self._file).st_nlink > 0

    def sync(self) -> None:
        """What was written is on the disk. Raises OSError, and is to be called again then.

        What the kernel could not write it drops, and says so but once: so all of it is written once more.
        """
        if self._is_doubtful:
            self._write_again()
        self._is_doubtful = True
        os.fdatasync(self._file)
        self._is_doubtful = False
        self._unsafe.clear()

    def _write_again(self) -> None:
        """The lines that are not safe, where they are, unless somebody has changed the file."""
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)  # pwrite(2) appends where O_APPEND is set
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags & ~os.O_APPEND)
        try:
            for begin, line in self._unsafe:
                if os.pread(self._file, len(line), begin) == line:
                    _write_all(self._file, line, begin)
        finally:
            fcntl.fcntl(self._file, fcntl.F_SETFL, flags)

    def close(self) -> None:
        """Lines that wait stay, for the next file."""
        if self._file >= 0:
            if self._reserved:
                with contextlib.suppress(OSError):  # what is reserved behind the end
                    os.ftruncate(self._file, os.fstat(self._file).st_size)
            os.close(self._file)
        self._file = -1
        self._reserved = 0
        self._unsafe.clear()
        self._is_doubtful = False


def _write_all(file: int, line: bytes, begin: int) -> None:
    if os.pwrite(file, line, begin) < len(line):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"

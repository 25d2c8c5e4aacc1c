"""flows.jsonl: a line of JSON for each part, appended when the part has its name; there is room for both.

Always true: a line is one write(2) to a file that is only appended to, so several processes may write to one
journal. A line that was cut, since the process was killed or the disk is full, is followed by a new line.
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
        self._reserved = 0  # up to here the disk has room for it

    def open(self, name: str, directory: int) -> None:
        """Go on where the last one ended."""
        file = os.open(name, _FLAGS, 0o600, dir_fd=directory)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            os.close(file)
            raise FileExistsError(errno.EEXIST, f"{name} in it is no file")
        self._file = file
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH)
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
            count = os.write(self._file, b"\n" + line if self._torn else line)
            if count < len(line) + self._torn:
                self._torn = True  # the next write says why
                continue
            self._torn = False
            del self.waiting[0]

    def is_there(self) -> bool:
        """Whether the file still has a name."""
        return self._file >= 0 and os.fstat(self._file).st_nlink > 0

    def sync(self) -> None:
        """What was written is on the disk."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Lines that wait stay, for the next file."""
        if self._file >= 0:
            if self._reserved:
                # What is reserved behind the end; whoever else has it open may be appending.
                with contextlib.suppress(OSError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.ftruncate(self._file, os.fstat(self._file).st_size)
            os.close(self._file)
        self._file = -1
        self._reserved = 0


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"

"""flows.jsonl: a line of JSON for each part, appended when the part has its name.

Always true: a line is one write(2) to a file that is only appended to, so several processes may write to one
journal. A line that was cut, since the process was killed or the disk is full, is followed by a new line.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """An open journal, and the lines that wait for room on the disk."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self._file = -1
        self._torn = False

    def open(self, name: str, directory: int) -> None:
        """Go on where the last one ended."""
        self._file = os.open(name, _FLAGS, 0o600, dir_fd=directory)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise FileExistsError(errno.EEXIST, f"{name} in it is no file")
        self._torn = status.st_size > 0 and os.pread(self._file, 1, status.st_size - 1) != b"\n"

    def add(self, record: Mapping[str, object]) -> None:
        """Append a record; it is kept until write() has succeeded. Raises OSError."""
        self.waiting.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
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
            os.close(self._file)
        self._file = -1

"""A file that is still written: whether it goes on where it was read to, or was cut short, or began anew.

Knows a file by its first bytes, in which there is the time of the first packet, and by its inode; nothing of
captures. Always true: whatever is not read on as it was written is said, once each time and MAX_LINES times
at the most, and nothing is waited for here.
"""

import os

from .inputs import Plain

START_BYTES = 1024  # the headers of pcapng take some hundred
GAP_BYTES = 4096  # of what was cut off: whether something was written there since
MAX_LINES = 32

GOES_ON, WAITS, BEGINS_ANEW = range(3)


class Rewritten(Exception):
    """Other bytes stand where packets were read; str() goes on behind the name of the file."""


class Following:
    """Looks after one file. `lines`: what people should know; whoever shows them takes them out."""

    def __init__(self, name: str, plain: Plain) -> None:
        self.lines: list[str] = []
        self._path = "" if name == "-" else os.path.abspath(name)
        self._plain = plain
        self._start = b""
        self._end = -1  # where the file ended when it was at its shortest, if that was too short
        self._renamed = False
        self._said = 0

    def look(self, passed: int) -> int:
        """What has become of the file, which was read up to `passed`. Raises Rewritten, OSError."""
        plain = self._plain
        found = os.fstat(plain.descriptor)
        self._look_at_name(found)
        size = found.st_size
        end = size if size < passed and not 0 <= self._end < size else self._end
        start = os.pread(plain.descriptor, START_BYTES, plain.origin)
        known = self._start if end < 0 else self._start[: max(0, end - plain.origin)]
        # Zeros: it was emptied under a writer that goes on where it was.
        if not start.startswith(known) and any(start[: passed - plain.origin]):
            return self._anew()
        gap_bytes = min(size, passed) - end if end >= 0 else 0
        if gap_bytes > 0 and any(os.pread(plain.descriptor, min(GAP_BYTES, gap_bytes), end)):
            return self._written_on(end)
        if size < passed:
            return self._too_short(end)
        self._end = -1
        self._start = start[: passed - plain.origin]
        return GOES_ON

    def _anew(self) -> int:
        self._end = -1
        self._start = b""
        self._say("began anew: it is read from its beginning again")
        return BEGINS_ANEW

    def _written_on(self, end: int) -> int:
        """Something stands where the file was cut: another capture, if little more than a header was left."""
        if end - self._plain.origin < START_BYTES:
            return self._anew()
        raise Rewritten(f"was cut short at {end} bytes and is written on from there")

    def _too_short(self, end: int) -> int:
        if self._end < 0:
            self._say(f"was cut short, at {end} bytes: what was read is kept, what comes next is waited for")
        self._end = end
        return WAITS

    def _look_at_name(self, found: os.stat_result) -> None:
        if self._renamed or not self._path:
            return
        try:
            named = os.stat(self._path)
            self._renamed = (named.st_dev, named.st_ino) != (found.st_dev, found.st_ino)
        except FileNotFoundError:
            self._renamed = True
        except OSError:  # rights were given up
            return
        if self._renamed:
            self._say("is not the file any more that was opened, which was renamed or removed and is read on")

    def _say(self, line: str) -> None:
        self._said += 1
        if self._said <= MAX_LINES:
            self.lines.append(line + (" (said for the last time)" if self._said == MAX_LINES else ""))

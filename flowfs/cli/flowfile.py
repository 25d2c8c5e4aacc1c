"""One flow of a mount, as a file that is read from its start to where it ends.

Knows the file and its extended attributes, no mount. Always true: each byte is given once and in order; what
cannot be given any more is passed over, and told.
"""

import contextlib
import errno
import os
import stat

ATTRIBUTE = "user.flowfs."
READ_BYTES = 1 << 20  # past the page cache, a read of 1 MiB is as good as eight of 128 KiB
MOST_GAPS = 4  # told of at once
_GONE = (errno.ENOTCONN, errno.ECONNABORTED)


class NoFlow(Exception):
    """It is none, or cannot be read; str() is one line."""


class FlowFile:
    """An open flow. `position`: of the next byte; `name`: its path from the root of the mount."""

    def __init__(self, path: str) -> None:
        """Raises NoFlow."""
        self.path = path
        self.place = os.path.realpath(path)
        self.name = ""
        self.position = 0
        self._told_bytes = 0  # of gaps, up to here
        try:
            self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NoFlow(f"{path}: {_why(error)}") from None
        try:
            self.attribute("state")
            if not stat.S_ISREG(os.fstat(self.file).st_mode):
                raise OSError
            self._root = _root_of(self.place, os.fstat(self.file).st_dev)
        except OSError:
            self.close()
            raise NoFlow(f"{path}: not a flow, that is a file in a mount of flowfs") from None
        self.name = os.path.relpath(self.place, self._root)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the mount may have gone
            os.close(self.file)

    def attribute(self, name: str) -> str:
        """What is known of it. Raises OSError."""
        return os.getxattr(self.file, ATTRIBUTE + name).decode("utf-8", "replace")

    def is_over(self) -> bool:
        """Whether it grows no more. Raises OSError."""
        return self.attribute("state") != "open" or os.fstat(self.file).st_nlink == 0

    def peer(self) -> str:
        """The path of what the other side sent, which need not be there. Raises OSError."""
        peer = self.attribute("peer")
        if not peer or ".." in peer.split("/"):  # of another program, that only says it is flowfs
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return os.path.join(self._root, peer.lstrip("/"))

    def read(self) -> tuple[bytes, str, str]:
        """The next bytes, none at the end of what is there; what is to be said about them, and about bytes
        before them that went and cannot be given any more, each a line or "". Raises NoFlow.
        """
        begin = self.position
        try:
            while (data := self._there()) is None:
                self._pass_over()
        except OSError as error:
            raise NoFlow(f"{self.path}: {_why(error)}") from None
        freed = self.position - begin
        self.position += len(data)
        lost = f"{freed:,} bytes were freed before they were read, from {begin:,} on" if freed else ""
        return data, self._gaps() if b"\0" in data else "", lost

    def _there(self) -> bytes | None:
        """The bytes from `position` on, None if they were freed. Raises OSError."""
        try:
            return os.pread(self.file, READ_BYTES, self.position)
        except OSError as error:
            if error.errno == errno.EIO:
                return None
            raise

    def _pass_over(self) -> None:
        """Go to the first byte that is still there; the next may have gone by then. Raises OSError."""
        freed = int(self.attribute("freed"))
        if freed <= self.position:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.position = freed

    def _gaps(self) -> str:
        """What was never captured between the last time and here; it is read as zeros."""
        since, self._told_bytes = self._told_bytes, self.position
        try:
            pairs = [pair.split("-") for pair in self.attribute("gaps").split(",") if "-" in pair]
        except OSError:
            return ""
        gaps = [(max(since, int(start)), min(self.position, int(end))) for start, end in pairs]
        gaps = [(start, end) for start, end in gaps if start < end]
        if not gaps:
            return ""
        places = ", ".join(f"{start}-{end}" for start, end in gaps[:MOST_GAPS])
        more = f" and {len(gaps) - MOST_GAPS:,} more places" if len(gaps) > MOST_GAPS else ""
        count = sum(end - start for start, end in gaps)
        return f"{count:,} bytes were lost and read as zeros, at {places}{more}"


def _root_of(place: str, device: int) -> str:
    """The root of the mount that a file is in. Raises OSError."""
    root = os.path.dirname(place)
    while os.stat(above := os.path.dirname(root)).st_dev == device and above != root:
        root = above
    return root


def _why(error: OSError) -> str:
    return "its mount has gone" if error.errno in _GONE else str(error.strerror).lower()

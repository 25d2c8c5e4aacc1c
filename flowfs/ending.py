"""How whoever takes a mount away learns when it has ended, and whether all was saved: a socket beside it.

It is found by the device of the mount, in a folder of the mount's owner; neither is within the mount, which
others may not enter, and which nobody could take away who has something in it open. Whoever wants to know
connects before the mount is taken away. Always true: a mount does without it where it cannot be had; nobody
who listens, or does not, holds a mount up; who is told of the end has been told of all that was not saved.

A message is a line of JSON: [what, arguments...], `what` being a method of Audience.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_LISTENING = 64  # connections that wait until they are looked at
_SENT_S = 1.0  # for the last message, to somebody who does not read
TOLD_S = 10.0  # in which a mount that was taken away says that it ends
_GONE_S = 10.0  # in which its process ends then
_MESSAGE_BYTES = 1 << 16  # more is none

Message = tuple[str, list[object]]


def _folders(uid: int) -> list[Path]:
    """Where sockets of a user are, the best place first: none of them shows in a network namespace."""
    of_root = [Path("/run/flowfs")] if uid == 0 else []
    return [Path(f"/run/user/{uid}/flowfs"), *of_root, Path(f"/tmp/flowfs-{uid}")]


def _is_of(folder: Path, uid: int) -> bool:
    """Whether nobody else could have put something there."""
    with contextlib.suppress(OSError):
        status = folder.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o022
    return False


class Audience:
    """Those who wait for the end of one mount; nobody before admit()."""

    def __init__(self) -> None:
        self._listener: socket.socket | None = None
        self._there: list[socket.socket] = []
        self._path = Path()
        self._inode = 0

    def admit(self, device: str) -> None:
        """Let them come, as whoever this process is: rights must be given up before."""
        for folder in _folders(os.geteuid()):
            with contextlib.suppress(OSError):
                self._listen(folder, device)
                break

    def _listen(self, folder: Path, device: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_of(folder, os.geteuid()):
            raise PermissionError(errno.EACCES, "somebody else's")
        with _locked(folder):  # between bind() and listen() a socket looks like one of the dead
            _clear(folder)
            path = folder / device
            path.unlink(missing_ok=True)  # of a mount that has gone, or the number would not be free
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(str(path))
                path.chmod(0o600)
                listener.listen(_LISTENING)
                listener.setblocking(False)
                self._path, self._inode = path, path.stat().st_ino
            except OSError:
                listener.close()
                raise
        self._listener = listener

    def look(self) -> None:
        """Take in who came, and let go of who left. Now and then."""
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            while True:
                one = self._listener.accept()[0]
                one.setblocking(False)
                self._there.append(one)
        for one in self._there[:]:
            with contextlib.suppress(BlockingIOError):
                if not _received(one):
                    self._let_go(one)

    def ending(self) -> None:
        """The mount has gone. It cannot be found any more; who has found it is told what follows."""
        self._say("ending")
        if self._inode:
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
            self._inode = 0

    def progress(self, done: int, total: int) -> None:
        """So many bytes are saved, of so many that were left."""
        self._say("progress", done, total)

    def warn(self, line: str) -> None:
        """What it waits for."""
        self._say("warn", line)

    def error(self, line: str) -> None:
        """What was not saved."""
        self._say("error", line)

    def ended(self) -> None:
        """That was all; let go of everybody."""
        self.look()
        for one in self._there:
            one.settimeout(_SENT_S)
        self._send("ended")
        self.close()

    def close(self) -> None:
        """Let go of everybody."""
        for one in self._there:
            one.close()
        self._there.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _say(self, what: str, *arguments: str | int) -> None:
        self.look()
        self._send(what, *arguments)

    def _send(self, what: str, *arguments: str | int) -> None:
        """To everybody. Who is too slow for more than progress hears no end, and takes it for the worst."""
        message = json.dumps([what, *arguments]).encode() + b"\n"
        for one in self._there[:]:
            try:
                one.send(message)
            except BlockingIOError:
                if what != "progress":
                    self._let_go(one)
            except OSError:
                self._let_go(one)

    def _let_go(self, one: socket.socket) -> None:
        self._there.remove(one)
        one.close()


def _received(one: socket.socket) -> bool:
    """False if the other side has closed; raises BlockingIOError if it has not said anything."""
    try:
        return bool(one.recv(64, socket.MSG_DONTWAIT))
    except ConnectionError:
        return False


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """For one process of the user at a time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    """Remove what processes left that were killed."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.setblocking(False)
            if one.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink()


class Witness:
    """Of the end of one mount, for who takes it away. `process`: who serves it, 0 if that cannot be seen."""

    def __init__(self, connection: socket.socket, process: int) -> None:
        self.process = process
        self._connection = connection
        self._handle = -1
        with contextlib.suppress(OSError):  # it ends with its connection at any rate
            self._handle = os.pidfd_open(process) if process else -1

    def close(self) -> None:
        """Nobody wants to know any more."""
        self._connection.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def messages(self, patience_s: float = TOLD_S) -> Iterator[Message]:
        """What it says until its process has ended; none if it says nothing for so long."""
        if not select.select([self._connection], [], [], patience_s)[0]:
            return
        buffer = b""
        while len(buffer) < _MESSAGE_BYTES and (received := self._receive()):
            *lines, buffer = (buffer + received).split(b"\n")
            yield from filter(None, map(_message, lines))
        if self._handle >= 0:
            select.select([self._handle], [], [], _GONE_S)
        yield "gone", []

    def _receive(self) -> bytes:
        """What comes next, b"" if nothing will."""
        try:
            self._connection.settimeout(None)
            return self._connection.recv(4096)
        except ConnectionError:
            return b""


def _message(line: bytes) -> Message | None:
    """What another user's process says; None if it is no message."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        return None
    what, *arguments = found
    numbers = [one for one in arguments if type(one) is int]
    return None if what == "progress" and len(numbers) != 2 else (what, arguments)


def attend(device: str, owner: int) -> Witness | None:
    """Connect to the mount of this device and user; None if nobody tells of its end."""
    for folder in _folders(owner):
        if not _is_of(folder, owner):
            continue
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(1)
            connection.connect(str(folder / device))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            process, user, _ = struct.unpack("3i", credentials)
            if user == owner:
                return Witness(connection, process)
        except OSError:
            pass
        connection.close()
    return None

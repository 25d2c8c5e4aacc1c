"""The daemon's way into the background: a child that works, a parent that waits and passes on what it says.

Knows nothing of what the work is. Always true: the parent returns when the child says that it is ready, or
has ended, with the child's status; if the parent is ended before, the child hears of it (`Voice.listener`)
and ends too. The child is forked before anything is opened, so the parent holds nothing of the work: a mount
whose daemon is killed is dead at once, and an interface that is not read any more is let go.

A message is a line of JSON: [what, arguments...], as the methods of Voice.
"""

import contextlib
import json
import os
import signal
import sys
import syslog
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol


class Voice(Protocol):
    """What a running mount has to say, a line at a time."""

    listener: int | None
    """A descriptor that becomes readable when nobody waits any more; None if that does not matter."""

    def error(self, line: str) -> None:
        """Why it ends, or will not start."""

    def warn(self, line: str) -> None:
        """What people should know."""

    def say(self, line: str) -> None:
        """What was asked for."""

    def note(self, line: str) -> None:
        """What only those want to know who asked to be told more."""

    def progress(self, done: int, total: int, what: str = "loading") -> None:
        """How far it is, in bytes."""

    def ready(self) -> None:
        """Whoever waits need not wait any longer."""


class _Interrupted(BaseException):
    """A signal that ends the waiting parent."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def in_background(
    work: Callable[[Voice], int], terminal: Voice, died: Callable[[], None], *, keep_input: bool = False
) -> int:
    """Do `work` in a child, which lives on once it is ready; before that, its status is returned.

    `died` is called if a signal has ended the child, which had no chance to tidy up then. `keep_input`: the
    work reads standard input. When interrupted, it ends the child and returns 128 + the signal's number.
    A child that ends well before it is ready has failed all the same: 1.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(work, writing, keep_input)
    os.close(writing)
    try:
        with _interruptions(), os.fdopen(reading, "rb") as messages:
            if _pass_on(messages, terminal):
                return 0
            return _status(child, terminal, died)
    except _Interrupted as interrupted:
        status = _end(child)
        if status < 0 and status != -signal.SIGTERM:  # which ends only what has not opened anything yet
            died()
        elif status == 1:
            terminal.error("it could not end in order, or not save all: syslog tells more")
        return 128 + interrupted.number


def _end(child: int) -> int:
    """Wait for its end, the exit code of which is returned; negative, it is the signal that ended it.

    Whoever cannot wait so long says it again, and that is passed on.
    """
    while True:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        try:
            with _interruptions():
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except _Interrupted:
            continue


def _pass_on(messages: Any, terminal: Voice) -> bool:
    """Until the child is ready (True) or has ended."""
    for line in messages:
        what, *arguments = json.loads(line)
        getattr(terminal, what)(*arguments)
        if what == "ready":
            return True
    return False


def _status(child: int, terminal: Voice, died: Callable[[], None]) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status > 0:
        return status
    by = ""
    if status < 0:
        died()
        by = f" by {signal.Signals(-status).name}"
    terminal.error(f"ended{by} before it was ready")
    return 1


@contextlib.contextmanager
def _interruptions() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> NoReturn:
        raise _Interrupted(number)

    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wishes
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_the_child(work: Callable[[Voice], int], writing: int, keep_input: bool) -> NoReturn:
    status = 1
    try:
        os.setsid()
        syslog.openlog("flowfs", syslog.LOG_PID, syslog.LOG_DAEMON)
        if not keep_input:
            _to_nowhere(0)
        status = work(_Pipe(writing))
    except BaseException:  # noqa: BLE001  said here, since nobody above will: the process ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what the parent had to clean up is the parent's


class _Pipe:
    """The child's voice: to the parent while that waits, then to syslog."""

    def __init__(self, writing: int) -> None:
        self.listener: int | None = writing
        os.set_blocking(writing, False)

    def error(self, line: str) -> None:
        self._send(syslog.LOG_ERR, "error", line)

    def warn(self, line: str) -> None:
        self._send(syslog.LOG_WARNING, "warn", line)

    def say(self, line: str) -> None:
        self._send(syslog.LOG_INFO, "say", line)

    def note(self, line: str) -> None:
        self._send(syslog.LOG_DEBUG, "note", line)

    def progress(self, done: int, total: int, what: str = "loading") -> None:
        if self.listener is not None:
            self._send(syslog.LOG_DEBUG, "progress", done, total, what)

    def ready(self) -> None:
        """Let go of the terminal, the directory and the parent."""
        if self.listener is None:
            return
        os.chdir("/")
        _to_nowhere(1, 2)
        self._send(syslog.LOG_INFO, "ready")
        os.close(self.listener)
        self.listener = None

    def _send(self, level: int, what: str, *arguments: str | int) -> None:
        if self.listener is None:
            syslog.syslog(level, str(arguments[0]))
            return
        try:
            os.write(self.listener, json.dumps([what, *arguments]).encode() + b"\n")
        except BrokenPipeError:  # nobody waits, but somebody may want to know
            if level <= syslog.LOG_WARNING:
                syslog.syslog(level, str(arguments[0]))
        except BlockingIOError:  # too slow to be waited for
            pass


def _to_nowhere(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)

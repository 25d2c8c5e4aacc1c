"""The parent and the child: what passes between them, and that neither outlives its purpose."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowfs.background import Voice, in_background


class Heard:
    """A terminal that remembers."""

    listener: int | None = None

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def error(self, line: str) -> None:
        self.lines.append(("error", line))

    def warn(self, line: str) -> None:
        self.lines.append(("warn", line))

    def say(self, line: str) -> None:
        self.lines.append(("say", line))

    def note(self, line: str) -> None:
        self.lines.append(("note", line))

    def progress(self, done: int, total: int, what: str = "loading") -> None:
        self.lines.append(("progress", done, total))

    def ready(self) -> None:
        self.lines.append(("ready",))


def start(work: Callable[[Voice], int], **how: bool) -> tuple[int, list[tuple[Any, ...]], list[str]]:
    """The status, what was heard, and whether the child was found dead."""
    heard = Heard()
    died: list[str] = []
    status = in_background(work, heard, lambda: died.append("died"), **how)
    return status, heard.lines, died


def test_everything_said_before_ready_is_passed_on() -> None:
    def work(voice: Voice) -> int:
        voice.note("a note")
        voice.progress(1, 10)
        voice.warn("a warning: \udcff ×")
        voice.say("a count")
        voice.ready()
        voice.ready()
        voice.warn("to syslog")
        voice.progress(2, 10)
        return 7

    assert start(work) == (
        0,
        [
            ("note", "a note"),
            ("progress", 1, 10),
            ("warn", "a warning: \udcff ×"),
            ("say", "a count"),
            ("ready",),
        ],
        [],
    )
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 7


def test_the_status_of_what_does_not_become_ready() -> None:
    def work(voice: Voice) -> int:
        voice.error("no such thing")
        return 3

    assert start(work) == (3, [("error", "no such thing")], [])


def test_what_ends_well_before_it_is_ready_has_failed() -> None:
    assert start(lambda voice: 0) == (1, [("error", "ended before it was ready")], [])


def test_a_fault_in_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    def work(voice: Voice) -> int:
        raise ZeroDivisionError

    assert start(work) == (1, [], [])
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_child_that_is_killed() -> None:
    def work(voice: Voice) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    status, heard, died = start(work)
    assert status == 1
    assert heard == [("error", "ended by SIGKILL before it was ready")]
    assert died == ["died"]


def test_the_child_leaves_terminal_and_directory(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()

    def work(voice: Voice) -> int:
        voice.ready()
        places = [os.path.realpath(f"/proc/self/fd/{descriptor}") for descriptor in range(3)]
        os.write(1, b"lost")
        os.write(writing, " ".join([os.getcwd(), *places, str(os.getsid(0) == os.getpid())]).encode())
        return 0

    assert start(work)[0] == 0
    os.wait()
    assert os.read(reading, 1000).decode() == "/ /dev/null /dev/null /dev/null True"
    assert capfd.readouterr().out == ""
    os.close(reading)
    os.close(writing)


def test_standard_input_is_kept_for_those_who_read_it() -> None:
    def work(voice: Voice) -> int:
        return 5 if os.path.realpath("/proc/self/fd/0") == os.devnull else 6

    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    try:
        assert start(work)[0] == 5
        assert start(work, keep_input=True)[0] == 6
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)


def until_nobody_listens(voice: Voice) -> int:
    """Works until the parent has gone, or for ten seconds."""
    assert voice.listener is not None
    with contextlib.suppress(ProcessLookupError):
        voice.progress(0, 1)
    poller = select.poll()
    poller.register(voice.listener, 0)
    return 0 if poller.poll(10_000) else 9


def children() -> str:
    """Of this thread, those included that have ended and that nobody has asked for."""
    return Path("/proc/thread-self/children").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_parent_ends_the_child(number: int) -> None:
    def work(voice: Voice) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the loss of the parent alone is enough
        return until_nobody_listens(voice)

    def interrupt() -> None:
        time.sleep(0.2)  # until the parent listens
        os.kill(os.getpid(), number)

    given, others = signal.signal(number, signal.SIG_DFL), children()  # nohup, say, has SIGHUP ignored
    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    try:
        assert start(work)[0] == 128 + number
        assert time.monotonic() - started < 5
        assert signal.getsignal(number) == signal.SIG_DFL
        assert children() == others
    finally:
        signal.signal(number, given)


def test_an_interrupted_parent_hears_how_the_child_ended() -> None:
    """One that is killed while it tidies up leaves that to the parent."""

    def work(voice: Voice) -> int:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        time.sleep(0.2)  # until the parent listens
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(10)  # the signal ends it
        return 0

    assert start(work) == (128 + signal.SIGINT, [], ["died"])


def test_a_parent_that_does_not_read_does_not_stop_the_child() -> None:
    def work(voice: Voice) -> int:
        for number in range(20_000):
            voice.progress(number, 20_000)
        return 5

    class Slow(Heard):
        def progress(self, done: int, total: int, what: str = "loading") -> None:
            time.sleep(0.0001)  # slower than they come

    assert in_background(work, Slow(), lambda: None) == 5

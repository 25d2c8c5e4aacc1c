"""What people read: lines on standard error, and a bar while files are loaded or flows are saved, if that
is a terminal.

Owns standard error while a mount starts. Knows nothing of what is said.
"""

import errno
import sys
from collections.abc import Callable
from typing import Any

NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""Standard output cannot be written: no reading fails so."""


class Terminal:
    """The voice of a mount for somebody who looks on."""

    listener: int | None = None

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._bar: Any = None
        self._task: Any = None

    def error(self, line: str) -> None:
        """Always shown."""
        self._show(line)

    def warn(self, line: str) -> None:
        """Shown unless -q."""
        if not self._quiet:
            self._show(line)

    def say(self, line: str) -> None:
        """Shown unless -q."""
        if not self._quiet:
            self._show(line)

    def note(self, line: str) -> None:
        """Shown with -v."""
        if self._verbose and not self._quiet:
            self._show(line)

    def progress(self, done: int, total: int, what: str = "loading") -> None:
        """Bytes done, of how many."""
        if self._quiet or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.start()
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total, description=what)
        self._bar.refresh()

    def ready(self) -> None:
        """Loading is over."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, line: str) -> None:
        text = "flowfs: " + " ".join(line.split("\n"))  # a filter or a file's name may have several lines
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:  # above the bar
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _new_bar() -> Any:
    """Imported when there is a terminal to show it, since that takes 0.1 s."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)


def output_painter() -> Callable[[str, str], str]:
    """Gives a text its style, in rich's words, as standard output shows it: none where it is no terminal."""
    if not sys.stdout.isatty():
        return lambda text, style: text
    from rich.console import Console  # with what comes with it 60 ms, for terminals alone

    from .table import painter

    return painter(Console())


def printable(text: str) -> str:
    """What others say may be meant for the terminal rather than for who reads it."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)

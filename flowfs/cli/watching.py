"""The same lines again and again: in one place of a terminal until somebody has seen enough, else as blocks.

Owns the terminal's mode while it is watched. Always true: whatever ends it, the terminal is as it was before.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from .exits import SIGNALLED

_ENOUGH = b"qQ\x04"  # Ctrl-D, too


def watch(block: Callable[[], str], interval_s: float) -> None:
    """Show what `block` gives in one place of the terminal until q or Ctrl-C comes, or it raises."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with suppress(KeyboardInterrupt), _keys() as keys, Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(block()), refresh=True)
            if _pressed(keys, interval_s):
                return


def append(block: Callable[[], str], interval_s: float, between: str = "") -> None:
    """As vmstat does: who reads gets each block whole and at once; BrokenPipeError when they have gone."""
    parting = ""
    while True:
        sys.stdout.write(parting + block())
        sys.stdout.flush()
        parting = between
        if reader_has_gone(interval_s):
            raise BrokenPipeError


def reader_has_gone(within_s: float) -> bool:
    """Whether nobody reads standard output any more, which is not to be found out by the next block only."""
    poller = select.poll()
    poller.register(sys.stdout, 0)  # the kernel tells of errors unasked: poll(2)
    return any(events & select.POLLERR for _, events in poller.poll(1000 * within_s))


def _pressed(keys: int | None, within_s: float) -> bool:
    """Whether one of the keys that end it comes in that time; None: there is no keyboard."""
    if keys is None:
        select.select([], [], [], within_s)
        return False
    if not select.select([keys], [], [], within_s)[0]:
        return False
    pressed = os.read(keys, 64)
    return not pressed or any(key in _ENOUGH for key in pressed)


@contextmanager
def _keys() -> Iterator[int | None]:
    """The descriptor that single keys come from, unseen; None if standard input is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    handlers = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(keys)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(SIGNALLED + number)

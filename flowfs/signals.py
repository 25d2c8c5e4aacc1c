"""What signals do to a mount before there is a loop that hears them, and after that.

Knows those that end a process, and nothing of what is ended.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """A signal came before there was anything to end in order."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def is_heard(number: int) -> bool:
    """Whether a signal ends us: not SIGHUP, if whoever started us asked for that as nohup does."""
    return number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN


@contextlib.contextmanager
def signals_raise() -> Iterator[Callable[[], None]]:
    """Terminated, while there is no loop yet that could end things in order.

    Gives what makes further signals count for nothing, so that an impatient one does not disturb the end.
    """
    enough = False

    def heard_enough() -> None:
        nonlocal enough
        enough = True

    def terminate(number: int, frame: object) -> None:
        if not enough:
            raise Terminated(number)

    before = {number: signal.signal(number, terminate) for number in END if is_heard(number)}
    try:
        yield heard_enough
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_are_counted() -> Iterator[Callable[[], int]]:
    """Gives how many came of those that end us; whoever is told decides."""
    count = 0

    def heard(number: int, frame: object) -> None:
        nonlocal count
        count += 1

    before = {number: signal.signal(number, heard) for number in END if is_heard(number)}
    try:
        yield lambda: count
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Hold signals back until what is mounted is remembered, or has been taken away."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

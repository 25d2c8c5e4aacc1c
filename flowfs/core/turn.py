"""Mutual exclusion in which nobody starves: who waits goes before who comes again.

A `threading.Lock` alone is not fair: the capture thread would let go and take it again before a waiting
reader wakes. Here whoever waits for `_busy` holds `_next`, so a thread that comes again queues up behind it.
Compiled, so that nobody lets go of the interpreter's lock between the end of a turn and the release: who
waits for that would find the turn taken.
"""

from threading import Lock


class Turn:
    """A context manager; not reentrant."""

    def __init__(self) -> None:
        self._next = Lock()
        self._busy = Lock()
        self.visits = 0  # how often anybody had it

    def __enter__(self) -> None:
        with self._next:
            self._busy.acquire()
        self.visits += 1

    def __exit__(self, *_: object) -> None:
        self._busy.release()

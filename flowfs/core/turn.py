"""Mutual exclusion in which nobody starves: who waits goes before who comes again.

A `threading.Lock` alone is not fair: the capture thread would let go and take it again before a waiting
reader wakes. Here whoever waits for `_busy` holds `_next`, so a thread that comes again queues up behind it.
"""

from threading import Lock


class Turn:
    """A context manager; not reentrant."""

    def __init__(self) -> None:
        self._next = Lock()
        self._busy = Lock()

    def __enter__(self) -> None:
        with self._next:
            self._busy.acquire()

    def __exit__(self, *_: object) -> None:
        self._busy.release()

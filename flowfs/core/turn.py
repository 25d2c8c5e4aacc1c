"""Mutual exclusion in which nobody starves: who waits goes before who comes again.

A `threading.Lock` alone is not fair: the capture thread would let go and take it again before a waiting
reader wakes. Here whoever waits for `_busy` holds `_next`, so a thread that comes again queues up behind it.
Compiled, so that no switch of threads falls between the last line of a turn and its release: else whoever
gets the interpreter then finds the turn taken. What was copied in one turn can be read in the next.
"""

from threading import Lock

import cython

if not cython.compiled:
    from .memory import publish


class Turn:
    """A context manager; not reentrant."""

    def __init__(self) -> None:
        self._next = Lock()
        self._busy = Lock()
        self.taken = 0  # how often, by anybody

    def __enter__(self) -> None:
        with self._next:
            self._busy.acquire()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        publish()  # the release of a lock promises nothing for stores that pass the caches by
        self._busy.release()

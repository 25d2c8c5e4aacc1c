"""Queues from the oldest to the newest, in which a member can be moved or taken out at once.

An intrusive doubly linked list: a member carries its own links, so a queue of a million costs no
memory of its own, and no operation depends on the length. Knows nothing of what stands in it.
A member stands in at most one queue.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .memory import untrack


class Link:
    """A member: its queue, and its neighbours there."""

    __slots__ = ("newer", "older", "queue")

    def __init__(self) -> None:
        self.unlinked()

    def unlinked(self) -> None:
        """Begin in no queue. Subclasses call this, not __init__: compiled it costs nothing."""
        untrack(self)
        self.queue: Queue | None = None
        self.older: Any = None
        self.newer: Any = None


class Queue:
    """Members in the order in which they were appended."""

    __slots__ = ("length", "newest", "oldest")

    def __init__(self) -> None:
        self.oldest: Any = None  # a member, of the class that this queue's owner puts in
        self.newest: Link | None = None
        self.length = 0

    def append(self, link: Link) -> None:
        """Make `link` the newest member here, taking it out of the queue in which it stands."""
        leave(link)
        link.queue = self
        link.older = self.newest
        if self.newest is None:
            self.oldest = link
        else:
            self.newest.newer = link
        self.newest = link
        self.length += 1


def leave(link: Link) -> None:
    """Take `link` out of the queue in which it stands, if any."""
    queue = link.queue
    if queue is None:
        return
    if link.older is None:
        queue.oldest = link.newer
    else:
        link.older.newer = link.newer
    if link.newer is None:
        queue.newest = link.older
    else:
        link.newer.older = link.older
    link.queue = link.older = link.newer = None
    queue.length -= 1

"""Queues from the oldest to the newest, in which a member can be moved or taken out at once.

An intrusive doubly linked list: a member carries its own links, so a queue of a million costs no
memory of its own, and no operation depends on the length. Knows nothing of what stands in it.
A member stands in at most one queue. Who looks at each once, from the oldest on, finds the next one at
`fresh`; all behind it are fresh as well.
"""

from __future__ import annotations

from typing import Any

import cython


@cython.no_gc  # in the .pxd as well, for those that derive from it
@cython.cclass
class Link:
    """A member: its queue, its neighbours there, and since when it stands there, as its owner says.

    There are millions of them, and circles are broken by hand. So the garbage collector, which would take a
    quarter of the time of many short connections, sees none of what derives from this, nor of Assembly.
    """

    __slots__ = ("newer", "older", "queue", "touched_ns")

    def __init__(self) -> None:
        self.unlinked()

    def unlinked(self) -> None:
        """Begin in no queue. Subclasses call this, not __init__: compiled it costs nothing."""
        self.queue: Queue | None = None
        self.older: Any = None
        self.newer: Any = None
        self.touched_ns = 0


class Queue:
    """Members in the order in which they were appended."""

    __slots__ = ("fresh", "length", "newest", "oldest")

    def __init__(self) -> None:
        self.oldest: Any = None  # a member, of the class that this queue's owner puts in
        self.newest: Link | None = None
        self.fresh: Link | None = None  # the oldest that was not passed over
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
        if self.fresh is None:
            self.fresh = link
        self.newest = link
        self.length += 1

    def pass_over(self) -> None:
        """The oldest fresh member, which there must be, was looked at."""
        assert self.fresh is not None
        self.fresh = self.fresh.newer

    def replace(self, link: Link, other: Link) -> None:
        """`other`, which stands nowhere, takes the place of a member; it is not fresh."""
        if self.fresh is link:
            self.fresh = link.newer
        other.queue = self
        other.older = link.older
        other.newer = link.newer
        other.touched_ns = link.touched_ns
        if link.older is None:
            self.oldest = other
        else:
            link.older.newer = other
        if link.newer is None:
            self.newest = other
        else:
            link.newer.older = other
        link.queue = link.older = link.newer = None


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
    if queue.fresh is link:
        queue.fresh = link.newer
    link.queue = link.older = link.newer = None
    queue.length -= 1

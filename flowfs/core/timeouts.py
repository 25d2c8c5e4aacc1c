# cython: boundscheck=False, wraparound=False, cdivision=True
"""What time does to connections: what waited, and who is over [H1 H3 L3 L5 L9 Q2].

Knows no packet. Always true:
 - each deadline is taken at its own time, in the order of time, before any packet that comes later; so is
   what it sets that is due by then. So nobody can tell whether time went on in one leap or in steps [R10];
 - a connection that is silent has a bounded number of steps before it: a deadline gives up a hole, ends a
   wait or the connection, and sets none at or before its own time. So a leap takes as long as what it sees
   to, in slices, however far it goes.

Queues are nearly in order: one that stands behind others too late is seen to when it is the oldest, or at the
next multiple of TICK_NS once a packet made it that.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .dormant import Dormant, last_ns_of
    from .flows import Flows
    from .order import Link, Queue
    from .stream import Connection, Stream

from .flow import IDLE
from .limits import HALF_OPEN_NS, LOOK_STEPS, NEVER_NS, REMEMBER_NS, STEPS_PER_SLICE, TICK_NS

_TICK_NS = TICK_NS


class Timeouts(Flows):
    """The table of connections, as time goes on."""

    def catch_up(self, now_ns: int) -> bool:
        """Take a slice of what is due by `now_ns`; whether there is more."""
        steps = STEPS_PER_SLICE
        while self.due_ns <= now_ns:
            self.store.now_ns = self.due_ns
            steps = self._take_due(self.due_ns, steps)
            if self.store.orphans:
                self.collect()
            if steps <= 0:
                return True
            self.due_ns = self._next_due_ns()
        # A packet may make somebody the oldest who was hidden behind others.
        self.due_ns = min(self.due_ns, now_ns - now_ns % _TICK_NS + _TICK_NS)
        return False

    def _next_due_ns(self) -> int:
        """The earliest time at which there is something to see to, as long as no packet comes."""
        due_ns = min(self.deadlines.first_ns(), self._oldest_due_ns(self.half_open, HALF_OPEN_NS))
        due_ns = min(due_ns, self._oldest_due_ns(self.spare, HALF_OPEN_NS))
        due_ns = min(due_ns, self._oldest_due_ns(self.one_way, self.idle_ns))
        due_ns = min(due_ns, self._oldest_due_ns(self.active, self.idle_ns))
        due_ns = min(due_ns, self._oldest_due_ns(self.closed, REMEMBER_NS))
        due_ns = min(due_ns, self._drowsy_due_ns())
        return max(due_ns, self.due_ns)

    def _oldest_due_ns(self, queue: Queue, after_ns: int) -> int:
        """When to look at the oldest connection of a queue, which may be silent for so long."""
        link: Link | None = queue.oldest
        return NEVER_NS if link is None else link.touched_ns + after_ns

    def _take_due(self, now_ns: int, steps: int) -> int:
        """See to what is due at this time, in so many steps; returns how many are left, if that was all."""
        while steps > 0 and self.deadlines.first_ns() <= now_ns:
            self._take_deadline(now_ns)
            steps -= LOOK_STEPS
        steps = self._expire(self.half_open, now_ns - HALF_OPEN_NS, now_ns, steps)
        steps = self._expire(self.spare, now_ns - HALF_OPEN_NS, now_ns, steps)
        steps = self._expire(self.one_way, now_ns - self.idle_ns, now_ns, steps)
        steps = self._expire(self.active, now_ns - self.idle_ns, now_ns, steps)
        while steps > 0 and self._oldest_due_ns(self.closed, REMEMBER_NS) <= now_ns:
            link: Any = self.closed.oldest
            if isinstance(link, Dormant):
                self._dispose_asleep(link)
            else:
                self._cease(link, now_ns)
            steps -= 1
        return self._drowse(now_ns, steps)

    def _take_deadline(self, now_ns: int) -> None:
        """Look after the stream whose deadline is the first."""
        deadline_ns = self.deadlines.first_ns()
        stream = self.stream_of(self.deadlines.take())
        if stream is None or deadline_ns != stream.scheduled_ns:
            return  # it is gone, or an earlier time was set since, and has come
        stream.scheduled_ns = 0
        self.awaited -= 1
        if stream.over:
            self._let_go_in_time(stream, now_ns)
        else:
            self._look_afar(stream, now_ns)
            self._follow_up(stream, now_ns)

    def _let_go_in_time(self, stream: Stream, now_ns: int) -> None:
        """Let go of what is in doubt since the close, if that is long ago: deadlines may be earlier."""
        if stream.tentative is None:
            return
        until_ns = stream.connection.closed_ns + REMEMBER_NS
        if until_ns > now_ns:
            self._wake(stream, until_ns, now_ns)
        else:
            stream.drop_tentative()

    def _expire(self, queue: Queue, before_ns: int, now_ns: int, steps: int) -> int:
        """Close the connections of this queue that had no packet since `before_ns`; as _take_due()."""
        while steps > 0 and queue.oldest is not None:
            link: Any = queue.oldest
            place: Link = link
            if place.touched_ns > before_ns:
                break
            if last_ns_of(link) > before_ns:
                place.touched_ns = last_ns_of(link)
                queue.append(place)
            else:
                self.counters.connections_expired += 1
                self._end(link, now_ns)
            steps -= 1
        return steps

    def _end(self, link: Any, now_ns: int) -> None:
        """A connection, awake or asleep, has timed out; who slept sleeps on."""
        asleep = isinstance(link, Dormant)
        connection: Connection = self._rouse(link) if asleep else link
        self._close(connection, IDLE, now_ns)
        if asleep:
            self._lay_down(connection)

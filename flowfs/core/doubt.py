# cython: boundscheck=False, wraparound=False, cdivision=True
"""Bytes of one direction that are in doubt, kept apart from those that are not [T1].

Knows offsets and how far the peer acknowledged; not what made somebody doubt: a wrong checksum [V2], an old
timestamp [Q3], a probe [L6], a SYN [L7], a RST before [L5]. Always true:
 - good bytes for the same place win, whenever they come, and there is no conflict between the two;
 - bytes in doubt become data in `bridge`, where the peer acknowledged them and there would be a hole; or in
   `trust`, when it is shown that there was no reason to doubt;
 - they are charged to the budget of what waits, and refused if that is used up: nobody gives way for them.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import Assembly, Room
    from .exchange import Owner
    from .notes import TENTATIVE
    from .pending import Pending

from .ranges import ACK


@cython.no_gc
@cython.cclass
class Doubting(Assembly):
    """An assembly that keeps bytes in doubt as well."""

    __slots__ = ("peer_ack", "tentative")

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.trusting(key, owner, room)

    def trusting(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without a doubt. Subclasses call this, see Link.unlinked()."""
        self.empty(key, owner, room)
        self.tentative: Pending | None = None
        self.peer_ack = 0  # the highest offset that the peer acknowledged; a FIN counts for one

    def doubt(self, data: bytes, offset: int, now_ns: int) -> None:
        """Keep `data` apart: it counts only if the peer acknowledges it, and nothing better comes [T1]."""
        if self.anchored and self.tentative is not None and self.is_too_much(self.tentative):
            self.confirm(now_ns)
        self.set_apart(data, offset)

    def set_apart(self, data: bytes, offset: int) -> None:
        """doubt() without a look at what the peer acknowledged."""
        known = min(len(data), max(0, self.rcv_nxt - offset)) if self.anchored else 0
        self._drop(known)
        if known < len(data):
            self._keep_apart(data[known:], offset + known)

    def _keep_apart(self, data: bytes, offset: int) -> None:
        tentative = self.tentative
        if tentative is None:
            tentative = Pending(self.room.pool, self, True)
        if self.is_too_much(tentative) or not self.room.pool.fits(tentative.cost(offset, len(data))):
            self._drop(len(data))
            return
        self.tentative = tentative
        before = tentative.waiting_bytes
        tentative.insert(offset, data)
        self._drop(len(data) - (tentative.waiting_bytes - before))

    def _drop(self, count: int) -> None:
        self.room.counters.dropped_tentative_bytes += count
        self.note(TENTATIVE, count)

    def confirm(self, now_ns: int) -> None:
        """Make data of all in doubt that the peer acknowledged and that comes before what waits [T1]."""
        while self.tentative is not None:
            end = self.confirmed_end()
            if end <= self.rcv_nxt:
                return
            self.bridge(end, ACK, now_ns)
            self.drain(now_ns)

    def confirmed_end(self) -> int:
        """How far the first bytes in doubt go of which the peer has at least some; rcv_nxt if it has none.

        What waits without doubt comes first: that hole is given up for its own reasons.
        """
        self.drop_outdated()
        tentative = self.tentative
        if tentative is None:
            return self.rcv_nxt
        stop = min(self.peer_ack, self.fin)
        if self.pending is not None:
            stop = min(stop, self.pending.first())
        if tentative.first() >= stop:
            return self.rcv_nxt
        return min(tentative.first_end(), stop)

    def drop_outdated(self) -> None:
        """Let go of what is in doubt where there is better."""
        if self.tentative is not None and self.anchored:
            self._drop(self.tentative.drop_before(self.rcv_nxt))
            if not self.tentative.offsets:
                self.tentative = None

    def drop_tentative(self) -> None:
        """Let go of all that is in doubt."""
        if self.tentative is not None:
            self._drop(self.tentative.clear())
            self.tentative = None

    def bridge(self, end: int, reason: int, now_ns: int) -> None:
        """All before `end` is lost, but for what is in doubt and acknowledged [T1]."""
        stop = min(end, self.peer_ack)
        self.drop_outdated()
        while self.tentative is not None and self.tentative.first() < stop:
            start = self.tentative.first()
            self.lose_until(start, reason, now_ns)
            for data in self.tentative.take_run(start, stop):
                self._store_doubted(data, now_ns)
            self.drop_outdated()
        self.lose_until(end, reason, now_ns)

    def trust(self, end: int, now_ns: int) -> None:
        """What is in doubt up to `end`, and follows without a hole, is as good as any [L5 L7]."""
        self.drop_outdated()
        if self.tentative is not None:
            for data in self.tentative.take_run(self.rcv_nxt, end):
                self.place(data, 0, len(data), self.rcv_nxt, now_ns)
            self.drop_outdated()

    def _store_doubted(self, data: bytes, now_ns: int) -> None:
        self.mark_unverified()
        self.room.counters.unverified_bytes += len(data)
        self.store_next(data, 0, len(data), now_ns)

# cython: boundscheck=False, wraparound=False, cdivision=True
"""How a direction ends, and how it is shown that it has not: FINs [L4] and RSTs [L5], true and forged.

Owns as well what only time or more packets tell: how many came of this direction, and when to look again.
Knows offsets, what the peer acknowledged and what waits; not which connection this is. Always true:
 - nobody sends data behind his own FIN or RST, so a peer that acknowledges some shows that it was forged;
 - what lies behind the end is kept, and not stored, until that is certain: in `pending` behind a FIN, in
   `tentative` once the connection is closed; it is counted when it is forgotten;
 - the ACK right behind a FIN may be that of a byte in its place: only a later one tells.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import FAR_AWAY, NEVER, Room
    from .exchange import Owner
    from .notes import AFTER_FIN
    from .pending import Pending
    from .reach import Reach
    from .uncommon import NO_ODD_END, OddEnd

from .flow import OPEN
from .limits import ACKED_HOLE_NS, FORGED_RST_NS


@cython.no_gc
@cython.cclass
class Ending(Reach):
    """A direction that ends."""

    __slots__ = ("deadline_ns", "done", "odd_end", "over", "packets")

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.endless(key, owner, room)

    def endless(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without an end. Subclasses call this, see Link.unlinked()."""
        self.unlimited(key, owner, room)
        self.packets = 0  # of this direction, but for RSTs
        self.deadline_ns = 0  # when to look at this again, if nothing comes before
        self.done = False  # ended by its FIN
        self.over = False  # close() was called
        self.forget_end()

    def forget_end(self) -> None:
        """No FIN and no RST was seen."""
        self.fin = FAR_AWAY
        self.fin_acked = self.done = False
        self.odd_end = NO_ODD_END

    def own_end(self) -> OddEnd:
        """What is this one's alone, and may be changed."""
        if self.odd_end is NO_ODD_END:
            self.odd_end = OddEnd()
        return self.odd_end

    def has_odd_end(self) -> bool:
        """Whether there is anything to say of its end but that FIN."""
        return self.odd_end is not NO_ODD_END

    def wake_at(self, when_ns: int) -> None:
        """This is to be looked at again by then."""
        if self.deadline_ns == 0 or when_ns < self.deadline_ns:
            self.deadline_ns = when_ns

    def away_from(self, seq: int) -> int:
        """How far a number is from what this side would send next, if it goes on; NEVER if that is not known.

        That is what comes behind all that is known of it, or fills a hole of it.
        """
        return self._away(self.rcv_nxt, seq)

    def away_from_acked(self, ack: int) -> int:
        """How far a number is from what the peer would acknowledge next, as away_from()."""
        return self._away(self.peer_ack, ack)

    def _away(self, first: int, seq: int) -> int:
        """How far a number is from the offsets [first, end], the end being that of all that is known."""
        last = self.known_end()
        if not self.anchored:
            if not self.settling and not self.hinted:
                return NEVER
            first = self.hint_high if self.hinted else 0
            last = max(last, first)
        if self.fin < FAR_AWAY:
            last = max(last, self.fin_end())
        if self.odd_end.late_fin != NEVER:
            last = max(last, self.odd_end.late_fin + 1)
        offset = self.offset_of(seq)
        return max(first - offset, offset - last, 0)

    # --- FIN -----------------------------------------------------------------------------------------

    def fin_end(self) -> int:
        """The offset behind the FIN, which counts for one: what the peer acknowledges it with."""
        return self.fin + self.odd_end.fin_moved + 1

    def receive_fin(self, seq: int, now_ns: int) -> None:
        """A FIN with sequence number `seq`, which is provisional until it is acknowledged [L4]."""
        if not self.anchored and not self.settling:
            self.begin_settling(seq, now_ns)
        self._take_fin(self.offset_of(seq), now_ns)

    def _take_fin(self, offset: int, now_ns: int) -> None:
        if offset > self.limit() or (self.anchored and offset < self.rcv_nxt):
            return
        if self.fin < FAR_AWAY and (self.fin_acked or offset >= self.fin):
            if offset >= self.fin_end() and self.anchored:
                self.own_end().later_fin = offset  # of two at most one is true
            return
        if self.fin < FAR_AWAY and self.anchored:
            self.own_end().later_fin = self.fin
        self.fin = offset
        if self.peer_ack > offset:
            self.fin_acknowledged(now_ns)

    def fin_acknowledged(self, now_ns: int) -> None:
        while self.peer_ack > self.fin_end():
            self._retract_fin(now_ns)
        self.fin_acked = self.peer_ack > self.fin

    def _retract_fin(self, now_ns: int) -> None:
        """What lies behind the FIN shows that it was none, though there may be another one."""
        self.room.counters.fin_retracted += 1
        odd_end = self.own_end()
        self.fin = odd_end.later_fin if odd_end.later_fin >= self.rcv_nxt else FAR_AWAY
        odd_end.later_fin = NEVER
        odd_end.fin_moved = 0
        self.fin_acked = False
        self._is_not_done(now_ns)
        self.drain(now_ns)

    def fin_unacknowledged(self, now_ns: int) -> None:
        """The peer does not have what it was said to have: where the FIN was, there it may be still [H1]."""
        if not self.fin_acked or self.peer_ack >= self.fin_end():
            return
        if self.done:
            self.room.counters.fin_retracted += 1
        self.fin_acked = False
        odd_end = self.own_end()
        self.fin += odd_end.fin_moved
        odd_end.fin_moved = 0
        self._is_not_done(now_ns)
        self.drain(now_ns)

    def _is_not_done(self, now_ns: int) -> None:
        """The FIN that ended it does not count."""
        self.done = False
        if self.flow is not None and not self.over:
            self.room.store.set_state(self.flow, OPEN, now_ns)

    def doubt_behind_fin(self) -> None:
        """The connection is closed: what waits behind the FIN is in doubt, and may yet be data [L4]."""
        assert self.tentative is None, "close() has let go of all that was in doubt"
        if self.pending is None:
            return
        assert self.pending.first() >= self.fin
        self.tentative = self.pending  # as it is: who closes it often pays for no piece of it
        self.tentative.tentative = True
        self.pending = None

    def drop_tentative(self) -> None:
        """Let go of all that is in doubt."""
        if self.tentative is not None and self.fin < FAR_AWAY:
            dropped = self.tentative.drop_from(self.fin)
            self.room.counters.dropped_after_fin_bytes += dropped
            self.note(AFTER_FIN, dropped)
        Reach.drop_tentative(self)

    # --- RST -----------------------------------------------------------------------------------------

    def expects(self, seq: int) -> bool:
        """Whether a RST with this number is exact: it comes where the next byte would [L5]."""
        offset = self.offset_of(seq)
        if not self.anchored:
            if self.pending is not None and offset == self.pending.end():
                return True
            return self.hinted and self.hint_low <= offset <= self.hint_high
        if offset == self.rcv_nxt or (offset == self.peer_ack and offset > self.rcv_nxt):
            return True
        if offset == self.fin_end():
            return True
        return self.pending is not None and offset == self.pending.end()

    def may_be_reset_at(self, seq: int) -> bool:
        """Whether a RST with this number can be of this side, so that no more first segments come [L3]."""
        if not self.settling:
            return False
        ahead = self.offset_of(seq) - self._lowest()
        return 0 <= ahead <= self.reach_bytes

    def takes_reset(self, seq: int, now_ns: int) -> bool:
        """A RST that is not exact, or comes while something is missing: if it is inside the window, time will
        tell [L5]; returns whether it is.
        """
        offset = self.offset_of(seq)
        if not self.anchored or offset < self.rcv_nxt or offset > self.limit():
            return False
        odd_end = self.own_end()
        if odd_end.reset_at == NEVER:
            odd_end.reset_ns = now_ns
            odd_end.reset_known = self.known_end()
        odd_end.reset_at = offset
        odd_end.reset_packets = self.packets
        return True

    def decide_reset(self, missing: bool, now_ns: int) -> bool:
        """Whether a RST that was waited with was a true one; it is forgotten if the connection went on [L5].

        `missing` if either side lacks something: that may be sent again, and would be if the RST was forged.
        """
        odd_end = self.own_end()
        if odd_end.reset_at == self.rcv_nxt and not missing and not odd_end.reset_overtook:
            return True  # what lay before it has come
        if odd_end.reset_overtook and now_ns - odd_end.reset_ns < ACKED_HOLE_NS:
            odd_end.reset_packets = self.packets  # a capture reorders by so much: they may be earlier, too
        known, known_before = self.known_end(), odd_end.reset_known
        goes_on = known > known_before and (known > odd_end.reset_at or self.peer_ack > known_before)
        waited = now_ns - odd_end.reset_ns >= FORGED_RST_NS
        if goes_on or (waited and self.packets > odd_end.reset_packets):
            odd_end.reset_at = NEVER
            odd_end.reset_overtook = False
            self.room.counters.rst_ignored += 1
            return False
        if not waited:
            self.wake_at(odd_end.reset_ns + FORGED_RST_NS)
        return waited

    def was_overtaken(self, offset: int) -> bool:
        """Whether all before `offset` may have been sent before this side's RST, which came first [L5]."""
        return self.anchored and offset <= self.odd_end.reset_end

    def doubt_reset(self, now_ns: int) -> None:
        """The RST that closed it came before what was sent earlier, or was forged: time tells."""
        odd_end = self.own_end()
        odd_end.reset_at = odd_end.reset_end
        odd_end.reset_ns = now_ns
        odd_end.reset_known = self.known_end()
        odd_end.reset_packets = self.packets
        odd_end.reset_overtook = True
        self.wake_at(now_ns + FORGED_RST_NS)

    # --- a connection that goes on although it was closed ------------------------------------------------

    def may_go_on(self, offset: int, count: int, lately: bool) -> bool:
        """Whether [offset, offset + count), of a closed connection, can be of one that goes on [L4 L5].

        `lately`: it ended less than a segment's lifetime ago. After that only what comes next, or continues
        what is in doubt, is more likely of this connection than of another.
        """
        if not self.anchored or offset + count <= self.rcv_nxt:
            return False
        if lately:
            return offset <= self.limit()
        return offset <= (self.rcv_nxt if self.tentative is None else self.tentative.end())

    def keep_late(self, data: bytes, offset: int, fin: int) -> None:
        """Keep what came after the connection had been closed; `fin`: the offset of its FIN, or NEVER."""
        if fin != NEVER:
            self.own_end().late_fin = fin
        if data:
            self.share_by_reach()
            self.set_apart(data, offset)

    def hear_late_ack(self, ack: int) -> bool:
        """The peer acknowledges after the close; returns whether that shows it has what was sent since."""
        if self.tentative is None or not self.over:
            return False
        offset = self.offset_of(ack)
        known = self.fin_end() if self.done and self.odd_end.fin_moved == 0 else self.rcv_nxt
        end = max(self.tentative.end(), self.odd_end.late_fin + 1)
        if offset <= known or offset > end or offset <= self.tentative.first():
            return False
        claimed_ack = self.odd_end.claimed_ack
        if offset > self.peer_ack or (claimed_ack != NEVER and offset > claimed_ack):
            return True
        # Said before, or what was said before was forged: the next one tells.
        self.own_end().claimed_ack = offset
        return False

    def count_late(self, offset: int, count: int, ripe: bool) -> bool:
        """One more segment after the end; returns whether several in a row show that it was none.

        They have to where no peer is there to acknowledge them. If the other side has reset it, they may have
        been under way: `ripe` once that cannot be any more.
        """
        if not (ripe or self.odd_end.reset_end != NEVER or self.done):
            self.far_count = 0
        return self.count_in_a_row(offset, count)

    def reopen(self, now_ns: int) -> None:
        """The FIN or RST that closed it was forged: what was sent after it is as good as any [L4 L5]."""
        self.over = False
        odd_end = self.own_end()
        odd_end.reset_end = odd_end.claimed_ack = NEVER
        self.forget_row()
        if self.flow is not None and not self.done:
            self.room.store.set_state(self.flow, OPEN, now_ns)

    def _wait_for_all(self, tentative: Pending, now_ns: int) -> None:
        """What is in doubt waits from here on, as it is; nothing else does. What is next is stored."""
        assert self.pending is None
        if not self.anchored:
            self.settling = True  # as by begin_settling(), with the base that these offsets have
        self.hole_ns = now_ns
        tentative.tentative = False
        self.pending = tentative
        self.tentative = None
        self.drain(now_ns)
        self.share_by_reach()
        if self.is_too_much(tentative):
            self.relieve(now_ns)

    def let_go(self) -> None:
        """Nobody will hear of this direction any more: what it has charged, it gives back."""
        self.drop_tentative()
        assert self.pending is None, "what waits has had its fate when it was closed"
        self.forget_notes()

    def retract_end(self, now_ns: int) -> None:
        """The FIN that ended it, if one did, was forged: what follows shows it."""
        if self.done:
            self._retract_fin(now_ns)

    def adopt(self, now_ns: int) -> None:
        """What is in doubt since the connection was closed is not any more."""
        self.drop_outdated()
        if self.tentative is not None:
            self._wait_for_all(self.tentative, now_ns)
        if self.odd_end.late_fin != NEVER:
            self._take_fin(self.odd_end.late_fin, now_ns)
            self.odd_end.late_fin = NEVER

# cython: boundscheck=False, wraparound=False, cdivision=True
"""What comes from beyond any window: the capture may have a long gap, or somebody forges [Q2].

Behind a gap nothing comes from before it, of either side. A host that gets what it cannot take says at once
where it is (RFC 9293, 3.10.7.4); so who forges data beyond the window, or an ACK of it, is given away by the
hosts within a round trip. What comes is kept apart, and the stream goes on there once that was all that came
for FORGED_GAP_NS, or more came than may wait [H2], or the connection ends [H4]. What nobody took, for its
checksum or since it acknowledges nothing, says nothing. Always true of it:
 - several segments show it, and the peer, if it was ever seen, acknowledges something there;
 - `afar` is let go of as soon as it is known that either side said something else since its first segment;
 - what is not shown by then is let go of after REMEMBER_NS;
 - it moves no window, and makes no ACK valid, before the stream goes on there.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import FAR_AWAY, NEVER, Room
    from .ends import Ending
    from .exchange import Owner
    from .notes import DUPLICATE, WINDOW
    from .pending import Pending
    from .uncommon import NOTHING_BEYOND, Beyond

from .limits import ACKED_HOLE_NS, FORGED_GAP_NS, REMEMBER_NS, UNKNOWN_WINDOW_BYTES
from .ranges import LIMIT

WENT_ON = -1
_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES  # a C integer when compiled: it is used with each ACK


@cython.no_gc
@cython.cclass
class Afar(Ending):
    """A direction of which the capture may lack more than a window."""

    __slots__ = ("afar", "beyond", "unseen_ns")

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.unbroken(key, owner, room)

    def unbroken(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without a gap. Subclasses call this, see Link.unlinked()."""
        self.endless(key, owner, room)
        self.afar: Pending | None = None  # what waits there; there is some if it is not None
        self.beyond = NOTHING_BEYOND
        self.unseen_ns = 0  # when the peer last acknowledged more, and that was not seen yet

    def own_beyond(self) -> Beyond:
        """What is this one's alone, and may be changed."""
        if self.beyond is NOTHING_BEYOND:
            self.beyond = Beyond()
        return self.beyond

    def has_beyond(self) -> bool:
        """Whether there is anything to say of what comes from there."""
        return self.beyond is not NOTHING_BEYOND

    def can_be_acknowledged(self, offset: int) -> bool:
        """Whether the peer can have all before `offset`, though some of it was not seen [Q4]."""
        return offset <= self.known_end() + self.reach_bytes

    def cannot_have_sent(self, ack: int) -> bool:
        """Whether an ACK is far from all that this side, whose SYN was seen, has sent [Q4].

        So far, that it is not for what the capture lacks, and the receiver drops the segment.
        """
        if not self.has_syn():
            return False
        offset = self.offset_of(ack)
        if offset < min(self.rcv_nxt, self.peer_ack) - _WINDOW_BYTES:
            return True
        return offset > self.known_end() + _WINDOW_BYTES

    def hear_from_afar(self, ack: int, peer_packets: int) -> None:
        """The peer acknowledges with a number that it cannot have, in its packet of this number."""
        self.room.counters.bad_acks += 1
        if not self.anchored or self.can_be_acknowledged(self.offset_of(ack)):
            return
        if self._has_peer_spoken(peer_packets - 1):
            self.drop_afar()
        self.far_ack = self.offset_of(ack)
        self.own_beyond().ack_packets = peer_packets

    def _has_peer_spoken(self, peer_packets: int) -> bool:
        """Whether the peer said anything else since the first segment, if it has said so much."""
        return peer_packets > max(self.beyond.ack_packets, self.beyond.peer_packets)

    def stay_afar(self, ack: int) -> None:
        """One more packet of this side from outside of any window: what came before it says the same."""
        if self.beyond.packets != self.packets - 1:
            self.drop_afar()
        beyond = self.own_beyond()
        beyond.packets = self.packets
        beyond.said = ack

    def hold_afar(self, data: bytes, offset: int, peer_packets: int, now_ns: int) -> None:
        """Keep what came from afar; `peer_packets`: how many there were of the peer so far."""
        if self.afar is not None and abs(offset - self.afar.first()) > _WINDOW_BYTES:
            self.drop_afar()
        afar = self.afar
        beyond = self.own_beyond()
        if afar is None:
            afar = Pending(self.room.pool, self, True)
            beyond.since_ns = now_ns
            beyond.peer_packets = peer_packets
        if self.is_too_much(afar) or not self.room.pool.fits(afar.cost(offset, len(data))):
            self._let_go_afar(len(data))
            return
        self.afar = afar
        beyond.packets = self.packets
        before = afar.waiting_bytes
        afar.insert(offset, data)
        known = len(data) - (afar.waiting_bytes - before)
        self.room.counters.duplicate_bytes += known
        self.note(DUPLICATE, known)

    def holds_near(self, seq: int) -> bool:
        """Whether something from afar is held there: a segment with this number is of the same gap."""
        return self.afar is not None and abs(self.offset_of(seq) - self.afar.first()) <= _WINDOW_BYTES

    def _take_fin(self, offset: int, now_ns: int) -> None:
        """A FIN from afar waits like the data before it."""
        if self.afar is not None and offset > self.limit():
            self.own_beyond().fin = offset
        else:
            Ending._take_fin(self, offset, now_ns)

    def review_afar(self, peer_packets: int, now_ns: int) -> int:
        """Go on there if it is time to, or let go of it.

        Returns when to look again, 0 if there is nothing; WENT_ON.
        """
        afar = self.afar
        if afar is None:
            return 0
        if self.beyond.packets != self.packets or self._has_peer_spoken(peer_packets):
            self.drop_afar()
            return 0
        until_ns = self.beyond.since_ns + FORGED_GAP_NS
        if self._is_shown(afar, peer_packets) and (now_ns >= until_ns or self.is_too_much(afar)):
            self._go_on_afar(now_ns)
            return WENT_ON
        if until_ns <= now_ns:
            until_ns = self.beyond.since_ns + REMEMBER_NS
        if until_ns <= now_ns:
            self.drop_afar()
            return 0
        return until_ns

    def end_afar(self, peer_packets: int, now_ns: int) -> None:
        """The connection ends, or the capture does: there is nothing more to wait for [H4]."""
        if self.afar is None:
            return
        spoken = self.beyond.packets != self.packets or self._has_peer_spoken(peer_packets)
        if not spoken and self._is_shown(self.afar, peer_packets):
            self._go_on_afar(now_ns)
        else:
            self.drop_afar()

    def is_probe_behind_gap(self, seq: int, pushed: bool, now_ns: int) -> bool:
        """Whether one byte is a keep-alive probe, though what it repeats was not captured [L6].

        It is the last that the peer acknowledged, or comes before all else from beyond any window. What is
        next, and was acknowledged just before, may be data that its ACK overtook in the capture [H1].
        """
        if pushed or not self.anchored:
            return False
        offset = self.offset_of(seq)
        if offset <= self.limit():
            if offset < self.rcv_nxt or offset != self.peer_ack - 1:
                return False
            return offset > self.rcv_nxt or now_ns - self.unseen_ns >= ACKED_HOLE_NS
        return self.afar is None or offset < self.afar.first()

    def _is_shown(self, afar: Pending, peer_packets: int) -> bool:
        """Whether several segments are there, and the peer, if it is seen, acknowledges some of them."""
        if not afar.is_shown_by_several():
            return False
        if peer_packets == 0:
            return True
        return self.beyond.ack_packets == peer_packets and abs(self.far_ack - afar.first()) <= _WINDOW_BYTES

    def _go_on_afar(self, now_ns: int) -> None:
        """The capture has a gap up to what came from afar."""
        afar = self.afar
        beyond = self.own_beyond()
        fin = beyond.fin
        assert afar is not None
        self.afar = None
        beyond.fin = NEVER
        self.room.counters.resynchronised += 1
        self.give_up_all(LIMIT, now_ns)
        if self.fin == FAR_AWAY:
            self.lose(afar.first() - self.rcv_nxt, LIMIT, now_ns)
        afar.tentative = False
        self.pending = afar
        self.hole_ns = now_ns
        self.drain(now_ns)
        if self.far_ack > self.peer_ack and self.can_be_acknowledged(self.far_ack):
            self.peer_ack = self.far_ack
            if self.peer_ack > self.fin:
                self.fin_acknowledged(now_ns)
        if fin != NEVER:
            self._take_fin(fin, now_ns)

    def drop_afar(self) -> None:
        """Let go of what came from afar: there is no gap."""
        if self.afar is not None:
            self._let_go_afar(self.afar.clear())
            self.afar = None
        if self.beyond.fin != NEVER:
            self.beyond.fin = NEVER

    def _let_go_afar(self, count: int) -> None:
        self.room.counters.dropped_window_bytes += count
        self.note(WINDOW, count)

    def drop_tentative(self) -> None:
        """Let go of all that is in doubt."""
        self.drop_afar()
        Ending.drop_tentative(self)

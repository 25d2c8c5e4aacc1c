# cython: boundscheck=False, wraparound=False, cdivision=True
"""One direction of a connection, as TCP tells of it: where it begins and ends, and which holes are lost.

Gives the bytes to its `Assembly`, at the offsets that `Pickup` finds, or in doubt to `Doubting`; what FIN and
RST mean, `Ending` knows, and `Afar` what comes from beyond any window. Knows its peer's ACKs; finds no
connection.

The rules, by the letters used here. Offsets: [Q1], windows [Q2] [Q4]. A hole is lost when [H1] the peer
acknowledged what lies behind, [H2] too much waits, [H3] the peer is never seen and time passes, [H4] the
connection or the capture ends; [H5] an ACK alone never grows a file; [H6] the snapshot length cut it.
SYN: [L1 L2]. Data in a SYN: [L7].
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .afar import Afar
    from .assembly import FAR_AWAY, NEVER, Assembly, Room
    from .exchange import Owner
    from .notes import DUPLICATE, SYN, UNKNOWN_TTL, WINDOW
    from .seq import advance
    from .uncommon import NO_ODD_ACKS, OddAcks

from .flow import FIN as ENDED_BY_FIN
from .flow import OPEN
from .flow import RST as ENDED_BY_RST
from .limits import (
    ACKED_HOLE_NS,
    ACKED_HOLE_PACKETS,
    LOWER_ACKS,
    MAX_COMPARED_HOLES,
    ONE_WAY_BYTES,
    ONE_WAY_NS,
    RESYNC_SEGMENTS,
    SETTLE_NS,
    UNKNOWN_WINDOW_BYTES,
    WIDE_HOLE_BYTES,
)
from .ranges import ACK, CLOSE, ONE_WAY, SNAPLEN

_NOT_LOST = -1
_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES  # a C integer when compiled: it is used with each ACK


@cython.no_gc
@cython.cclass
class Connection(Owner):
    """What both directions share; kept by the table of connections, which sets `one` and `other`."""

    one: Stream
    other: Stream
    __slots__ = (
        *("claims", "closed_ns", "contested", "disputed", "incumbent", "last_ns", "lone", "one", "other"),
        *("packets", "refused_by_one", "refused_isn", "refused_peer_isn", "refused_whole", "rival", "state"),
        "tracked",
    )

    def __init__(self, generation: int, now_ns: int, source: int) -> None:
        self.begin(generation, now_ns, source)

    def begin(self, generation: int, now_ns: int, source: int) -> None:
        """What __init__ does; after __new__ it costs no call of Python's, and no number made an object."""
        self.owns_nothing(generation, now_ns, source)
        self.last_ns = self.touched_ns = now_ns
        self.closed_ns = 0
        self.packets = 0
        self.state = OPEN
        self.tracked = True  # found by its addresses and ports
        self.rival: Connection | None = None  # what may be in its place [L2]; of a rival: the next one
        self.lone = False  # nothing agrees with its first packet yet
        self.disputed = False  # it is lone, or there is a rival, or was one for which there was no room
        self.refused_isn = self.refused_peer_isn = NEVER  # of that one, and of the other side of it
        self.refused_by_one = False  # the side `one` sent the SYN of that one, else `other`
        self.refused_whole = False  # its SYN and SYN/ACK were seen; of a rival: its own, before that
        self.incumbent: Connection | None = None  # whose rival this is
        self.contested = False  # the side that began this rival went on with the incumbent
        self.claims = 0  # segments of that side for this rival since; of both if it was picked up midway

    def review_dispute(self) -> None:
        """See whether it is disputed: after each change of what makes it so."""
        self.disputed = self.lone or self.rival is not None or self.refused_isn != NEVER


@cython.no_gc
@cython.cclass
class Stream(Afar):
    """One direction. `peer` is the other one, `connection` what they share; the table sets both up."""

    peer: Stream
    __slots__ = (
        *("ack_count", "acked_ns", "acked_to", "connection", "doubted_fin", "odd_acks", "other_acks"),
        *("other_isn", "packet_limit", "peer", "scheduled_ns", "syn_bytes", "tail_missing_bytes", "verified"),
    )

    def __init__(self, key: bytes, connection: Connection, room: Room) -> None:
        self.begin(key, connection, room)

    def begin(self, key: bytes, connection: Connection, room: Room) -> None:
        """What __init__ does, see Connection.begin()."""
        self.unbroken(key, connection, room)
        self.connection = connection
        self.other_isn = NEVER  # of a SYN that only its SYN/ACK makes true, or of a second SYN/ACK [L1 L2]
        self.other_acks = 0  # of the peer, for that
        self.acked_ns = NEVER  # [H1] when it was seen that the peer has all below acked_to
        self.acked_to = self.packet_limit = 0
        self.ack_count = 0  # ACKs since, or since one was lower
        self.odd_acks = NO_ODD_ACKS
        self.verified = False  # checksums were right: a wrong one means something [V2]
        self.doubted_fin = NEVER  # the offset of a FIN that is in doubt [T1]
        self.syn_bytes = 0  # so much in doubt at offset 0 came with the SYN [L7]
        self.tail_missing_bytes = 0  # acknowledged when it ended, and never seen [H5]
        self.scheduled_ns = 0  # the table's: for when that stands in its queue

    def own_acks(self) -> OddAcks:
        """What is this one's alone, and may be changed."""
        if self.odd_acks is NO_ODD_ACKS:
            self.odd_acks = OddAcks()
        return self.odd_acks

    def has_odd_acks(self) -> bool:
        """Whether there is anything to say of ACKs beside how far they went."""
        return self.odd_acks is not NO_ODD_ACKS

    def restart(self, isn: int) -> None:
        """Begin anew at another ISN; there must be no file and no data yet, but that of a SYN."""
        self.resolve_syn_data(0, 0)
        self.forget_syn()
        self.isn = isn
        self.base_seq = advance(isn, 1)
        self.rcv_nxt = self.peer_ack = 0
        self.drop_tentative()
        self.forget_end()
        self.forget_row()
        self.partial = False
        self.acked_ns = self.doubted_fin = NEVER
        self._forget_low_acks()
        self.tail_missing_bytes = 0
        self.forget_notes()
        self.ttl = UNKNOWN_TTL
        self.anchored = True

    def receive(self, base: bytes, start: int, end: int, seq: int, now_ns: int) -> None:
        """The payload base[start:end] with sequence number `seq`."""
        if not self.anchored and self.gather(base[start:end], seq, now_ns):
            return
        offset = self.offset_of(seq)
        if offset == self.rcv_nxt and self.pending is None and self.fin == FAR_AWAY:
            self.store_next(base, start, end, now_ns)
        elif offset > self.limit():
            self.hold_afar(base[start:end], offset, self.peer.packets, now_ns)
        else:
            self.place(base, start, end, offset, now_ns)

    def _anchor(self, low: int, now_ns: int) -> None:
        """FINs that do not count yet are counted from the base as well [L3]."""
        if self.doubted_fin != NEVER:
            self.doubted_fin -= low
        if self.odd_end.late_fin != NEVER:
            self.odd_end.late_fin -= low
        Afar._anchor(self, low, now_ns)

    def rebase(self, seq: int) -> None:
        """Begin at `seq`, see Pickup: a FIN in doubt goes with what was gathered."""
        self.doubted_fin = NEVER
        Afar.rebase(self, seq)

    def receive_doubted(self, data: bytes, seq: int, fin: bool, now_ns: int) -> None:
        """Payload in doubt with sequence number `seq`, and whether there was a FIN behind it [T1]."""
        if not self.anchored and not self.settling:
            self.begin_settling(seq, now_ns)
        offset = self.offset_of(seq)
        if offset > self.limit() or offset < self.rcv_nxt - _WINDOW_BYTES:
            self.room.counters.dropped_window_bytes += len(data)
            self.note(WINDOW, len(data))
            return
        self.doubt(data, offset, now_ns)
        if fin:
            self.doubted_fin = offset + len(data)

    def receive_syn_data(self, data: bytes, now_ns: int) -> None:
        """Data of the SYN, which is in doubt until the SYN/ACK [L7]."""
        if self.syn_bytes or not self.is_fresh() or not self.anchored:
            self.room.counters.duplicate_bytes += len(data)
            self.note(DUPLICATE, len(data))
            return
        self.syn_bytes = len(data)
        self.doubt(data, 0, now_ns)

    def resolve_syn_data(self, accepted_bytes: int, now_ns: int) -> None:
        """The SYN/ACK, or what follows, tells how much the peer took of the data of the SYN [L7]."""
        if self.syn_bytes == 0:
            return
        self.trust(min(accepted_bytes, self.syn_bytes), now_ns)
        if self.tentative is not None:
            dropped = self.tentative.drop_before(self.syn_bytes)
            self.room.counters.dropped_syn_bytes += dropped
            self.note(SYN, dropped)
            self.drop_outdated()
        self.syn_bytes = 0

    def has_already(self, base: bytes, start: int, end: int, seq: int) -> bool:
        """Whether base[start:end] is in the file, at this sequence number; what was lost is like anything."""
        flow = self.flow
        if flow is None or flow.evicted:
            return False
        offset = self.offset_of(seq) - self.origin
        stop = offset + end - start
        if offset < flow.start or stop > flow.size:
            return False
        gaps = flow.lost.within(offset, stop, MAX_COMPARED_HOLES) if flow.lost is not None else []
        for gap_start, gap_end in gaps:
            if self.room.store.differs(flow, offset, base, start, start + gap_start - offset):
                return False
            start += gap_end - offset
            offset = gap_end
        return not self.room.store.differs(flow, offset, base, start, end)

    def acknowledge(self, ack: int, now_ns: int) -> bool:
        """The peer acknowledged all before `ack`; returns whether that can be."""
        if not self.anchored:
            self.hint(ack)
            return True
        offset = self.offset_of(ack)
        if offset < self.peer_ack:
            if offset < self.peer_ack - self.reach_bytes:
                return False  # RFC 5961, 5.2
            self._acknowledge_less(offset, now_ns)
            return True
        if offset > self.peer_ack and not self.can_be_acknowledged(offset):
            self.hear_from_afar(ack, self.peer.packets)
            return False
        self._forget_low_acks()
        self.ack_count += 1
        if offset > self.peer_ack:
            self.peer_ack = offset
            if offset > self.rcv_nxt:  # which never lies behind a FIN
                self.unseen_ns = now_ns
                if offset > self.fin:
                    self.fin_acknowledged(now_ns)
        elif self.pending is not None:
            self.see_peer_wait(offset)
        return True

    def _forget_low_acks(self) -> None:
        if self.odd_acks.low_count:
            self.odd_acks.low_count = 0

    def _acknowledge_less(self, offset: int, now_ns: int) -> None:
        """The peer acknowledges less than before: that came late, or what was before was forged [H1]."""
        odd_acks = self.own_acks()
        if odd_acks.low_count == 0:
            odd_acks.low_ack = offset
            odd_acks.low_ns = now_ns
            odd_acks.low_limit = self.connection.packets + ACKED_HOLE_PACKETS
        odd_acks.low_ack = max(odd_acks.low_ack, offset)
        odd_acks.low_count += 1
        if offset < self.acked_to:
            self.acked_ns = NEVER
        if odd_acks.low_count >= LOWER_ACKS and (
            now_ns - odd_acks.low_ns >= ACKED_HOLE_NS or self.connection.packets >= odd_acks.low_limit
        ):
            self.room.counters.bad_acks += 1
            odd_acks.low_count = 0
            self.peer_ack = odd_acks.low_ack
            self.fin_unacknowledged(now_ns)
        self.see_peer_wait(offset)

    def is_doubted_for_ack(self, now_ns: int) -> bool:
        """Whether a segment with such an ACK is in doubt: several in a row show a gap of the peer [Q2]."""
        odd_acks = self.own_acks()
        in_a_row = odd_acks.strange_packets == self.packets - 1
        odd_acks.strange_count = odd_acks.strange_count + 1 if in_a_row else 1
        odd_acks.strange_packets = self.packets
        if odd_acks.strange_count == RESYNC_SEGMENTS:
            self.trust(FAR_AWAY, now_ns)
        return odd_acks.strange_count < RESYNC_SEGMENTS

    def relieve(self, now_ns: int) -> None:
        """Give up the lowest holes until half of what waits is left [H2]."""
        if self.settling:
            self.settle(now_ns)
        self.resolve_syn_data(0, now_ns)
        Assembly.relieve(self, now_ns)

    def lacks_any(self) -> bool:
        """Whether either side's bytes wait for some that are missing."""
        return self.pending is not None or self.peer.pending is not None

    def waits(self) -> bool:
        """Whether there is anything for review() to look at."""
        if self.pending is not None or self.tentative is not None or self.fin < FAR_AWAY:
            return True
        return self.settling or self.odd_end.reset_at != NEVER

    def review(self, now_ns: int) -> None:
        """Give up the holes that are lost; end the stream if it has ended; set the time of the next look."""
        self.deadline_ns = 0
        if self.settling:
            if self._shows_only_its_end():
                return
            if now_ns - self.hole_ns < SETTLE_NS:
                self.wake_at(self.hole_ns + SETTLE_NS)
                return
            self.settle(now_ns)
        while self.pending is not None:
            if self.rcv_nxt >= self.fin or self.pending.first() >= self.fin:
                break
            reason = self._reason_to_give_up(self.pending.first(), now_ns)
            if reason == _NOT_LOST:
                break
            self.give_up(reason, now_ns)
        if self.tentative is not None or self.doubted_fin != NEVER:
            self._review_doubts(now_ns)
        if self.fin < FAR_AWAY and not self.done:
            self._check_done(now_ns)

    def _shows_only_its_end(self) -> bool:
        """Whether a FIN is all that was seen: what it follows may come again, and the peer go on [L3]."""
        return self.pending is None and self.tentative is None and not self.hinted

    def _review_doubts(self, now_ns: int) -> None:
        """What the peer has long acknowledged, and nothing better came for, is data [T1 H1]."""
        end = self.confirmed_end()
        while end > self.rcv_nxt and self._acked_long_enough(end, now_ns):
            self.bridge(end, ACK, now_ns)
            self.drain(now_ns)
            end = self.confirmed_end()
        if self.doubted_fin == self.rcv_nxt and self.peer_ack == self.rcv_nxt + 1 and self.fin == FAR_AWAY:
            self.fin = self.doubted_fin
            self.fin_acknowledged(now_ns)

    def _reason_to_give_up(self, end: int, now_ns: int) -> int:
        """Why the first hole, which ends at `end`, is lost; _NOT_LOST while it may still be filled."""
        if self.was_cut(end):
            return SNAPLEN
        if self.peer_ack >= end:
            return ACK if self._acked_long_enough(end, now_ns) else _NOT_LOST  # [H1]
        if self.peer.packets == 0:  # [H3]
            assert self.pending is not None
            if not self.is_credible(end):
                return _NOT_LOST
            if self.pending.waiting_bytes > ONE_WAY_BYTES or now_ns - self.hole_ns >= ONE_WAY_NS:
                return ONE_WAY
            self.wake_at(self.hole_ns + ONE_WAY_NS)
        return _NOT_LOST

    def _acked_long_enough(self, end: int, now_ns: int) -> bool:
        """Whether the peer has long acknowledged all before `end`: a capture reorders by less [H1].

        Its last ACKs count: who acknowledges less again does not have it.
        """
        connection = self.connection
        if self.odd_acks.low_count and self.odd_acks.low_ack < end:
            return False
        if self.acked_ns == NEVER or end > self.acked_to:
            self.acked_ns = now_ns
            self.acked_to = self.peer_ack
            self.ack_count = 1
            self.packet_limit = connection.packets + ACKED_HOLE_PACKETS
        if now_ns - self.acked_ns >= ACKED_HOLE_NS or connection.packets >= self.packet_limit:
            return self.is_credible(end)
        self.wake_at(self.acked_ns + ACKED_HOLE_NS)
        return False

    def is_credible(self, end: int) -> bool:
        """Whether a hole up to `end` is shown by more than one or two packets, if it is wide [H1 H3 H4]."""
        if end - self.rcv_nxt <= WIDE_HOLE_BYTES:
            return True
        if self.peer_ack >= end and self.odd_acks.low_count == 0 and self.ack_count >= RESYNC_SEGMENTS:
            return True
        return self.pending is not None and self.pending.is_shown_by_several()

    def _check_done(self, now_ns: int) -> None:
        """The stream ends with its FIN, once that is acknowledged and all before it is there, or lost."""
        if self.rcv_nxt < self.fin:
            if not self.fin_acked or (self.pending is not None and self.pending.first() < self.fin):
                return
            if not self._acked_long_enough(self.fin, now_ns):
                return
        elif not self.fin_acked and self.peer.packets:
            return
        if self.rcv_nxt < self.fin:
            self._miss_tail(self.fin)
            odd_end = self.own_end()
            odd_end.fin_moved += self.fin - self.rcv_nxt
            self.fin = self.rcv_nxt  # the size is final: what still comes is behind the FIN [R7]
        self.done = True
        self.drop_afar()  # there is no gap behind the end [R7]
        if self.flow is not None:
            self.room.store.set_state(self.flow, ENDED_BY_FIN, now_ns)

    def _miss_tail(self, end: int) -> None:
        """The peer has all up to `end`, which was never seen [H5]; a stream that closes twice counts once."""
        missing = end - self.rcv_nxt
        self.room.counters.tail_missing_bytes += max(0, missing - self.tail_missing_bytes)
        self.tail_missing_bytes = missing

    def _miss_what_was_acknowledged(self) -> None:
        """When it ends: all that the peer said last that it has, or that lies before a FIN one way."""
        end = self.odd_acks.low_ack if self.odd_acks.low_count else self.peer_ack
        if self.fin < FAR_AWAY and (self.fin_acked or self.peer.packets == 0):
            end = self.fin
        if self.anchored and end > self.rcv_nxt and self.is_credible(end):
            self._miss_tail(end)

    def _keep_alone(self, now_ns: int) -> None:
        """The only packet of a connection had one byte: nothing came that says that it was a probe [L6]."""
        assert self.tentative is not None
        self.partial = True
        self._anchor(self.tentative.first(), now_ns)
        self.trust(FAR_AWAY, now_ns)

    def close(self, state: int, now_ns: int) -> None:
        """The connection ended with this state (OPEN: the capture did): nothing more should come [H4]."""
        if self.over:
            self.drop_tentative()
            return
        self.over = True
        self.end_afar(self.peer.packets, now_ns)
        if self.settling:
            self.settle(now_ns)
        self.resolve_syn_data(0, now_ns)
        if self.tentative is not None and self.connection.packets == 1:
            self._keep_alone(now_ns)
        self._give_up_all_before_fin(now_ns)
        self.confirm(now_ns)
        self.drop_tentative()
        if state == ENDED_BY_FIN or state == ENDED_BY_RST:
            self.doubt_behind_fin()
        else:
            self.drop_behind_fin()
        self._miss_what_was_acknowledged()
        self.deadline_ns = 0
        if self.odd_end.reset_at != NEVER:
            self.odd_end.reset_at = NEVER
        if self.flow is not None and state != OPEN and self.flow.state == OPEN:
            self.room.store.set_state(self.flow, ENDED_BY_FIN if self.done else state, now_ns)

    def _give_up_all_before_fin(self, now_ns: int) -> None:
        """What waits becomes data, or is let go of, but for what lies behind the FIN [H4]."""
        while self.pending is not None and self.pending.first() < self.fin:
            self.give_up(CLOSE, now_ns)

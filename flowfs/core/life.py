# cython: boundscheck=False, wraparound=False, cdivision=True
"""What a segment means for the connection that it belongs to.

Finds whose it is in the table, asks whether its checksum lets it count [V2], and takes it apart: SYN, RST,
ACK, data, FIN. Knows no byte. Always true: what is ignored is counted.

The rules, by letter: SYN [L1 L2], RST [L5], data of a SYN [L7].
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .counters import Counters
    from .decode import ACK, FIN, PSH, RST, SYN, URG, VALID, WRONG, Segment
    from .notes import CHECKSUM, UNACKNOWLEDGING, UNKNOWN_TTL
    from .notes import RST as OF_RST
    from .reopening import Reopening
    from .seq import advance, distance
    from .store import Store
    from .stream import Connection, Stream

from .flow import OPEN
from .flow import RST as ENDED_BY_RST
from .limits import Limits


class Lives(Reopening):
    """The table of connections, and what segments do to it."""

    def __init__(self, limits: Limits, store: Store, counters: Counters) -> None:
        Reopening.__init__(self, limits, store, counters)
        self.strict = limits.checksum == "strict"

    def accept(self, segment: Segment, base: bytes, now_ns: int) -> None:
        """One TCP segment, whose payload lies in `base`."""
        self.counters.payload_bytes += segment.end - segment.start
        if segment.checksum == WRONG:
            self.counters.bad_checksums += 1
            if self.strict:
                self.counters.dropped_checksum_bytes += segment.end - segment.start
                return
        stream = self.whose(segment, base)
        if stream is None:
            stream = self._admit(segment, now_ns)
        elif stream.connection.disputed:
            stream = self._contest(stream, segment, base, now_ns)
        if stream is not None and stream.connection.state != OPEN:
            stream = self._after_close(stream, segment, base, now_ns)
        if stream is None:
            return
        if segment.checksum == WRONG and self._doubts(stream, segment, base, now_ns):
            return
        if segment.flags & (SYN | RST):
            stream = self._control(stream, segment, base, now_ns)
            if stream is None or stream.connection.incumbent is not None:
                return
        elif not self._data(stream, segment, base, now_ns):
            return
        if segment.checksum == VALID:
            stream.verified = True
        self._follow_up(stream, now_ns)

    def _doubts(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> bool:
        """Whether a wrong checksum means that the receiver did not take the segment [V2].

        It does where the direction has right ones. Then only payload and FIN are kept, in doubt: an ACK,
        a SYN or a RST that nobody took must not change anything.
        """
        payload = segment.end - segment.start
        if not stream.verified:
            if payload:
                stream.mark_unverified()
            return False
        if segment.flags & (SYN | RST) or not segment.flags & ACK:
            self.counters.dropped_checksum_bytes += payload
            stream.note(CHECKSUM, payload)
        elif payload or segment.flags & FIN:
            self._count_untaken(stream.connection, now_ns)
            self._take_doubted(stream, segment, base, now_ns)
            self._follow_up(stream, now_ns)
        return True

    def _take_doubted(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """Payload and FIN of a segment are kept, in doubt [T1]."""
        fin = segment.flags & FIN != 0
        if fin or segment.end > segment.start:
            stream.receive_doubted(base[segment.start : segment.end], segment.seq, fin, now_ns)

    def _settle(self, stream: Stream, now_ns: int) -> None:
        """This side has come to its end while the first segments were gathered: no earlier one comes [L3]."""
        for side in (stream, stream.peer):
            if side.settling:
                side.settle(now_ns)

    def _data(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> bool:
        """A segment without SYN or RST: an ACK, data, a FIN, in this order of importance.

        Returns whether it was of this connection.
        """
        connection = stream.connection
        far = not stream.is_within(segment.seq) if stream.anchored else stream.is_foreign(segment.seq)
        if far and self._begin_midway(stream, segment, base, now_ns):
            return False
        if not segment.flags & ACK:
            self._count_untaken(connection, now_ns)
            self.counters.dropped_unacknowledging_bytes += segment.end - segment.start
            stream.note(UNACKNOWLEDGING, segment.end - segment.start)
            return True
        far = far and stream.anchored
        self._count(connection, stream, now_ns)
        peer = stream.peer
        if stream.paws and stream.is_old(base, segment.header + 20, segment.options_end):
            self._take_old(stream, segment, base, now_ns)
            return True
        if far:
            stream.stay_afar(segment.ack)
            peer.hear_from_afar(segment.ack, stream.packets)
        elif not self._acknowledge(stream, segment, now_ns) and self._is_odd(stream, segment, now_ns):
            self._take_doubted(stream, segment, base, now_ns)
            return True
        if segment.wire_end > segment.start:
            self._payload(stream, segment, base, now_ns)
        if segment.flags & FIN:
            self._resolve_syn_data(stream, segment, now_ns)
            stream.receive_fin(advance(segment.seq, segment.wire_end - segment.start), now_ns)
        if far:
            self._look_afar(stream, now_ns)
        if connection.queue is not self.active and peer.packets:
            connection.touched_ns = now_ns
            self.active.append(connection)
            self._note_source(connection)
        return True

    def _acknowledge(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """The ACK, window and time of a segment that can be (RFC 9293, 3.10.7.4; RFC 7323, 4.3).

        Returns whether it can.
        """
        peer = stream.peer
        if peer.other_isn != NEVER and self._is_for_other(peer, segment.ack):
            return True
        taken = peer.acknowledge(segment.ack, now_ns)
        if taken:
            if segment.window != stream.said_window:
                stream.advertise(segment.window, peer)
            if stream.paws:
                stream.keep_time(peer)
        if peer.syn_bytes:
            peer.resolve_syn_data(peer.peer_ack, now_ns)
        return taken

    def _is_odd(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether the receiver drops a segment for its ACK (RFC 9293, 3.10.7.4; RFC 5961, 5) [Q4 T1]."""
        if not stream.anchored or not stream.peer.cannot_have_sent(segment.ack):
            return False
        return stream.is_doubted_for_ack(now_ns)

    def _payload(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """The payload of a segment, as far as it was captured."""
        self.room.ttl = segment.ttl
        parts = None
        if segment.ttl != stream.ttl:
            if stream.ttl == UNKNOWN_TTL:
                stream.ttl = segment.ttl
            else:
                parts = stream.unseen(segment.seq, segment.end - segment.start)
        if stream.syn_bytes:
            self._resolve_syn_data(stream, segment, now_ns)
        if segment.wire_end - segment.start == 1 and self._is_probe(stream, segment, base, now_ns):
            return
        if segment.end > segment.start:
            stream.receive(base, segment.start, segment.end, segment.seq, now_ns)
            if parts is not None:
                stream.note_ttl(segment.ttl, segment.seq, parts)
            if segment.flags & URG:
                self._urgent(stream, segment, base)
        if segment.end < segment.wire_end:
            cut = segment.wire_end - segment.end
            stream.note_cut(advance(segment.seq, segment.end - segment.start), cut)

    def _resolve_syn_data(self, stream: Stream, segment: Segment, now_ns: int) -> None:
        """What its own data, or FIN, follows of the data of the SYN, the peer has taken [L7]."""
        if stream.syn_bytes:
            stream.resolve_syn_data(max(0, distance(segment.seq, advance(stream.isn, 1))), now_ns)

    def _urgent(self, stream: Stream, segment: Segment, base: bytes) -> None:
        """The pointer is that of the byte behind the urgent one, as everyone has it (RFC 6093, 3.1) [L8]."""
        pointer = base[segment.header + 18] << 8 | base[segment.header + 19]
        if 0 < pointer <= segment.wire_end - segment.start:
            stream.note_urgent(advance(segment.seq, pointer - 1))

    def _take_old(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """A segment that is older than what the peer took: it drops it, so its bytes are in doubt [Q3 T1]."""
        self.counters.old_timestamps += 1
        if segment.end > segment.start:
            data = base[segment.start : segment.end]
            stream.receive_doubted(data, segment.seq, False, now_ns)

    def _is_probe(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> bool:
        """Whether one byte is sent to hear of the peer, and not, or not yet, to be data [L6].

        A byte right before what comes next, which is there already, Assembly.place() knows.
        """
        if segment.flags & FIN:
            return False
        if stream.is_probe(segment.seq, segment.flags & PSH != 0):
            alone = not stream.hinted
            stream.skip_probe(segment.seq)
            if alone and segment.end > segment.start:
                stream.doubt(base[segment.start : segment.end], stream.offset_of(segment.seq), now_ns)
            else:
                self._count_keepalive(stream, segment)
            return True
        if stream.is_probe_behind_gap(segment.seq, segment.flags & PSH != 0, now_ns):
            self._count_keepalive(stream, segment)
            return True
        if stream.closed and stream.anchored and stream.offset_of(segment.seq) >= stream.peer_ack:
            stream.receive_doubted(base[segment.start : segment.end], segment.seq, False, now_ns)
            return True
        return False

    def _count(self, connection: Connection, stream: Stream, now_ns: int) -> None:
        connection.packets += 1
        stream.packets += 1
        connection.last_ns = now_ns
        if now_ns - connection.touched_ns >= self.touch_ns:
            queue = connection.queue
            if queue is not None and queue is not self.half_open:
                connection.touched_ns = now_ns
                queue.append(connection)

    def _count_untaken(self, connection: Connection, now_ns: int) -> None:
        """A packet that shows no host [H3], nor where one is [Q2]: a RST, or what nobody takes."""
        connection.packets += 1
        connection.last_ns = now_ns

    def _note_source(self, connection: Connection) -> None:
        """Where packets come by, looked at as a side is first seen: each direction may have its own tap."""
        if self.source != connection.source:
            connection.other_source = self.source

    def _is_for_other(self, stream: Stream, ack: int) -> bool:
        """Whether the peer's ACK is for the other of two ISNs that were offered, and that is not chosen.

        The first ACK chooses, and where there was one before, the most do: one can be forged [L1].
        """
        if ack != advance(stream.other_isn, 1) or ack == advance(stream.isn, 1) or not stream.is_fresh():
            return False
        stream.other_acks += 1
        if stream.connection.queue is self.active and stream.other_acks <= stream.ack_count:
            return True
        stream.restart(stream.other_isn)
        stream.other_isn = NEVER
        return False

    def _control(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """A SYN or a RST; returns the stream that goes on with it, if one does."""
        if segment.flags & RST:
            self.counters.dropped_rst_bytes += segment.end - segment.start
            stream.note(OF_RST, segment.end - segment.start)
            self._count_untaken(stream.connection, now_ns)
            self._reset(stream, segment, now_ns)
            return None
        if segment.flags & ACK:
            chosen = self._syn_ack(stream, segment, now_ns)
        else:
            chosen = self._syn(stream, segment, now_ns)
        if chosen is None:
            self.counters.dropped_syn_bytes += segment.end - segment.start
            return None
        self._count(chosen.connection, chosen, now_ns)
        self._note_source(chosen.connection)
        if not chosen.has_syn():
            chosen.answers = segment.flags & ACK != 0
        chosen.read_syn(base, segment.header + 20, segment.options_end, segment.window, chosen.peer)
        if segment.end > segment.start:
            chosen.receive_syn_data(base[segment.start : segment.end], now_ns)
        return chosen

    def _syn(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN [L1 L2]; returns the stream whose SYN it is, None if that is not certain."""
        if stream.isn == segment.seq:
            self.counters.retransmitted_syns += 1
            return None if stream.over else stream
        if stream.over:
            return self._challenge(stream, segment.seq, NEVER, now_ns)
        if stream.isn == NEVER and stream.takes_isn(segment.seq, now_ns):
            return stream
        if stream.syn_bytes == 0 and self._is_beginning(stream):
            stream.other_isn = stream.isn
            stream.restart(segment.seq)  # the SYN/ACK may still choose the other, which has no data to lose
            return stream
        return self._challenge(stream, segment.seq, NEVER, now_ns)

    def _is_beginning(self, stream: Stream) -> bool:
        """Whether the ISNs are not settled yet: nobody has answered, and there is no data.

        Where only this side is captured, its first ACK says that it had an answer.
        """
        if stream.connection.queue is self.active or stream.peer.hinted:
            return False
        return stream.is_fresh() and stream.peer.is_fresh()

    def _syn_ack(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN/ACK [L1 L2 L7]; returns the stream that sent it, None if it belongs to nothing."""
        if stream.over:
            return self._syn_ack_after_close(stream, segment, now_ns)
        peer = stream.peer
        acked_isn = self._acked_isn(stream, segment)
        beyond = distance(acked_isn, peer.isn)
        offered = acked_isn != peer.isn and self._is_offered(peer, acked_isn)
        if offered and acked_isn == peer.other_isn and self._is_beginning(stream):
            peer.restart(acked_isn)
        elif offered or self._is_of_another(stream, segment.seq, acked_isn):
            return self._challenge_by_both(stream, segment, now_ns)
        elif peer.isn == NEVER:
            peer.takes_isn(acked_isn, now_ns)
        elif (beyond < 0 or beyond > peer.syn_bytes) and peer.packets and stream.isn != segment.seq:
            if stream.connection.queue is self.active:
                return self._challenge_by_both(stream, segment, now_ns)  # its SYN may not have been captured
            self.counters.bad_acks += 1
            return None
        peer.resolve_syn_data(beyond, now_ns)
        if stream.isn == segment.seq:
            self.counters.retransmitted_syns += 1
        elif stream.isn != NEVER or not stream.takes_isn(segment.seq, now_ns):
            if not stream.is_fresh():
                if peer.packets == 0:
                    return self._challenge(stream, segment.seq, NEVER, now_ns)
                self.counters.bad_acks += 1
                return None
            stream.other_acks = 0
            if stream.connection.queue is self.active or peer.hinted:  # the first was acknowledged
                stream.other_isn = segment.seq
                self.counters.bad_acks += 1
                return None
            stream.other_isn = stream.isn
            stream.restart(segment.seq)
        return stream

    def _is_of_another(self, stream: Stream, isn: int, acked_isn: int) -> bool:
        """Whether a SYN/ACK cannot be of a connection that was picked up midway, of both sides."""
        peer = stream.peer
        if stream.isn != NEVER or peer.isn != NEVER or peer.packets == 0:
            return False
        return not (stream.may_have(isn) and peer.may_have(acked_isn))

    def _acked_isn(self, stream: Stream, segment: Segment) -> int:
        """The ISN that a SYN/ACK acknowledges, of a rival with all or some of the data of its SYN [L7]."""
        acked_isn = advance(segment.ack, -1)
        rival = stream.connection.rival
        while rival is not None:
            there = self._side(rival, stream.peer)
            if there.isn != NEVER and 0 <= distance(acked_isn, there.isn) <= there.syn_bytes:
                return there.isn
            rival = rival.rival
        return acked_isn

    def _is_offered(self, stream: Stream, isn: int) -> bool:
        """Whether the stream's side sent another SYN with this ISN."""
        return isn == stream.other_isn or self._rival_with(stream, isn, NEVER) is not None

    def _syn_ack_after_close(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN/ACK of a connection that is over: sent again, or what closed it was forged, or a rival's."""
        if stream.isn == segment.seq:
            self.counters.retransmitted_syns += 1
            return None
        if stream.peer.packets == 0:
            return self._challenge(stream, segment.seq, NEVER, now_ns)
        return self._challenge_by_both(stream, segment, now_ns)

    def _challenge_by_both(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN/ACK, and the SYN that it answers, begin a rival [L2]; returns the stream that sent it.

        Of a host that is connected to itself both are of one direction, and have one ISN.
        """
        if stream.key == stream.peer.key:
            return self._challenge(stream, segment.seq, NEVER, now_ns)
        rival_stream = self._challenge(stream.peer, self._acked_isn(stream, segment), segment.seq, now_ns)
        return rival_stream.peer if rival_stream is not None else None

    def _reset(self, stream: Stream, segment: Segment, now_ns: int) -> None:
        """A RST closes if its number is exact, or if it answers a SYN; inside the window time tells [L5]."""
        peer = stream.peer
        refuses = not stream.anchored and segment.flags & ACK and peer.isn != NEVER and peer.is_fresh()
        if refuses:
            refuses = distance(segment.ack, advance(peer.isn, 1)) in (0, peer.syn_bytes)
        if stream.expects(segment.seq) or stream.may_be_reset_at(segment.seq):
            self._settle(stream, now_ns)
        if refuses or (stream.expects(segment.seq) and not stream.lacks_any()):
            odd_end = stream.own_end()
            odd_end.reset_ns = now_ns
            odd_end.reset_end = stream.offset_of(segment.seq) if stream.anchored else stream.rcv_nxt
            self._close(stream.connection, ENDED_BY_RST, now_ns)
        elif stream.takes_reset(segment.seq, now_ns):
            self._look_after(stream, now_ns)
        else:
            self.counters.rst_ignored += 1

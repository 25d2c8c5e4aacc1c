# cython: boundscheck=False, wraparound=False, cdivision=True
"""What comes for a connection that is over: late, in doubt, the first of another, or a sign that it goes on.

Knows what closed it, and asks its directions what the numbers of a segment mean to them. Always true: it goes
on only if the peer has data that was sent behind its end [L4 L5], or, where no peer is seen, if several
segments in a row are there; unless it has timed out [L9], one segment without a SYN begins no generation
in its place.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import FIN, SYN, Segment
    from .notes import AFTER_CLOSE
    from .refusal import Refusal
    from .stream import Connection, Stream

from .flow import IDLE, OPEN
from .flow import RST as ENDED_BY_RST
from .limits import FORGED_RST_NS, REMEMBER_NS


class Reopening(Refusal):
    """The table of connections, and what becomes of those that are over."""

    def _after_close(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """A segment of a connection that is over: in doubt, late, or the first of a new one [L2 L5 L9].

        Returns the stream that goes on with it, if one does.
        """
        outdated = self._is_outdated(stream, segment, base, now_ns)
        if not outdated and self._goes_on(stream, segment, now_ns):
            return stream
        payload = segment.end - segment.start
        if self._is_doubtful(stream, segment, now_ns):
            self.counters.late_packets += 1
            self._take_doubtful(stream, segment, base, now_ns)
            return None
        challenged = self._has_begun_another(stream.connection)
        if segment.flags & SYN and (challenged or self._may_go_on(stream.connection, now_ns)):
            return stream  # in which it may begin a rival, or be that of one
        if outdated:
            self.counters.old_timestamps += 1
        elif not challenged and self._begins_anew(stream, segment, now_ns):
            successor = self._succeed(stream, now_ns)
            if successor is None:
                self.counters.dropped_refused_bytes += payload
            return successor
        self.counters.late_packets += 1
        if self._begin_midway(stream, segment, base, now_ns):
            return None
        self.counters.dropped_after_close_bytes += payload
        stream.note(AFTER_CLOSE, payload)
        return None

    def _goes_on(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether a closed connection goes on: the peer has data that was sent after its end [L4 L5]."""
        peer = stream.peer
        if not segment.is_taken():
            return False
        if not peer.hear_late_ack(segment.ack):
            return self._unseen_side_goes_on(stream, segment, now_ns)
        doubted = self._reset_that_overtook(stream, segment)
        if doubted is not None:
            doubted.doubt_reset(now_ns)
        self._reopen(peer, now_ns)
        peer.acknowledge(segment.ack, now_ns)
        self._adopt(peer, now_ns)
        return peer.connection.state == OPEN  # what was sent since may have ended it again

    def _reset_that_overtook(self, stream: Stream, segment: Segment) -> Stream | None:
        """The side whose RST closed it, if what shows that there was more may have been sent before it [L5].

        That is an ACK of its own at or below its number, or the peer's of data below it.
        """
        peer = stream.peer
        if peer.was_overtaken(peer.offset_of(segment.ack)):
            return peer
        end = stream.offset_of(segment.seq) + segment.wire_end - segment.start + (segment.flags & FIN)
        return stream if stream.was_overtaken(end) else None

    def _unseen_side_goes_on(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether this is of the side that was not seen when the FIN of the other closed it: it may have been
        under way, or it has more to say. It goes on for this side, and the FIN counts as it did [L4].
        """
        peer = stream.peer
        if stream.packets or not peer.done or now_ns - stream.connection.closed_ns > REMEMBER_NS:
            return False
        acked = peer.offset_of(segment.ack)
        if acked < 0 or acked > peer.known_end() + 1:
            return False
        self._reopen(peer, now_ns)
        peer.adopt(now_ns)
        return True

    def _reopen(self, stream: Stream, now_ns: int) -> None:
        """The connection goes on, as what this side sent shows."""
        connection = stream.connection
        if connection.state == ENDED_BY_RST:
            self.counters.rst_forged += 1
        connection.state = OPEN
        stream.reopen(now_ns)
        stream.peer.reopen(now_ns)
        connection.last_ns = connection.touched_ns = now_ns
        (self.active if stream.packets and stream.peer.packets else self.one_way).append(connection)

    def _adopt(self, stream: Stream, now_ns: int) -> None:
        """What both sides sent since is data."""
        stream.adopt(now_ns)
        stream.peer.adopt(now_ns)
        self._follow_up(stream, now_ns)

    def _may_go_on(self, connection: Connection, now_ns: int) -> bool:
        """Whether what closed it may yet be shown to be forged, so that a SYN must not end it [L2 L5]."""
        opened = connection.one.isn != NEVER and connection.other.isn != NEVER
        if connection.state == IDLE or not (connection.carried or opened):
            return False
        return now_ns - connection.closed_ns <= REMEMBER_NS

    def _is_doubtful(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether it is data, or a FIN, that goes on after a FIN or a RST, which may be forged [L4 L5]."""
        connection = stream.connection
        count = segment.end - segment.start + (segment.flags & FIN)  # which is 1
        if connection.state == IDLE or count == 0 or not segment.is_taken():
            return False
        lately = now_ns - connection.closed_ns <= REMEMBER_NS
        return stream.may_go_on(stream.offset_of(segment.seq), count, lately)

    def _take_doubtful(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """Keep it until the peer's ACK tells; where the peer is never seen, several in a row do."""
        offset = self._set_aside(stream, segment, base)
        if segment.end == segment.start:
            return
        self._wake(stream, now_ns + REMEMBER_NS, now_ns)
        if stream.peer.packets:
            return
        ripe = now_ns - stream.connection.closed_ns >= FORGED_RST_NS
        if stream.count_late(offset, segment.end - segment.start, ripe):
            self._reopen(stream, now_ns)
            stream.retract_end(now_ns)
            self._adopt(stream, now_ns)

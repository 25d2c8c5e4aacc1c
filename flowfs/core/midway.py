# cython: boundscheck=False, wraparound=False, cdivision=True
"""A connection in the place of another of whose handshake nothing was captured: only its numbers tell.

Data that lies outside of all windows begins a rival that is picked up midway [L3]. While a connection lasts,
both numbers of a segment must lie there, and one behind the window: a gap of the capture leads ahead [Q2].
Once it is closed, or a RST waits to be believed, the sequence number alone does, and of a side that has ended
by its FIN the number of that side: there is no gap behind the end. It takes the place
 - when there were several segments since the connection that is there said anything, and one side has
   acknowledged what the other sent, which nobody can forge who forges one side alone;
 - or, where it is closed, when one side sent several segments in a row, and a connection that goes on would
   have said so [L5]; or, where of both that side alone is seen, so that nobody can answer.
While the base of the old one is not known, its numbers are what is near the first that were seen. Bytes that
are there already, at their numbers, are sent once more, however late: of another connection are other bytes.
Always true: such a rival costs none its place that begins with a SYN.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import ACK, RST, SYN, Segment
    from .rivals import Rivals
    from .stream import Connection, Stream

from .flow import OPEN
from .limits import FORGED_RST_NS, RESYNC_SEGMENTS, STALE_STAMP_NS


class Midway(Rivals):
    """The table of connections, and those that are in the place of others by what they say."""

    def _begin_midway(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> bool:
        """Whether a segment is none of its connection, but begins a rival, which keeps it."""
        if segment.end == segment.start or not self._begins_far(stream, segment):
            return False
        if self._is_outdated(stream, segment, base, now_ns) or self._is_copy(stream, segment, base):
            return False
        incumbent = stream.connection
        if self._has_two_with_syns(incumbent):
            return False
        rival_stream = self._begin_rival(stream, now_ns)
        if rival_stream is None:
            self.counters.dropped_refused_bytes += segment.end - segment.start
            return True  # nor is it of its connection, which was perhaps forgotten for the room
        rival_stream.connection.claims = 1
        self._keep(rival_stream, segment, base, now_ns)
        return True

    def _is_outdated(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> bool:
        """Whether a segment has numbers that this direction has, and is older than what the peer took.

        It is a duplicate that comes late, and begins nothing (RFC 7323, 5.3).
        """
        if not stream.paws or segment.flags & (SYN | RST):
            return False
        if now_ns - stream.connection.last_ns > STALE_STAMP_NS:
            return False
        if not (stream.can_be_of(segment.seq) or stream.is_within(segment.seq)):
            return False
        return stream.is_old(base, segment.header + 20, segment.options_end)

    def _is_copy(self, stream: Stream, segment: Segment, base: bytes) -> bool:
        """Whether all that a segment says was said before: its bytes are there, and so much was acknowledged.

        It comes again, however late, by another tap or a replay, and begins nothing.
        """
        if segment.end == segment.start or segment.flags & (SYN | RST):
            return False
        if not stream.peer.was_acknowledged(segment.ack):
            return False
        return stream.has_already(base, segment.start, segment.end, segment.seq)

    def _has_two_with_syns(self, incumbent: Connection) -> bool:
        """Whether there are two rivals that have more to show than any other without a handshake."""
        first = incumbent.rival
        if first is None or first.rival is None:
            return False
        return not self._is_midway(first) and not self._is_midway(first.rival)

    def _is_midway(self, rival: Connection) -> bool:
        """Whether nothing of its handshake was seen."""
        return rival.one.isn == NEVER and rival.other.isn == NEVER

    def _begins_far(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment may be the first of a rival."""
        if not segment.is_taken() or stream.holds_near(segment.seq):
            return False
        if not self._is_far(stream, segment):
            return False
        if self._may_have_ended(stream.connection) or stream.done:
            return True
        peer = stream.peer
        return stream.offset_of(segment.seq) < stream.rcv_nxt or peer.offset_of(segment.ack) < peer.rcv_nxt

    def _is_far(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment lies outside of all that is known of its connection."""
        peer = stream.peer
        if not self._may_have_ended(stream.connection):
            far_ack = segment.flags & ACK == 0 or peer.is_foreign(segment.ack)
            return stream.is_foreign(segment.seq) and (far_ack or stream.done)
        if stream.anchored or stream.settling or stream.hinted:
            return stream.is_foreign(segment.seq)
        return segment.flags & ACK != 0 and peer.is_foreign(segment.ack)

    def _may_have_ended(self, connection: Connection) -> bool:
        """Whether a connection is closed, or time will tell whether a RST has closed it."""
        if connection.state != OPEN:
            return True
        return connection.one.odd_end.reset_at != NEVER or connection.other.odd_end.reset_at != NEVER

    def _is_of_rival(self, rival_stream: Stream, stream: Stream, segment: Segment) -> bool:
        """As for others; but of a rival without a handshake there is nothing near the one that is there."""
        if not self._is_midway(rival_stream.connection):
            return Rivals._is_of_rival(self, rival_stream, stream, segment)
        if not self._fits(rival_stream, segment):
            return False
        return self._is_far(stream, segment) or self._acknowledges_far(stream, segment)

    def _acknowledges_far(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment acknowledges what a side that has ended, or may have, cannot have sent."""
        peer = stream.peer
        if not peer.done and not self._may_have_ended(stream.connection):
            return False
        return segment.flags & ACK != 0 and peer.is_foreign(segment.ack)

    def _hear(
        self, rival_stream: Stream, stream: Stream, segment: Segment, base: bytes, now_ns: int
    ) -> Stream | None:
        """A segment of a rival; returns as _contest() does."""
        rival = rival_stream.connection
        if segment.flags & RST or not segment.flags & ACK or not self._is_midway(rival):
            return Rivals._hear(self, rival_stream, stream, segment, base, now_ns)
        if self._is_copy(stream, segment, base):
            rival.contested = True  # by whoever says once more what was said
            rival.claims = 0
            return stream
        rival.claims += 1
        self._keep(rival_stream, segment, base, now_ns)
        if self._takes_over(rival, now_ns):
            self._replace(rival, 0, now_ns)
            self._follow_up(rival.one, now_ns)
        return None

    def _takes_over(self, rival: Connection, now_ns: int) -> bool:
        """Whether a rival without a handshake is shown to be in the place of the other."""
        acknowledged = self._is_acknowledged(rival.one) or self._is_acknowledged(rival.other)
        if acknowledged and rival.claims >= RESYNC_SEGMENTS:
            return True
        if rival.contested or not self._is_silent(rival, now_ns):
            return False
        return self._is_in_a_row(rival.one) or self._is_in_a_row(rival.other)

    def _is_silent(self, rival: Connection, now_ns: int) -> bool:
        """Whether nobody is there to answer: the incumbent is closed, or was of one side alone as well."""
        incumbent = rival.incumbent
        assert incumbent is not None
        if incumbent.state != OPEN:
            return now_ns - self._ended_ns(incumbent) >= FORGED_RST_NS
        if self._may_have_ended(incumbent) or (rival.one.packets and rival.other.packets):
            return False
        return incumbent.one.packets == 0 or incumbent.other.packets == 0

    def _is_acknowledged(self, rival_stream: Stream) -> bool:
        """Whether the peer acknowledges some of what came."""
        tentative = rival_stream.tentative
        return tentative is not None and rival_stream.hinted and rival_stream.hint_high > tentative.first()

    def _is_in_a_row(self, rival_stream: Stream) -> bool:
        """Whether several segments of one direction follow each other, or more do not."""
        return rival_stream.tentative is not None and rival_stream.tentative.is_shown_by_several()

    def _stands(self, rival: Connection, has_bytes: bool) -> bool:
        """As for others; without a handshake, where the other is closed, and one side went on."""
        if not self._is_midway(rival):
            return Rivals._stands(self, rival, has_bytes)
        incumbent = rival.incumbent
        assert incumbent is not None
        if self._is_doubted(rival) or not self._may_have_ended(incumbent):
            return False
        return self._is_in_a_row(rival.one) or self._is_in_a_row(rival.other)

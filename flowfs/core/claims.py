# cython: boundscheck=False, wraparound=False, cdivision=True
"""Whose a segment is, of a connection and of its rivals, and what shows that a rival is in its place [L2].

Asks their numbers, and who of their sides was seen; changes nothing. The rules are those of `rivals`. The
numbers of one connection lie near those of the next more often than not (RFC 6528), or are chosen to by a
forger; so a segment that can be of both is of the one which it is nearer to, by sequence and acknowledgement.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import ACK, Segment
    from .stream import Connection, Stream
    from .timeouts import Timeouts

from .flow import OPEN
from .limits import FORGED_RST_NS, LONE_BYTES, RESYNC_SEGMENTS


class Claims(Timeouts):
    """The table of connections, and what is claimed of their places."""

    def _side(self, rival: Connection, stream: Stream) -> Stream:
        """The rival's stream of the same direction."""
        return rival.one if rival.one.key == stream.key else rival.other

    def _rival_of(self, stream: Stream, segment: Segment) -> Stream | None:
        """The stream of the rival that a segment is of: of two that it fits, the one where it comes next."""
        found = None
        least = 0
        rival = stream.connection.rival
        while rival is not None:
            there = self._side(rival, stream)
            if self._is_of_rival(there, stream, segment):
                away = self._away(there, segment)
                if found is None or away < least:
                    found, least = there, away
            rival = rival.rival
        return found

    def _fits(self, rival_stream: Stream, segment: Segment) -> bool:
        """Whether the numbers of a segment can be the rival's."""
        if not rival_stream.can_be_of(segment.seq):
            return False
        return segment.flags & ACK == 0 or rival_stream.peer.can_be_of(segment.ack)

    def _is_of_rival(self, rival_stream: Stream, stream: Stream, segment: Segment) -> bool:
        """Whether a segment has the rival's numbers, and rather than those of the incumbent."""
        if not self._fits(rival_stream, segment):
            return False
        half_seen = self._is_half_seen(rival_stream.connection)
        if self._is_elsewhere(stream, segment, half_seen):
            return True
        return not half_seen and self._is_nearer(rival_stream, stream, segment)

    def _is_elsewhere(self, stream: Stream, segment: Segment, half_seen: bool) -> bool:
        """Whether a segment is none that its connection can have.

        `half_seen`: the handshake of what else it may be of, while this one lasts: one such number, which
        lies behind a hole or was forged, does not show it then.
        """
        peer = stream.peer
        acks = segment.flags & ACK != 0 and peer.anchored
        far = not stream.is_within(segment.seq)
        far_ack = acks and not peer.is_within(segment.ack)
        if half_seen:
            return far and (far_ack or not acks)
        return far or far_ack

    def _is_nearer(self, rival_stream: Stream, stream: Stream, segment: Segment) -> bool:
        """Whether a segment that can be of both lies nearer to what the rival sends and acknowledges next.

        Behind a close, a rival whose SYN and SYN/ACK were both seen has what is as near to both. Any other
        may be one forged packet, whose sender chose what is nearest: of two numbers, one that is just that of
        the incumbent says more, unless the other one is farther away than a capture reorders.
        """
        here = self._away(stream, segment)
        there = self._away(rival_stream, segment)
        if stream.connection.state != OPEN and rival_stream.has_syn() and rival_stream.peer.has_syn():
            return there <= here
        return there < here and not (here <= LONE_BYTES and self._has_own_number(stream, segment))

    def _has_own_number(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment acknowledges just what the peer sent, or begins just where the stream goes on.

        The latter says nothing where it acknowledges more than the peer sent: its receiver would drop it.
        """
        own = stream.away_from(segment.seq) == 0
        if segment.flags & ACK == 0:
            return own
        peer = stream.peer
        acked = peer.away_from_acked(segment.ack)
        return acked == 0 or (own and (acked == NEVER or peer.offset_of(segment.ack) < peer.peer_ack))

    def _away(self, stream: Stream, segment: Segment) -> int:
        """How far the numbers of a segment are from what the stream would have next, as far as known."""
        away = max(0, stream.away_from(segment.seq))
        if segment.flags & ACK:
            away += max(0, stream.peer.away_from_acked(segment.ack))
        return away

    def _goes_on_here(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment that is no rival's says that the incumbent goes on.

        What was sent before its end does not, nor what lies so far away that it is of neither.
        """
        if stream.is_foreign(segment.seq):
            return False
        if stream.connection.state == OPEN:
            return True
        offset = stream.offset_of(segment.seq) + segment.end - segment.start
        return segment.end > segment.start and offset > stream.rcv_nxt

    def _is_claimed(self, rival_stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether, with this segment, the side that sent the SYN has gone on, and is answered."""
        rival = rival_stream.connection
        if rival.other.isn != NEVER and self._is_half_seen(rival):
            return rival.claims >= RESYNC_SEGMENTS
        if self._is_unasked(rival) and not (rival_stream is rival.one and self._agree(rival, segment)):
            return False
        if self._lacks_a_word(rival_stream, now_ns):
            return False
        return rival.claims >= (RESYNC_SEGMENTS if rival.contested else 1)

    def _lacks_a_word(self, rival_stream: Stream, now_ns: int) -> bool:
        """Whether all that shows a rival, and ended its incumbent, is of one side, and the other was seen.

        Several segments will do, once a connection that goes on would have said so [L5].
        """
        rival = rival_stream.connection
        if rival_stream is rival.other or rival.other.packets > 0 or not self._had_other_side(rival):
            return False
        incumbent = rival.incumbent
        assert incumbent is not None
        if incumbent.state == OPEN:
            return True
        if self._side(incumbent, rival.one).odd_end.reset_end == NEVER:
            return False  # the other side has ended it, or both were silent for long
        return rival.claims < RESYNC_SEGMENTS or now_ns - self._ended_ns(incumbent) < FORGED_RST_NS

    def _had_other_side(self, rival: Connection) -> bool:
        """Whether the side that did not send the SYN was seen before; all is of one for who is both."""
        incumbent = rival.incumbent
        assert incumbent is not None
        return rival.one.key != rival.other.key and self._side(incumbent, rival.other).packets > 0

    def _ended_ns(self, connection: Connection) -> int:
        """When what closed it came: a RST may have waited."""
        for stream in (connection.one, connection.other):
            if stream.odd_end.reset_end != NEVER:
                return stream.odd_end.reset_ns
        return connection.closed_ns

    def _is_unasked(self, rival: Connection) -> bool:
        """Whether its SYN/ACK was seen, but no SYN, nor does the side that should have sent one go on."""
        if rival.one.has_syn() or rival.refused_whole:
            return False
        return rival.other.isn != NEVER and rival.claims < RESYNC_SEGMENTS

    def _agree(self, rival: Connection, segment: Segment) -> bool:
        """Whether its sides know of each other: the one acknowledges all that the other was seen to send."""
        other = rival.other
        if rival.contested or not self._has_spoken(rival):
            return False
        return other.offset_of(segment.ack) == other.known_end()

    def _has_spoken(self, rival: Connection) -> bool:
        """Whether the side that did not send the SYN has bytes; those of its SYN/ACK alone may be forged."""
        return rival.other.tentative is not None and (rival.other.packets > 1 or not self._is_unasked(rival))

    def _is_half_seen(self, rival: Connection) -> bool:
        """Whether its SYN or SYN/ACK is lacking, while a connection lasts of which both sides are seen."""
        incumbent = rival.incumbent
        assert incumbent is not None
        if rival.one.key == rival.other.key:  # a host that is connected to itself: all is of one side
            return False
        if incumbent.state != OPEN:
            return False
        if rival.other.isn == NEVER:
            return self._had_other_side(rival)
        return not rival.one.has_syn() and not rival.refused_whole

    def _stands(self, rival: Connection, has_bytes: bool) -> bool:
        """Whether a rival that ends has bytes, and an incumbent that is closed, or silent since.

        `has_bytes`: it has, or needs none.
        """
        one = rival.one
        incumbent = rival.incumbent
        assert incumbent is not None
        said = one.tentative is not None and (one.syn_bytes == 0 or one.peer_ack > 0)
        if not has_bytes and not said and not self._has_spoken(rival):
            return False
        if self._is_doubted(rival):
            return False
        if self._is_half_seen(rival) and (rival.claims == 0 or rival.other.packets == 0):
            return False
        return incumbent.state != OPEN or incumbent.last_ns <= rival.first_ns

    def _is_doubted(self, rival: Connection) -> bool:
        """Whether the incumbent's side went on, or may have, as what is kept of it will show."""
        incumbent = rival.incumbent
        assert incumbent is not None
        return rival.contested or incumbent.one.tentative is not None or incumbent.other.tentative is not None

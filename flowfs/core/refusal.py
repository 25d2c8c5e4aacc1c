# cython: boundscheck=False, wraparound=False, cdivision=True
"""Rivals for which the table had no room, or that gave way for others [M2]: their bytes are nobody else's.

Of each connection the numbers of one are remembered, in the record of the connection itself, so that what has
them is not taken for data of who is there, behind a gap of the capture [Q2]. Each such segment asks for room
again; it begins the rival if there is some, and is refused and counted otherwise. Always true: the connection
that is there loses none of its own by that, since it is forgotten once the side goes on that sent the SYN.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import ACK, SYN, WRONG, Segment
    from .lone import Lone
    from .notes import REFUSED
    from .seq import distance
    from .stream import Connection, Stream

from .flow import OPEN
from .limits import UNKNOWN_WINDOW_BYTES

_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES


class Refusal(Lone):
    """The table of connections, and those that were refused in the place of others."""

    def _challenge(self, stream: Stream, isn: int, peer_isn: int, now_ns: int) -> Stream | None:
        """The rival that begins with these ISNs, see Rivals; if there is no room, they are remembered."""
        incumbent = stream.connection
        there = Lone._challenge(self, stream, isn, peer_isn, now_ns)
        if there is None and incumbent.tracked:
            known = incumbent.refused_isn == isn
            whole = known and (incumbent.refused_whole or incumbent.refused_peer_isn == NEVER)
            self._remember_refused(stream, isn, peer_isn, whole and peer_isn != NEVER)
        return there

    def _forget(self, connection: Connection, now_ns: int) -> None:
        """A rival that has to give way may have been one."""
        incumbent = connection.incumbent
        isn, peer_isn = connection.one.isn, connection.other.isn
        whole = peer_isn != NEVER and (connection.one.has_syn() or connection.refused_whole)
        key = connection.one.key
        Lone._forget(self, connection, now_ns)
        if incumbent is not None and isn != NEVER:
            stream = incumbent.one if incumbent.one.key == key else incumbent.other
            self._remember_refused(stream, isn, peer_isn, whole)

    def _remember_refused(self, stream: Stream, isn: int, peer_isn: int, whole: bool) -> None:
        """These are the ISNs of one, NEVER for one not seen; of which less was seen counts less."""
        connection = stream.connection
        if connection.refused_peer_isn != NEVER and peer_isn == NEVER:
            return
        connection.refused_isn = isn
        connection.refused_peer_isn = peer_isn
        connection.refused_whole = whole
        connection.refused_by_one = stream is connection.one
        connection.review_dispute()

    def _forget_refused(self, connection: Connection) -> None:
        connection.refused_isn = connection.refused_peer_isn = NEVER
        connection.refused_whole = False
        connection.review_dispute()

    def _contest(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """As for others; what is of one that was refused is of nobody else."""
        incumbent = stream.connection
        if incumbent.refused_isn == NEVER or segment.flags & SYN or segment.checksum == WRONG:
            return Lone._contest(self, stream, segment, base, now_ns)
        began = (stream is incumbent.one) == incumbent.refused_by_one
        if self._rival_of(stream, segment) is None:
            if self._is_of_refused(stream, segment, began):
                return self._ask_again(stream, segment, base, began, now_ns)
            if began and self._goes_on_here(stream, segment):
                self._forget_refused(incumbent)
        return Lone._contest(self, stream, segment, base, now_ns)

    def _is_of_refused(self, stream: Stream, segment: Segment, began: bool) -> bool:
        """Whether a segment has its numbers, and not those of the connection that is there.

        `began`: whether it is of the side that sent the SYN.
        """
        incumbent = stream.connection
        isn, peer_isn = incumbent.refused_isn, incumbent.refused_peer_isn
        if not began:
            isn, peer_isn = peer_isn, isn
        if not self._is_behind(segment.seq, isn):
            return False
        if segment.flags & ACK and not self._is_behind(segment.ack, peer_isn):
            return False
        half_seen = not incumbent.refused_whole and incumbent.state == OPEN
        if self._is_elsewhere(stream, segment, half_seen):
            return True
        if half_seen or (not incumbent.refused_whole and self._has_own_number(stream, segment)):
            return False
        return self._is_beyond(stream, segment)

    def _is_beyond(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment lies, or acknowledges, beyond all that its connection is known to have sent."""
        if stream.offset_of(segment.seq) > stream.known_end():
            return True
        peer = stream.peer
        if segment.flags & ACK == 0 or not peer.anchored or peer.packets == 0:
            return False
        return peer.offset_of(segment.ack) > peer.known_end() + 1

    def _is_behind(self, seq: int, isn: int) -> bool:
        """Whether a number can be one that follows this ISN."""
        return isn == NEVER or 0 < distance(seq, isn) <= _WINDOW_BYTES

    def _ask_again(
        self, stream: Stream, segment: Segment, base: bytes, began: bool, now_ns: int
    ) -> Stream | None:
        """Begin it with this segment, if there is room by now; returns as _contest() does.

        Where the connection that is there gives the room, the segment is the first of one that begins midway.
        """
        incumbent = stream.connection
        self._finds_room(now_ns)
        if not incumbent.tracked:
            return self._admit_instead(stream, segment, now_ns)
        first = stream if began else stream.peer
        there = self._challenge(first, incumbent.refused_isn, incumbent.refused_peer_isn, now_ns)
        if there is not None:
            there.connection.refused_whole = incumbent.refused_whole
            self._forget_refused(incumbent)
            return self._hear(there if began else there.peer, stream, segment, base, now_ns)
        self.counters.dropped_refused_bytes += segment.end - segment.start
        stream.note(REFUSED, segment.end - segment.start)
        return None

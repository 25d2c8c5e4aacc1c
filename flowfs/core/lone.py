# cython: boundscheck=False, wraparound=False, cdivision=True
"""A connection of which one packet alone was seen: it may be forged, and says nothing of the hosts [L3 Q2].

What comes next is looked at first. If it lies near, or acknowledges that packet, the connection is as any
other. If it lies beyond what two packets show, or before the base, the first was forged, or the next is, or
the capture has a long gap between them: it begins a rival that is picked up midway, which takes the place as
such do, and not the hole. What begins just where the rival goes on is the rival's: so do hosts who
pass over what was forged ahead. Without a file the old one leaves nothing, else the rival has the next number
[R8].
Always true: a connection is alone until a segment agrees with its first, and never again.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import ACK, SYN, WRONG, Segment
    from .midway import Midway
    from .seq import advance
    from .stream import Connection, Stream

from .flow import IDLE, OPEN
from .limits import FORGED_GAP_NS


class Lone(Midway):
    """The table of connections, and those that one packet shows."""

    def _contest(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """As for others; what does not go with the only packet there is begins a rival."""
        if stream.connection.lone and segment.flags & SYN:
            if self._answers(stream, segment):
                self._agrees(stream.connection)
            return stream
        if stream.connection.lone and segment.is_taken():
            if not self._is_alone(stream.connection) or not self._is_apart(stream, segment):
                self._agrees(stream.connection)
            elif self._rival_of(stream, segment) is None and segment.end > segment.start:
                return self._begin_apart(stream, segment, base, now_ns)
        return Midway._contest(self, stream, segment, base, now_ns)

    def _begin_apart(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """The first segment of a rival; returns as _contest() does.

        Where it needs the room of the only packet that there was, it is the first of a connection.
        """
        connection = stream.connection
        self._finds_room(now_ns)
        if not connection.tracked:
            return self._admit_instead(stream, segment, now_ns)
        return None if self._begin_midway(stream, segment, base, now_ns) else stream

    def _admit_instead(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """The first packet of a connection, in the room of the stream's; returns as _admit() does."""
        self._set_keys(segment, stream.key)  # which it has not where the stream was found without it
        return self._admit(segment, now_ns)

    def _answers(self, stream: Stream, segment: Segment) -> bool:
        """Whether a SYN acknowledges the one that was seen: what nearly all connections go on with."""
        if not segment.flags & ACK or segment.checksum == WRONG:
            return False
        isn = stream.peer.isn
        return isn != NEVER and segment.ack == advance(isn, 1)

    def _agrees(self, connection: Connection) -> None:
        """More than one packet shows the connection, or it is over, and what comes is looked at anyway."""
        connection.lone = False
        connection.review_dispute()

    def _is_apart(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment cannot go with the only packet there is, or rather goes on with a rival."""
        if stream.is_apart(segment.seq):
            return True
        if segment.flags & ACK and stream.peer.is_apart(segment.ack):
            return True
        return self._is_next_of_rival(stream, segment)

    def _is_next_of_rival(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment is just what comes next of a rival, and not of the only packet there is."""
        rival = stream.connection.rival
        if rival is None or self._away(stream, segment) == 0:
            return False
        while rival is not None:
            there = self._side(rival, stream)
            if self._is_midway(rival) and self._fits(there, segment) and self._away(there, segment) == 0:
                return True
            rival = rival.rival
        return False

    def _is_far(self, stream: Stream, segment: Segment) -> bool:
        """As for others; from one packet, less is far."""
        if self._is_alone(stream.connection):
            return self._is_apart(stream, segment)
        return Midway._is_far(self, stream, segment)

    def _is_copy(self, stream: Stream, segment: Segment, base: bytes) -> bool:
        """As for others; one packet that comes again shows no more than it did."""
        return not self._is_alone(stream.connection) and Midway._is_copy(self, stream, segment, base)

    def _is_alone(self, connection: Connection) -> bool:
        """Whether one packet, which may be a FIN, is all that was ever seen of a connection."""
        return connection.lone and connection.state != IDLE

    def _may_have_ended(self, connection: Connection) -> bool:
        """As for others; of one packet it is not certain that there ever was a connection."""
        return self._is_alone(connection) or Midway._may_have_ended(self, connection)

    def _is_silent(self, rival: Connection, now_ns: int) -> bool:
        """As for others; a SYN may have its answer yet, a segment had it if there is anyone to see."""
        incumbent = rival.incumbent
        assert incumbent is not None
        if incumbent.state != OPEN or not self._is_alone(incumbent):
            return Midway._is_silent(self, rival, now_ns)
        if rival.one.packets and rival.other.packets:
            return False
        one, other = incumbent.one, incumbent.other
        if one.packets and other.packets:
            return False
        opens = one.isn != NEVER or other.isn != NEVER
        return not opens or now_ns - rival.first_ns >= FORGED_GAP_NS

    def _replace(self, rival: Connection, accepted_bytes: int, now_ns: int) -> None:
        """As for others; a packet that is not shown yet, and was of nobody, leaves nothing [L3]."""
        incumbent = rival.incumbent
        assert incumbent is not None
        if self._is_alone(incumbent) and self._has_same_side(rival, incumbent):
            for stream in (incumbent.one, incumbent.other):
                if stream.settling:
                    stream.rebase(stream.base_seq)
        Midway._replace(self, rival, accepted_bytes, now_ns)

    def _has_same_side(self, rival: Connection, incumbent: Connection) -> bool:
        """Whether one side of both has the same numbers, so that there is but one connection."""
        for stream in (rival.one, rival.other):
            there = self._side(incumbent, stream)
            known = (there.settling or there.hinted) and (stream.settling or stream.hinted)
            if known and not there.is_apart(stream.base_seq):
                return True
        return False

# cython: boundscheck=False, wraparound=False, cdivision=True
"""Two connections that claim the same addresses and ports: the one that is there, and one that may be forged.

Where a connection lasts, a SYN and its SYN/ACK begin a rival [L2]; the SYN alone does if the peer is not
seen, or the connection was closed, since what closed it may be forged. It stands among the half-open ones,
only its incumbent knows it, and what it is sent is kept in doubt. It takes the place once the side that sent
the SYN goes on with it; if that side goes on with the old one too, several such segments in a row are wanted.
Always true:
 - a connection has at most one rival, which is charged to the table's budget as any other;
 - a rival has no file, and is gone with its incumbent, with a RST, or as half-open ones are [L9 M2]; but
   with bytes, and an incumbent that is closed or silent since, it takes the place instead [L9];
 - its `one` is the direction of the SYN.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .decode import ACK, FIN, RST, SYN, WRONG, Segment
    from .flows import Flows
    from .order import leave
    from .stream import Connection, Stream

from .flow import IDLE, OPEN
from .limits import RESYNC_SEGMENTS


class Rivals(Flows):
    """The table of connections, and those that may be in the place of others."""

    def _challenge(self, stream: Stream, isn: int, peer_isn: int, now_ns: int) -> Stream | None:
        """The rival that begins with these ISNs: `isn` is that of the stream's direction, which sent the SYN.

        Returns its stream of that direction. One that is there already stays, any other goes; None if there
        is no room.
        """
        incumbent = stream.connection
        there = self._rival_of(stream)
        if there is not None and there.isn == isn and there.peer.isn in (NEVER, peer_isn):
            if there.peer.isn != peer_isn:
                there.peer.takes_isn(peer_isn, now_ns)
            return there
        self._dismiss(incumbent)
        if not self._has_room(now_ns) or not incumbent.tracked:
            return None  # not tracked: it was forgotten for the room that it asked for
        rival_stream = self._pair(stream.key, stream.peer.key, incumbent.generation, now_ns)
        rival = rival_stream.connection
        incumbent.rival = rival
        rival.incumbent = incumbent
        rival.tracked = False
        rival_stream.takes_isn(isn, now_ns)
        if peer_isn != NEVER:
            rival_stream.peer.takes_isn(peer_isn, now_ns)
        self.half_open.append(rival)
        return rival_stream

    def _rival_of(self, stream: Stream) -> Stream | None:
        """The stream of the same direction in the connection's rival."""
        rival = stream.connection.rival
        if rival is None:
            return None
        return rival.one if rival.one.key == stream.key else rival.other

    def _dismiss(self, incumbent: Connection) -> None:
        """The connection has no rival any more."""
        rival = incumbent.rival
        if rival is None:
            return
        incumbent.rival = rival.incumbent = None
        leave(rival)
        rival.one.drop_tentative()
        rival.other.drop_tentative()
        self._dispose(rival)

    def _contest(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """A segment of a connection that has a rival: the stream to go on with, None if that is all."""
        rival_stream = self._rival_of(stream)
        if rival_stream is None or segment.flags & SYN or segment.checksum == WRONG:
            return stream
        rival = rival_stream.connection
        if not self._is_of_rival(rival_stream, stream, segment):
            if stream.key == rival.one.key and self._goes_on_here(stream, segment):
                rival.contested = True
                rival.claims = 0
            return stream
        if segment.flags & (RST | FIN) and self._stands(rival, segment.end - segment.start):
            self._replace(rival, rival.one.peer_ack, now_ns)
            return rival_stream
        if segment.flags & RST or not segment.flags & ACK:
            if segment.flags & RST:
                self._dismiss(stream.connection)
            return stream  # which ignores it, and counts it
        if rival_stream is rival.one:
            rival.claims += 1
            if rival.claims >= (RESYNC_SEGMENTS if rival.contested else 1):
                self._replace(rival, max(0, rival_stream.offset_of(segment.seq)), now_ns)
                return rival_stream
        self._keep(rival_stream, segment, base, now_ns)
        return None

    def _goes_on_here(self, stream: Stream, segment: Segment) -> bool:
        """Whether a segment of the incumbent says that it goes on: what was sent before its end does not."""
        if stream.connection.state == OPEN:
            return True
        offset = stream.offset_of(segment.seq) + segment.end - segment.start
        return segment.end > segment.start and offset > stream.rcv_nxt

    def _stands(self, rival: Connection, payload: int) -> bool:
        """Whether a rival that ends has bytes, and an incumbent that is closed, or silent since."""
        one = rival.one
        incumbent = rival.incumbent
        assert incumbent is not None
        said = one.tentative is not None and (one.syn_bytes == 0 or one.peer_ack > 0)
        if payload == 0 and not said and rival.other.tentative is None:
            return False
        if rival.contested or incumbent.one.tentative is not None or incumbent.other.tentative is not None:
            return False
        return incumbent.state != OPEN or incumbent.last_ns <= rival.first_ns

    def _is_of_rival(self, rival_stream: Stream, stream: Stream, segment: Segment) -> bool:
        """Whether a segment has the rival's numbers, and not those of what is known of the incumbent."""
        if rival_stream.anchored and (
            rival_stream.offset_of(segment.seq) < 0 or not rival_stream.is_within(segment.seq)
        ):
            return False
        if rival_stream.peer.anchored and segment.flags & ACK:
            acked = rival_stream.peer.offset_of(segment.ack)
            if acked < 0 or acked > rival_stream.peer.limit():
                return False
        if not stream.is_within(segment.seq) or stream.offset_of(segment.seq) > stream.known_end():
            return True
        peer = stream.peer
        return (
            (segment.flags & ACK) != 0
            and peer.anchored
            and (not peer.is_within(segment.ack) or peer.offset_of(segment.ack) > peer.known_end() + 1)
        )

    def _keep(self, rival_stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """What the rival is sent, until it is known whether it is one."""
        rival_stream.packets += 1
        rival_stream.connection.packets += 1
        rival_stream.connection.last_ns = now_ns
        rival_stream.peer.acknowledge(segment.ack, now_ns)
        if not rival_stream.anchored and not rival_stream.settling:
            rival_stream.begin_settling(segment.seq, now_ns)  # its ISN may come yet, or never [L3]
        offset = rival_stream.offset_of(segment.seq)
        fin = offset + segment.wire_end - segment.start if segment.flags & FIN else NEVER
        rival_stream.keep_late(base[segment.start : segment.end], offset, fin)

    def _replace(self, rival: Connection, accepted_bytes: int, now_ns: int) -> None:
        """The rival is the connection: the old one ends, and both directions move together [L2].

        So much of the data of its SYN was accepted [L7].
        """
        rival_stream = rival.one
        peer = rival.other
        incumbent = rival.incumbent
        assert incumbent is not None
        incumbent.rival = rival.incumbent = None
        self._close(incumbent, IDLE, now_ns)
        self._untrack(incumbent)
        first = incumbent.generation + (1 if incumbent.carried else 0)
        rival.generation = self._free_generation(rival_stream.key, peer.key, first)
        rival.tracked = True
        self._enter(rival_stream)
        rival_stream.resolve_syn_data(accepted_bytes, now_ns)
        rival_stream.adopt(now_ns)
        peer.adopt(now_ns)

    def _untrack(self, connection: Connection) -> None:
        self._dismiss(connection)
        Flows._untrack(self, connection)

    def _close(self, connection: Connection, state: int, now_ns: int) -> None:
        """A rival that is silent was none, unless its bytes are all that came."""
        if connection.incumbent is None:
            Flows._close(self, connection, state, now_ns)
        elif self._stands(connection, 0):
            self._replace(connection, connection.one.peer_ack, now_ns)
            self._follow_up(connection.one, now_ns)
        else:
            self._dismiss(connection.incumbent)

    def _forget(self, connection: Connection, now_ns: int) -> None:
        """A rival that has to give way has no bytes to show."""
        if connection.incumbent is not None:
            self._dismiss(connection.incumbent)
        else:
            Flows._forget(self, connection, now_ns)

    def finish(self, now_ns: int) -> None:
        """The capture has ended: who is a rival still is none, unless its bytes are all that came."""
        connections = [stream.connection for stream in self.streams.values()]
        contested = [connection for connection in connections if connection.rival is not None]
        for connection in contested:
            rival = connection.rival
            if rival is None:
                continue  # seen to: each is there for both directions
            if self._stands(rival, 0):
                self._replace(rival, rival.one.peer_ack, now_ns)
            else:
                self._dismiss(connection)
        Flows.finish(self, now_ns)

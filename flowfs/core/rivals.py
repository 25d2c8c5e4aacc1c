# cython: boundscheck=False, wraparound=False, cdivision=True
"""Two connections that claim the same addresses and ports: the one that is there, and one that may be forged.

A SYN that is not that of its connection begins a rival [L2], also where the connection was closed, since what
closed it may be forged. It stands among the half-open ones, only its incumbent knows it, and what it is sent
is kept in doubt. It takes the place once the side that sent the SYN goes on with it, and the other one has
answered if that side is seen and the connection lasts, or the first has just reset it; if the first goes on
with the old one too, or its SYN was not captured, several such segments in a row are wanted, or, behind a
close, one that acknowledges just what the other side sent. Always true:
 - a connection has at most two rivals, which are charged to the table's budget as any other: two, so that one
   more SYN, forged or not, costs no other its place; a third costs the one its place of whom least is seen;
 - a rival has no file, and is gone with its incumbent, with a RST, or as half-open ones are [L9 M2]; but
   with bytes, and an incumbent that is closed or silent since, it takes the place instead; and without any,
   once a closed one is remembered no more [L9];
 - its `one` is the direction of what began it: a SYN, data, or a SYN/ACK where the peer was never seen.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER
    from .claims import Claims
    from .decode import ACK, FIN, PSH, RST, SYN, WRONG, Segment
    from .flows import Flows
    from .notes import KEEPALIVE
    from .order import Queue, leave
    from .stream import Connection, Stream

from .flow import IDLE


class Rivals(Claims):
    """The table of connections, and those that may be in the place of others."""

    def _challenge(self, stream: Stream, isn: int, peer_isn: int, now_ns: int) -> Stream | None:
        """The rival that begins with these ISNs: `isn` is that of the stream's direction, which sent a SYN.

        Returns its stream of that direction, which may be there already; None if there is no room. Where the
        incumbent was forgotten for the room, it is a connection of its own.
        """
        incumbent = stream.connection
        there = self._rival_with(stream, isn, peer_isn)
        if there is None:
            key, reverse = stream.key, stream.peer.key
            there = self._begin_rival(stream, now_ns)
            if there is None and not incumbent.tracked and self._finds_room(now_ns):
                there = self._begin_behind(incumbent, key, reverse, now_ns)
            if there is None:
                return None
            there.takes_isn(isn, now_ns)
        if there.peer.isn != peer_isn and peer_isn != NEVER:
            there.peer.takes_isn(peer_isn, now_ns)
            there.connection.contested = False  # what was said before the SYN/ACK says nothing of it
        return there

    def _begin_rival(self, stream: Stream, now_ns: int) -> Stream | None:
        """A rival of the stream's connection, and its stream of that direction; None if there is no room."""
        incumbent = stream.connection
        first = incumbent.rival
        if first is not None and first.rival is not None:
            self._dismiss(self._weaker(first, first.rival))
        queue = self._queue_with_room(now_ns)
        if queue is None or not incumbent.tracked:
            return None  # not tracked: it was forgotten for the room that it asked for
        rival_stream = self._pair(stream.key, stream.peer.key, incumbent.generation, now_ns)
        rival = rival_stream.connection
        first = incumbent.rival  # making room may have cost one
        if first is None:
            incumbent.rival = rival
        else:
            first.rival = rival
        incumbent.disputed = True
        rival.incumbent = incumbent
        rival.tracked = False
        queue.append(rival)
        return rival_stream

    def _queue_with_room(self, now_ns: int) -> Queue | None:
        """Where there is room for a rival: with all others, or in what is kept for rivals [M2]; else None."""
        if self._finds_room(now_ns):
            return self.half_open
        while self.spare.length and self.spare.length >= self.spare_limit:
            self._forget(self.spare.oldest, now_ns)
        if self.spare.length < self.spare_limit:
            return self.spare
        self.counters.connections_refused += 1
        return None

    def _take_room(self, rival: Connection, incumbent: Connection, now_ns: int) -> None:
        """The rival goes where all are, if need be for the files of the one in whose place it is [M2]."""
        if rival.queue is not self.spare:
            return
        leave(rival)
        while self.is_over(0) and self._make_room(now_ns):
            pass
        if self.is_over(0) and incumbent.files:
            self._forget(incumbent, now_ns)

    def _weaker(self, first: Connection, second: Connection) -> Connection:
        """Which of two rivals gives way: the one of which less was seen, else that was silent longest."""
        more = self._seen(first) - self._seen(second)
        if more == 0:
            return first if first.last_ns <= second.last_ns else second
        return first if more < 0 else second

    def _seen(self, rival: Connection) -> int:
        """How much was seen of a rival: of each side its SYN, which says most, and bytes."""
        one, other = rival.one, rival.other
        syns = one.has_syn() + other.has_syn()
        return 2 * syns + (one.tentative is not None) + (other.tentative is not None)

    def _has_begun_another(self, incumbent: Connection) -> bool:
        """Whether there is a rival of whose handshake something was seen."""
        rival = incumbent.rival
        while rival is not None:
            if rival.one.isn != NEVER:
                return True
            rival = rival.rival
        return False

    def _rival_with(self, stream: Stream, isn: int, peer_isn: int) -> Stream | None:
        """The stream of the same direction with this ISN, and a peer that may have that one (NEVER: any)."""
        rival = stream.connection.rival
        while rival is not None:
            there = self._side(rival, stream)
            if there.isn == isn and (peer_isn == NEVER or there.peer.isn in (NEVER, peer_isn)):
                return there
            rival = rival.rival
        return None

    def _dismiss(self, rival: Connection) -> None:
        """This is no rival any more, and nothing else."""
        self._unlink(rival)
        leave(rival)
        rival.one.drop_tentative()
        rival.other.drop_tentative()
        self._dispose(rival)

    def _unlink(self, rival: Connection) -> None:
        """Its incumbent knows it no more."""
        incumbent = rival.incumbent
        assert incumbent is not None
        assert incumbent.rival is not None
        if incumbent.rival is rival:
            incumbent.rival = rival.rival
        else:
            incumbent.rival.rival = None
        incumbent.review_dispute()
        rival.rival = rival.incumbent = None

    def _contest(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """A segment of a connection that has rivals: the stream to go on with, None if that is all."""
        if segment.flags & SYN or segment.checksum == WRONG:
            return stream
        rival_stream = self._rival_of(stream, segment)
        if rival_stream is not None:
            return self._hear(rival_stream, stream, segment, base, now_ns)
        if self._goes_on_here(stream, segment):
            rival = stream.connection.rival
            while rival is not None:
                if stream.key == rival.one.key or rival.one.isn == NEVER:
                    rival.contested = True
                    rival.claims = 0
                rival = rival.rival
        return stream

    def _hear(
        self, rival_stream: Stream, stream: Stream, segment: Segment, base: bytes, now_ns: int
    ) -> Stream | None:
        """A segment of a rival; returns as _contest() does."""
        rival = rival_stream.connection
        has_bytes = segment.end > segment.start and not segment.flags & RST and not self._is_unasked(rival)
        stands = segment.flags & (RST | FIN) != 0 and self._stands(rival, has_bytes)
        if stands and not self._lacks_a_word(rival_stream, now_ns):
            self._replace(rival, rival.one.peer_ack, now_ns)
            return rival_stream
        if segment.flags & RST or not segment.flags & ACK:
            if segment.flags & RST and not stands:
                self._dismiss(rival)
            return stream  # which ignores it, and counts it
        if rival_stream is rival.one:
            rival.claims += 1
            accepted_bytes = rival_stream.offset_of(segment.seq)
        else:
            accepted_bytes = rival.one.offset_of(segment.ack)
        if self._is_claimed(rival_stream, segment, now_ns):
            self._replace(rival, max(0, accepted_bytes), now_ns)
            return rival_stream
        self._keep(rival_stream, segment, base, now_ns)
        return None

    def _keep(self, rival_stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """What the rival is sent, until it is known whether it is one."""
        rival_stream.packets += 1
        rival_stream.connection.packets += 1
        rival_stream.connection.last_ns = now_ns
        rival_stream.peer.acknowledge(segment.ack, now_ns)
        if self._skips_probe(rival_stream, segment):
            return
        if not rival_stream.anchored and not rival_stream.settling and segment.wire_end > segment.start:
            rival_stream.begin_settling(segment.seq, now_ns)  # its ISN may come yet, or never [L3]
        self._set_aside(rival_stream, segment, base)

    def _skips_probe(self, rival_stream: Stream, segment: Segment) -> bool:
        """Whether the first byte that is seen of a rival is that of a probe: its data begins behind [L6]."""
        if segment.wire_end - segment.start != 1 or segment.flags & FIN:
            return False
        if not rival_stream.is_probe(segment.seq, segment.flags & PSH != 0):
            return False
        rival_stream.skip_probe(segment.seq)
        self._count_keepalive(rival_stream, segment)
        return True

    def _count_keepalive(self, stream: Stream, segment: Segment) -> None:
        self.counters.keepalive_bytes += segment.end - segment.start
        stream.note(KEEPALIVE, segment.end - segment.start)

    def _set_aside(self, stream: Stream, segment: Segment, base: bytes) -> int:
        """Keep what a segment brings in doubt; returns its offset."""
        offset = stream.offset_of(segment.seq)
        fin = offset + segment.wire_end - segment.start if segment.flags & FIN else NEVER
        stream.keep_late(base[segment.start : segment.end], offset, fin)
        return offset

    def _replace(self, rival: Connection, accepted_bytes: int, now_ns: int) -> None:
        """The rival is the connection: the old one ends, and both directions move together [L2].

        So much of the data of its SYN was accepted [L7]; NEVER if that is still to be told.
        """
        rival_stream = rival.one
        peer = rival.other
        incumbent = rival.incumbent
        assert incumbent is not None
        self._unlink(rival)
        self._close(incumbent, IDLE, now_ns)
        self._untrack(incumbent)
        self._take_room(rival, incumbent, now_ns)
        first = incumbent.generation + (1 if incumbent.carried else 0)
        rival.generation = self._free_generation(rival_stream.key, peer.key, first)
        rival.tracked = True
        rival.refused_whole = False
        self._enter(rival_stream)
        if accepted_bytes != NEVER:
            rival_stream.resolve_syn_data(accepted_bytes, now_ns)
            rival_stream.adopt(now_ns)
        peer.adopt(now_ns)

    def _untrack(self, connection: Connection) -> None:
        while connection.rival is not None:
            self._dismiss(connection.rival)
        Flows._untrack(self, connection)

    def _close(self, connection: Connection, state: int, now_ns: int) -> None:
        """A rival that is silent was none, unless its bytes are all that came."""
        if connection.incumbent is None:
            Flows._close(self, connection, state, now_ns)
        elif self._stands(connection, False):
            self._replace(connection, connection.one.peer_ack, now_ns)
            self._follow_up(connection.one, now_ns)
        else:
            self._dismiss(connection)

    def _cease(self, connection: Connection, now_ns: int) -> None:
        """Where the incumbent is remembered no more, its rival is the first that is there."""
        rival = connection.rival
        while rival is not None and not self._stands(rival, True):
            rival = rival.rival
        if rival is None:
            Flows._cease(self, connection, now_ns)
            return
        doubted = rival.one.syn_bytes > 0 and rival.one.peer_ack == 0
        self._replace(rival, NEVER if doubted else rival.one.peer_ack, now_ns)
        self._follow_up(rival.one, now_ns)

    def _forget(self, connection: Connection, now_ns: int) -> None:
        """A rival that has to give way goes with its bytes."""
        if connection.incumbent is not None:
            self._dismiss(connection)
        else:
            Flows._forget(self, connection, now_ns)

    def finish(self, now_ns: int, patience_bytes: int) -> bool:
        """The capture has ended: who is a rival still is none, unless its bytes are all that came."""
        for connection in [entry for entry in self.entries.values() if isinstance(entry, Connection)]:
            while connection.rival is not None:
                rival = connection.rival
                if self._stands(rival, False):
                    self._replace(rival, rival.one.peer_ack, now_ns)
                else:
                    self._dismiss(rival)
        return Flows.finish(self, now_ns, patience_bytes)

# cython: boundscheck=False, wraparound=False, cdivision=True
"""The connection table: whose segment it is, and the life of a connection.

Finds a stream by addresses, ports and VLAN (a dictionary with Python's salted hash, full compare [K1]);
pairs both directions; begins and ends connections and generations; looks after what waits. Knows no byte.
Always true:
 - a connection stands in exactly one of the queues half_open, active, closed, or is closed and has files;
 - `live` connections are charged to the table's budget from their first packet until their last file went;
 - a generation's number is not used twice while a file of that name is there [R8].

The rules, by letter: SYN [L1 L2], RST [L5], timeouts [L9], no file without data [L10], pressure [M2].
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import cython

if not cython.compiled:
    from .assembly import FAR_AWAY, NEVER, Room
    from .counters import Counters
    from .decode import ACK, FIN, RST, SYN, Segment, reverse_key
    from .flow import Flow
    from .order import Queue, leave
    from .pending import Pool
    from .seq import advance, distance
    from .store import Store
    from .stream import Connection, Stream

from .flow import FIN as ENDED_BY_FIN
from .flow import IDLE, OPEN
from .flow import RST as ENDED_BY_RST
from .limits import (
    CONNECTION_BYTES,
    DUE_PER_TICK,
    EXPIRED_PER_TICK,
    HALF_OPEN_NS,
    IDLE_VICTIM_NS,
    NOTES_SHARE,
    REMEMBER_NS,
    TOUCH_NS,
    Limits,
)

_SPARE_DEADLINES = 1000  # dead ones that are not worth a look


class Flows:
    """All connections of a mount."""

    def __init__(self, limits: Limits, store: Store, counters: Counters) -> None:
        self.store = store
        self.counters = counters
        self.room = Room(store, Pool(limits.out_of_order_bytes), counters)
        self.idle_ns = limits.idle_ns
        self.touch_ns = TOUCH_NS
        self.room.note_limit_bytes = limits.table_bytes // NOTES_SHARE
        self.live_limit = max(1, limits.table_bytes // CONNECTION_BYTES)
        self.live = 0
        self.streams: dict[bytes, Stream] = {}
        self.half_open = Queue()
        self.active = Queue()
        self.closed = Queue()  # without files; those with files end when their last file goes
        self.deadlines: list[tuple[int, int, Stream]] = []  # a heap: (when, a number for ties, stream)
        self.scheduled = 0
        self.source = 0

    def accept(self, segment: Segment, base: bytes, now_ns: int) -> None:
        """One TCP segment, whose payload lies in `base`."""
        self.counters.payload_bytes += segment.end - segment.start
        stream = self.streams.get(segment.key)
        if stream is None:
            stream = self._admit(segment, now_ns)
        elif stream.connection.state != OPEN:
            stream = self._after_close(stream, segment, now_ns)
        if stream is None:
            return
        if segment.flags & (SYN | RST):
            stream = self._control(stream, segment, base, now_ns)
            if stream is None:
                return
        else:
            self._data(stream, segment, base, now_ns)
        self._follow_up(stream, now_ns)

    def _data(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> None:
        """A segment without SYN or RST: an ACK, data, a FIN, in this order of importance."""
        connection = stream.connection
        self._count(connection, stream, now_ns)
        peer = stream.peer
        if segment.flags & ACK:
            if peer.other_isn != NEVER:
                self._choose(peer, segment.ack)
            peer.acknowledge(segment.ack, now_ns)
            if peer.syn_bytes:
                peer.resolve_syn_data(peer.peer_ack >= peer.syn_bytes, now_ns)
        else:
            self.counters.dropped_unacknowledging_bytes += segment.end - segment.start
            return
        if segment.wire_end > segment.start:
            if stream.syn_bytes:
                taken = distance(segment.seq, advance(stream.isn, 1)) >= stream.syn_bytes
                stream.resolve_syn_data(taken, now_ns)
            if segment.end > segment.start:
                stream.receive(base, segment.start, segment.end, segment.seq, now_ns)
            if segment.end < segment.wire_end:
                cut = segment.wire_end - segment.end
                stream.note_cut(advance(segment.seq, segment.end - segment.start), cut)
        if segment.flags & FIN:
            stream.receive_fin(advance(segment.seq, segment.wire_end - segment.start), now_ns)
        if connection.queue is self.half_open and peer.packets:
            self.active.append(connection)

    def _count(self, connection: Connection, stream: Stream, now_ns: int) -> None:
        connection.packets += 1
        stream.packets += 1
        connection.last_ns = now_ns
        if now_ns - connection.touched_ns >= self.touch_ns:
            connection.touched_ns = now_ns
            if connection.queue is self.active:
                self.active.append(connection)

    def _choose(self, stream: Stream, ack: int) -> None:
        """Of two ISNs that were offered, the peer's first ACK chooses [L1]."""
        if stream.is_fresh() and ack == advance(stream.other_isn, 1) and ack != advance(stream.isn, 1):
            stream.restart(stream.other_isn)
            stream.other_isn = NEVER

    def _follow_up(self, stream: Stream, now_ns: int) -> None:
        """Look at what waits in both directions; close the connection if both have ended."""
        peer = stream.peer
        if stream.settling or stream.pending is not None or stream.fin < FAR_AWAY:
            self._look_after(stream, now_ns)
        if peer.settling or peer.pending is not None or peer.fin < FAR_AWAY:
            self._look_after(peer, now_ns)
        connection = stream.connection
        if stream.done and (peer.done or peer.packets == 0):
            self._close(connection, ENDED_BY_FIN, now_ns)
        elif connection.queue is self.half_open and connection.carried:
            self.active.append(connection)

    def _look_after(self, stream: Stream, now_ns: int) -> None:
        stream.review(now_ns)
        deadline_ns = stream.deadline_ns
        assert deadline_ns == 0 or deadline_ns > now_ns, "tick() would not end"
        if deadline_ns and (stream.scheduled_ns == 0 or deadline_ns < stream.scheduled_ns):
            stream.scheduled_ns = deadline_ns
            self.scheduled += 1
            if len(self.deadlines) > 2 * self.live + _SPARE_DEADLINES:
                self._drop_dead_deadlines()
            heappush(self.deadlines, (deadline_ns, self.scheduled, stream))

    def _drop_dead_deadlines(self) -> None:
        """Streams that are over are let go of, though their time has not come."""
        self.deadlines = [item for item in self.deadlines if not item[2].over]
        heapify(self.deadlines)

    def _control(self, stream: Stream, segment: Segment, base: bytes, now_ns: int) -> Stream | None:
        """A SYN or a RST; returns the stream that goes on with it, if one does."""
        if segment.flags & RST:
            self.counters.dropped_rst_bytes += segment.end - segment.start
            self._count(stream.connection, stream, now_ns)
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
        if segment.end > segment.start:
            chosen.receive_syn_data(base[segment.start : segment.end], now_ns)
        return chosen

    def _syn(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN [L1 L2]; returns the stream whose SYN it is, None if that is not certain."""
        if stream.isn == segment.seq:
            self.counters.retransmitted_syns += 1
            return stream
        if stream.isn == NEVER and stream.takes_isn(segment.seq, now_ns):
            return stream
        if stream.is_fresh() and stream.peer.is_fresh():
            stream.other_isn = stream.isn
            stream.restart(segment.seq)  # the SYN/ACK may still choose the other
            return stream
        if stream.peer.packets == 0:
            return self._renew(stream, segment.seq, NEVER, now_ns)
        stream.other_isn = segment.seq  # only its SYN/ACK makes it true
        return None

    def _syn_ack(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A SYN/ACK [L1 L2 L7]; returns the stream that sent it, None if it belongs to nothing."""
        peer = stream.peer
        acked_isn = advance(segment.ack, -1)
        beyond = distance(acked_isn, peer.isn)
        if acked_isn == peer.other_isn and acked_isn != peer.isn:
            if not peer.is_fresh() or not stream.is_fresh():
                renewed = self._renew(peer, acked_isn, segment.seq, now_ns)
                return renewed.peer if renewed is not None else None
            peer.restart(acked_isn)
        elif peer.isn == NEVER:
            peer.takes_isn(acked_isn, now_ns)
        elif (beyond < 0 or beyond > peer.syn_bytes) and peer.packets and stream.isn != segment.seq:
            self.counters.bad_acks += 1
            return None
        peer.resolve_syn_data(beyond > 0, now_ns)
        if stream.isn == segment.seq:
            self.counters.retransmitted_syns += 1
        elif stream.isn != NEVER or not stream.takes_isn(segment.seq, now_ns):
            if not stream.is_fresh():
                return None
            stream.other_isn = stream.isn
            stream.restart(segment.seq)
        return stream

    def _reset(self, stream: Stream, segment: Segment, now_ns: int) -> None:
        """A RST closes if its number is exact, or if it answers a SYN [L5]."""
        peer = stream.peer
        refuses = not stream.anchored and segment.flags & ACK and peer.isn != NEVER and peer.is_fresh()
        if refuses:
            refuses = distance(segment.ack, advance(peer.isn, 1)) in (0, peer.syn_bytes)
        if refuses or stream.expects(segment.seq):
            self._close(stream.connection, ENDED_BY_RST, now_ns)
        else:
            self.counters.rst_ignored += 1

    def _admit(self, segment: Segment, now_ns: int) -> Stream | None:
        """The first packet of a connection; None if it begins none, or there is no room [M2]."""
        if segment.flags & RST:
            self.counters.stray_packets += 1
            self.counters.dropped_rst_bytes += segment.end - segment.start
            return None
        if not self._has_room(now_ns):
            self.counters.dropped_refused_bytes += segment.end - segment.start
            return None
        reverse = reverse_key(segment.key, len(segment.key), segment.key_split)
        return self._open(segment.key, reverse, self._free_generation(segment.key, reverse, 0), now_ns)

    def _free_generation(self, key: bytes, reverse: bytes, generation: int) -> int:
        """The first number from `generation` on that no file of these addresses and ports has [R8]."""
        while self.store.find(key, generation) or self.store.find(reverse, generation):
            generation += 1
        return generation

    def _open(self, key: bytes, reverse: bytes, generation: int, now_ns: int) -> Stream:
        connection = Connection.__new__(Connection)
        connection.begin(generation, now_ns, self.source)
        connection.one = stream = Stream.__new__(Stream)
        stream.begin(key, connection, self.room)
        connection.other = stream.peer = peer = Stream.__new__(Stream)
        peer.begin(reverse, connection, self.room)
        peer.peer = stream
        self.streams[reverse] = peer
        self.streams[key] = stream  # last: of a connection to itself all packets are of one direction
        self.half_open.append(connection)
        self.live += 1
        self.counters.connections += 1
        return stream

    def _after_close(self, stream: Stream, segment: Segment, now_ns: int) -> Stream | None:
        """A packet of a connection that is over: late, or the first of a new one [L2 L9]."""
        payload = segment.end - segment.start
        if self._begins_anew(stream, segment, now_ns):
            successor = self._succeed(stream, now_ns)
            if successor is None:
                self.counters.dropped_refused_bytes += payload
            return successor
        self.counters.late_packets += 1
        self.counters.dropped_after_close_bytes += payload
        return None

    def _begins_anew(self, stream: Stream, segment: Segment, now_ns: int) -> bool:
        """Whether a packet of a closed connection is the first of another: a SYN of its own, or late data."""
        connection = stream.connection
        if segment.flags & RST:
            return False
        if segment.flags & SYN:
            return stream.isn != segment.seq
        if segment.end == segment.start:
            return False
        return connection.state == IDLE or now_ns - connection.closed_ns > REMEMBER_NS

    def _renew(self, stream: Stream, isn: int, peer_isn: int, now_ns: int) -> Stream | None:
        """A new generation in the place of the stream's connection, with these ISNs [L2]."""
        self._close(stream.connection, IDLE, now_ns)
        renewed = self._succeed(stream, now_ns)
        if renewed is not None:
            renewed.takes_isn(isn, now_ns)
            if peer_isn != NEVER:
                renewed.peer.takes_isn(peer_isn, now_ns)
        return renewed

    def _succeed(self, stream: Stream, now_ns: int) -> Stream | None:
        """A connection in the place of the stream's, which is closed: the same direction, if one fits."""
        old = stream.connection
        key = stream.key
        reverse = stream.peer.key
        self._untrack(old)
        if not self._has_room(now_ns):
            return None
        generation = self._free_generation(key, reverse, old.generation + (1 if old.carried else 0))
        return self._open(key, reverse, generation, now_ns)

    def _close(self, connection: Connection, state: int, now_ns: int) -> None:
        """The connection ends with this state; it stays known, to absorb what comes late [H4 L9]."""
        if connection.state != OPEN:
            return
        connection.one.close(state, now_ns)
        connection.other.close(state, now_ns)
        connection.state = state
        connection.closed_ns = now_ns
        leave(connection)
        if connection.files == 0:
            self.closed.append(connection)

    def _untrack(self, connection: Connection) -> None:
        """Addresses and ports lead to this connection no more; without files it is gone."""
        connection.tracked = False
        leave(connection)
        del self.streams[connection.one.key]
        self.streams.pop(connection.other.key, None)
        if connection.files == 0:
            self._dispose(connection)

    def _dispose(self, connection: Connection) -> None:
        """Break the circle of references: these objects are not seen by the garbage collector."""
        one: Any = connection.one
        other: Any = connection.other
        one.forget_notes()
        other.forget_notes()
        one.peer = other.peer = one.connection = other.connection = one.owner = other.owner = None
        self.live -= 1

    def collect(self) -> None:
        """See to the connections whose files the store evicted."""
        orphans = self.store.orphans
        self.store.orphans = []
        for item in orphans:
            self._lose_file(item)

    def _lose_file(self, flow: Flow) -> None:
        connection = flow.owner
        flow.owner = None
        if connection.one.flow is flow:
            connection.one.flow = None
        elif connection.other.flow is flow:
            connection.other.flow = None
        connection.files -= 1
        if connection.files == 0 and connection.state != OPEN:
            if connection.tracked:
                self.closed.append(connection)
            else:
                self._dispose(connection)

    def tick(self, now_ns: int) -> bool:
        """See to what waits, and end what has timed out [H1 H3 L3 L9]; whether there is more to see to."""
        due = DUE_PER_TICK
        while due and self.deadlines and self.deadlines[0][0] <= now_ns:
            due -= 1
            stream = heappop(self.deadlines)[2]
            stream.scheduled_ns = 0
            if not stream.over:
                self._look_after(stream, now_ns)
                self._follow_up(stream, now_ns)
        self._expire(self.half_open, now_ns - HALF_OPEN_NS, now_ns)
        self._expire(self.active, now_ns - self.idle_ns, now_ns)
        count = 0
        while self.closed.oldest is not None and count < EXPIRED_PER_TICK:
            connection = self.closed.oldest
            if connection.closed_ns > now_ns - REMEMBER_NS:
                break
            self._untrack(connection)
            count += 1
        return due == 0

    def _expire(self, queue: Queue, before_ns: int, now_ns: int) -> None:
        """Close the connections of this queue that had no packet since `before_ns`."""
        count = 0
        while queue.oldest is not None and count < EXPIRED_PER_TICK:
            connection = queue.oldest
            if connection.touched_ns > before_ns:
                break
            if connection.last_ns > before_ns:
                connection.touched_ns = connection.last_ns
                queue.append(connection)
            else:
                self.counters.connections_expired += 1
                self._close(connection, IDLE, now_ns)
            count += 1

    def _has_room(self, now_ns: int) -> bool:
        """Whether one more connection fits, after others were forgotten if need be [M2]."""
        while self.live >= self.live_limit:
            if not self._make_room(now_ns):
                self.counters.connections_refused += 1
                return False
        return True

    def _make_room(self, now_ns: int) -> bool:
        """Forget the oldest connection, or closed flow: closed without files, half-open, closed, idle [M2].

        Half-open ones come second: on a busy link most of them are about to open, and one that is forgotten
        is picked up midway; of the others nothing is lost but the memory that absorbs late packets.
        """
        connection = self.closed.oldest
        if connection is None:
            connection = self.half_open.oldest
        if connection is None and self.store.ranking.closed.oldest is not None:
            self.store.evict(self.store.ranking.closed.oldest)
            self.collect()
            return True
        if connection is None:
            connection = self.active.oldest
            if connection is None or now_ns - connection.last_ns < IDLE_VICTIM_NS:
                return False
        self._forget(connection, now_ns)
        return True

    def _forget(self, connection: Connection, now_ns: int) -> None:
        """End a connection and all that is known of it, its files included."""
        self._close(connection, IDLE, now_ns)
        for stream in (connection.one, connection.other):
            if stream.flow is not None:
                self.store.evict(stream.flow)
        self.collect()
        if connection.tracked:
            self._untrack(connection)

    def clear(self) -> None:
        """Forget every connection and its files, without a word to anyone."""
        self.finish(self.store.now_ns)
        for flow in self.store.list_after(0, self.store.count):
            self.store.evict(flow)
        self.collect()
        self.deadlines = []
        connections = {id(stream.connection): stream.connection for stream in self.streams.values()}
        for connection in connections.values():
            self._untrack(connection)

    def finish(self, now_ns: int) -> None:
        """The capture has ended: what waits is given up; states stay as they are [H4]."""
        for stream in self.streams.values():
            stream.close(OPEN, now_ns)

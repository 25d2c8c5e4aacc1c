# cython: boundscheck=False, wraparound=False, cdivision=True
"""The connection table: it begins and ends connections and generations, and knows when what waits is due.

Pairs both directions. Knows no byte, and no segment but the first of a connection: `life` does.
Always true:
 - `live` connections are charged to the table's budget from their first packet until their last file went;
 - a generation's number is not used twice while a file of that name is there [R8].

The rules, by letter: generations [L2], timeouts [L9], no file without data [L10], pressure [M2].
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .afar import WENT_ON
    from .assembly import NEVER
    from .counters import Counters
    from .deadlines import Deadlines
    from .decode import RST, SYN, Segment, reverse_key
    from .dormant import Dormant, last_ns_of, take_apart
    from .evict import Ranking
    from .flow import Flow
    from .order import Link, leave
    from .sleepers import Sleepers
    from .store import Store
    from .stream import Connection, Stream

from .flow import FIN as ENDED_BY_FIN
from .flow import IDLE, OPEN
from .flow import RST as ENDED_BY_RST
from .limits import (
    CONNECTION_BYTES,
    IDLE_VICTIM_NS,
    REMEMBER_NS,
    SLEEPER_BYTES,
    TOUCH_NS,
    Limits,
)

_SPARE_DEADLINES = 64  # dead ones that are not worth a look
_LOOKS = 16  # at those that do not go although they are the oldest, for one that does


class Flows(Sleepers):
    """All connections of a mount; `Lives` hands it the segments."""

    def __init__(self, limits: Limits, store: Store, counters: Counters) -> None:
        Sleepers.__init__(self, limits, store, counters)
        self.idle_ns = limits.idle_ns
        self.touch_ns = TOUCH_NS
        self.deadlines = Deadlines()  # by keys, since a stream that is gone must not be kept
        self.awaited = 0  # streams that have a deadline; all others there are dead
        self.due_ns = 0  # nothing is due before that: what each packet looks at

    def _follow_up(self, stream: Stream, now_ns: int) -> None:
        """Look at what waits in both directions; close the connection if both have ended."""
        peer = stream.peer
        if stream.waits():
            self._look_after(stream, now_ns)
        if peer.waits():
            self._look_after(peer, now_ns)
        connection = stream.connection
        if stream.done and (peer.done or peer.packets == 0):
            self._close(connection, ENDED_BY_FIN, now_ns)
        elif connection.queue is self.half_open and connection.carried:
            connection.touched_ns = connection.last_ns
            (self.active if stream.packets and peer.packets else self.one_way).append(connection)

    def _look_after(self, stream: Stream, now_ns: int) -> None:
        stream.review(now_ns)
        if stream.odd_end.reset_at != NEVER and stream.decide_reset(stream.lacks_any(), now_ns):
            stream.own_end().reset_end = stream.odd_end.reset_at
            self._close(stream.connection, ENDED_BY_RST, now_ns)
        self._wake(stream, stream.deadline_ns, now_ns)

    def _look_afar(self, stream: Stream, now_ns: int) -> None:
        """See whether what came from afar shows a gap; if so, what it acknowledges counts as well [Q2]."""
        until_ns = stream.review_afar(stream.peer.packets, now_ns)
        if until_ns == WENT_ON:
            stream.peer.acknowledge(stream.beyond.said, now_ns)
        else:
            self._wake(stream, until_ns, now_ns)

    def _wake(self, stream: Stream, deadline_ns: int, now_ns: int) -> None:
        """Let catch_up() look after the stream at `deadline_ns`; 0 is never."""
        assert deadline_ns == 0 or deadline_ns > now_ns, "catch_up() would not end"
        if deadline_ns and (stream.scheduled_ns == 0 or deadline_ns < stream.scheduled_ns):
            self.awaited += stream.scheduled_ns == 0
            stream.scheduled_ns = deadline_ns
            self.deadlines.put(deadline_ns, stream.key)
            self.due_ns = min(self.due_ns, deadline_ns)
            self._bound_deadlines()

    def _let_sleep(self, stream: Stream) -> None:
        """There is nothing for catch_up() to look after."""
        if stream.scheduled_ns:
            stream.scheduled_ns = 0
            self.awaited -= 1
            self._bound_deadlines()

    def _bound_deadlines(self) -> None:
        """Let go of times of streams that are over, or before which others were set, if they are many.

        They are at least half as many as the others by then, and one of each stream is left: O(1) a deadline.
        """
        if len(self.deadlines) > self.awaited + self.awaited // 2 + _SPARE_DEADLINES:
            entries = self.deadlines.entries()
            awaited = {
                key: (when_ns, order, key)
                for when_ns, order, key in entries
                if self._is_awaited(key, when_ns)
            }
            self.deadlines.keep(list(awaited.values()))

    def _is_awaited(self, key: bytes, deadline_ns: int) -> bool:
        stream = self.stream_of(key)
        return stream is not None and stream.scheduled_ns == deadline_ns

    def _admit(self, segment: Segment, now_ns: int) -> Stream | None:
        """The first packet of a connection, of which whose() has found none.

        None if it begins none, or there is no room [M2].
        """
        if segment.flags & RST:
            self.counters.stray_packets += 1
            self.counters.dropped_rst_bytes += segment.end - segment.start
            return None
        if not self._has_room(now_ns):
            self.counters.dropped_refused_bytes += segment.end - segment.start
            return None
        key = segment.key
        reverse = segment.low_key
        if reverse is key:
            reverse = reverse_key(key, len(key), segment.key_split)
        return self._open(key, reverse, self._free_generation(key, reverse, 0), now_ns)

    def _free_generation(self, key: bytes, reverse: bytes, generation: int) -> int:
        """A number from `generation` on that no file of these addresses and ports has [R8], one behind such.

        By steps that double, and then halve: somebody may have used thousands.
        """
        used = generation - 1
        free = generation
        while self._is_used(key, reverse, free):
            free, used = 2 * free - used + 1, free
        while free - used > 1:
            middle = (used + free) // 2
            if self._is_used(key, reverse, middle):
                used = middle
            else:
                free = middle
        return free

    def _is_used(self, key: bytes, reverse: bytes, generation: int) -> bool:
        store = self.store
        return store.has_name(key, generation) or store.has_name(reverse, generation)

    def _open(self, key: bytes, reverse: bytes, generation: int, now_ns: int) -> Stream:
        stream = self._pair(key, reverse, generation, now_ns)
        stream.connection.lone = stream.connection.disputed = True
        self._enter(stream)
        return stream

    def _enter(self, stream: Stream) -> None:
        """Let addresses and ports lead to this stream and its peer."""
        Sleepers._enter(self, stream)
        self.half_open.append(stream.connection)
        self.counters.connections += 1

    def _pair(self, key: bytes, reverse: bytes, generation: int, now_ns: int) -> Stream:
        """The two directions of a connection, which is charged; returns the first."""
        connection = Connection.__new__(Connection)
        connection.begin(generation, now_ns, self.source)
        connection.one = stream = Stream.__new__(Stream)
        stream.begin(key, connection, self.room)
        connection.other = stream.peer = peer = Stream.__new__(Stream)
        peer.begin(reverse, connection, self.room)
        peer.side = 1
        peer.peer = stream
        self.live += 1
        self.used_bytes += CONNECTION_BYTES
        if self.links is not None:
            connection.link = self.links.of(key, reverse)
        return stream

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

    def _succeed(self, stream: Stream, now_ns: int) -> Stream | None:
        """A connection in the place of the stream's, which is closed: the same direction, if one fits."""
        old = stream.connection
        key = stream.key
        reverse = stream.peer.key
        self._untrack(old)
        if not self._has_room(now_ns):
            return None
        return self._begin_behind(old, key, reverse, now_ns)

    def _begin_behind(self, old: Connection, key: bytes, reverse: bytes, now_ns: int) -> Stream:
        """A connection of the addresses and ports of one that is tracked no more; the first direction."""
        generation = self._free_generation(key, reverse, old.generation + (1 if old.carried else 0))
        return self._open(key, reverse, generation, now_ns)

    def _close(self, connection: Connection, state: int, now_ns: int) -> None:
        """The connection ends with this state; it stays known, to absorb what comes late [H4 L9]."""
        if connection.state != OPEN:
            return
        connection.one.close(state, now_ns)
        connection.other.close(state, now_ns)
        connection.fall_silent()
        connection.state = state
        connection.closed_ns = now_ns
        self.recent.drop(connection.one)  # while it is in the cache: a new one would have to look at it there
        self.recent.drop(connection.other)
        connection.touched_ns = now_ns
        (self.filed if connection.files else self.closed).append(connection)
        for stream in (connection.one, connection.other):
            if stream.tentative is not None:
                self._wake(stream, now_ns + REMEMBER_NS, now_ns)  # which lets go of it
            else:
                self._let_sleep(stream)

    def _untrack(self, connection: Connection) -> None:
        """Addresses and ports lead to this connection no more; without files it is gone."""
        connection.tracked = False
        self._let_sleep(connection.one)
        self._let_sleep(connection.other)
        self._strike(connection)
        if connection.files == 0:
            self._dispose(connection)
            return
        self.filed.append(connection)  # in which it is fresh: nothing waits in it any more
        for stream in (connection.one, connection.other):
            stream.drop_tentative()
            if stream.flow is not None:
                self.store.keep_name(stream.flow)

    def _cease(self, connection: Connection, now_ns: int) -> None:
        """The connection was remembered for long enough."""
        self._untrack(connection)

    def _dispose(self, connection: Connection) -> None:
        """Nothing is known of this connection any more."""
        connection.one.let_go()
        connection.other.let_go()
        connection.forget_turns(self.room.turns)
        take_apart(connection)
        leave(connection)
        self.live -= 1
        self.used_bytes -= CONNECTION_BYTES

    def collect(self) -> None:
        """See to the connections whose files the store evicted."""
        orphans = self.store.orphans
        self.store.orphans = []
        for item in orphans:
            self._lose_file(item)

    def _lose_file(self, flow: Flow) -> None:
        owner: Any = flow.owner
        flow.owner = None
        if isinstance(owner, Dormant):
            self._lose_file_asleep(owner, flow)
            return
        connection: Connection = owner
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

    def _has_room(self, now_ns: int) -> bool:
        """Whether one more connection fits, after others were forgotten if need be [M2]."""
        if self._finds_room(now_ns):
            return True
        self.counters.connections_refused += 1
        return False

    def _finds_room(self, now_ns: int) -> bool:
        """What _has_room() does, but for counting."""
        while self.is_over(CONNECTION_BYTES):
            if not self._make_room(now_ns):
                return False
        return True

    def _make_room(self, now_ns: int) -> bool:
        """Forget the oldest connection, or closed flow [M2].

        The order: closed without files, half-open beyond their share, closed with files that are saved, of
        a peer that was never seen beyond theirs, closed, half-open, one-way, idle.

        Anyone can send a SYN and a byte from any address, so that makes no connection active, and a flood of
        them takes no more from those that are closed than a share. Within it they stay: in a table that is
        full, as it is after some time, most are about to open, and who is forgotten is picked up midway,
        without the bytes before. Of a capture that sees only one way, those go first that were silent
        longest.
        """
        link: Any = self.closed.oldest
        if link is None and self.half_open.length > self.half_open_limit:
            link = self.half_open.oldest
        saving = self.store.saving
        if link is None and saving is not None and self._evict_closed(saving.ranking):
            return True
        if link is None and self.one_way.length > self.one_way_limit:
            link = self.one_way.oldest
        if link is None and self._evict_closed(self.store.ranking):
            return True
        if link is None:
            link = self.half_open.oldest
        if link is None:
            link = self.one_way.oldest
        if link is None:
            link = self._idlest(now_ns)
        if link is None:
            return False
        if not isinstance(link, Dormant):
            self._forget(link, now_ns)
        elif link.closed:
            self._dispose_asleep(link)
        else:
            self._forget(self._rouse(link), now_ns)
        return True

    def _evict_closed(self, ranking: Ranking) -> bool:
        """Evict the oldest closed flow of a connection that is over; False if there is none at hand.

        A direction may have ended long before the other: its flow gives no room for connections, and is put
        behind those that do.
        """
        for _ in range(_LOOKS):
            found: Any = ranking.oldest_closed()
            if found is None:
                return False
            flow: Flow = found
            owner: Any = flow.owner
            if owner.closed if isinstance(owner, Dormant) else owner.state != OPEN:
                self.store.evict(flow)
                self.collect()
                return True
            ranking.add(flow)
        return False

    def _idlest(self, now_ns: int) -> Any:
        """The active connection that is idle longest, awake or asleep; None if none at hand is idle.

        Packets that no receiver takes do not make it the newest, so it may have had one, see _expire().
        """
        before_ns = now_ns - IDLE_VICTIM_NS
        for _ in range(_LOOKS):
            link: Any = self.active.oldest
            if link is None:
                return None
            place: Link = link
            if last_ns_of(link) <= before_ns:
                return link
            if place.touched_ns > before_ns:
                return None
            place.touched_ns = last_ns_of(link)
            self.active.append(place)
        return None

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
        self.finish(self.store.now_ns, 0)
        while found := self.store.list_after(0, 1):
            self.store.evict(self.file(found[0]))
            self.collect()
        self.deadlines = Deadlines()
        for entry in list(self.entries.values()):
            if isinstance(entry, Dormant):
                self._dispose_asleep(entry)
            else:
                self._untrack(entry)

    def is_short(self, wanted: int) -> bool:
        """Whether so many more connections fit only if some with files go that are about to be saved."""
        saving = self.store.saving
        if saving is None or not saving.ended:
            return False
        unproven = max(0, self.half_open.length - self.half_open_limit)
        places = self.closed.length + unproven + saving.ranking.closed.length // 2
        slept_bytes = min(places, self.asleep) * (CONNECTION_BYTES - SLEEPER_BYTES)  # which they take no more
        free_bytes = self.limit_bytes - self.used_bytes + places * CONNECTION_BYTES - slept_bytes
        return free_bytes < wanted * CONNECTION_BYTES

    def finish(self, now_ns: int, patience_bytes: int) -> bool:
        """The capture has ended: what waits is given up; states stay as they are [H4].

        Returns False, and is to be called again, when memory for `patience_bytes` is short; 0: it never is.
        """
        for key in list(self.entries):
            entry = self.entries[key]  # which making room for another may have changed
            asleep = isinstance(entry, Dormant)
            if asleep and not entry.lacks:
                continue
            connection: Connection = self._rouse(entry) if asleep else entry
            if connection.state != OPEN and self.room.pool.used_bytes == 0:
                continue  # it would let go of what is in doubt; its streams are long out of any cache
            for stream in (connection.other, connection.one):
                if patience_bytes and not stream.over and self.store.is_short(patience_bytes, 0):
                    return False
                stream.close(OPEN, now_ns)
            connection.fall_silent()
            if asleep:
                self._lay_down(connection)
        return True

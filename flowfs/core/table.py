# cython: boundscheck=False, wraparound=False, cdivision=True
"""Who is there: the connection of a segment, the file of a name, and what is known of a file.

Knows no reason for which connections begin or end. Always true: a connection that addresses and ports lead to
has one entry, whichever direction somebody asks for: by that of its two keys which is_low(), in a dictionary
with Python's salted hash and a full compare [K1].
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .assembly import NEVER, Room
    from .counters import Counters
    from .decode import Segment, key_of, reverse_key, turned
    from .flow import Flow
    from .memory import is_low
    from .pending import Pool
    from .recent import Recent
    from .store import Store
    from .stream import Connection, Stream

from .drops import Drops
from .flow import OPEN
from .limits import NOTES_SHARE, TURNS_SHARE, Limits
from .links import Links
from .notes import About

_ALWAYS = (1 << 63) - 1  # later than any time


class Table:
    """The connections of a mount, by addresses, ports and VLAN."""

    def __init__(self, limits: Limits, store: Store, counters: Counters) -> None:
        self.store = store
        self.counters = counters
        self.room = Room(store, Pool(limits.out_of_order_bytes), counters)
        self.room.note_limit_bytes = limits.table_bytes // NOTES_SHARE
        self.room.turns.limit_bytes = limits.table_bytes // TURNS_SHARE
        self.entries: dict[bytes, Any] = {}  # a Connection, or what stands for one that sleeps
        self.recent = Recent()
        self.source = 0
        self.links: Links | None = None
        self.drops = Drops()

    def whose(self, segment: Segment, base: bytes) -> Stream | None:
        """The stream that a segment is of; None if it is of no connection that is known."""
        if segment.key_bytes:
            stream = self.recent.find(base, segment.key_start, segment.key_bytes, segment.vlan)
            if stream is not None:
                return stream
            segment.key = key_of(base, segment)
        low = self._set_keys(segment, segment.key)
        entry = self.entries.get(segment.low_key)
        if entry is None:
            return None
        connection = entry if isinstance(entry, Connection) else self._awaken(entry)
        if connection is None:
            return None
        stream = self._direction(connection, low)
        if connection.state == OPEN:
            self.recent.put(stream)
        return stream

    def _set_keys(self, segment: Segment, key: bytes) -> bool:
        """Give a segment its key, and the lower one of both directions; whether they are the same."""
        low = is_low(key)
        segment.key = key
        segment.low_key = key if low else reverse_key(key, len(key), segment.key_split)
        return low

    def _awaken(self, record: Any) -> Connection | None:
        """A packet has come for who sleeps; None if there is no room. Whoever knows of sleep does it."""
        return None

    def stream_of(self, key: bytes) -> Stream | None:
        """The stream with this key of the connection that is there, and awake."""
        low = is_low(key)
        entry = self.entries.get(key if low else turned(key))
        return self._direction(entry, low) if isinstance(entry, Connection) else None

    def _direction(self, connection: Connection, low: bool) -> Stream:
        """The stream whose key is the low one, or the other; a host connected to itself has but one."""
        one = connection.one
        return one if is_low(one.key) == low else connection.other

    def _enter(self, stream: Stream) -> None:
        """Let addresses and ports lead to this stream and its peer."""
        self.entries[self._low_key(stream.connection)] = stream.connection
        self.recent.put(stream.peer)
        self.recent.put(stream)  # last: of a connection to itself all packets are of one direction

    def _strike(self, connection: Connection) -> None:
        """Addresses and ports lead to this connection no more."""
        self.recent.drop(connection.one)
        self.recent.drop(connection.other)
        del self.entries[self._low_key(connection)]

    def _strike_key(self, key: bytes) -> None:
        """Addresses and ports lead no more to what has a direction with this key."""
        del self.entries[key if is_low(key) else turned(key)]

    def _low_key(self, connection: Connection) -> bytes:
        key = connection.one.key
        return key if is_low(key) else connection.other.key

    # --- for readers ---------------------------------------------------------------------------------

    def find(self, key: bytes, generation: int) -> Any:
        """The file of this name that is in the directory."""
        stream = self.stream_of(key)
        flow = None if stream is None else stream.flow
        if flow is not None and flow.generation == generation and not flow.evicted:
            return flow
        return self.store.find(key, generation)

    def about(self, flow: Flow) -> About:
        """What is known of the file beside its bytes; an evicted one knows but its own."""
        connection = flow.owner
        if connection is None:
            dropped = self._dropped(flow, flow.partial)
            return About(0, flow.partial, flow.unverified, flow.gaps(), [], [], {}, 0, dropped)
        stream = connection.one if connection.one.flow is flow else connection.other
        notes = stream.notes
        return About(
            *(stream.origin, flow.partial, flow.unverified, flow.gaps()),
            list(notes.conflicts or ()) if notes is not None else [],
            list(notes.urgent or ()) if notes is not None else [],
            notes.fates_by_name() if notes is not None else {},
            stream.tail_missing_bytes,
            self._dropped(flow, stream.partial),
            stream.rcv_nxt - stream.origin - flow.size,
            stream.packets,
            _role(stream),
        )

    def _dropped(self, flow: Flow, partial: bool) -> int:
        """How many packets were dropped in a file's life; of one picked up midway it may be the beginning."""
        connection = flow.owner
        sources = {flow.source} if connection is None else {connection.source, connection.other_source}
        since_ns = NEVER if partial else flow.first_ns
        return self.drops.during(sources, since_ns, flow.changed_ns if flow.state != OPEN else _ALWAYS)


def _role(stream: Stream) -> str:
    """Who a direction's sender is, by the SYNs that were seen. Of two that open at once both are clients."""
    if stream.has_syn():
        return "server" if stream.answers else "client"
    if stream.peer.has_syn():
        return "client" if stream.peer.answers else "server"
    return "unknown"

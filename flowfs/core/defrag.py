# cython: boundscheck=False, wraparound=False, cdivision=True
"""IP fragments → whole IP packets [G1 G2 G3]. Owns the fragments that wait, within a budget of their own.

Knows no TCP, no link layer and no clock. Always true:
 - of one datagram the pieces are disjoint; what is there stays as it is until the whole is given away [G1];
 - `used_bytes`, overhead included, is charged before a piece is kept, and is at most `limit_bytes`; of one
   source it is at most `share_bytes` [G3];
 - each fragment that was taken was given away in a whole datagram, or counted as dropped, or is `waiting`.

A datagram that contradicts itself, if only by other bytes in the same place (which of them the receiver takes
cannot be known), is discarded, and remembered until its time is over, so that no second one is made of what
still comes. One that was given away is not remembered: IPv4's ids may be used again at once.

For room the oldest datagram of the heaviest source goes. Sources that hold less than a small share count as
equally heavy, and the one that was longest without a loss goes first: else an honest one would be the
heaviest while many forged senders hold one tiny fragment each.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Any

import cython

if not cython.compiled:
    from .counters import Counters
    from .evict import BySize
    from .fragment import CUT, WHOLE, Fragment, header_of, is_too_long, joined, read_fragment, room_for_data
    from .order import Link, Queue, leave

from .limits import (
    CHUNK_OVERHEAD_BYTES,
    DATAGRAM_BYTES,
    DUE_PER_TICK,
    LIGHT_SHARE,
    MAX_DATAGRAMS,
    MAX_FRAGMENTS,
    REASSEMBLE_IPV4_NS,
    REASSEMBLE_IPV6_NS,
    SOURCE_SHARE,
)

# Where a fragment stands to those that are there [G1].
FREE, DUPLICATE, DIFFERENT, CONFLICT = range(4)


class Source:
    """A sender, and its datagrams from the oldest on."""

    __slots__ = ("address", "charged_bytes", "datagrams")

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.datagrams = Queue()
        self.charged_bytes = 0


class Datagram(Link):
    """What is there of one datagram; `data_bytes` is -1 until its last fragment was seen."""

    __slots__ = (
        "charged_bytes", "chunks", "data_bytes", "deadline_ns", "discarded", "header", "key", "offsets",
        "source", "waiting_bytes",
    )  # fmt: skip

    def __init__(self, key: bytes, source: Source, deadline_ns: int) -> None:
        self.unlinked()
        self.key = key
        self.source = source
        self.deadline_ns = deadline_ns
        self.header = b""
        self.offsets: list[int] = []
        self.chunks: list[bytes] = []
        self.waiting_bytes = 0
        self.data_bytes = -1
        self.charged_bytes = 0
        self.discarded = False

    def relation(self, base: bytes, fragment: Fragment) -> int:
        """How the fragment stands to what is there."""
        offset = fragment.offset
        end = offset + fragment.end - fragment.start
        if self._contradicts_end(end, fragment.more):
            return CONFLICT
        index = bisect_right(self.offsets, offset)
        before = self._end_of(index - 1) if index else 0
        after = self.offsets[index] if index < len(self.offsets) else end
        if before <= offset and end <= after:
            return FREE
        return self._compare(base, fragment, index - 1, end) if index else CONFLICT

    def _contradicts_end(self, end: int, more: bool) -> bool:
        """Whether the datagram's end would be elsewhere than other fragments say."""
        if self.data_bytes >= 0:
            return end >= self.data_bytes if more else end != self.data_bytes
        return not more and len(self.offsets) > 0 and end <= self._end_of(len(self.offsets) - 1)

    def _compare(self, base: bytes, fragment: Fragment, index: int, end: int) -> int:
        """relation() to the chunks from `index` on; the first of them does not begin behind the fragment."""
        position = fragment.offset
        at = fragment.start
        found = DUPLICATE
        while index < len(self.offsets):
            start = self.offsets[index]
            chunk = self.chunks[index]
            until = min(end, start + len(chunk))
            if start > position or until <= position:
                return CONFLICT
            if chunk[position - start : until - start] != base[at : at + until - position]:
                found = DIFFERENT
            if until == end:
                return found
            at += until - position
            position = until
            index += 1
        return CONFLICT

    def put(self, offset: int, data: bytes, more: bool) -> None:
        """Keep a piece whose place is FREE."""
        index = bisect_right(self.offsets, offset)
        self.offsets.insert(index, offset)
        self.chunks.insert(index, data)
        self.waiting_bytes += len(data)
        if not more:
            self.data_bytes = offset + len(data)

    def empty(self) -> int:
        """Let go of all pieces; returns how many there were."""
        count = len(self.offsets)
        self.header = b""
        self.offsets = []
        self.chunks = []
        return count

    def _end_of(self, index: int) -> int:
        return self.offsets[index] + len(self.chunks[index])


class Defrag:
    """All fragments of a mount."""

    def __init__(self, limit_bytes: int, counters: Counters) -> None:
        self.counters = counters
        self.limit_bytes = limit_bytes
        self.share_bytes = limit_bytes // SOURCE_SHARE
        self.light_bytes = max(1, self.share_bytes // LIGHT_SHARE)
        self.used_bytes = 0
        self.waiting = 0
        self.fragment = Fragment()
        # In the order of their deadlines. (The first key of a plain dict may take long to find, see BySize.)
        self.ipv4: OrderedDict[bytes, Datagram] = OrderedDict()
        self.ipv6: OrderedDict[bytes, Datagram] = OrderedDict()
        self.sources: dict[bytes, Source] = {}
        self.ranking = BySize()

    def take(self, base: bytes, start: int, end: int, vlan: int, now_ns: int) -> bytes | None:
        """One fragment: the IP packet base[start:end]. The whole IP packet if it is complete now, else None.

        An IPv6 packet comes back without its fragment header. Time must not go back.
        """
        counters = self.counters
        fragment = self.fragment
        counters.fragments += 1
        verdict = read_fragment(base, start, end, vlan, fragment)
        if verdict == CUT:
            counters.fragments_cut_short += 1
            return None
        if verdict != WHOLE:
            counters.fragments_bad += 1
            return None
        if fragment.offset == 0 and not fragment.more:  # atomic: alone, whatever has its id (RFC 6946)
            return self._given(header_of(base, fragment), [base[fragment.start : fragment.end]], 1)
        datagram = self._find(now_ns)
        if datagram is None:
            datagram = self._begin(now_ns)
        if datagram is None or not self._accepts(datagram, base):
            return None
        self._keep(datagram, base)
        return self._whole(datagram) if datagram.waiting_bytes == datagram.data_bytes else None

    def tick(self, now_ns: int) -> bool:
        """Drop what is too old, in slices; whether there is more to drop."""
        more = self._expire(self.ipv4, now_ns)
        return self._expire(self.ipv6, now_ns) or more

    def clear(self) -> None:
        """Nothing will come any more: drop all that waits."""
        for table in (self.ipv4, self.ipv6):
            for datagram in list(table.values()):
                self.counters.fragments_expired += self._remove(datagram)

    # --- a fragment --------------------------------------------------------------------------------

    def _table(self, version: int) -> OrderedDict[bytes, Datagram]:
        return self.ipv4 if version == 4 else self.ipv6

    def _find(self, now_ns: int) -> Datagram | None:
        """The fragment's datagram, unless its time is over."""
        datagram = self._table(self.fragment.version).get(self.fragment.key)
        if datagram is not None and datagram.deadline_ns <= now_ns:
            self.counters.fragments_expired += self._remove(datagram)
            return None
        return datagram

    def _begin(self, now_ns: int) -> Datagram | None:
        """A datagram for the fragment, None if there cannot be room for it."""
        fragment = self.fragment
        if DATAGRAM_BYTES + self._cost() > self.share_bytes:
            self.counters.fragments_evicted += 1
            return None
        self._make_room(fragment.source, DATAGRAM_BYTES + self._cost(), 1)
        source = self.sources.get(fragment.source)
        if source is None:
            source = Source(fragment.source)
            self.sources[source.address] = source
        timeout_ns = REASSEMBLE_IPV4_NS if fragment.version == 4 else REASSEMBLE_IPV6_NS
        datagram = Datagram(fragment.key, source, now_ns + timeout_ns)
        self._table(fragment.version)[datagram.key] = datagram
        source.datagrams.append(datagram)
        self._charge(datagram, DATAGRAM_BYTES)
        return datagram

    def _accepts(self, datagram: Datagram, base: bytes) -> bool:
        """Whether the fragment is to be kept, and there is room for it; else it is counted."""
        counters = self.counters
        if datagram.discarded:
            counters.fragments_discarded += 1
            return False
        relation = CONFLICT if is_too_long(self.fragment) else datagram.relation(base, self.fragment)
        if relation == DUPLICATE:
            counters.fragments_duplicate += 1
        elif relation != FREE:
            counters.fragments_different += relation == DIFFERENT
            counters.fragments_discarded += self._discard(datagram) + 1
        elif not self._has_room(datagram):
            counters.fragments_evicted += 1
        else:
            return True
        return False

    def _keep(self, datagram: Datagram, base: bytes) -> None:
        fragment = self.fragment
        self._charge(datagram, self._cost())
        datagram.put(fragment.offset, base[fragment.start : fragment.end], fragment.more)
        if fragment.offset == 0:
            datagram.header = header_of(base, fragment)
        self.waiting += 1

    def _whole(self, datagram: Datagram) -> bytes | None:
        """Give a complete datagram away."""
        header = datagram.header
        chunks = datagram.chunks
        if datagram.data_bytes > room_for_data(len(header), 4 if header[0] >> 4 == 4 else 6):
            self.counters.fragments_discarded += self._discard(datagram)
            return None
        return self._given(header, chunks, self._remove(datagram))

    def _given(self, header: bytes, chunks: list[bytes], count: int) -> bytes:
        self.counters.fragments_reassembled += count
        self.counters.datagrams_reassembled += 1
        return joined(header, chunks, sum(map(len, chunks)))

    # --- room and time -----------------------------------------------------------------------------

    def _cost(self) -> int:
        """What keeping the fragment takes, beside its datagram."""
        fragment = self.fragment
        header_bytes = fragment.header_bytes if fragment.offset == 0 else 0
        return header_bytes + fragment.end - fragment.start + CHUNK_OVERHEAD_BYTES

    def _has_room(self, datagram: Datagram) -> bool:
        """Whether the fragment fits into its datagram, after others went if need be."""
        if len(datagram.offsets) >= MAX_FRAGMENTS or datagram.charged_bytes + self._cost() > self.share_bytes:
            self.counters.fragments_evicted += self._discard(datagram)
            return False
        self._make_room(datagram.source.address, self._cost(), 0)
        return datagram.queue is not None  # it may have been the oldest itself

    def _make_room(self, address: bytes, charge_bytes: int, newcomers: int) -> None:
        """Remove datagrams until there is room for so much of this source: at most a share."""
        while True:
            source = self.sources.get(address)
            if source is None or source.charged_bytes + charge_bytes <= self.share_bytes:
                if self._fits(charge_bytes, newcomers):
                    return
                source = self.ranking.heaviest()
            self.counters.fragments_evicted += self._remove(source.datagrams.oldest)
            if source.charged_bytes:
                self.ranking.put(source, 0)  # behind those that are as heavy
                self._weigh(source)

    def _fits(self, charge_bytes: int, newcomers: int) -> bool:
        if self.used_bytes + charge_bytes > self.limit_bytes:
            return False
        return len(self.ipv4) + len(self.ipv6) + newcomers <= MAX_DATAGRAMS

    def _charge(self, datagram: Datagram, charge_bytes: int) -> None:
        datagram.charged_bytes += charge_bytes
        datagram.source.charged_bytes += charge_bytes
        self.used_bytes += charge_bytes
        self._weigh(datagram.source)

    def _weigh(self, source: Source) -> None:
        charged_bytes = source.charged_bytes
        self.ranking.put(source, max(charged_bytes, self.light_bytes) if charged_bytes else 0)

    def _discard(self, datagram: Datagram) -> int:
        """Let go of a datagram, but remember it [G1]; returns how many fragments are dropped."""
        dropped = datagram.empty()
        datagram.discarded = True
        self.waiting -= dropped
        self._charge(datagram, DATAGRAM_BYTES - datagram.charged_bytes)
        return dropped

    def _remove(self, datagram: Datagram) -> int:
        """Forget a datagram; returns how many fragments of it were waiting."""
        source: Any = datagram.source
        self._charge(datagram, -datagram.charged_bytes)
        leave(datagram)
        if source.datagrams.oldest is None:
            del self.sources[source.address]
        del self._table(4 if datagram.key in self.ipv4 else 6)[datagram.key]
        count = datagram.empty()
        self.waiting -= count
        return count

    def _expire(self, table: OrderedDict[bytes, Datagram], now_ns: int) -> bool:
        """Drop at most a slice of a table's datagrams whose time is over; whether that was all of a slice."""
        count = 0
        while table and count < DUE_PER_TICK:
            datagram = next(iter(table.values()))
            if datagram.deadline_ns > now_ns:
                return False
            self.counters.fragments_expired += self._remove(datagram)
            count += 1
        return count == DUE_PER_TICK

# cython: boundscheck=False, wraparound=False, cdivision=True
"""Where a direction begins: sequence numbers into stream offsets, 0 being the first data byte [Q1].

The base is behind the ISN of the SYN [L1], or, of what is picked up midway, the lowest of the first segments
and the peer's ACKs [L3]: but one packet alone, more than LONE_BYTES below all others, may be forged, and
moves no base. One out of reach is believed only as the last of several in a row; that row is counted here for
all who ask. What is noted of a sequence number is noted here, as an offset. Always true: while the base is
not known, offsets are relative to the first number seen, and nothing is readable.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import FAR_AWAY, NEVER, Room
    from .doubt import Doubting
    from .exchange import Owner
    from .notes import PRE_START, WINDOW
    from .pending import Pending
    from .seq import advance, distance

from .limits import (
    LONE_BYTES,
    MAX_CUTS,
    MAX_TTLS,
    NOTE_BYTES,
    RESYNC_SEGMENTS,
    SETTLE_SEGMENTS,
    UNKNOWN_WINDOW_BYTES,
    URGENT_BYTES,
)

_LONE_BYTES = LONE_BYTES
_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES  # a C integer when compiled: it is used with each ACK


@cython.no_gc
@cython.cclass
class Pickup(Doubting):
    """A direction that has, or has not yet, its base."""

    __slots__ = (
        *("base_seq", "far_count", "far_next", "hint_count", "hint_high", "hint_low", "hinted", "isn"),
        *("settle_count", "settling"),
    )

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.unknown(key, owner, room)

    def unknown(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without a base. Subclasses call this, see Link.unlinked()."""
        self.trusting(key, owner, room)
        self.isn = NEVER
        self.base_seq = 0  # the sequence number of offset 0
        self.settling = False  # first segments are being gathered [L3]
        self.settle_count = 0
        self.hinted = False  # hint_low and hint_high are ACKs of the peer from before the base was known
        self.hint_low = self.hint_high = 0
        self.hint_count = 0  # ACKs near hint_low
        self.forget_row()

    def forget_row(self) -> None:
        """Nothing was seen that is not believed yet."""
        self.far_next = NEVER  # what would continue the row
        self.far_count = 0  # segments in a row that are not believed yet

    def takes_isn(self, isn: int, now_ns: int) -> bool:
        """The base is behind `isn`, if that can be true of what was seen so far; returns whether it can."""
        if not self.may_have(isn):
            return False
        base = advance(isn, 1)
        low = self.offset_of(base)
        if self.anchored:
            if low == 0:
                self._is_whole()
        elif self.settling or self.hinted:
            self._anchor(low, now_ns)
        else:
            self.base_seq = base
            self.anchored = True
        self.isn = isn
        return True

    def may_have(self, isn: int) -> bool:
        """Whether `isn` can be this side's, which has none yet.

        If there is data from before it, or the peer has such, or all lies farther behind than LONE_BYTES, it
        is another connection's.
        """
        if self.anchored:
            lowest = 0
        elif self.settling:
            lowest = self._lowest()
        elif self.hinted:
            lowest = self.hint_low
        else:
            return True
        low = self.offset_of(advance(isn, 1))
        return lowest - _LONE_BYTES <= low <= lowest

    def _is_whole(self) -> None:
        """The SYN came late, and the stream was picked up at its very beginning."""
        self.partial = False
        if self.flow is not None and self.origin == 0:
            self.flow.partial = False

    def is_fresh(self) -> bool:
        """Whether no data was seen but that of a SYN."""
        return self.rcv_nxt == 0 and self.pending is None and not self.settling

    def offset_of(self, seq: int) -> int:
        """The stream offset of a sequence number: the nearest to rcv_nxt [Q1]."""
        return self.rcv_nxt + distance(seq, advance(self.base_seq, self.rcv_nxt))

    def begin_settling(self, seq: int, now_ns: int) -> None:
        """Offsets count from `seq` on, until it is known better; unless the peer's ACK came first."""
        if not self.hinted:
            self.base_seq = seq
        self.settling = True
        self.hole_ns = now_ns

    def gather(self, data: bytes, seq: int, now_ns: int) -> bool:
        """A segment while the base is not known [L3]; False if it is then, and does not wait here."""
        if not self.settling:
            self.begin_settling(seq, now_ns)
        offset = self.offset_of(seq)
        if offset > _WINDOW_BYTES or offset < -_WINDOW_BYTES:
            return self._gather_far(data, seq, offset, now_ns)
        if not self.fits(offset, len(data)):
            self.settle(now_ns)  # here, since wait() would make room while `offset` is on its way
            return False
        self.wait(data, offset, now_ns)
        self.settle_count += 1
        if self.settling and self.settle_count >= SETTLE_SEGMENTS:
            self.settle(now_ns)
        return True

    def _gather_far(self, data: bytes, seq: int, offset: int, now_ns: int) -> bool:
        """Out of reach of what came first: dropped, unless several in a row show that was forged [L3]."""
        if self.count_in_a_row(offset, len(data)) and self.settle_count < RESYNC_SEGMENTS:
            self.far_count = 0
            self.rebase(seq)
            return self.gather(data, seq, now_ns)
        self.room.counters.dropped_window_bytes += len(data)
        self.note(WINDOW, len(data))
        return True

    def count_in_a_row(self, offset: int, count: int) -> bool:
        """One more segment that is not believed yet; returns whether RESYNC_SEGMENTS follow each other."""
        self.far_count = self.far_count + 1 if offset == self.far_next else 1
        self.far_next = offset + count
        return self.far_count >= RESYNC_SEGMENTS

    def hint(self, ack: int) -> None:
        """The peer acknowledges `ack`, while the base is not known."""
        if not self.settling and not self.hinted:
            self.base_seq = ack
            self.hinted = True
            self.hint_count = 1
            return
        offset = self.offset_of(ack)
        if offset > _WINDOW_BYTES or offset < -_WINDOW_BYTES:
            self.room.counters.bad_acks += 1
            return
        if not self.hinted or offset < self.hint_low - _LONE_BYTES:
            self.hint_count = 1
        elif offset <= self.hint_low + _LONE_BYTES:
            self.hint_count += 1
        self.hint_low = min(self.hint_low, offset) if self.hinted else offset
        self.hint_high = max(self.hint_high, offset) if self.hinted else offset
        self.hinted = True

    def is_probe(self, seq: int, pushed: bool) -> bool:
        """Whether one byte, the first of this direction that is seen, is a keep-alive probe [L6].

        The peer's ACKs tell. Where there are none, data is pushed, and the probes of hosts that put a byte in
        them are not (RFC 9293, 3.8.4).
        """
        if self.anchored or self.settling:
            return False
        if not self.hinted:
            return not pushed
        return self.offset_of(seq) == self.hint_high - 1

    def skip_probe(self, seq: int) -> None:
        """The stream goes on behind this byte, as if the peer had acknowledged it."""
        self.hint(advance(seq, 1))

    def settle(self, now_ns: int) -> None:
        """The base is the lowest of the first segments and the peer's ACK [L3]."""
        low = self._lowest()
        self.partial = True
        self._anchor(0 if low == FAR_AWAY else low, now_ns)

    def _lowest(self) -> int:
        """The lowest offset of the first segments and the peer's ACKs that is believed; FAR_AWAY if none."""
        if self.pending is None:
            low = self.hint_low if self.hinted else FAR_AWAY
            if low == FAR_AWAY and self.tentative is not None:
                low = self.tentative.first()
            return min(low, self.fin)
        low = self._lowest_data(self.pending)
        if low == FAR_AWAY:
            low = self.hint_low if self.hint_count > 1 else self.pending.first()
        if self.hinted and (self.hint_count > 1 or self.hint_low >= low - _LONE_BYTES):
            low = min(low, self.hint_low)
        return low

    def _lowest_data(self, pending: Pending) -> int:
        """The lowest of the first segments that does not lie alone; FAR_AWAY if each does."""
        for index, start in enumerate(pending.offsets):
            end = start + len(pending.chunks[index])
            if self.hinted and start <= self.hint_high + _LONE_BYTES and end >= self.hint_low - _LONE_BYTES:
                return start
            if index + 1 < len(pending.offsets) and pending.offsets[index + 1] - end <= _LONE_BYTES:
                return start
        return FAR_AWAY

    def rebase(self, seq: int) -> None:
        """What was gathered lies too far from what follows: it begins at `seq` instead."""
        if self.pending is not None:
            self._drop_pre_start(self.pending.end())
        self.drop_tentative()
        self.base_seq = seq
        self.fin = FAR_AWAY
        self.hinted = False
        self.hint_low = self.hint_high = self.hint_count = self.settle_count = 0

    def _drop_pre_start(self, end: int) -> None:
        """What waits from before `end` is from before the base."""
        if self.pending is not None:
            dropped = self.pending.drop_before(end)
            self.room.counters.dropped_pre_start_bytes += dropped
            self.note(PRE_START, dropped)
            self.tidy()

    def _anchor(self, low: int, now_ns: int) -> None:
        """What was offset `low` is offset 0 from here on, and known to be."""
        self.base_seq = advance(self.base_seq, low)
        self._drop_pre_start(low)
        if self.pending is not None:
            self.pending.shift(low)
        if self.tentative is not None:
            self.tentative.shift(low)
            self.drop_outdated()
        if self.notes is not None and low:
            self.notes.shift(low)
        if self.cuts is not None:
            self.cuts = [(cut[0] - low, cut[1] - low) for cut in self.cuts]
        if self.fin < FAR_AWAY:
            self.fin = self.fin - low if self.fin >= low else FAR_AWAY
        if self.hinted:
            self.peer_ack = max(0, self.hint_high - low)
        self.settling = False
        self.anchored = True
        if self.peer_ack > self.fin:
            self.fin_acknowledged(now_ns)
        self.drain(now_ns)

    def fin_acknowledged(self, now_ns: int) -> None:
        """The peer has all before the FIN, and perhaps more; whoever knows of FINs sees to it [L4]."""

    def note_cut(self, seq: int, count: int) -> None:
        """`count` bytes from `seq` on were on the wire, and cut off by the snapshot length [H6]."""
        if not self.anchored and not self.settling:
            return
        offset = self.offset_of(seq)
        passed = self.rcv_nxt if self.anchored else -FAR_AWAY
        cuts = [cut for cut in self.cuts if cut[1] > passed] if self.cuts is not None else []
        self.room.noted_bytes -= (len(self.cuts or ()) - len(cuts)) * NOTE_BYTES
        if len(cuts) < MAX_CUTS and self.room.charge(NOTE_BYTES):
            cuts.append((offset, offset + count))
        self.cuts = cuts

    def unseen(self, seq: int, count: int) -> list[tuple[int, int]]:
        """What is not there of `count` bytes from `seq` on, as [start, end) from `seq`; MAX_TTLS parts."""
        first = self.offset_of(seq)
        start = max(first, self.rcv_nxt) if self.anchored else first
        end = first + count
        if self.pending is None:
            return [(start - first, count)] if start < end else []
        return [(low - first, high - first) for low, high in self.pending.missing(start, end, MAX_TTLS)]

    def was_acknowledged(self, ack: int) -> bool:
        """Whether the peer acknowledged so much before, or more."""
        offset = self.offset_of(ack)
        if self.anchored:
            return 0 <= offset <= self.peer_ack
        return self.hinted and self.hint_low <= offset <= self.hint_high

    def note_ttl(self, ttl: int, seq: int, parts: list[tuple[int, int]]) -> None:
        """These parts came with another TTL than the first segment; what of them was kept is noted [O1]."""
        first = self.offset_of(seq)
        notes = self.noted()
        for low, high in parts:
            start, end = first + low, first + high
            kept = end <= self.rcv_nxt or (self.pending is not None and self.pending.has(start))
            if notes is None or not kept or notes.extends_ttl(start, end, ttl):
                continue
            if notes.has_room_for_ttl() and self.charge_notes(NOTE_BYTES):
                notes.add_ttl(start, end, ttl)

    def note_urgent(self, seq: int) -> None:
        """The byte with this number is urgent; it stays in line [L8]."""
        notes = self.noted()
        if notes is None or not self.anchored or not notes.has_room_for_urgent():
            return
        if self.charge_notes(URGENT_BYTES):
            notes.add_urgent(self.offset_of(seq))

# cython: boundscheck=False, wraparound=False, cdivision=True
"""The bytes of one direction, put in order: offsets only, no sequence numbers, no clock of its own.

What follows without a hole goes to the store, what does not waits in `pending`. Decides nothing about when
a hole is lost. Always true:
 - bytes go to the store in order and once: `rcv_nxt` is the next offset that it gets, and never decreases;
 - the first wins, byte by byte, also among bytes not yet readable [O1];
 - nothing from behind `fin` is stored: it waits, in case that was no FIN;
 - of a stream whose file has all that it is to hold, all goes on but that bytes are counted, not stored;
 - `pending` is None when nothing waits.

Letters in brackets: [H1 … H6] when a hole is lost and what that means, [L3 … L10] life of a connection.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .counters import Counters
    from .exchange import Owner, TurnBudget
    from .flow import Flow
    from .notes import (
        AFTER_FIN,
        DUPLICATE,
        KEEPALIVE,
        LATE,
        MEMORY,
        OUT_OF_ORDER,
        PRE_START,
        REFUSED,
        UNKNOWN_TTL,
        Notes,
    )
    from .pending import Pending, Pool
    from .store import Store

from .limits import (
    CHUNK_OVERHEAD_BYTES,
    FLOW_OUT_OF_ORDER_BYTES,
    FLOW_OUT_OF_ORDER_SEGMENTS,
    MAX_COMPARED_HOLES,
    MAX_CONFLICTS,
    NOTE_BYTES,
    NOTES_BYTES,
    QUEUE_BYTES,
    TURNS_BYTES,
)
from .notes import Conflict
from .ranges import LIMIT, SNAPLEN
from .ranges import MEMORY as LOST_FOR_MEMORY

NEVER = -1
FAR_AWAY = 1 << 62


class Room:
    """What all streams share."""

    __slots__ = ("counters", "note_limit_bytes", "noted_bytes", "pool", "store", "ttl", "turns")

    def __init__(self, store: Store, pool: Pool, counters: Counters) -> None:
        self.store = store
        self.pool = pool
        self.counters = counters
        self.ttl = UNKNOWN_TTL  # of the packet that is being taken
        self.noted_bytes = 0  # what is on record of conflicts, cuts and the like
        self.note_limit_bytes = NOTES_BYTES + NOTE_BYTES * MAX_CONFLICTS
        self.turns = TurnBudget(2 * TURNS_BYTES, counters)

    def charge(self, count: int) -> bool:
        """Charge so many bytes of notes; False if they do not fit."""
        if self.noted_bytes + count > self.note_limit_bytes:
            return False
        self.noted_bytes += count
        return True


@cython.no_gc
@cython.cclass
class Assembly:
    """One direction's bytes. Offset 0 is the first data byte of the stream, once `anchored`."""

    __slots__ = (
        *("anchored", "cuts", "fin", "fin_acked", "flow", "hole_ns", "key", "notes", "noted_bytes", "origin"),
        *("owner", "partial", "pending", "rcv_nxt", "room", "share_bytes", "side", "ttl", "unverified"),
    )

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.empty(key, owner, room)

    def empty(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without a byte. Subclasses call this, see Link.unlinked()."""
        self.key = key
        self.owner = owner
        self.side = 0  # of its connection: the one, or 1 for the other
        self.room = room
        self.flow: Flow | None = None
        self.pending: Pending | None = None
        self.unverified = False  # bytes with a wrong checksum were taken [V2]
        self.anchored = False  # what offset 0 is, is settled; until then everything waits
        self.rcv_nxt = 0
        self.partial = False  # the beginning was not seen: offset 0 is where it was picked up [L3]
        self.origin = 0  # the stream offset of the file's byte 0: not 0 if an earlier file was evicted
        self.fin = FAR_AWAY  # the offset of the FIN, if there was one
        self.fin_acked = False  # it is true, as far as the peer's ACKs say
        self.share_bytes = FLOW_OUT_OF_ORDER_BYTES  # so much may wait behind the first hole [H2]
        self.hole_ns = 0  # since when the first hole is the first
        self.ttl = UNKNOWN_TTL  # of the first segment [O1]
        self.notes: Notes | None = None
        self.noted_bytes = 0  # what notes are charged, but for cuts
        self.cuts: list[tuple[int, int]] | None = None  # [start, end) that the snapshot length took away [H6]

    def place(self, base: bytes, start: int, end: int, offset: int, now_ns: int) -> None:
        """Payload at `offset` that is not simply next: a probe, old, early, or both."""
        if end - start == 1 and offset == self.rcv_nxt - 1:
            self.room.counters.keepalive_bytes += 1  # [L6]
            self.note(KEEPALIVE, 1)
            return
        if self.fin > offset and offset + end - start > self.fin:
            middle = start + self.fin - offset
            self.place(base, middle, end, self.fin, now_ns)
            end = middle
        if offset < self.rcv_nxt and start < end:
            known = min(end - start, self.rcv_nxt - offset)
            self._receive_again(base, start, start + known, offset)
            start += known
            offset += known
        if start >= end:
            return
        if self._is_next(offset, offset + end - start):
            self.store_next(base, start, end, now_ns)
        else:
            self.wait(base[start:end], offset, now_ns)
        self.drain(now_ns)

    def _is_next(self, offset: int, end: int) -> bool:
        """Whether [offset, end) can go to the store: nothing missing before, nothing there, no FIN within."""
        if offset != self.rcv_nxt or end > self.fin:
            return False
        return self.pending is None or end <= self.pending.first()

    def _receive_again(self, base: bytes, start: int, end: int, offset: int) -> None:
        """Bytes before rcv_nxt: from before the base, too late for a hole, or duplicates [O1]."""
        counters = self.room.counters
        if offset < 0:
            early = min(end - start, -offset)
            counters.dropped_pre_start_bytes += early
            self.note(PRE_START, early)
            start += early
            offset += early
        flow = self.flow
        # Of what went with an earlier file nothing is known.
        unknown = end - start if flow is None else max(0, min(end - start, self.origin - offset))
        counters.duplicate_bytes += unknown
        self.note(DUPLICATE, unknown)
        start += unknown
        offset += unknown
        if flow is not None and start < end:
            self._compare(flow, base, start, end, offset - self.origin)

    def _compare(self, flow: Flow, base: bytes, start: int, end: int, offset: int) -> None:
        """base[start:end] comes again at file offset `offset`: count what is late, and compare the rest.

        What lies behind too many holes is not compared: that takes time with each of them.
        """
        counters = self.room.counters
        stop = offset + end - start
        gaps = flow.lost.within(offset, stop, MAX_COMPARED_HOLES) if flow.lost is not None else []
        if len(gaps) == MAX_COMPARED_HOLES:
            self._count_uncompared(flow, gaps[len(gaps) - 1][1], stop)
        else:
            gaps.append((stop, stop))
        for gap_start, gap_end in gaps:
            count = gap_start - offset
            if count > 0:
                counters.duplicate_bytes += count
                self.note(DUPLICATE, count)
                if self.room.store.differs(flow, offset, base, start, start + count):
                    self._conflict(offset + self.origin, count)
            counters.late_bytes += gap_end - gap_start
            self.note(LATE, gap_end - gap_start)
            start += gap_end - offset
            offset = gap_end

    def _count_uncompared(self, flow: Flow, offset: int, stop: int) -> None:
        """What comes again at [offset, stop) of the file is counted, and that is all."""
        counters = self.room.counters
        assert flow.lost is not None
        late = flow.lost.count(offset, stop)
        counters.late_bytes += late
        self.note(LATE, late)
        counters.duplicate_bytes += stop - offset - late
        self.note(DUPLICATE, stop - offset - late)

    def _conflict(self, offset: int, count: int) -> None:
        self.room.counters.conflicts += 1
        self.room.counters.conflict_bytes += count
        notes = self.noted()
        if notes is None or not notes.has_room_for_conflict() or not self.charge_notes(NOTE_BYTES):
            return
        first_ttl = notes.ttl_at(offset, self.ttl)
        notes.add_conflict(Conflict(offset, count, self.room.store.now_ns, first_ttl, self.room.ttl))

    def noted(self) -> Notes | None:
        """The notes of this stream, made when there is something to note; None if they do not fit."""
        if self.notes is None and self.charge_notes(NOTES_BYTES):
            self.notes = Notes()
        return self.notes

    def charge_notes(self, count: int) -> bool:
        """Charge so many bytes of notes to the room, to be given back by this stream; False if no room."""
        if not self.room.charge(count):
            return False
        self.noted_bytes += count
        return True

    def note(self, fate: int, count: int) -> None:
        """So many bytes had this fate; the counters of all were told already."""
        if count:
            notes = self.noted()
            if notes is not None:
                notes.add(fate, count)

    def is_too_much(self, pending: Pending) -> bool:
        """Whether more waits than one flow may have wait [H2]."""
        share = self.share_bytes
        segments = share // FLOW_OUT_OF_ORDER_BYTES * FLOW_OUT_OF_ORDER_SEGMENTS
        return pending.waiting_bytes > share or len(pending.offsets) > segments

    def bridge(self, end: int, reason: int, now_ns: int) -> None:
        """All before `end` is lost. Who keeps bytes in doubt puts in what the peer has of them [T1]."""
        self.lose_until(end, reason, now_ns)

    def lose_until(self, end: int, reason: int, now_ns: int) -> None:
        """What is missing before `end` is lost."""
        if end > self.rcv_nxt:
            self.lose(end - self.rcv_nxt, SNAPLEN if self.was_cut(end) else reason, now_ns)

    def mark_unverified(self) -> None:
        """Bytes are taken whose checksum is wrong."""
        self.unverified = True
        if self.flow is not None:
            self.flow.unverified = True

    def forget_notes(self) -> None:
        """Give back what notes and cuts were charged."""
        self.room.noted_bytes -= self.noted_bytes + len(self.cuts or ()) * NOTE_BYTES
        self.notes = self.cuts = None
        self.noted_bytes = 0

    def wait(self, data: bytes, offset: int, now_ns: int) -> None:
        """Keep `data` until what lies before it comes, or is given up."""
        if not self.fits(offset, len(data)):
            self._wait_hard(data, offset, now_ns)
            return
        pending = self.pending
        if pending is None:
            pending = self.pending = Pending(self.room.pool, self)
            if self.anchored:
                self.hole_ns = now_ns
        before = pending.waiting_bytes
        for conflict in pending.insert(offset, data):
            self._conflict(conflict[0], conflict[1])
        known = len(data) - (pending.waiting_bytes - before)
        self.room.counters.duplicate_bytes += known
        self.note(DUPLICATE, known)
        if self.is_too_much(pending):
            self.relieve(now_ns)  # [H2]

    def fits(self, offset: int, count: int) -> bool:
        """Whether the pool has room for `count` bytes at `offset`, in as many chunks as that may take."""
        pending = self.pending
        if pending is None:
            return self.room.pool.fits(QUEUE_BYTES + count + CHUNK_OVERHEAD_BYTES)
        return self.room.pool.fits(pending.cost(offset, count))

    def _wait_hard(self, data: bytes, offset: int, now_ns: int) -> None:
        """wait() when the pool is full: the heaviest streams give up their holes first [H2]."""
        while not self.fits(offset, len(data)):
            heaviest = self.room.pool.heaviest()
            if heaviest is None:
                self.room.counters.dropped_out_of_order_bytes += len(data)
                self.note(OUT_OF_ORDER, len(data))
                return
            if heaviest.tentative:
                heaviest.owner.drop_tentative()
            else:
                heaviest.owner.relieve(now_ns)
        if self.anchored and self.rcv_nxt > offset:
            self.place(data, 0, len(data), offset, now_ns)
        else:
            self.wait(data, offset, now_ns)

    def relieve(self, now_ns: int) -> None:
        """Give up the lowest holes until half of what waits is left [H2]; all of it must be anchored."""
        pending = self.pending
        if pending is None:
            return
        half_bytes = pending.waiting_bytes // 2
        half_segments = len(pending.offsets) // 2
        while self.pending is not None and (
            pending.waiting_bytes > half_bytes or len(pending.offsets) > half_segments
        ):
            self.give_up(LIMIT, now_ns)

    def drain(self, now_ns: int) -> None:
        """Hand over what follows rcv_nxt without a hole; nothing from behind a FIN."""
        pending = self.pending
        if pending is None or not self.anchored:
            return
        if not pending.offsets:
            self.pending = None
        elif pending.offsets[0] == self.rcv_nxt:
            for data in pending.take_run(self.rcv_nxt, self.fin):
                self.store_next(data, 0, len(data), now_ns)
            self.hole_ns = now_ns
            self.share_bytes = FLOW_OUT_OF_ORDER_BYTES
            self.tidy()

    def tidy(self) -> None:
        if self.pending is not None and not self.pending.offsets:
            self.pending = None

    def drop_behind_fin(self) -> None:
        if self.pending is not None:
            dropped = self.pending.drop_from(self.fin)
            self.room.counters.dropped_after_fin_bytes += dropped
            self.note(AFTER_FIN, dropped)
            self.tidy()

    def was_cut(self, end: int) -> bool:
        """Whether all of the first hole was cut off by the snapshot length."""
        if self.cuts is None:
            return False
        for cut in self.cuts:  # noqa: SIM110 - Cython has no closures in C functions
            if cut[0] <= self.rcv_nxt and end <= cut[1]:
                return True
        return False

    def give_up(self, reason: int, now_ns: int) -> None:
        """The first hole is lost: zeros instead, and on with what waits behind it."""
        assert self.pending is not None
        end = self.pending.first()
        if end >= self.fin:
            self.drop_behind_fin()
            return
        if not self.is_credible(end):
            self._drop_far(self.pending)
            return
        self.bridge(end, reason, now_ns)
        self.drain(now_ns)

    def is_credible(self, end: int) -> bool:
        """Whether there can be a hole up to `end`. Whoever knows of ACKs knows better."""
        return True

    def _drop_far(self, pending: Pending) -> None:
        """What waits lies too far from all the rest to be believed."""
        dropped = pending.clear()
        self.room.counters.dropped_out_of_order_bytes += dropped
        self.note(OUT_OF_ORDER, dropped)
        self.tidy()

    def give_up_all(self, reason: int, now_ns: int) -> None:
        while self.pending is not None:
            self.give_up(reason, now_ns)

    def store_next(self, base: bytes, start: int, end: int, now_ns: int) -> None:
        """base[start:end] is next."""
        owner = self.owner
        if owner.speaker != self.side or not owner.is_speaking(now_ns):
            self._take_turn(now_ns)
        owner.said_ns = now_ns
        flow = self._file(now_ns)
        if flow is None:
            self._refuse(end - start)
        else:
            stored = self.room.store.append(flow, base, start, end, now_ns)
            if stored < end - start:
                self._leave_out(flow, end - start - stored)
        self.rcv_nxt += end - start

    def _take_turn(self, now_ns: int) -> None:
        """What is next begins a turn; where nothing is stored any more, there is nothing to tell of."""
        if self.rcv_nxt < self.room.store.head_bytes:
            self.owner.take_turn(self.side, self.rcv_nxt, now_ns, self.room.turns)
        else:
            self.owner.speaker = self.side

    def _refuse(self, count: int) -> None:
        """The next `count` bytes have no file: nobody wants them in one, or there is no room for it."""
        if self.rcv_nxt >= self.room.store.head_bytes:
            self.room.counters.dropped_beyond_bytes += count
        else:
            self.room.counters.dropped_refused_bytes += count
            self.note(REFUSED, count)

    def _leave_out(self, flow: Flow, count: int) -> None:
        """`count` bytes have no place behind the end of the file: its limit is there, or memory is short.

        Those beyond the limit are not noted: `rcv_nxt` tells how many they are.
        """
        lacking = min(count, flow.limit_bytes - flow.size)
        if lacking:
            self.room.counters.dropped_memory_bytes += lacking
            self.note(MEMORY, lacking)
            self.room.store.skip(flow, lacking, LOST_FOR_MEMORY)
        self.room.counters.dropped_beyond_bytes += count - lacking

    def lose(self, count: int, reason: int, now_ns: int) -> None:
        """The next `count` bytes are lost."""
        owner = self.owner
        if owner.speaker != self.side or not owner.is_speaking(now_ns):
            self._take_turn(now_ns)
        owner.said_ns = now_ns
        flow = self._file(now_ns)
        if flow is not None:
            self.room.store.skip(flow, count, reason)
        self.rcv_nxt += count

    def _file(self, now_ns: int) -> Flow | None:
        """The file, made with the first byte [L10], anew after an eviction.

        None if it was refused, or would begin behind the bytes that are wanted.
        """
        flow = self.flow
        if flow is not None and not flow.evicted:
            return flow
        owner = self.owner
        store = self.room.store
        if self.rcv_nxt >= store.head_bytes:
            return None
        flow = store.create(self.key, owner.generation, owner)
        if flow is not None:
            flow.limit_bytes = store.head_bytes - self.rcv_nxt
            flow.first_ns = owner.first_ns
            flow.changed_ns = now_ns
            flow.source = owner.source
            flow.partial = self.partial or self.rcv_nxt > 0
            flow.unverified = self.unverified
            owner.files += 1
            if not owner.carried and store.sessions >= 0:
                owner.session, store.sessions = store.sessions, store.sessions + 1
            owner.carried = True
            self.origin = self.rcv_nxt
        self.flow = flow
        return flow

# cython: boundscheck=False, wraparound=False, cdivision=True
"""The whole core as a few functions: feed(batch), tick(now), finish(), read(flow), changes(), statistics().

The rule by which threads may call them: each public method takes the engine's `Turn`, but those that say that
they do not, so each is atomic towards the others, interpreted as well as compiled, and nobody starves. feed()
gives its turn up after every SLICE_PACKETS packets, SLICE_BYTES of frames or SLICE_RARE frames that are no
plain segments, and after BRIEF_PACKETS if anybody has had a turn since the last one; `limits` says how long
that is. After such a slice `on_visit` is called, if set, without the turn: whoever feeds may let readers do
more, and says whether that is settled. Else it is called after the next slice, too, though nobody came: who
reads file after file may come a little later than a slice takes. Neither that nor dissect, the only ones that
are called from here, may call back.

Time is the packets' own; tick() is for live captures, in which no packet may come for a while. Before a
packet is taken, all that fell due since the last one is, in slices, see `timeouts`: so a capture gives one
tree, whatever its batches, and however often somebody says how late it is [R10]. A leap of more than a day
counts once several packets in a row agree on it.
"""

from __future__ import annotations

from collections.abc import Callable

import cython

if not cython.compiled:
    from .arena import UNIT_BYTES
    from .decode import (
        BAD_FLAGS,
        BAD_HEADER,
        CUT_SHORT,
        FRAGMENT,
        NOT_TCP,
        RARE,
        SEGMENT,
        Segment,
        decode,
        decode_ip,
    )
    from .defrag import Defrag
    from .desk import Desk
    from .gauges import gauges
    from .memory import fetch, let_others
    from .pages import enlarge

from .limits import (
    BRIEF_PACKETS,
    LEAP_NS,
    LEAP_PACKETS,
    MAX_DATAGRAM_BYTES,
    MAX_PASSES,
    PREPARED_BYTES,
    SECOND_NS,
    SLICE_BYTES,
    SLICE_PACKETS,
    SLICE_RARE,
    SLICES,
    TICK_NS,
    Limits,
)
from .links import Links

_SECOND_NS = SECOND_NS  # C integers when compiled, wide enough for any field of a capture
_MICROSECOND_NS = 1000
_LEAP_NS = LEAP_NS

# The header of the packet so many further on is fetched: a packet takes 0.2 to 0.5 µs, and a look into memory
# 0.1. To fetch its stream, too, gains nothing with a million of them, and costs 5 % with a few hundred.
_FETCH_AHEAD = 8

_RAW = 12  # the link type of bare IP

Dissected = tuple[int, bytes, int, bool] | list[tuple[int, bytes, int, int, bool]] | None
"""What is in a frame: (VLAN id, IP packet, layers passed, whether a tunnel was among them), None for nothing.

The packet has TCP right behind its header, or is a fragment as it stands. Or the frame is an aggregate: a
list of frames to dissect, (link type, frame, VLAN id, layers passed, whether a tunnel was among them) each.
"""

Dissect = Callable[[int, bytes, int, int], Dissected]
"""(link type, frame, VLAN id, layers passed) → what is in it.

The VLAN id and the layers that go in are those of the datagram or aggregate that the frame was in; 0 for one
that was captured.
"""


def enlarge_pages() -> None:
    """Have all objects of this process made in large pages, where the kernel has them, see `pages`."""
    enlarge()


class Engine(Desk):
    """One mount's core. Any thread may call any method."""

    def __init__(self, limits: Limits, dissect: Dissect | None = None) -> None:
        Desk.__init__(self, limits)
        self.dissect = dissect
        self.defrag = Defrag(limits.fragment_bytes, self.counters)
        self.segment = Segment(limits.checksum != "off")
        self.links = Links(self.segment)
        self.flows.links = self.links if limits.links else None
        self.slice_bytes, self.slice_packets = SLICE_BYTES, SLICE_PACKETS
        if limits.archives:  # the more slices the less there is: what is saved meanwhile needs not to be lost
            self.slice_bytes = min(SLICE_BYTES, limits.payload_bytes // SLICES)
            places = min(limits.max_flows or SLICES * SLICE_PACKETS, self.flows.live_limit)
            self.slice_packets = max(1, min(SLICE_PACKETS, places // SLICES))
        self.on_visit: Callable[[], bool] | None = None
        self.turns_taken = 0  # by anybody, when the last slice was begun
        self.visited = False  # by somebody who was not let read since
        self.fraction_ns = _MICROSECOND_NS
        self.leap_ns = self.leap_packets = 0  # the time far ahead that so many packets in a row agree on
        self.frame_bytes = 0  # of the one that goes the long way
        self.longest_bytes = 0  # the longest frame
        self.cut_at_bytes = 0  # the longest frame that lacked payload

    def feed(
        self,
        frames: bytes,
        meta: bytes | memoryview,
        link_type: int,
        source: int = 0,
        fraction_ns: int = _MICROSECOND_NS,
        packet: int = 0,
        patient: bool = False,
    ) -> int:
        """One batch: `meta` has four native uint32 a packet: sec, fraction (µs unless `fraction_ns` says
        otherwise), offset in `frames`, length.

        Returns how many packets it has. If `patient`, maybe less, so that flows can be saved before they
        would have to go; then it wants the rest, from that `packet` on, a little later. Calls `on_visit`
        between slices.
        """
        view = memoryview(meta).cast("I")
        count = len(view) // 4
        while packet < count:
            with self.turn:
                taken = self.turn.taken
                self.visited |= taken != self.turns_taken + 1
                self.turns_taken = taken
                if self.flows.links is not None:
                    self.links.begin(frames, view, link_type)
                if patient and self.is_short():
                    break
                self.flows.source = source
                self.fraction_ns = fraction_ns
                most = min(BRIEF_PACKETS, self.slice_packets) if self.visited else self.slice_packets
                stop = min(packet + most, count)
                packet = self._feed_slice(frames, len(frames), view, packet, stop, count, link_type)
            let_others()
            if self.visited:
                self.visited = self.on_visit is not None and not self.on_visit()
        return packet

    def is_short(self) -> bool:
        """Whether the next slice may cost a flow that is not saved, but will be soon. Within a turn."""
        count = self.slice_packets
        return self.store.is_short(self._wanted_bytes(), count) or self.flows.is_short(count)

    def _wanted_bytes(self) -> int:
        """What a slice can fill, and a block for each packet: blocks are filled by half at least."""
        payload_bytes = self.slice_bytes + MAX_DATAGRAM_BYTES + self.flows.room.pool.used_bytes
        return 2 * payload_bytes + self.slice_packets * UNIT_BYTES

    def fresh_bytes(self) -> int:
        """How much of the memory for payload has been in use, from its beginning on. Takes no turn."""
        return self.store.arena.fresh_bytes()

    def prepare(self, count: int, first: int = 0) -> None:
        """Have memory ready for the bytes [first, count) that will come. Takes no turn; for another thread.

        From the end on, since whoever feeds comes from the beginning: each sees to a half.
        """
        arena = self.store.arena
        end = min(count, arena.capacity_bytes)
        while end > first and not self.finished:
            start = max(first, end - 1 & -PREPARED_BYTES)
            arena.prepare(start, end - start)
            end = start

    def tick(self, now_ns: int) -> None:
        """Time passes without packets; `now_ns` is on the packets' clock."""
        more = True
        while more:
            with self.turn:
                self._advance(now_ns)
                more = self._catch_up()

    def drop(self, source: int, since_ns: int, until_ns: int, count: int) -> None:
        """So many packets of a source were lost before they came here, between two times of their clock."""
        with self.turn:
            self.counters.dropped_packets += count
            self.flows.drops.add(source, since_ns, until_ns, count)

    def finish(self, patient: bool = False) -> bool:
        """The captures have ended. If `patient`, False when it is to be called again, as with feed()."""
        with self.turn:
            self.defrag.clear()
            done = self.flows.finish(self.now_ns, self._wanted_bytes() if patient else 0)
            self.flows.collect()
            self.finished = done or self.finished
            return done

    def close(self) -> None:
        """Let go of everything: directions hold each other, and the garbage collector does not see them."""
        with self.turn:
            self.defrag.clear()
            self.flows.clear()
            self.finished = True

    def statistics(self) -> dict[str, int]:
        """All counters, and the gauges: what is there and in use at this moment."""
        with self.turn:
            return {
                **self.counters.as_dict(),
                **gauges(self.limits, self.store, self.flows, self.defrag),
                "cut_at_bytes": self.cut_at_bytes,
                "now_ns": self.now_ns,
            }

    # --- a slice -----------------------------------------------------------------------------------

    def _feed_slice(
        self, base: bytes, length: int, meta: memoryview, packet: int, stop: int, count: int, link_type: int
    ) -> int:
        """Take packets from number `packet` on, up to `stop`, as many as a slice allows.

        Returns the number of the next, which is the same one if so much fell due before it that this was a
        slice.
        """
        room_bytes = self.slice_bytes
        rare = SLICE_RARE
        counters = self.counters
        segment = self.segment
        while packet < stop and room_bytes > 0 and rare > 0:
            row = packet * 4
            now_ns = meta[row] * _SECOND_NS + meta[row + 1] * self.fraction_ns
            start = min(length, meta[row + 2])
            end = min(length, start + meta[row + 3])
            if packet + _FETCH_AHEAD < count:
                fetch(base, meta[4 * (packet + _FETCH_AHEAD) + 2])
            if self._come_to(now_ns):
                return packet
            packet += 1
            room_bytes -= end - start
            counters.packets += 1
            counters.captured_bytes += end - start
            if end - start > self.longest_bytes:
                self.longest_bytes = end - start
            verdict = decode(base, start, end, link_type, segment)
            if verdict == SEGMENT:
                counters.segments += 1
                if segment.end < segment.wire_end:
                    self._count_cut(end - start)
                self.flows.accept(segment, base, self.now_ns)
            elif verdict == RARE or verdict == FRAGMENT:
                rare -= self._take_rare(verdict, base, start, end, link_type)
            else:
                self._count_verdict(verdict)
            if self.store.orphans:  # at once: what a packet does must not depend on its batch [R10]
                self.flows.collect()
        return packet

    def _take_rare(self, verdict: int, base: bytes, start: int, end: int, link_type: int) -> int:
        """A frame that decode() leaves to others; returns how many frames were in it."""
        self.frame_bytes = end - start
        self.links.outer = start
        packet = base[start if verdict == RARE else self.segment.start : end]
        vlan = 0 if verdict == RARE else self.segment.vlan
        count = self._go_the_long_way(verdict, packet, link_type, vlan, 0, False, False)
        self.links.outer = -1
        return count

    def _go_the_long_way(
        self,
        verdict: int,
        packet: bytes,
        link_type: int,
        vlan: int,
        layers: int,
        tunnelled: bool,
        aggregated: bool,
    ) -> int:
        """Dissection and reassembly by turns, until there is a segment, or nothing, or it takes too long.

        `packet` is the frame if the verdict is RARE, the IP packet on VLAN `vlan` if it is FRAGMENT. Returns
        how many frames that was.
        """
        for _ in range(MAX_PASSES):
            if verdict == RARE:
                self.counters.dissected += 1
                inside = None if self.dissect is None else self.dissect(link_type, packet, vlan, layers)
                if inside is None:
                    break
                if isinstance(inside, list):
                    if aggregated:  # within another: nobody sends that, and it would multiply the work
                        break
                    for inner_type, frame, inner_vlan, passed, through in inside:
                        through = tunnelled or through
                        self._go_the_long_way(RARE, frame, inner_type, inner_vlan, passed, through, True)
                    return len(inside)
                vlan, packet, layers, through = inside
                tunnelled = tunnelled or through
                verdict = decode_ip(packet, 0, len(packet), vlan, self.segment)
                if verdict == RARE:
                    verdict = FRAGMENT  # behind extension headers, which dissection leaves to such a one
            if verdict != FRAGMENT:
                self._arrive(verdict, packet, tunnelled)
                return 1
            whole = self.defrag.take(packet, 0, len(packet), vlan, self.now_ns)
            if whole is None:
                return 1
            packet = whole
            link_type = _RAW
            verdict = decode_ip(packet, 0, len(packet), vlan, self.segment)
        self.counters.unknown_frames += 1
        return 1

    def _arrive(self, verdict: int, packet: bytes, tunnelled: bool) -> None:
        """The end of the long way."""
        if verdict == SEGMENT:
            self.counters.segments += 1
            self.counters.tunnelled += tunnelled
            if self.segment.end < self.segment.wire_end:
                self._count_cut(self.frame_bytes)
            self.flows.accept(self.segment, packet, self.now_ns)
        else:
            self._count_verdict(verdict)

    def _count_cut(self, frame_bytes: int) -> None:
        """Count what is missing of a segment's payload; the frame was captured up to so many bytes."""
        self.counters.cut_bytes += self.segment.wire_end - self.segment.end
        self.cut_at_bytes = max(self.cut_at_bytes, frame_bytes)

    def _count_verdict(self, verdict: int) -> None:
        """Count a frame, or a reassembled datagram, that holds no segment."""
        counters = self.counters
        if verdict == NOT_TCP:
            counters.not_tcp += 1
        elif verdict == BAD_HEADER:
            counters.bad_headers += 1
        elif verdict == BAD_FLAGS:
            counters.bad_flags += 1
        elif verdict == CUT_SHORT:
            counters.cut_short += 1
        else:
            counters.unknown_frames += 1

    def _come_to(self, now_ns: int) -> bool:
        """A packet has this time: time goes on, if it is to be believed, and what is due by then is seen to.

        Whether there is more to see to before that packet, for which this can be said again.
        """
        if now_ns <= self.now_ns:
            self.leap_packets = 0
        elif now_ns - self.now_ns < _LEAP_NS or self._leaps(now_ns):
            self.leap_packets = 0
            self._advance(now_ns)
        return self.now_ns >= self.flows.due_ns and self._catch_up()

    def _leaps(self, now_ns: int) -> bool:
        """Whether a time far ahead is to be believed: the first of all is, else several in a row must agree.

        Time only goes forward, so one wrong stamp would stop it for the rest of the capture.
        """
        if self.now_ns == 0:
            return True
        if abs(now_ns - self.leap_ns) > _LEAP_NS:
            self.leap_packets = 0
        self.leap_ns = now_ns
        self.leap_packets += 1
        if self.leap_packets == LEAP_PACKETS:
            return True
        self.counters.doubted_times += 1
        return False

    def _advance(self, now_ns: int) -> None:
        """Time only goes forward, whatever a capture says."""
        if now_ns > self.now_ns:
            self.now_ns = now_ns
            self.store.now_ns = now_ns

    def _catch_up(self) -> bool:
        """See to a slice of what is due; whether there is more."""
        if self.defrag.tick(self.now_ns - self.now_ns % TICK_NS):
            return True
        more = self.flows.catch_up(self.now_ns)
        self.store.now_ns = self.now_ns
        return more

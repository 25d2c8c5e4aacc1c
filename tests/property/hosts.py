"""Two TCP hosts, what they send each other, and what a tap between them saw: slow, and obviously right.

Owns what must stand in the files of a connection, byte by byte. A byte that the tap saw is `certain` unless
a rule may have given its place up before: [H1] acknowledged for 250 ms or 32 packets, [H3] the peer was not
seen for 3 s, [H4] the connection may have been over, [H6] the snapshot length cut it off before, [L6] it may
have been a probe. A byte in a segment that is too old is `kept` instead [Q3 T1]: it fills a hole that would
be lost though the peer has it. What is always true of what the hosts say: no byte is 0, and nothing is
acknowledged that was not sent. Streams stay so short that no window, and no limit of what may wait, comes
into it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from craft import Conversation, Packet, Tag
from property.cores import Gap
from property.cuttings import CLIENT, SERVER, SPACE
from property.stamps import Clock, Stamp, Told

STREAM_BYTES = 20_000  # the longest that a stream gets
# What the design promises, not what the core has.
SECOND_NS = 10**9
ACKED_NS = SECOND_NS // 4  # [H1]
ACKED_PACKETS = 32  # [H1]
LOWER_ACKS = 3  # [H1] in a row, and for as long: the peer does not have more
ONE_WAY_NS = 3 * SECOND_NS  # [H3]
QUIET_NS = 25 * SECOND_NS  # nothing is over yet by time alone, half open or just closed [L9]
IDLE_NS = 500 * SECOND_NS  # nor is an open connection

Marks = list[tuple[int, int, int]]  # (offset, since when, since which packet); ascending throughout


class Segment(NamedTuple):
    """What is put on the wire. Offsets count from the first byte behind the ISN: a SYN stands at -1."""

    side: int
    flags: str
    offset: int
    data: bytes
    acked: int  # of the other side's stream
    captured: int | None = None  # so much of the data; None: all
    stamp: Stamp | None = None


class Host:
    """One end: what it wrote, and how far it has got what the other wrote."""

    def __init__(self, begin: int = 0) -> None:
        self.clock = Clock(begin)
        self.written = 0
        self.fin_sent = False
        self.got = bytearray(STREAM_BYTES)  # 1: this byte of the peer's came
        self.rcv_nxt = 0
        self.peer_fin = -1

    def take(self, segment: Segment) -> None:
        """A segment arrives."""
        for place in range(max(0, segment.offset), segment.offset + len(segment.data)):
            self.got[place] = 1
        if "F" in segment.flags:
            self.peer_fin = segment.offset + len(segment.data)
        while self.rcv_nxt < STREAM_BYTES and self.got[self.rcv_nxt]:
            self.rcv_nxt += 1

    def acked(self) -> int:
        """What it acknowledges; a FIN counts for one."""
        return self.rcv_nxt + (self.rcv_nxt == self.peer_fin)


class Track:
    """What the tap saw of one direction."""

    def __init__(self) -> None:
        self.bytes = bytearray(STREAM_BYTES)  # the first that was seen; 0: none was
        self.certain = bytearray(STREAM_BYTES)
        self.cut = bytearray(STREAM_BYTES)  # 1: cut off by the snapshot length [H6]
        self.kept = bytearray(STREAM_BYTES)  # 1: in time in a segment that was too old [T1]
        self.old: dict[int, bytes] = {}  # all that stood there in such segments
        self.vague: set[int] = set()  # places where a segment was that may have been too old
        self.times = Told()
        self.offered = b""  # data of the SYN, of which it is not known what was taken [L7]
        self.base = 0  # what lies before is not known to be of the stream
        self.end = 0  # behind the last byte that was seen
        self.seen_ns = -1  # the first packet
        self.acks: Marks = []  # of the peer
        self.last_ack = 0
        self.believed_ack = 0  # the highest that was not taken back [H1]
        self.lower_acks: Marks = []  # in a row
        self.taken_back = 0  # how often
        self.ends: Marks = []
        self.fin = -1
        self.conflicts = False
        self.origin = 0  # where the file begins: not at 0 if an earlier one was evicted

    def hear(self, acked: int, now_ns: int, packets: int) -> None:
        """An ACK of the peer. Several lower ones, over a while, take back what it said before [H1]."""
        mark(self.acks, acked, now_ns, packets)
        self.last_ack = acked
        if acked >= self.believed_ack:
            self.believed_ack = acked
            self.lower_acks = []
            return
        self.lower_acks.append((acked, now_ns, packets))
        _, since_ns, since = self.lower_acks[0]
        lasts = now_ns - since_ns >= ACKED_NS or packets - since >= ACKED_PACKETS
        if lasts and len(self.lower_acks) >= LOWER_ACKS:
            self.taken_back += 1
            self.believed_ack = max(self.lower_acks)[0]
            self.lower_acks = []

    def acked(self) -> int:
        """What the peer acknowledged, as far as was seen."""
        return self.acks[-1][0] if self.acks else 0

    def prefix(self) -> int:
        """How far all is certain."""
        found = self.certain.find(0)
        return STREAM_BYTES if found < 0 else found

    def due(self, before_ns: int) -> int:
        """How far it must be readable, a while after the ACKs seen by then: no hole before those waits.

        If the last ACK is lower, only its own: the peer may not have the rest [H1].
        """
        acked = max((ack for ack, time_ns, _ in self.acks if time_ns <= before_ns), default=0)
        acked = min(acked, self.last_ack)
        kept = self.kept[: acked if self.fin < 0 else min(acked, self.fin)]
        return max(len(self.certain[: acked + 1].rstrip(b"\0")), len(kept.rstrip(b"\0")))


def mark(marks: Marks, offset: int, now_ns: int, packets: int) -> None:
    """Remember when `offset` was first reached."""
    if not marks or offset > marks[-1][0]:
        marks.append((offset, now_ns, packets))


def passed(marks: Marks, place: int) -> tuple[int, int] | None:
    """When something behind `place` was first reached, and with which packet."""
    for offset, time_ns, packets in marks:
        if offset > place:
            return time_ns, packets
    return None


class Line:
    """One connection: its two hosts and the tap."""

    def __init__(
        self, fields: dict[str, Any], isns: tuple[int, int], lead: str, salt: int, begins: tuple[int, int]
    ) -> None:
        self.fields = fields
        self.tags: tuple[Tag, ...] = fields.get("tags", ())
        self.isns = isns
        self.lead = lead
        said = Conversation(**fields)
        self.keys = (said.client_key(), said.server_key())
        self.salt = salt
        self.hosts = (Host(begins[CLIENT]), Host(begins[SERVER]))
        self.tracks = (Track(), Track())
        self.stamps = ""  # "both": the hosts tell each other times; "SYN": only the SYN/ACK has none
        self.has_paws: bool | None = False  # the tap saw that; None: perhaps
        self.told_old = self.perhaps_old = 0  # segments that were too old, and all that may have been
        self.opened = False  # the client has answered the SYN/ACK
        self.packets = 0  # that the tap saw
        self.begun_ns = -1  # the first of them
        self.last_ns = 0
        self.reset = False
        self.over = False  # it may have ended in the eyes of the tap: what comes now need not be kept
        self.settled = False  # both sides were heard behind the handshake
        self.dead = False  # nothing more will be sent

    # --- what the hosts say --------------------------------------------------------------------------

    def text(self, side: int, start: int, end: int, paint: int = 0) -> bytes:
        """What a side writes at [start, end), or something else."""
        salt = self.salt + side * 3 + paint * 101
        return bytes(1 + (place * 7 + place // 255 + salt) % 255 for place in range(start, end))

    def bare(self, side: int, flags: str = "A") -> Segment:
        """A segment without data behind all that was written."""
        host = self.hosts[side]
        return self.stamped(Segment(side, flags, host.written + host.fin_sent, b"", host.acked()))

    def data(self, side: int, start: int, end: int, paint: int = 0) -> Segment:
        text = self.text(side, start, end, paint)
        return self.stamped(Segment(side, "PA", start, text, self.hosts[side].acked()))

    def stamped(self, segment: Segment) -> Segment:
        """With the time of its sender, if the two speak of that."""
        if not self.stamps:
            return segment
        return segment._replace(stamp=self.hosts[segment.side].clock.stamp(segment.acked))

    def write(self, side: int, count: int) -> Segment:
        host = self.hosts[side]
        begin = host.written
        host.written += count
        return self.data(side, begin, host.written)

    def fin(self, side: int) -> Segment:
        host = self.hosts[side]
        host.fin_sent = True
        return self.stamped(Segment(side, "FA", host.written, b"", host.acked()))

    def arrive(self, segment: Segment, lenient: bool = False) -> None:
        """The other side takes it, unless it is too old for one that is not `lenient`."""
        peer, stamp = self.hosts[1 - segment.side], segment.stamp
        heeded = self.stamps == "both" and stamp is not None and "R" not in segment.flags
        if heeded and stamp and not peer.clock.takes(stamp.value, segment.offset) and not lenient:
            return
        if "S" not in segment.flags:
            peer.take(segment)

    def packet(self, segment: Segment, time_ns: int, raised: tuple[int, int] = (0, 0)) -> Packet:
        """The segment as the tap sees it, with the ISNs and times of both sides raised."""
        isns = [(isn + by) % SPACE for isn, by in zip(self.isns, raised, strict=True)]
        said = Conversation(**self.fields, client_isn=isns[CLIENT], server_isn=isns[SERVER], clock_ns=time_ns)
        say = said.client if segment.side == CLIENT else said.server
        ack = isns[1 - segment.side] + 1 + segment.acked if "A" in segment.flags else 0
        options = b""
        if segment.stamp is not None and not (self.stamps == "SYN" and segment.flags == "SA"):
            options = segment.stamp.option(raised if segment.side == CLIENT else raised[::-1])
        fields = {"ack": ack, "flags": segment.flags, "captured": segment.captured, "options": options}
        say(segment.offset, segment.data, **fields)
        return said.packets[0]

    # --- what the tap sees ---------------------------------------------------------------------------

    def see(self, segment: Segment, now_ns: int) -> None:
        track, other = self.tracks[segment.side], self.tracks[1 - segment.side]
        self.packets += 1
        self.last_ns = now_ns
        if self.begun_ns < 0:
            self.begun_ns = now_ns
        if track.seen_ns < 0:
            track.seen_ns = now_ns
        if "R" in segment.flags:
            self.over = self.reset = True
            return
        if "S" in segment.flags:
            self._see_syn(track, other, segment, now_ns)
            return
        if self.is_old(segment):
            self._see_old(track, other, segment, now_ns)
            return
        if segment.stamp is not None:
            self._see_times(track, other, segment.stamp)
        self.settled = self.settled or other.seen_ns >= 0 or bool(segment.data)
        other.hear(segment.acked, now_ns, self.packets)
        self._see_taken(other, segment.acked, now_ns)
        if segment.data or "F" in segment.flags:  # it goes on, or ends, behind what was taken
            self._see_taken(track, segment.offset, now_ns)
        self._see_data(track, other, segment, now_ns)
        if "F" in segment.flags:
            track.fin = segment.offset
            self.over = self.over or other.seen_ns < 0  # nothing tells of the other direction [L4]

    def see_forged_reset(self, now_ns: int) -> None:
        """A RST that neither host sent, and that ends nothing [L5]. It counts as a packet all the same."""
        self.packets += 1
        self.last_ns = now_ns

    def _see_syn(self, track: Track, other: Track, segment: Segment, now_ns: int) -> None:
        if segment.stamp is not None:
            self._see_times(track, other, segment.stamp)
        if segment.side == CLIENT:
            track.offered = track.offered or segment.data
        elif other.seen_ns < 0:
            other.base = other.origin = segment.acked  # as far as the tap knows, the SYN was right before
        else:
            self._see_taken(other, segment.acked, now_ns)

    def is_old(self, segment: Segment) -> bool:
        """Whether its receiver drops a segment for its age, as far as the tap knows, or may know [Q3]."""
        if segment.stamp is None or self.has_paws is False:
            return False
        if self.has_paws is None and self.perhaps_old:
            return True  # may be: what that one said of times counts, or not
        return self.may_be_closed() or self.tracks[segment.side].times.is_old(segment.stamp.value)

    def _see_times(self, track: Track, other: Track, stamp: Stamp) -> None:
        track.times.say(stamp.value)
        other.times.hear(stamp.echo)

    def _see_taken(self, track: Track, taken: int, now_ns: int) -> None:
        """So much of the data of its SYN was taken; the rest was said in vain [L7]."""
        data, track.offered = track.offered[:taken], b""
        side = self.tracks.index(track)
        if data and self.over:  # what was in doubt then is gone, if it did end [H4]
            self._keep(track, Segment(side, "A", 0, data, 0), now_ns, surely=False)
        elif data:
            self._see_data(track, self.tracks[1 - side], Segment(side, "A", 0, data, 0), now_ns)

    def _see_old(self, track: Track, other: Track, segment: Segment, now_ns: int) -> None:
        """A segment that its receiver drops, as far as the tap knows: nothing in it counts [Q3]."""
        surely = bool(self.has_paws) and not self.may_be_closed()
        self.perhaps_old += 1
        self.told_old += surely
        self._keep(track, segment, now_ns, surely)
        if not surely:
            mark(other.acks, segment.acked, now_ns, self.packets)
            other.last_ack = min(other.last_ack, segment.acked)
            other.taken_back += 1
            if "F" in segment.flags:
                track.fin = segment.offset + len(segment.data)

    def _keep(self, track: Track, segment: Segment, now_ns: int, surely: bool) -> None:
        """Its bytes are in doubt, or if not `surely`, may be [T1]."""
        other = self.tracks[1 - segment.side]
        captured = segment.data[: segment.captured]
        for place, byte in enumerate(captured, segment.offset):
            others = track.old.get(place, b"").replace(bytes([byte]), b"")
            track.conflicts |= track.bytes[place] not in (0, byte) or others != b""
            track.old[place] = others + bytes([byte])
            track.kept[place] |= surely and self._is_certain(track, other, place, now_ns)
        seen_to = segment.offset + len(captured)
        if captured:
            track.end = max(track.end, seen_to)
        if not surely:
            track.vague.update(range(segment.offset, seen_to))
            for place in range(seen_to, segment.offset + len(segment.data)):
                track.cut[place] = 1

    def _see_data(self, track: Track, other: Track, segment: Segment, now_ns: int) -> None:
        probe = len(segment.data) == 1 and segment.offset + 1 == track.acked()  # [L6]
        captured = segment.data[: segment.captured]
        seen_to = segment.offset + len(captured)
        for place, byte in enumerate(captured, segment.offset):
            if place < track.base:
                continue
            if probe and not track.bytes[place]:
                track.old[place] = track.old.get(place, b"") + bytes(
                    [byte]
                )  # it may count, or what comes next
                track.vague.add(place)
            elif not track.bytes[place]:
                track.bytes[place] = byte
                vague = place in track.vague
                track.certain[place] = not vague and self._is_certain(track, other, place, now_ns)
            track.conflicts |= track.bytes[place] not in (0, byte) or bool(
                track.old.get(place, b"").strip(bytes([byte]))
            )
        if captured:
            track.end = max(track.end, seen_to)
            mark(track.ends, seen_to, now_ns, self.packets)
        for place in range(max(0, seen_to), segment.offset + len(segment.data)):
            track.cut[place] = 1

    def _is_certain(self, track: Track, other: Track, place: int, now_ns: int) -> bool:
        """Whether no rule can have given this place up before."""
        acked = passed(track.acks, place)
        if acked and (now_ns - acked[0] >= ACKED_NS or self.packets - acked[1] > ACKED_PACKETS):
            return False
        behind = passed(track.ends, place)
        alone_until_ns = now_ns if other.seen_ns < 0 else other.seen_ns
        if behind and track.cut[place]:
            return False
        if behind and alone_until_ns - behind[0] >= ONE_WAY_NS:
            return False
        return not self.over

    def carried(self) -> bool:
        """Whether a byte of it was seen."""
        return any(track.end for track in self.tracks)

    def may_be_closed(self) -> bool:
        """Whether it may have come to its end as far as the tap knows."""
        return self.over or all(track.fin >= 0 for track in self.tracks)

    def may_be_forgotten(self, now_ns: int) -> bool:
        """Whether the tap may have forgotten it by now, so that its packets would begin another."""
        quiet_ns = now_ns - self.last_ns
        return quiet_ns >= (QUIET_NS if self.may_be_closed() or not self.settled else IDLE_NS)

    # --- what must be in a file ----------------------------------------------------------------------

    def check(self, side: int, content: bytes, gaps: list[Gap], at_end: bool) -> None:
        """A file is what the tap saw first, byte by byte; gaps are where it may not have seen it in time."""
        track = self.tracks[side]
        lost = bytearray(len(content))
        for offset, length, reason in gaps:
            lost[offset : offset + length] = b"\1" * length
            start = track.origin + offset
            self._check_gap(side, start, start + length, reason, at_end)
        assert track.origin + len(content) <= track.end
        for place, byte in enumerate(content, track.origin):
            if lost[place - track.origin]:
                assert not track.certain[place], f"lost: {place}"
            else:
                is_his = byte == track.bytes[place] or self._may_be_old(track, place, byte)
                assert is_his, f"not what was sent: {place}"
        if at_end:
            assert not any(track.certain[track.origin + len(content) :])

    def _may_be_old(self, track: Track, place: int, byte: int) -> bool:
        """Whether a byte may be one that was kept [T1]: only its peer's ACK makes it data."""
        if track.certain[place] or byte not in track.old.get(place, b""):
            return False
        return place < track.acked() or place in track.vague or self.over

    def _check_gap(self, side: int, start: int, end: int, reason: str, at_end: bool) -> None:
        """No hole is given up without its reason [R5]."""
        track, other = self.tracks[side], self.tracks[1 - side]
        assert reason in ("ack", "one-way", "close", "snaplen")
        if reason == "snaplen":
            assert all(track.cut[start:end])
        elif reason == "ack":
            assert track.acked() >= end
            assert self.over or not any(track.kept[start:end]), "the peer has it, and it was there [T1]"
        elif reason == "one-way":
            assert other.seen_ns < 0 or other.seen_ns - track.ends[0][1] >= ONE_WAY_NS
        else:
            assert at_end or self.over or self.dead

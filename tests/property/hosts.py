"""Two TCP hosts, what they send each other, and what a tap between them saw: slow, and obviously right.

Owns what must stand in the files of a connection, byte by byte. A byte that the tap saw is `certain` unless
a rule may have given its place up before: [H1] acknowledged for 250 ms or 32 packets, [H3] the peer was not
seen for 3 s, [H4] the connection may have been over, [H6] the snapshot length cut it off before, [L6] it may
have been a probe. What is always true of what the hosts say: no byte is 0, and nothing is acknowledged that
was not sent. Streams stay so short that no window, and no limit of what may wait, comes into it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from craft import Conversation, Packet, Tag
from property.cores import Gap
from property.cuttings import CLIENT, SERVER, SPACE

STREAM_BYTES = 20_000  # the longest that a stream gets
# What the design promises, not what the core has.
SECOND_NS = 10**9
ACKED_NS = SECOND_NS // 4  # [H1]
ACKED_PACKETS = 32  # [H1]
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


class Host:
    """One end: what it wrote, and how far it has got what the other wrote."""

    def __init__(self) -> None:
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
        self.end = 0  # behind the last byte that was seen
        self.seen_ns = -1  # the first packet
        self.acks: Marks = []  # of the peer
        self.last_ack = 0
        self.ends: Marks = []
        self.fin = -1
        self.conflicts = False
        self.origin = 0  # where the file begins: not at 0 if an earlier one was evicted

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
        return len(self.certain[: min(acked, self.last_ack) + 1].rstrip(b"\0"))


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

    def __init__(self, fields: dict[str, Any], isns: tuple[int, int], lead: str, salt: int) -> None:
        self.fields = fields
        self.tags: tuple[Tag, ...] = fields.get("tags", ())
        self.isns = isns
        self.lead = lead
        said = Conversation(**fields)
        self.keys = (said.client_key(), said.server_key())
        self.salt = salt
        self.hosts = (Host(), Host())
        self.tracks = (Track(), Track())
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
        return Segment(side, flags, host.written + host.fin_sent, b"", host.acked())

    def data(self, side: int, start: int, end: int, paint: int = 0) -> Segment:
        return Segment(side, "PA", start, self.text(side, start, end, paint), self.hosts[side].acked())

    def write(self, side: int, count: int) -> Segment:
        host = self.hosts[side]
        begin = host.written
        host.written += count
        return self.data(side, begin, host.written)

    def fin(self, side: int) -> Segment:
        host = self.hosts[side]
        host.fin_sent = True
        return Segment(side, "FA", host.written, b"", host.acked())

    def arrive(self, segment: Segment) -> None:
        self.hosts[1 - segment.side].take(segment)

    def packet(self, segment: Segment, time_ns: int, raised: tuple[int, int] = (0, 0)) -> Packet:
        """The segment as the tap sees it, with the ISNs of both sides raised."""
        isns = [(isn + by) % SPACE for isn, by in zip(self.isns, raised, strict=True)]
        said = Conversation(**self.fields, client_isn=isns[CLIENT], server_isn=isns[SERVER], clock_ns=time_ns)
        say = said.client if segment.side == CLIENT else said.server
        ack = isns[1 - segment.side] + 1 + segment.acked if "A" in segment.flags else 0
        say(segment.offset, segment.data, ack=ack, flags=segment.flags, captured=segment.captured)
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
        if "S" in segment.flags or "R" in segment.flags:
            return
        self.settled = self.settled or other.seen_ns >= 0 or bool(segment.data)
        mark(other.acks, segment.acked, now_ns, self.packets)
        other.last_ack = segment.acked
        self._see_data(track, other, segment, now_ns)
        if "F" in segment.flags:
            track.fin = segment.offset
            self.over = self.over or other.seen_ns < 0  # nothing tells of the other direction [L4]

    def see_forged_reset(self, now_ns: int) -> None:
        """A RST that neither host sent, and that ends nothing [L5]. It counts as a packet all the same."""
        self.packets += 1
        self.last_ns = now_ns

    def _see_data(self, track: Track, other: Track, segment: Segment, now_ns: int) -> None:
        probe = len(segment.data) == 1 and segment.offset + 1 == track.acked()  # [L6]
        captured = segment.data[: segment.captured]
        seen_to = segment.offset + len(captured)
        for place, byte in enumerate(captured, segment.offset):
            if place < 0:
                continue
            if not track.bytes[place]:
                track.bytes[place] = byte
                track.certain[place] = not probe and self._is_certain(track, other, place, now_ns)
            track.conflicts |= track.bytes[place] != byte
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

    def may_be_forgotten(self, now_ns: int) -> bool:
        """Whether the tap may have forgotten it by now, so that its packets would begin another."""
        quiet_ns = now_ns - self.last_ns
        ended = self.over or all(track.fin >= 0 for track in self.tracks)
        return quiet_ns >= (QUIET_NS if ended or not self.settled else IDLE_NS)

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
        for place, byte in enumerate(content):
            if lost[place]:
                assert not track.certain[track.origin + place], f"lost: {track.origin + place}"
            else:
                assert byte == track.bytes[track.origin + place], f"not what was sent: {place}"
        if at_end:
            assert not any(track.certain[track.origin + len(content) :])

    def _check_gap(self, side: int, start: int, end: int, reason: str, at_end: bool) -> None:
        """No hole is given up without its reason [R5]."""
        track, other = self.tracks[side], self.tracks[1 - side]
        assert reason in ("ack", "one-way", "close", "snaplen")
        if reason == "snaplen":
            assert all(track.cut[start:end])
        elif reason == "ack":
            assert track.acked() >= end
        elif reason == "one-way":
            assert other.seen_ns < 0 or other.seen_ns - track.ends[0][1] >= ONE_WAY_NS
        else:
            assert at_end or self.over or self.dead

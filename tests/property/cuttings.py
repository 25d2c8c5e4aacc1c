"""Streams cut into segments that arrive in any order, and an obviously right, slow model of them.

Owns the strategy `captures_of_streams`. What is always true of what it draws: each byte of each stream is
sent; an ACK never says more than what the capture has shown by then; so no rule gives a hole up before the
end. (Out of order ≤ 1 MiB and 3072 segments a flow [H2], the peer is seen or all is over within a second
[H3], no timeout [L9].)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from craft import Conversation, Packet, Tag

SPACE = 1 << 32
CLIENT, SERVER = 0, 1


class Model:
    """A stream: of each offset the first byte that comes counts; the file is what has no hole before."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.end = 0  # of what is readable
        self.fin: int | None = None
        self.conflicts = 0
        self.sent = 0

    def take(self, offset: int, data: bytes, fin: bool) -> None:
        self.sent += len(data)
        for place, byte in enumerate(data, offset):
            self.conflicts += self.bytes.setdefault(place, byte) != byte
        while self.end in self.bytes:
            self.end += 1
        if fin:
            self.fin = offset + len(data)

    def content(self) -> bytes:
        return bytes(self.bytes[place] for place in range(self.end))

    def next_expected(self) -> int:
        """What the receiver acknowledges: a FIN counts for one."""
        return self.end + (self.end == self.fin)


class Piece(NamedTuple):
    """A segment with the stream's bytes [start, end), each XOR `paint`."""

    start: int
    end: int
    paint: int
    fin: bool

    def data(self) -> bytes:
        """No two blocks of 256 bytes in a row are the same, and no byte is 0 unless painted so."""
        return bytes(
            (1 + (place * 7 + place // 255) % 255) ^ self.paint for place in range(self.start, self.end)
        )


class Way(NamedTuple):
    """One connection: its `Conversation` but for the packets, and how the capture of it begins."""

    fields: dict[str, Any]
    lead: str  # handshake, acks (one of each side), none

    def begin(self, packets: list[Packet], client_by: int, server_by: int) -> Conversation:
        conversation = Conversation(**self.fields, packets=packets)
        conversation.client_isn = (conversation.client_isn + client_by) % SPACE
        conversation.server_isn = (conversation.server_isn + server_by) % SPACE
        return conversation


class Event(NamedTuple):
    """One segment on its way; the first of a connection comes after its lead."""

    number: int  # of the connection
    side: int
    piece: Piece
    acked: int  # of the other side's stream
    time_ns: int
    readable: list[int]  # when it has come: bytes of each stream, both sides of connection 0 first


@dataclass
class Sent:
    """What was sent and how it was captured."""

    ways: list[Way]
    models: list[Model]  # both sides of connection 0 first
    events: list[Event]

    def keys(self) -> list[bytes]:
        """What each stream's file is found by."""
        begun = [way.begin([], 0, 0) for way in self.ways]
        return [
            key for conversation in begun for key in (conversation.client_key(), conversation.server_key())
        ]

    def files(self) -> dict[bytes, bytes]:
        """The files in the end: content by key."""
        return {
            key: model.content() for key, model in zip(self.keys(), self.models, strict=True) if model.end
        }

    def steps(self, client_by: int = 0, server_by: int = 0) -> list[list[Packet]]:
        """The packets of each event. Every ISN is raised by the numbers given."""
        packets: list[Packet] = []
        conversations: dict[int, Conversation] = {}
        ends = []
        for event in self.events:
            if event.number not in conversations:
                begun = self.ways[event.number].begin(packets, client_by, server_by)
                begun.clock_ns = event.time_ns
                conversations[event.number] = begun
                lead(begun, self.ways[event.number].lead)
            send(conversations[event.number], event)
            ends.append(len(packets))
        return [packets[start:end] for start, end in pairwise([0, *ends])]

    def packets(self, client_by: int = 0, server_by: int = 0) -> list[Packet]:
        return [packet for step in self.steps(client_by, server_by) for packet in step]


def lead(conversation: Conversation, how: str) -> None:
    if how == "handshake":
        conversation.handshake()
    elif how == "acks":
        conversation.client_ack(0)
        conversation.server_ack(0)


def send(conversation: Conversation, event: Event) -> None:
    conversation.clock_ns = max(conversation.clock_ns, event.time_ns)
    flags = "FPA" if event.piece.fin else "PA"  # else one byte at the beginning may be a probe [L6]
    if event.side == CLIENT:
        ack = conversation.server_isn + 1 + event.acked
        conversation.client(event.piece.start, event.piece.data(), ack=ack, flags=flags)
    else:
        ack = conversation.client_isn + 1 + event.acked
        conversation.server(event.piece.start, event.piece.data(), ack=ack, flags=flags)


# --- strategies ----------------------------------------------------------------------------------

ISNS = st.one_of(
    st.sampled_from([0, 1, SPACE - 1, SPACE - 2, SPACE // 2 - 1, SPACE // 2]),
    st.integers(SPACE - 40_000, SPACE - 1),
    st.integers(0, SPACE - 1),
)
STEPS_NS = st.sampled_from([1_000, 0, 50_000, 20_000_000, 260_000_000])
TAGS = ((), (Tag(42),), (Tag(7, tpid=0x88A8), Tag(42, pcp=5)), (Tag(0, pcp=3),))
ENDS = (("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"))
LEADS = ("handshake", "handshake", "acks", "none")


@st.composite
def pieces(draw: st.DrawFn, conflicting: bool) -> list[Piece]:
    """A whole stream cut anywhere, more pieces of it, and all that shuffled."""
    size = draw(st.integers(0, 24))
    scale = draw(st.sampled_from([1, 1, 3, 100, 1500]))
    place = st.integers(0, size)
    cuts = sorted({0, size, *draw(st.lists(place, max_size=8))})
    ranges = list(pairwise(cuts))
    ranges += [(min(pair), max(pair)) for pair in draw(st.lists(st.tuples(place, place), max_size=6))]
    paint = st.sampled_from([0, 0, 0x20, 0xFF]) if conflicting else st.just(0)
    fin = st.booleans() if draw(st.booleans()) else st.just(False)
    return [
        Piece(start * scale, end * scale, draw(paint), end == size and draw(fin))
        for start, end in draw(st.permutations(ranges))
    ]


@st.composite
def ways(draw: st.DrawFn, number: int) -> Way:
    wide = draw(st.booleans())
    fields = {
        "client_address": draw(
            st.sampled_from(["2001:db8::1", "::1"] if wide else ["10.0.0.1", "127.0.0.1"])
        ),
        "server_address": "2001:db8::2" if wide else "10.0.0.2",
        "client_port": 40_000 + number,
        "client_isn": draw(ISNS),
        "server_isn": draw(ISNS),
        "tags": draw(st.sampled_from(TAGS)),
    }
    return Way(fields, draw(st.sampled_from(LEADS)))


@st.composite
def captures_of_streams(draw: st.DrawFn, conflicting: bool = False) -> Sent:
    """Up to three connections, their segments mixed."""
    drawn = [draw(ways(number)) for number in range(draw(st.integers(1, 3)))]
    sent = Sent(drawn, [Model() for _ in drawn for _ in (CLIENT, SERVER)], [])
    queues = [arranged(draw(pieces(conflicting)), way.lead) for way in drawn for _ in (CLIENT, SERVER)]
    hurried = any(way.lead == "none" for way in drawn)
    time_ns = Conversation.clock_ns
    for lane in draw(st.permutations([lane for lane, queue in enumerate(queues) for _ in queue])):
        number, side = divmod(lane, 2)
        time_ns += 1_000 if hurried else draw(STEPS_NS)
        known = sent.models[2 * number + 1 - side].next_expected()
        acked = known if draw(st.booleans()) else draw(st.integers(0, known))
        piece = queues[lane].pop(0)
        if seems_one_way(sent, number, side):
            piece = piece._replace(fin=False)
        sent.models[lane].take(piece.start, piece.data(), piece.fin)
        readable = [model.end for model in sent.models]
        sent.events.append(Event(number, side, piece, acked, time_ns, readable))
    return sent


def seems_one_way(sent: Sent, number: int, side: int) -> bool:
    """Whether the other side was not seen yet: then a FIN ends the connection."""
    if sent.ways[number].lead != "none":
        return False
    return not any((event.number, event.side) == (number, 1 - side) for event in sent.events)


def arranged(queue: list[Piece], how: str) -> list[Piece]:
    """Without a lead the stream's first byte is among its first eight segments [L3]."""
    first = next((place for place, piece in enumerate(queue) if piece.end > piece.start == 0), None)
    if how == "none" and first is not None:
        queue.insert(min(first, 7), queue.pop(first))
    return queue

"""Conversations whose content is known: in order, or reordered, repeated, overlapping and wrapped.

Always true: a number gives one capture; nothing is missing, and nothing is acknowledged before it was seen,
so that every byte must be in the files.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from craft import ETHERNET, RAW, Conversation, Packet, Tag, merge

SPACE = 1 << 32
LONGEST_BYTES = 40_000
WINDOW = 6  # a segment comes at most so many places early


class Generated(NamedTuple):
    """A capture, and the files that it must give."""

    packets: list[Packet]
    files: dict[str, bytes]


class Segment(NamedTuple):
    """Bytes that one side sends."""

    from_client: bool
    offset: int
    payload: bytes


def conversations(number: int, *, clean: bool) -> Generated:
    """Several connections at once; `clean`: each byte is sent once and in order, in bare IP packets."""
    random = Random(number)
    spoken: list[list[Packet]] = []
    files: dict[str, bytes] = {}
    for port in range(1 + number % 4, 6):
        talk = a_conversation(random, port, clean)
        streams = [random.randbytes(random.randrange(LONGEST_BYTES)) for _ in range(2)]
        speak(talk, random, streams, clean)
        spoken.append(talk.packets)
        names = talk.client_name(), talk.server_name()
        files |= {name: stream for name, stream in zip(names, streams, strict=True) if stream}
    return Generated(merge(*spoken), files)


def a_conversation(random: Random, port: int, clean: bool) -> Conversation:
    """One that has not begun; every third is IPv6, and of the others some are on a VLAN."""
    v6 = port % 3 == 0
    return Conversation(
        *(("2001:db8::1", "2001:db8::2") if v6 else ("10.0.0.1", "10.0.0.2")),
        client_port=1000 + port,
        client_isn=SPACE - random.randrange(1, LONGEST_BYTES),
        server_isn=random.randrange(SPACE),
        tags=(Tag(100 + port),) if port % 3 == 1 and not clean else (),
        link_type=RAW if clean else ETHERNET,
        step_ns=random.randrange(1000, 3_000_000),
    )


def speak(talk: Conversation, random: Random, streams: list[bytes], clean: bool) -> None:
    """Both streams, with acknowledgements of what has come in order."""
    talk.handshake()
    lanes = [cut(random, side == 0, stream, clean) for side, stream in enumerate(streams)]
    come: list[set[int]] = [set(), set()]
    while any(lanes):
        lane = random.choice([lane for lane in lanes if lane])
        segment = lane.pop(0)
        (talk.client if segment.from_client else talk.server)(segment.offset, segment.payload)
        there = come[not segment.from_client]
        there.update(range(segment.offset, segment.offset + len(segment.payload)))
        if random.random() < 0.5:
            (talk.server_ack if segment.from_client else talk.client_ack)(in_order(there))
    talk.close()


def in_order(there: set[int]) -> int:
    """How many bytes have come without a hole."""
    if len(there) == max(there, default=-1) + 1:
        return len(there)
    return next(place for place in range(len(there) + 1) if place not in there)


def cut(random: Random, from_client: bool, stream: bytes, clean: bool) -> list[Segment]:
    """A stream as segments, in the order in which they come."""
    segments, at = [], 0
    while at < len(stream):
        end = at + random.choice((1, 100, 536, 1448, 1448))
        segments.append(Segment(from_client, at, stream[at:end]))
        if not clean and random.random() < 0.2:  # once more, from an earlier byte on
            first = max(0, at - random.randrange(2000))
            segments.append(Segment(from_client, first, stream[first : first + 1448]))
        at = end
    if clean:
        return segments
    places = [(number + random.random() * WINDOW, number) for number in range(len(segments))]
    return [segments[number] for _, number in sorted(places)]

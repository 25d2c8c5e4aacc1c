"""The target `frames`: any bytes as frames of every link type.

An input is a byte that chooses the limits, then frames, each behind five bytes: the time that passes, what
happens before it (`FLUSH`, `ACT`, `TICK`), a link type, and the length in two. Frames of one link type go in
one batch until something happens.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from craft import Packet
from flowfs.core.decode import LINK_TYPES
from fuzz.cursor import Cursor
from fuzz.watching import LIMITS, Watched
from property.hostile import BASE_NS, WAITS_NS

# An input names a link type by its place, so these keep theirs; those that nobody decodes yet are here, too.
_KNOWN = (1, 12, 14, 101, 0, 108, 113, 276, 228, 229, 9, 50, 104, 105, 127, 239)
NUMBERS = (*_KNOWN, *sorted(LINK_TYPES.difference(_KNOWN)))
MOST_FRAMES = 400

# Before a frame a new batch begins, and a reader acts, or time passes alone. Above: what the reader does.
FLUSH, ACT, TICK = 1, 2, 4
CHOICE_BITS = 3


class Framed(NamedTuple):
    """A frame, and what stands before it in an input."""

    frame: bytes
    link_type: int = 1
    wait: int = 0  # of WAITS_NS
    before: int = 0

    def written(self) -> bytes:
        """As the input has it."""
        number = NUMBERS.index(self.link_type)
        return struct.pack("!BBBH", self.wait, self.before, number, len(self.frame)) + self.frame


def written(frames: Iterable[Framed], limits: int = 0) -> bytes:
    """The input that gives these frames."""
    return bytes([limits]) + b"".join(framed.written() for framed in frames)


def framed_of(cursor: Cursor) -> Framed:
    """The next frame of an input."""
    wait, before, number = cursor.byte(), cursor.byte(), cursor.byte()
    frame = cursor.take(cursor.half())
    return Framed(frame, NUMBERS[number % len(NUMBERS)], wait % len(WAITS_NS), before)


def run(data: bytes) -> None:
    """Feed what the input says. Raises AssertionError where a promise is broken."""
    cursor = Cursor(data)
    watched = Watched(LIMITS[cursor.byte() % len(LIMITS)])
    packets: list[Packet] = []
    time_ns, link_type = BASE_NS, 1
    for _ in range(MOST_FRAMES):
        if not cursor.more:
            break
        framed = framed_of(cursor)
        time_ns += WAITS_NS[framed.wait] + 1000
        if packets and (framed.link_type != link_type or framed.before & (FLUSH | ACT | TICK)):
            watched.feed(packets, link_type)
            packets = []
        if framed.before & TICK:
            watched.engine.tick(time_ns)
        if framed.before & ACT:
            watched.act(framed.before >> CHOICE_BITS)
        link_type = framed.link_type
        packets.append(Packet(time_ns, framed.frame, len(framed.frame)))
    watched.feed(packets, link_type)
    watched.finish()

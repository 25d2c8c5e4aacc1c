"""pcapng files for tests, a block at a time (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET, STATISTICS = 0x0A0D0D0A, 1, 2, 3, 6, 5


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A block of this type, padded, with its length at both ends."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    """A section header of unknown length."""
    return block(SECTION, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """One option, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    link_type: int = 1,
    *,
    snaplen: int = 0,
    resolution: int | None = None,
    offset_s: int | None = None,
    order: str = "<",
) -> bytes:
    """An interface; `resolution` as the option if_tsresol says it (6 is µs, 9 is ns, 0x80 | n is 2**-n)."""
    body = struct.pack(order + "HHI", link_type, 0, snaplen)
    if resolution is not None:
        body += option(9, bytes([resolution]), order)
    if offset_s is not None:
        body += option(14, struct.pack(order + "q", offset_s), order)
    return block(INTERFACE, body + option(0, b"", order), order)


def enhanced(
    frame: bytes, ticks: int, number: int = 0, *, order: str = "<", captured: int | None = None
) -> bytes:
    """A packet of interface `number` at `ticks` of its clock."""
    length = len(frame) if captured is None else captured
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, length, len(frame))
    return block(ENHANCED_PACKET, head + frame, order)


def old(frame: bytes, ticks: int, number: int = 0, *, order: str = "<") -> bytes:
    """A packet in the block that came before the enhanced one."""
    head = struct.pack(order + "HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(OLD_PACKET, head + frame, order)


def simple(frame: bytes, wire_bytes: int | None = None, *, order: str = "<") -> bytes:
    """A packet without time, of the first interface."""
    length = len(frame) if wire_bytes is None else wire_bytes
    return block(SIMPLE_PACKET, struct.pack(order + "I", length) + frame, order)


def pcapng(frames: Iterable[tuple[int, bytes]], order: str = "<") -> bytes:
    """A file of one Ethernet interface, whose clock ticks in µs: (time in ns, frame) each."""
    packets = [enhanced(frame, time_ns // 1000, order=order) for time_ns, frame in frames]
    return b"".join((section(order), interface(order=order), *packets))

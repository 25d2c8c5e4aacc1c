"""IP packets cut into fragments (RFC 791, 3.2; RFC 8200, 4.5), with every field in reach.

Owns the way from a packet of `frames.ip` to the packets of its fragments. Offsets count from the first byte
behind the header that each fragment has, and are multiples of 8 unless something is to go wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .frames import ones_sum

DATA_BYTES = 1 << 16  # more than any packet has


def fragment(
    packet: bytes,
    start: int,
    end: int = DATA_BYTES,
    *,
    ident: int = 1,
    more: bool | None = None,
    offset: int | None = None,
    unfragmented: int = 40,
) -> bytes:
    """The fragment with the bytes [start, end) of the packet's data, that says it stands at `offset`.

    More is to follow unless this reaches the end. Of IPv6 the first `unfragmented` bytes precede the fragment
    header: 40, and whole extension headers of 8 bytes each.
    """
    header_bytes = unfragmented if packet[0] >> 4 == 6 else (packet[0] & 15) * 4
    data = packet[header_bytes:]
    more = end < len(data) if more is None else more
    offset = start if offset is None else offset
    if packet[0] >> 4 == 6:
        return _ipv6(packet[:header_bytes], data[start:end], offset, more, ident)
    return _ipv4(packet[:header_bytes], data[start:end], offset, more, ident)


def _ipv4(header: bytes, data: bytes, offset: int, more: bool, ident: int) -> bytes:
    words = struct.pack("!HHH", len(header) + len(data), ident, more << 13 | offset >> 3)
    start = header[:2] + words + header[8:10]
    return start + struct.pack("!H", ~ones_sum(start + header[12:]) & 0xFFFF) + header[12:] + data


def _ipv6(header: bytes, data: bytes, offset: int, more: bool, ident: int) -> bytes:
    at = 6 if len(header) == 40 else len(header) - 8  # where the last of the headers says what follows
    start = header[:4] + struct.pack("!H", len(header) - 40 + 8 + len(data)) + header[6:at]
    fragment_header = struct.pack("!BxHI", header[at], offset | more, ident)
    return start + bytes([44]) + header[at + 1 :] + fragment_header + data


def fragments(
    packet: bytes, cuts: int | Sequence[int], *, ident: int = 1, unfragmented: int = 40
) -> list[bytes]:
    """All fragments of `packet`, each of so many bytes, or cut at these offsets."""
    data_bytes = len(packet) - (unfragmented if packet[0] >> 4 == 6 else (packet[0] & 15) * 4)
    inner = list(range(cuts, data_bytes, cuts)) if isinstance(cuts, int) else list(cuts)
    return [
        fragment(packet, start, end, ident=ident, unfragmented=unfragmented)
        for start, end in zip([0, *inner], [*inner, data_bytes], strict=True)
    ]

"""Packets torn into IP fragments on their way.

Owns how a packet is cut, in which order its pieces come, and which of them come twice. What is always true:
each piece comes at least once, the pieces are disjoint, and the first one holds TCP's header where IPv6 wants
it to [G2].
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from craft import ETHERNET, Packet, Tag, fragment, link, link_header

MOST_PIECES = 10  # of one packet; a datagram may have 128 [G3]
TCP_BYTES = 24  # the header's 20, in units of 8
EXPIRE_NS = {4: 30 * 10**9, 6: 60 * 10**9}  # [G3]


class Tear(NamedTuple):
    """How a packet is to be torn."""

    size: int  # of each piece, in bytes
    seed: int  # of their order; 0: as they were cut
    doubled: int  # so many come twice


class Piece(NamedTuple):
    """The bytes [start, end) of what an IP packet carries, as a packet of their own."""

    ident: int
    start: int
    end: int

    def of(self, packet: Packet, tags: tuple[Tag, ...]) -> Packet:
        """This piece of `packet`, whose link layer is Ethernet with these tags."""
        piece = fragment(carried(packet, tags), self.start, self.end, ident=self.ident)
        frame = link(ETHERNET, piece, tags)
        return Packet(packet.time_ns, frame, len(frame))


def carried(packet: Packet, tags: tuple[Tag, ...]) -> bytes:
    """The IP packet in a frame, without padding."""
    whole = packet.frame[len(link_header(ETHERNET, b"\x45", tags)) :]
    length = whole[4:6] if whole[0] >> 4 == 6 else whole[2:4]
    return whole[: int.from_bytes(length, "big") + (40 if whole[0] >> 4 == 6 else 0)]


def version_of(packet: Packet, tags: tuple[Tag, ...]) -> int:
    return carried(packet, tags)[0] >> 4


def pieces(packet: Packet, tags: tuple[Tag, ...], tear: Tear, ident: int) -> list[Piece]:
    """The pieces of a packet in the order in which they come."""
    whole = carried(packet, tags)
    wide = whole[0] >> 4 == 6
    count = len(whole) - (40 if wide else 20)
    size = max(tear.size, -(-count // (MOST_PIECES * 8)) * 8)
    first = max(size, TCP_BYTES) if wide else size
    starts = [0, *range(first, count, size)]
    if len(starts) == 1:
        return []
    found = [Piece(ident, start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]
    if tear.seed:
        Random(tear.seed).shuffle(found)
    for number in range(min(tear.doubled, len(found))):
        found.insert((tear.seed + number * 3) % len(found), found[number])
    return found


def whole_with(order: list[Piece]) -> int:
    """With which of the pieces, in this order, the packet is whole."""
    return max(order.index(piece) for piece in set(order))


TEARS = st.builds(
    Tear,
    size=st.sampled_from([8, 8, 16, 24, 256, 1480]),
    seed=st.integers(0, 20),
    doubled=st.sampled_from([0, 0, 1, 3]),
)

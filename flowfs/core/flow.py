# cython: boundscheck=False, wraparound=False, cdivision=True
"""One direction's file as the store keeps it: what is known of it, and where its bytes lie.

A file is a list of extents, [start, end) of it in a block of the arena. The last, the tail, is being filled
and stands in fields of its own, since most files have no other. What lies between extents was lost. Owns no
memory and changes nothing by itself: the store does.
"""

from __future__ import annotations

from array import array
from typing import Any

import cython

if not cython.compiled:
    from .evict import Ranked
    from .memory import item

from .limits import UNLIMITED_BYTES
from .ranges import Ranges

OPEN, FIN, RST, IDLE = 0, 1, 2, 3
STATE_NAMES = ("open", "fin", "rst", "idle")

NOWHERE = -1
CLASS_MASK = 0xFF  # positions are multiples of 256: below, there is room for the class of an extent's block


class Evicted(Exception):
    """The bytes asked for were freed."""


@cython.no_gc
@cython.cclass
class Flow(Ranked):
    """One direction's file. Written by the store alone (`saved` by its `saving`); `watched` and `named` are
    set by the tree.

    `key` is src, dst, sport, dport as on the wire (12 bytes for IPv4, 36 for IPv6), then two bytes of
    VLAN id if it is not 0. Times are packet time in nanoseconds.
    """

    __slots__ = (
        "cached",
        "changed_ns",
        "evicted",
        "extents",
        "first_extent",
        "first_ns",
        "freed",
        "generation",
        "key",
        "limit_bytes",
        "lost",
        "named",
        "owner",
        "partial",
        "row",
        "run_start",
        "saved",
        "serial",
        "size",
        "source",
        "start",
        "state",
        "tail_class",
        "tail_end",
        "tail_position",
        "tail_start",
        "unverified",
        "watched",
    )

    def __init__(self, serial: int, key: bytes, generation: int, owner: Any) -> None:
        self.begin(serial, key, generation, owner)

    def begin(self, serial: int, key: bytes, generation: int, owner: Any) -> None:
        """What __init__ does; after __new__ it costs no call of Python's, and no number made an object."""
        self.unranked()
        self.serial = serial
        self.row = 0  # where it stands in Store.rows
        self.key = key
        self.generation = generation
        self.owner = owner  # the connection's record: the store only keeps it
        self.size = 0
        self.start = 0  # below this everything was freed
        self.first_ns = self.changed_ns = 0
        self.state = OPEN
        self.source = 0
        self.evicted = self.watched = self.named = False
        self.cached = False  # somebody had it open: the kernel may keep bytes of it
        self.freed = False  # stands in Store.freed
        self.saved = False  # all its bytes are written elsewhere
        self.partial = False  # the stream's first byte was not seen, or went with an earlier file
        self.unverified = False  # there are bytes in it whose checksum was wrong [V2 T1]
        self.limit_bytes = UNLIMITED_BYTES  # where it stops growing
        self.run_start = 0  # since here without a gap
        self.lost: Ranges | None = None
        # The extent that is being filled; those before it, as (start, position | class) a pair, in `extents`.
        self.tail_start = self.tail_end = 0  # offsets: where it begins, where its block would be full
        self.tail_position = NOWHERE
        self.tail_class = 0
        self.extents: array[int] | None = None
        self.first_extent = 0  # those before it were freed

    def gaps(self) -> list[tuple[int, int, str]]:
        """(offset, length, reason) of each lost range; they read as zeros."""
        return self.lost.rows() if self.lost is not None else []

    def tail_bytes(self) -> int:
        """The size of the block that is being filled."""
        return self.tail_end - self.tail_start if self.tail_position != NOWHERE else 0


def extent_count(flow: Flow) -> int:
    """How many extents there are before the tail."""
    return len(flow.extents) // 2 - flow.first_extent if flow.extents is not None else 0


def extent(flow: Flow, index: int) -> tuple[int, int, int]:
    """(start, position | class, end) of the extent with this number; the one behind the last is the tail."""
    extents = flow.extents
    count = extent_count(flow)
    if extents is None or index == count:
        return flow.tail_start, flow.tail_position | flow.tail_class, flow.size
    row = 2 * (flow.first_extent + index)
    following = item(extents, row + 2) if index + 1 < count else flow.tail_start
    return item(extents, row), item(extents, row + 1), following


def extent_block(flow: Flow, index: int) -> int:
    """The position | class of an extent before the tail."""
    assert flow.extents is not None
    return item(flow.extents, 2 * (flow.first_extent + index) + 1)


def extent_of(flow: Flow, offset: int) -> int:
    """The number of the extent that holds `offset`, by bisection; the tail's is extent_count()."""
    low = 0
    high = extent_count(flow)  # the tail's
    while low < high:
        middle = (low + high) // 2
        if extent(flow, middle)[2] <= offset:
            low = middle + 1
        else:
            high = middle
    return low


def name_key(key: bytes, generation: int) -> bytes:
    """What a file is found by: no two names share it, since keys have 12, 14, 36 or 38 bytes."""
    return key if generation == 0 else key + generation.to_bytes(8, "big")

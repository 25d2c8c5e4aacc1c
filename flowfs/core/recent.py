# cython: boundscheck=False, wraparound=False, cdivision=True
"""The streams of late, found by what stands in a packet, without making a key of it.

Stands before the table of connections and knows what that said a moment ago: a key is an object to be made,
hashed with salt, found in cold memory and let go of, a tenth of what a packet costs. Streams whose addresses
and ports fall on one pair of slots take these from each other; whoever sees to that gains no more than the
way through the table. Always true: what is found has exactly these addresses, ports and VLAN [K1], and is in
the table, which calls drop() for whatever leaves it.
"""

from __future__ import annotations

from array import array
from typing import Any

import cython

if not cython.compiled:
    from .memory import is_key, item, mark_of, put
    from .stream import Stream

_BITS = 12  # a list of so many slots, and their marks, stay in a core's second cache
SLOTS = 1 << _BITS
_SHIFT, _PAIR = 64 - _BITS, SLOTS - 2  # a mark's upper bits are the pair of slots: they are the best

_ALIGNED = ~3  # addresses and ports take whole words, which a VLAN's two bytes add nothing to


class Recent:
    """At most SLOTS streams."""

    def __init__(self) -> None:
        self.slots: list[Any] = [None] * SLOTS
        # Of who was put there last: where a million streams take the slots from each other, one that is not
        # the right one would take two looks into cold memory.
        self.marks = array("q", bytes(8 * SLOTS))

    def find(self, base: bytes, start: int, count: int, vlan: int) -> Stream | None:
        """The stream whose addresses and ports are base[start : start + count], on this VLAN (0: none)."""
        mark = mark_of(base, start, count)
        slot = mark >> _SHIFT & _PAIR
        if item(self.marks, slot) != mark:
            slot += 1
            if item(self.marks, slot) != mark:
                return None
        stream: Stream | None = self.slots[slot]
        if stream is not None and is_key(stream.key, base, start, count, vlan):
            return stream
        return None

    def put(self, stream: Stream) -> None:
        """The stream is in the table. Of its pair the one that was put there before has the other slot."""
        mark = mark_of(stream.key, 0, len(stream.key) & _ALIGNED)
        slot = mark >> _SHIFT & _PAIR
        if item(self.marks, slot) != mark and self.slots[slot] is not None:
            self.slots[slot + 1] = self.slots[slot]
            put(self.marks, slot + 1, item(self.marks, slot))
        self.slots[slot] = stream
        put(self.marks, slot, mark)

    def drop(self, stream: Stream) -> None:
        """The stream leaves the table."""
        slot = mark_of(stream.key, 0, len(stream.key) & _ALIGNED) >> _SHIFT & _PAIR
        if self.slots[slot] is stream:
            self.slots[slot] = None
        if self.slots[slot + 1] is stream:
            self.slots[slot + 1] = None

# cython: boundscheck=False, wraparound=False, cdivision=True
"""The streams of late, found by what stands in a packet, without making a key of it.

Stands before the table of connections and knows what that said a moment ago: a key is an object to be made,
hashed with salt, found in cold memory and let go of, a tenth of what a packet costs. Two streams whose
addresses and ports fall on one slot take it from each other; whoever sees to that gains no more than the
way through the table. Always true: what is found has exactly these addresses, ports and VLAN [K1], and is in
the table, which calls drop() for whatever leaves it.
"""

from __future__ import annotations

from typing import Any

import cython

from .memory import SLOTS

if not cython.compiled:
    from .memory import is_key, slot_of
    from .stream import Stream

_ALIGNED = ~3  # addresses and ports take whole words, which a VLAN's two bytes add nothing to


class Recent:
    """At most SLOTS streams."""

    def __init__(self) -> None:
        self.slots: list[Any] = [None] * SLOTS

    def find(self, base: bytes, start: int, count: int, vlan: int) -> Stream | None:
        """The stream whose addresses and ports are base[start : start + count], on this VLAN (0: none)."""
        stream: Stream | None = self.slots[slot_of(base, start, count)]
        if stream is not None and is_key(stream.key, base, start, count, vlan):
            return stream
        return None

    def put(self, stream: Stream) -> None:
        """The stream is in the table."""
        self.slots[slot_of(stream.key, 0, len(stream.key) & _ALIGNED)] = stream

    def drop(self, stream: Stream) -> None:
        """The stream leaves the table."""
        slot = slot_of(stream.key, 0, len(stream.key) & _ALIGNED)
        if self.slots[slot] is stream:
            self.slots[slot] = None

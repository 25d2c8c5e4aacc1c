"""The Ethernet addresses of the frames that open connections, for names that have them.

Owns the batch that is being taken, if somebody wants these addresses, and finds the frame of a packet in it.
It is touched once a rare frame, and if they are wanted once a slice and once a connection. Always true: what
no frame has, as on links that are none of Ethernet, is zeros.
"""

from __future__ import annotations

from typing import Any

ADDRESSES_BYTES = 12  # of who sent the frame, and of who was to get it
NO_ADDRESSES = bytes(ADDRESSES_BYTES)

_ETHERNET = 1
_HALF = 6


class Links:
    """`segment` is the decoder's. `outer`: where a frame that is taken apart begins, -1 while none is."""

    def __init__(self, segment: Any) -> None:
        self._segment = segment
        self._frames = b""
        self._meta = memoryview(b"").cast("I")
        self._is_ethernet = False
        self.outer = -1

    def begin(self, frames: bytes, meta: memoryview, link_type: int) -> None:
        """A batch is taken; see Engine.feed."""
        self._frames, self._meta = frames, meta
        self._is_ethernet = link_type == _ETHERNET

    def of(self, key: bytes, reverse: bytes) -> bytes:
        """The addresses of the frame that is being taken, whose packet has this key; see in_order()."""
        start = self.outer if self.outer >= 0 else self._start()
        link = self._frames[start : start + ADDRESSES_BYTES]
        if not self._is_ethernet or start < 0 or len(link) < ADDRESSES_BYTES:
            return NO_ADDRESSES
        return in_order(link[_HALF:] + link[:_HALF], key, reverse)

    def _start(self) -> int:
        """Where the frame begins that has the segment, or -1; they lie one after the other."""
        at = self._segment.key_start
        low, high = 0, len(self._meta) // 4
        while low < high:
            middle = (low + high) // 2
            if self._meta[4 * middle + 2] <= at:
                low = middle + 1
            else:
                high = middle
        row = 4 * (low - 1)
        if row >= 0 and at < self._meta[row + 2] + self._meta[row + 3]:
            return self._meta[row + 2]
        return -1


def in_order(link: bytes, key: bytes, reverse: bytes) -> bytes:
    """What holds for one direction, for the one with the lower key of both: the same for both; and back."""
    return link if key <= reverse else link[_HALF:] + link[:_HALF]

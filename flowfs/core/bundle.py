# cython: boundscheck=False, wraparound=False, cdivision=True
"""Whole numbers one behind the other, each told by how far it is from what it usually is.

The same calls put a bundle together and take it apart: number() and flag() give back what they are given in
the one case, and what was given then in the other. So whoever has one list of what goes in cannot get it out
in another order. Knows no meaning of a number. A number takes a bit if it is the usual one, else a bit and
seven bits a byte of the difference, the sign lowest; a flag takes a bit.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .memory import chunk, copy

_CAPACITY_BYTES = 8192  # of 700 numbers, however large they are
_FULL = 256


class Bundle:
    """One bundle at a time."""

    __slots__ = ("_at", "_bit", "_bits_at", "_count", "_opened", "_view")

    def __init__(self) -> None:
        self._view = memoryview(bytearray(_CAPACITY_BYTES))
        self.begin()

    def begin(self) -> None:
        """Begin to put numbers in."""
        self._at = 0
        self._bits_at = 0
        self._bit = _FULL  # the next one, in the byte at _bits_at
        self._count = 0
        self._opened = False

    def packed(self) -> bytes:
        """All that was put in."""
        return chunk(self._view, 0, self._at)

    def count(self) -> int:
        """How many numbers were put in so far that are not the usual ones."""
        return self._count

    def open(self, data: bytes) -> None:
        """Begin to take out what is in `data`."""
        copy(self._view, 0, data, 0, len(data))
        self.begin()
        self._opened = True

    def flag(self, value: bool) -> bool:
        """A bit."""
        if self._bit == _FULL:
            self._bit = 1
            self._bits_at = self._at
            self._at += 1
            if not self._opened:
                self._view[self._bits_at] = 0
        bit = self._bit
        self._bit = bit << 1
        if self._opened:
            return self._view[self._bits_at] & bit != 0
        if value:
            self._view[self._bits_at] |= bit
        return value

    def number(self, value: int, usual: int) -> int:
        """A number of 64 bits, which should be `usual`."""
        if not self.flag(value != usual):
            return usual
        if self._opened:
            return usual + self._take()
        self._put(value - usual)
        return value

    def _put(self, number: int) -> None:
        rest = (number << 1) ^ (number >> 63)
        at = self._at
        while rest > 127:
            self._view[at] = rest & 127 | 128
            rest >>= 7
            at += 1
        self._view[at] = rest
        self._at = at + 1
        self._count += 1

    def _take(self) -> int:
        at = self._at
        rest = 0
        shift = 0
        more = 128
        while more > 127:
            more = self._view[at]
            part = more & 127  # of its own: as wide as what it is shifted in
            rest |= part << shift
            shift += 7
            at += 1
        self._at = at
        half = rest >> 1
        return half if rest & 1 == 0 else -1 - half

"""Numbers taken from the bytes of an input, one after another; 0 where there are no more."""

from __future__ import annotations


class Cursor:
    """A place in an input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes, as many as there are."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def byte(self) -> int:
        return int.from_bytes(self.take(1), "big")

    def half(self) -> int:
        """Two bytes, the higher one first."""
        return int.from_bytes(self.take(2).ljust(2, b"\0"), "big")

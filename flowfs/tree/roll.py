"""`.flowfs/flows.jsonl`: a line of JSON for each flow there is, and how so much text is held.

Knows no directory. To write a line takes some 20 µs, so a million flows take too long for a handler: whoever
wants the text is told what work is to be done before, in a thread of its own (`Unready`). Always true: a text
is never changed, and was complete at one time; each line is of one moment, and they are of the moments in
which it was made.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..core.flow import Flow
from ..core.notes import About
from .answers import Unready
from .meta import described
from .shelf import Shelf

FRESH_S = 1.0  # a text made for a stat(2) is also for the open(2) that follows
BLOCK_BYTES = 1 << 18  # are compressed together, to some 5 %
_LEVEL = 1


class Text:
    """A long text, held compressed. Indexed as bytes are, by one slice from `start` to `stop`."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._blocks: list[bytes] = []
        self._size = 0
        self._latest = -1, b""
        for block in _blocks(lines):
            self._size += len(block)
            self._blocks.append(zlib.compress(block, _LEVEL))

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        if start >= stop:
            return b""
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        text = b"".join(self._block(number) for number in range(first, last + 1))
        return text[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def _block(self, number: int) -> bytes:
        """It is read from beginning to end, mostly: the last block is kept."""
        latest, block = self._latest
        if latest != number:
            block = zlib.decompress(self._blocks[number])
            self._latest = number, block
        return block


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of BLOCK_BYTES, the last one shorter."""
    buffer = bytearray()
    for line in lines:
        buffer += line
        while len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer[:BLOCK_BYTES])
            del buffer[:BLOCK_BYTES]
    if buffer:
        yield bytes(buffer)


class Roll:
    """The text of flows.jsonl, made at most once in FRESH_S. `sources`: see `described`."""

    def __init__(self, shelf: Shelf, sources: Callable[[], Sequence[str]]) -> None:
        self._shelf = shelf
        self._sources = sources
        self._making = threading.Lock()
        self._made: tuple[float, Text] | None = None

    def text(self) -> Text:
        """A fresh one. Raises Unready."""
        made = self._made
        if made is None or time.monotonic() - made[0] > FRESH_S:
            raise Unready(self._make)
        return made[1]

    def tidy(self) -> None:
        """Let go of what is not fresh any more."""
        made = self._made
        if made is not None and time.monotonic() - made[0] > FRESH_S:
            self._made = None

    def _make(self) -> None:
        asked_s = time.monotonic()
        with self._making:
            if self._made is None or self._made[0] < asked_s:
                text = Text(self._lines())
                self._made = time.monotonic(), text

    def _lines(self) -> Iterator[bytes]:
        sources = self._sources()
        for flow, about in self._shelf.told_after(0):
            if not flow.evicted:
                yield self._line(flow, about, sources)

    def _line(self, flow: Flow, about: About, sources: Sequence[str]) -> bytes:
        record = described(flow, about, sources, self._shelf.directories.called(flow))
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

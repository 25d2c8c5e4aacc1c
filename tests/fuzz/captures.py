"""The target `captures`: any bytes as a capture file, as a file and through a pipe, compressed or not.

An input is a byte that chooses how the rest is packed and comes, and the rest. A fuzzer gets behind no
checksum, so what is to be within compressed bytes is compressed here; bytes that come as they are may be so
already. File and pipe must give the same packets, all of them within the bytes that were read; what they
give is fed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

from flowfs.capture.formats import Unreadable, format_of
from flowfs.capture.inputs import Damaged
from flowfs.capture.savefile import Savefile
from flowfs.capture.sources import META_BYTES, Batch, Damage
from fuzz.watching import LIMITS, Watched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_BYTES = 48 << 10  # a pipe takes so much without anyone who reads it
FIRST_BYTES = 64  # more than what tells the format: whoever opens a pipe waits for that
CHUNKS = (1, 2, 5, 20, 60)  # into so many pieces of one length a pipe is cut
MOST_BATCHES = 100  # a few compressed bytes may be gigabytes

PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    bytes,
    lambda data: gzip.compress(data, 1, mtime=0),
    lambda data: bz2.compress(data, 1),
    lambda data: lzma.compress(data, preset=0),
    lambda data: zstd.compress(data, 1),
    lambda data: gzip.compress(data[:100], 1, mtime=0) + gzip.compress(data[100:], 1, mtime=0),
)


class Found(NamedTuple):
    """What was read: (link type, time, frame) a packet, and whether all of it was."""

    packets: list[tuple[int, int, bytes]]
    complete: bool


def run(data: bytes) -> None:
    """Read and feed what the input is. Raises AssertionError where a promise is broken."""
    how = data[0] if data else 0
    packed = PACKERS[how % len(PACKERS)](data[1:])[:MOST_BYTES]
    chunks = CHUNKS[how // len(PACKERS) % len(CHUNKS)] if has_a_format(packed[:FIRST_BYTES]) else 1
    watched = Watched(LIMITS[0])
    as_file = read(regular(packed), None, watched)
    watched.finish()
    writer = Writer(packed, len(packed) // chunks + 1)
    as_pipe = read(writer.reading, writer, None)
    writer.close()
    if as_file.complete and as_pipe.complete:
        assert as_file.packets == as_pipe.packets, "a pipe gives other packets than a file"


def has_a_format(start: bytes) -> bool:
    """Whether a file that begins so is no compressed one, of which whoever opens it needs more."""
    try:
        format_of(start)
    except (Unreadable, struct.error):
        return False
    return True


def regular(data: bytes) -> int:
    """A descriptor of a file with these bytes."""
    descriptor = os.memfd_create("capture")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Writer:
    """Writes to a pipe a chunk before each read, so that nobody has to wait for it."""

    def __init__(self, data: bytes, chunk: int) -> None:
        self.reading, self._writing = os.pipe()
        self._rest = data
        self._chunk = chunk
        self.write(max(FIRST_BYTES, chunk))

    def write(self, count: int) -> None:
        os.write(self._writing, self._rest[:count])
        self._rest = self._rest[count:]
        if not self._rest:
            self.close()

    def more(self) -> None:
        """Another chunk, if there is any."""
        if self._rest:
            self.write(self._chunk)

    def close(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
        self._writing = -1


def read(descriptor: int, writer: Writer | None, watched: Watched | None) -> Found:
    """All packets; they are fed to the engine, too, where one is given."""
    found: list[tuple[int, int, bytes]] = []
    try:
        source = Savefile("fuzzed", 0, descriptor, None)
    except (Unreadable, Damaged):
        os.close(descriptor)
        return Found(found, True)
    calls = MOST_BATCHES
    try:
        while not source.ended and calls:
            calls -= 1
            if writer is not None:
                writer.more()
            batch = source.next_batch()
            found += packets_of(batch)
            if watched is not None:
                watched.engine.feed(batch.frames, batch.meta, batch.link_type, 0, batch.fraction_ns)
                watched.look()
    except Damage:
        pass
    finally:
        source.close()
    return Found(found, source.ended)


def packets_of(batch: Batch) -> list[tuple[int, int, bytes]]:
    """The packets of a batch, which must lie within it."""
    rows = batch.meta.cast("I").tolist() if batch.meta else []
    assert len(batch.meta) % META_BYTES == 0
    found = []
    for row in range(0, len(rows), 4):
        seconds, fraction, start, length = rows[row : row + 4]
        assert start + length <= len(batch.frames)
        time_ns = seconds * 10**9 + fraction * batch.fraction_ns
        found.append((batch.link_type, time_ns, batch.frames[start : start + length]))
    return found

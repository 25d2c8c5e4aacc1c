"""The bytes of a file, a FIFO or standard input, piece by piece, and decompressed where need be.

Owns a descriptor each. Knows compression by its first bytes, and nothing of captures. Always true: of a file
no more than a piece is in memory, of a compressed one no more than a piece and what its decompressor needs
(bounded); a pipe is read as far as it has come, and `waits_for` says when a read would wait. Of a pipe that
nobody waits for not even the first bytes are read before they are there.
"""

import bz2
import fcntl
import lzma
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 512 << 10  # stays in the cache of a core; smaller ones cost calls
PIPE_BYTES = 1 << 20  # the most that Linux grants everyone; fewer changes between writer and reader
COMPRESSED_BYTES = 64 << 10
DICTIONARY_BYTES = 128 << 20  # xz -9 and zstd --ultra --long=27 need no more
_AT_HAND = -1


class Damaged(Exception):
    """Compressed bytes that are none; str() is a few words."""


class Input:
    """Bytes in order. `position` of `size` are read, where that is known (else 0).

    `at_end`: nothing came of the last more(), nor will, unless a file is still written.
    """

    waits_for = _AT_HAND
    """The descriptor that is to be readable before more() is called, -1 if more() will not wait."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.position = 0
        self.size = 0
        self.at_end = False

    def more(self, unused: bytes, wanted: int = PIECE_BYTES) -> bytes:
        """`unused`, the end of what was given before, and what follows it: `wanted` bytes in all, or so.

        Of what is compressed nothing may follow yet, though it is not the end: whoever asks may be stopped.

        Reads from a pipe once at the most. Raises OSError, Damaged.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the descriptor; once more does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Plain(Input):
    """A regular file, read where it is needed: what is unused is read again rather than moved."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.size = os.fstat(descriptor).st_size
        self.origin = self.position = os.lseek(descriptor, 0, os.SEEK_CUR)

    def rewind(self) -> None:
        """Begin again."""
        self.position = self.origin
        self.at_end = False

    def more(self, unused: bytes, wanted: int = PIECE_BYTES) -> bytes:
        start = self.position - len(unused)
        piece = os.pread(self.descriptor, max(wanted, 2 * len(unused)), start)
        self.position = start + len(piece)
        self.at_end = len(piece) <= len(unused)
        return piece


class Piped(Input):
    """A FIFO or a pipe: read once, as it comes."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.waits_for = descriptor
        with suppress(OSError):  # no pipe, or not this large: then as it is
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def more(self, unused: bytes, wanted: int = PIECE_BYTES) -> bytes:
        fresh = os.read(self.descriptor, max(wanted - len(unused), COMPRESSED_BYTES))
        self.at_end = not fresh
        return unused + fresh


class Compressed(Input):
    """What is inside another input: any number of compressed parts, one after another."""

    def __init__(self, inside: Input, begin: Callable[[], Any], start: bytes) -> None:
        super().__init__(inside.descriptor)
        self._inside = inside
        self._begin = begin
        self._part: Any = None  # a decompressor, within a part
        self._compressed = start
        self.size = inside.size

    def more(self, unused: bytes, wanted: int = PIECE_BYTES) -> bytes:
        try:
            return unused + self._next(max(wanted - len(unused), COMPRESSED_BYTES))
        except (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # bz2's own have none
                raise
            raise Damaged(str(error)) from None

    def _next(self, most: int) -> bytes:
        """Some bytes; none at the end, and if more compressed ones are needed."""
        if self._part is None:
            self._compressed = (self._compressed or self._read()).lstrip(b"\0")  # tapes are padded with zeros
            self.at_end = not self._compressed and self._inside.at_end
            if not self._compressed:
                return b""
            self._part = self._begin()
        elif self._part.needs_input and not self._compressed:
            self._compressed = self._read()
            if not self._compressed:
                raise EOFError("it ends too early")
        data: bytes = self._part.decompress(self._compressed, most)
        self._compressed = self._part.unused_data
        wants_input = self._part.eof or self._part.needs_input
        if self._part.eof:
            self._part = None
        self.waits_for = self._inside.waits_for if wants_input and not self._compressed else _AT_HAND
        return data

    def _read(self) -> bytes:
        compressed = self._inside.more(b"", COMPRESSED_BYTES)
        self.position = self._inside.position
        return compressed


class _Gzip:
    """zlib's decompressor with the manners of its younger brothers."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _xz() -> Any:
    return lzma.LZMADecompressor(memlimit=2 * DICTIONARY_BYTES)


def _zstd() -> Any:
    largest = DICTIONARY_BYTES.bit_length() - 1
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: largest})


_FORMATS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
}
_LONGEST_MAGIC = max(map(len, _FORMATS))


class Unseen(Input):
    """A pipe whose first bytes, which tell whether it is compressed, may not have come yet."""

    def __init__(self, piped: Piped) -> None:
        super().__init__(piped.descriptor)
        self.waits_for = piped.waits_for
        self._inside: Input = piped
        self._start = b""
        self._seen = False

    def more(self, unused: bytes, wanted: int = PIECE_BYTES) -> bytes:
        piece = self._inside.more(unused, wanted) if self._seen else unused + self._look()
        self.at_end = self._inside.at_end
        self.waits_for = self._inside.waits_for
        return piece

    def _look(self) -> bytes:
        """What can be given, once there is enough to tell."""
        self._start = self._inside.more(self._start, COMPRESSED_BYTES)
        if len(self._start) < _LONGEST_MAGIC and not self._inside.at_end:
            return b""
        self._seen = True
        self._inside, start = _unpacked(self._inside, self._start)
        return start


def open_input(descriptor: int, wait: bool = True) -> tuple[Input, bytes]:
    """The input of a descriptor, which it then owns, and its first bytes (of a pipe: as far as they came).

    Waits for those of a pipe, or, if told not to `wait`, gives none. Raises OSError, Damaged.
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        plain: Input = Plain(descriptor)
    elif wait:
        plain = Piped(descriptor)
    else:
        return Unseen(Piped(descriptor)), b""
    source, start = _unpacked(plain, at_least(plain, b"", _LONGEST_MAGIC))
    return source, start if source is plain else at_least(source, start, 1)


def _unpacked(plain: Input, start: bytes) -> tuple[Input, bytes]:
    """What is inside an input that begins with `start`, and what of it has been read."""
    for magic, begin in _FORMATS.items():
        if start.startswith(magic):
            return Compressed(plain, begin, start), b""
    return plain, start


def at_least(source: Input, start: bytes, count: int, wait: bool = True) -> bytes:
    """`start` and what follows until there are `count` bytes, or the end; waits for it unless told not to."""
    while len(start) < count and (wait or _is_at_hand(source)):
        start = source.more(start, max(count, COMPRESSED_BYTES))
        if source.at_end:
            break
    return start


def _is_at_hand(source: Input) -> bool:
    """Whether more() will not wait."""
    if source.waits_for == _AT_HAND:
        return True
    poller = select.poll()
    poller.register(source.waits_for, select.POLLIN)
    return bool(poller.poll(0))

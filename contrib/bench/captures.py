"""The two captures of the benchmark, generated once and cached.

Owns what is in them: complete TCP connections with timestamps, valid checksums, an ACK for
every two segments, interleaved as on a busy link. What is always true: the same VERSION and
shape give the same bytes, and `stream(shape, connection)` says what its server sent.
Standard library only; about 0.6 M packets/s.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import shake_128
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

VERSION = 1  # part of the names in the cache: to be raised when the bytes change

SEGMENT = 1448  # 1500 less 20 (IPv4), 20 (TCP) and 12 (timestamps)
_CHUNKS = 251  # a prime, so that no pattern of connections repeats the pattern of chunks
_FIN, _SYN, _PSH, _ACK = 1, 2, 8, 16
_WINDOW = 502  # with a shift of 7, as Linux starts out

_RECORD = struct.Struct("<IIII")
_HEADERS = struct.Struct("!16sHIHH12sIIIIIII")  # Ethernet, IPv4 and TCP with timestamps
_SYN_OPTIONS = struct.Struct("!IIIII")
_ETHERNET = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00" + b"\x45\x00"  # and how IPv4 begins


@dataclass(frozen=True)
class Shape:
    """A capture: how many connections, how much each server sends, how many are open at a time."""

    name: str
    connections: int
    answer_bytes: int
    concurrent: int

    def file_name(self) -> str:
        return f"{self.name}-{self.connections}x{self.answer_bytes}-v{VERSION}.pcap"

    def title(self) -> str:
        size = f"{self.answer_bytes / 1e6:g} MB" if self.answer_bytes >= 10**6 else f"{self.answer_bytes} B"
        return f"{self.connections:,} connections x {size}"


BULK = Shape("bulk", 64, 24_000_000, 64)
SHORT = Shape("short", 300_000, 3072, 384)
SMALL_BULK = Shape("bulk", 64, 500_000, 64)
SMALL_SHORT = Shape("short", 6_000, 3072, 384)


class Chunk(NamedTuple):
    """Payload, and its part of a checksum (modulo 0xffff; payload begins at an even offset)."""

    data: bytes
    sum: int


class End(NamedTuple):
    """One direction: who sends to whom, and the parts of checksums that never change."""

    ends: bytes  # source, destination, ports: as they stand in a packet
    isn: int
    ip_sum: int
    tcp_sum: int


def _chunk(data: bytes) -> Chunk:
    return Chunk(data, int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF)


def _end(src: int, dst: int, sport: int, dport: int, isn: int) -> End:
    # 2**16 is 1 modulo 0xffff: a 32-bit field adds itself to a ones' complement sum.
    ip_sum = 0x4500 + 0x4000 + 0x4006 + src + dst
    ends = struct.pack("!IIHH", src, dst, sport, dport)
    return End(ends, isn, ip_sum, src + dst + 6 + sport + dport)


_random = shake_128(b"flowfs bench").digest(_CHUNKS * SEGMENT)
_ANSWERS = [_chunk(_random[at : at + SEGMENT]) for at in range(0, len(_random), SEGMENT)]
_REQUESTS = [_chunk(f"GET /{n:072} HTTP/1.1\r\nHost: b\r\n\r\n".encode()) for n in range(97)]


def request(connection: int) -> bytes:
    """What the client of a connection sends."""
    return _REQUESTS[connection % len(_REQUESTS)].data


def stream(shape: Shape, connection: int) -> bytes:
    """What the server of a connection sends."""
    return b"".join(chunk.data for chunk in _answer(shape, connection))


def names(connection: int) -> tuple[str, str]:
    """The file names of a connection: what the client sends, what the server sends."""
    src, dst, sport, dport = struct.unpack("!4s4sHH", _ends(connection)[0].ends)
    client, server = f"{_dotted(src)}.{sport:05}", f"{_dotted(dst)}.{dport:05}"
    return f"{client}-{server}", f"{server}-{client}"


def _dotted(address: bytes) -> str:
    return ".".join(f"{byte:03}" for byte in address)


def _answer(shape: Shape, connection: int) -> Iterator[Chunk]:
    whole, rest = divmod(shape.answer_bytes, SEGMENT)
    for index in range(whole):
        yield _ANSWERS[(connection * 31 + index) % _CHUNKS]
    if rest:
        yield _chunk(_ANSWERS[(connection * 31 + whole) % _CHUNKS].data[:rest])


def _ends(connection: int) -> tuple[End, End]:
    client, server = 0x0A000001 + connection // 50, 0xC6336401 + connection % 7
    port = 1024 + connection * 7919 % 64000
    first = connection * 2_654_435_761 % 2**32  # a large odd number, so that ISNs are all over the space
    return (
        _end(client, server, port, 9000, first),
        _end(server, client, 9000, port, (first ^ 0x5A5A5A5A) % 2**32),
    )


class _Writer:
    """Appends packets to a capture file, `gap_us` microseconds apart."""

    def __init__(self, file: BinaryIO, gap_us: int) -> None:
        self.packets = 0
        self._file = file
        self._parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
        self._now = 1_700_000_000 * 10**6
        self._gap_us = gap_us

    def send(self, end: End, seq: int, ack: int, flags: int, data: bytes = b"", data_sum: int = 0) -> None:
        """One segment with timestamps; seq and ack are any integers, taken modulo 2**32."""
        length = len(data)
        now = self._now = self._now + self._gap_us
        stamp = now // 1000 & 0xFFFFFFFF
        seq &= 0xFFFFFFFF
        ack &= 0xFFFFFFFF
        flags_window = 0x8000_0000 | flags << 16 | _WINDOW
        tcp_sum = end.tcp_sum + 32 + length + seq + ack + flags_window + 0x0101080A + 2 * stamp + data_sum
        self._parts += (
            _RECORD.pack(now // 1_000_000, now % 1_000_000, 66 + length, 66 + length),
            _HEADERS.pack(
                _ETHERNET, 52 + length, 0x4000, 0x4006, -(end.ip_sum + 52 + length) % 0xFFFF, end.ends,
                seq, ack, flags_window, -tcp_sum % 0xFFFF << 16, 0x0101080A, stamp, stamp,
            ),
            data,
        )  # fmt: skip
        self.packets += 1
        if len(self._parts) > 6000:
            self.flush()

    def syn(self, end: End, ack: int, flags: int) -> None:
        """A SYN or SYN/ACK with the options that Linux sends: MSS, SACK, timestamps, window scale."""
        self._now += self._gap_us
        sec, usec = divmod(self._now, 1_000_000)
        options = _SYN_OPTIONS.pack(0x020405B4, 0x0402080A, self._now // 1000 % 2**32, 0, 0x01030307)
        flags_window, ack = 0xA000_0000 | flags << 16 | 64240, ack % 2**32
        tcp_sum = end.tcp_sum + 40 + end.isn + ack + flags_window + int.from_bytes(options, "big")
        headers = _HEADERS.pack(
            _ETHERNET, 60, 0x4000, 0x4006, -(end.ip_sum + 60) % 0xFFFF, end.ends,
            end.isn, ack, flags_window, -tcp_sum % 0xFFFF << 16, 0, 0, 0,
        )  # fmt: skip
        self._parts += (_RECORD.pack(sec, usec, 74, 74), headers[:54], options)
        self.packets += 1

    def flush(self) -> None:
        self._file.write(b"".join(self._parts))
        self._parts = []


def _handshake(writer: _Writer, client: End, server: End) -> Iterator[None]:
    writer.syn(client, 0, _SYN)
    yield
    writer.syn(server, client.isn + 1, _SYN | _ACK)
    yield
    writer.send(client, client.isn + 1, server.isn + 1, _ACK)


def _connection(shape: Shape, number: int, writer: _Writer) -> Iterator[None]:
    """Writes a connection; each step is what one host sends before others have their turn."""
    client, server = _ends(number)
    yield from _handshake(writer, client, server)
    asked = _REQUESTS[number % len(_REQUESTS)]
    writer.send(client, client.isn + 1, server.isn + 1, _PSH | _ACK, *asked)
    yield
    acked, at, sent = client.isn + 1 + len(asked.data), server.isn + 1, 0
    writer.send(server, at, acked, _ACK)
    for chunk in _answer(shape, number):
        if sent == 2:
            yield
            writer.send(client, acked, at, _ACK)
            yield
            sent = 0
        writer.send(server, at, acked, _ACK, *chunk)
        at += len(chunk.data)
        sent += 1
    writer.send(server, at, acked, _FIN | _ACK)
    yield
    writer.send(client, acked, at + 1, _FIN | _ACK)
    yield
    writer.send(server, at + 1, acked + 1, _ACK)


def _interleave(shape: Shape, writer: _Writer) -> None:
    """Always `shape.concurrent` connections in turn, one step each, while there are enough."""
    waiting = iter(range(shape.connections))
    running: list[Iterator[None]] = []
    for _ in range(shape.concurrent):
        # Each new place starts after the others took a step, so that they are not all at the same stage.
        running += [_connection(shape, number, writer) for number in _take(waiting)]
        _step(running)
    while running:
        over = _step(running)
        running += [_connection(shape, number, writer) for number in _take(waiting, over)]


def _take(waiting: Iterator[int], count: int = 1) -> list[int]:
    return list(islice(waiting, count))


def _step(running: list[Iterator[None]]) -> int:
    """One step of each; those that are over leave the list. Returns how many."""
    done = object()
    left = [connection for connection in running if next(connection, done) is not done]
    over = len(running) - len(left)
    running[:] = left
    return over


def write(shape: Shape, path: Path) -> int:
    """Writes the capture and returns how many packets it has."""
    with path.open("wb") as file:
        writer = _Writer(file, gap_us=12 if shape.answer_bytes >= 100_000 else 5)
        _interleave(shape, writer)
        writer.flush()
        return writer.packets


def cache_folder() -> Path:
    """Where captures are kept: $XDG_CACHE_HOME/flowfs-bench, or /var/tmp/flowfs-bench."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "/var/tmp") / "flowfs-bench"


def cached(shape: Shape) -> Path:
    """The path of the capture, which is generated unless it is there."""
    path = cache_folder() / shape.file_name()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        write(shape, partial)
        partial.rename(path)
    return path

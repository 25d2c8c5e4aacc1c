"""The captures of the benchmarks, generated once and cached.

Owns what is said in them: complete TCP connections, an ACK for every two segments, interleaved as on a busy
link. What is always true: the same VERSION and shape give the same bytes, and `request` and `stream` say what
both sides of a connection sent. What shapes there are is in `shapes.py`.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import shake_128
from ipaddress import IPv6Address
from itertools import islice
from pathlib import Path

from contrib.bench.packets import (
    ACK,
    FIN,
    NOTHING,
    PSH,
    SYN,
    VID,
    Chunk,
    End,
    Packet,
    Writer,
    chunk_of,
)

VERSION = 2  # part of the names in the cache: to be raised when the bytes change

SEGMENT = 1448  # 1500 less 20 (IPv4), 20 (TCP) and 12 (timestamps)
SEGMENT6 = 1428  # the header of IPv6 is 20 longer
MANY = 10_000  # connections that are open at a time beyond this are written round by round
_CHUNKS = 251  # a prime, so that no pattern of connections repeats the pattern of chunks

Exchange = tuple[Chunk, list[Chunk]]
"""What the client asks, and the segments that the server answers."""

Step = list[Packet]
"""What one host of a connection sends before others have their turn."""


@dataclass(frozen=True)
class Shape:
    """A capture: how many connections, how much each server sends, how many are open at a time.

    `talk`: what is said in a connection, by its name in TALKS. `network`: ipv4, ipv6 or vlan. `late` and
    `twice`: the shares of packets that come up to three places too late in their connection, and once again.
    """

    name: str
    connections: int
    answer_bytes: int
    concurrent: int
    talk: str = "answer"
    network: str = "ipv4"
    late: float = 0.0
    twice: float = 0.0

    def file_name(self) -> str:
        return f"{self.name}-{self.connections}x{self.answer_bytes}-v{VERSION}.pcap"

    def title(self) -> str:
        """How many connections, and of what."""
        size = f"{self.answer_bytes / 1e6:g} MB" if self.answer_bytes >= 10**6 else f"{self.answer_bytes} B"
        count = f"{self.connections:,} connection" + "s" * (self.connections != 1)
        return f"{count} × {size}" if self.talk == "answer" else f"{count}, {self.name}"

    def segment_bytes(self) -> int:
        return SEGMENT6 if self.network == "ipv6" else SEGMENT


# --- what is said ------------------------------------------------------------------------------

_random = shake_128(b"flowfs bench").digest(_CHUNKS * SEGMENT)
_ANSWERS = [chunk_of(_random[at : at + SEGMENT]) for at in range(0, len(_random), SEGMENT)]
_ANSWERS6 = [chunk_of(one.data[:SEGMENT6]) for one in _ANSWERS]
_REQUESTS = [chunk_of(f"GET /{n:072} HTTP/1.1\r\nHost: b\r\n\r\n".encode()) for n in range(97)]
_CUT: dict[tuple[int, int], Chunk] = {}


def _cut(number: int, size: int) -> Chunk:
    """So many bytes, at the most a segment."""
    key = number % _CHUNKS, size
    if key not in _CUT:
        _CUT[key] = chunk_of(_ANSWERS[key[0]].data[:size])
    return _CUT[key]


def _answer(shape: Shape, connection: int, size: int) -> list[Chunk]:
    """Segments of `size` bytes in all."""
    full = _ANSWERS6 if shape.network == "ipv6" else _ANSWERS
    whole, rest = divmod(size, shape.segment_bytes())
    chunks = [full[(connection * 31 + index) % _CHUNKS] for index in range(whole)]
    return [*chunks, _cut(connection * 31 + whole, rest)] if rest else chunks


def _one_answer(shape: Shape, connection: int) -> Iterator[Exchange]:
    yield _REQUESTS[connection % len(_REQUESTS)], _answer(shape, connection, shape.answer_bytes)


def _asked(shape: Shape, connection: int) -> Iterator[Exchange]:
    """A request of 300 bytes, as browsers send them."""
    yield _cut(connection, 300), _answer(shape, connection, shape.answer_bytes)


def _mix(shape: Shape, connection: int) -> Iterator[Exchange]:
    """Of ten connections three are typed by somebody, three mails, three of the web, and one a download."""
    kind, length = connection % 10, connection // 10 % 20
    if kind < 3:
        for key in range(20 + length):  # each echoed; now and then comes what the command printed
            yield _cut(key, 1), [_cut(key, 1 if key % 10 else 80 + 20 * length)]
    elif kind < 6:
        for line in range(12):
            yield _cut(line, 16 + 6 * line), [_cut(line, 30 + 37 * (line + length) % 400)]
    elif kind < 9:
        for page in range(4):
            yield _cut(page, 300 + 8 * length), _answer(shape, connection + page, 6 * 1024)
    else:
        yield _cut(length, 120), _answer(shape, connection, 200_000)


def _tiny(shape: Shape, connection: int) -> Iterator[Exchange]:
    yield _cut(connection, 40), [_cut(connection + 1, shape.answer_bytes)]


TALKS: dict[str, Callable[[Shape, int], Iterator[Exchange]]] = {
    "answer": _one_answer,
    "requests": _asked,
    "mix": _mix,
    "tiny": _tiny,
}


def request(shape: Shape, connection: int) -> bytes:
    """What the client of a connection sends."""
    return b"".join(asked.data for asked, _ in TALKS[shape.talk](shape, connection))


def stream(shape: Shape, connection: int) -> bytes:
    """What the server of a connection sends."""
    return b"".join(chunk.data for _, answer in TALKS[shape.talk](shape, connection) for chunk in answer)


# --- who says it -------------------------------------------------------------------------------


def _addresses(shape: Shape, connection: int) -> tuple[bytes, bytes, int]:
    """Client, server, and the client's port."""
    client, server = 0x0A000001 + connection // 50, 0xC6336401 + connection % 7
    port = 1024 + connection * 7919 % 64000
    if shape.network == "ipv6":
        prefix = bytes.fromhex("20010db8 00000000 00000000")
        return prefix + client.to_bytes(4, "big"), prefix + server.to_bytes(4, "big"), port
    return client.to_bytes(4, "big"), server.to_bytes(4, "big"), port


def _ends(shape: Shape, connection: int) -> tuple[End, End]:
    client, server, port = _addresses(shape, connection)
    first = connection * 2_654_435_761 % 2**32  # a large odd number, so that ISNs are all over the space
    return (
        End(shape.network, client, server, port, 9000, first),
        End(shape.network, server, client, 9000, port, (first ^ 0x5A5A5A5A) % 2**32),
    )


def names(shape: Shape, connection: int) -> tuple[str, str]:
    """The file names of a connection: what the client sends, what the server sends."""
    src, dst, port = _addresses(shape, connection)
    client, server = f"{_written(src)}.{port:05}", f"{_written(dst)}.09000"
    tag = f"--{VID}" if shape.network == "vlan" else ""
    return f"{client}-{server}{tag}", f"{server}-{client}{tag}"


def _written(address: bytes) -> str:
    if len(address) == 4:
        return ".".join(f"{byte:03}" for byte in address)
    return str(IPv6Address(address))


def _connection(shape: Shape, number: int) -> Iterator[Step]:
    """A connection as it is before anything happens to its packets."""
    client, server = _ends(shape, number)
    at, acked = server.isn + 1, client.isn + 1  # what the server sends next, and has got
    yield [Packet(client, client.isn, 0, SYN, NOTHING)]
    yield [Packet(server, server.isn, acked, SYN | ACK, NOTHING)]
    step = [Packet(client, acked, at, ACK, NOTHING)]
    for turn, (asked, answer) in enumerate(TALKS[shape.talk](shape, number)):
        if turn:
            yield step
            step = []
        yield [*step, Packet(client, acked, at, PSH | ACK, asked)]
        acked += len(asked.data)
        step, sent = [Packet(server, at, acked, ACK, NOTHING)], 0
        for chunk in answer:
            if sent == 2:
                yield step
                yield [Packet(client, acked, at, ACK, NOTHING)]
                step, sent = [], 0
            step.append(Packet(server, at, acked, ACK, chunk))
            at += len(chunk.data)
            sent += 1
    yield [*step, Packet(server, at, acked, FIN | ACK, NOTHING)]
    yield [Packet(client, acked, at + 1, FIN | ACK, NOTHING)]
    yield [Packet(server, at + 1, acked + 1, ACK, NOTHING)]


def _shortest(shape: Shape, number: int) -> Iterator[Step]:
    """Five packets: whoever speaks acknowledges at once, and has nothing more to say."""
    client, server = _ends(shape, number)
    ((asked, (answer,)),) = TALKS[shape.talk](shape, number)
    at, acked = server.isn + 1, client.isn + 1
    after = acked + len(asked.data) + 1  # and the FIN
    yield [Packet(client, client.isn, 0, SYN, NOTHING)]
    yield [Packet(server, server.isn, acked, SYN | ACK, NOTHING)]
    yield [Packet(client, acked, at, FIN | PSH | ACK, asked)]
    yield [Packet(server, at, after, FIN | PSH | ACK, answer)]
    yield [Packet(client, after, at + len(answer.data) + 1, ACK, NOTHING)]


def _shuffled(shape: Shape, steps: Iterator[Step], chance: random.Random) -> Iterator[Step]:
    """Packets behind the handshake come late or twice, in steps as large as before."""
    yield next(steps)
    yield next(steps)
    sizes: list[int] = []
    arriving: list[tuple[float, Packet]] = []
    for step in steps:
        sizes.append(len(step))
        for packet in step:
            place = len(arriving)
            late = chance.random() < shape.late
            arriving.append((place + chance.randint(1, 3) + 0.5 if late else place, packet))
            if chance.random() < shape.twice:
                arriving.append((place + chance.randint(1, 4) + 0.5, packet))
    arriving.sort(key=lambda one: one[0])
    waiting = (packet for _, packet in arriving)
    for size in sizes:
        yield list(islice(waiting, size))
    yield from ([packet] for packet in waiting)


def steps_of(shape: Shape, number: int) -> Iterator[Step]:
    """What the hosts of a connection send, by turns, as it is captured."""
    steps = _shortest(shape, number) if shape.talk == "tiny" else _connection(shape, number)
    return _shuffled(shape, steps, random.Random(number)) if shape.late or shape.twice else steps


# --- in which order ----------------------------------------------------------------------------


def _sending(steps: Iterator[Step], writer: Writer) -> Iterator[None]:
    """Writes a step each time; the last one ends it."""
    step = next(steps)
    for following in steps:
        for packet in step:
            writer.send(packet)
        yield
        step = following
    for packet in step:
        writer.send(packet)


def _interleave(shape: Shape, writer: Writer) -> None:
    """Always `shape.concurrent` connections in turn, one step each, while there are enough."""
    waiting = iter(range(shape.connections))
    running: list[Iterator[None]] = []

    def start(count: int) -> None:
        running.extend(_sending(steps_of(shape, number), writer) for number in islice(waiting, count))

    over = 0
    for _ in range(shape.concurrent):
        # Each new place starts after the others took a step, so that they are not all at the same stage.
        start(1 + over)
        over = _step(running)
    start(over)
    while running:
        start(_step(running))


def _step(running: list[Iterator[None]]) -> int:
    """One step of each; those that are over leave the list. Returns how many."""
    done = object()
    left = [connection for connection in running if next(connection, done) is not done]
    over = len(running) - len(left)
    running[:] = left
    return over


def _all_at_once(shape: Shape, writer: Writer) -> None:
    """The first step of each connection, then the second of each, and so on; nothing is held meanwhile."""
    turn, going = 0, True
    while going:
        going = False
        for number in range(shape.connections):
            for packet in next(islice(steps_of(shape, number), turn, None), ()):
                writer.send(packet)
                going = True
        turn += 1


def write(shape: Shape, path: Path) -> int:
    """Writes the capture and returns how many packets it has."""
    with path.open("wb") as file:
        writer = Writer(file, gap_us=12 if shape.answer_bytes >= 100_000 else 5)
        if shape.concurrent == shape.connections > MANY:
            _all_at_once(shape, writer)
        else:
            _interleave(shape, writer)
        writer.flush()
        return writer.packets


# --- where they are kept -----------------------------------------------------------------------


def cache_folder() -> Path:
    """Where captures are kept, and programs: $XDG_CACHE_HOME/flowfs-bench, or /var/tmp/flowfs-bench-UID.

    It is made if need be. Raises OSError where it is another user's, for root runs what is in it.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    folder = Path(home, "flowfs-bench") if home else Path(f"/var/tmp/flowfs-bench-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        why = "is another user's; set XDG_CACHE_HOME to a folder of your own"
        raise PermissionError(errno.EPERM, why, str(folder))
    return folder


def cached(shape: Shape) -> Path:
    """The path of the capture, which is generated unless it is there."""
    path = cache_folder() / shape.file_name()
    if not path.exists():
        partial = path.with_suffix(f".partial{os.getpid()}")
        write(shape, partial)
        partial.rename(path)
    return path

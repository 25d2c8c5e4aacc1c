"""How much memory a tracked connection takes: a million of them at once, of which nothing comes any more.

Owns the packets (a handshake with the options that Linux sends, and some bytes each way if asked) and the
clock. Prints how many bytes a direction takes by what the process has resident, the blocks of payload apart,
and by what the pools are charged; and how long the engine took.
"""

from __future__ import annotations

import argparse
import resource
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from flowfs.core import compiled
from flowfs.core.engine import Engine, enlarge_pages
from flowfs.core.limits import CONNECTION_BYTES, DROWSY_NS, EVICT_POLICIES, MIB, Limits
from flowfs.heap import trim

RATE = 2000  # connections a second: a million come before the first is idle for too long
_SYN, _ACK, _PSH = 2, 16, 8
_ETHERNET = bytes(12) + b"\x08\x00"
_BATCH = 1024
_WARM_UP = 4096  # connections
_START_S = 1_700_000_000


@dataclass
class Idle:
    """So many connections were tracked at once, and took so many bytes a direction."""

    tracked: int
    asleep: int
    files: int
    seconds: float
    resident_bytes: float
    block_bytes: float
    charged_bytes: float


def segment(number: int, back: bool, flags: int, seq: int, ack: int, data: bytes) -> bytes:
    """A frame of the connection with this number; the TCP checksum is not there."""
    client, server = 0x0A000000 + number, 0xC0000201
    src, dst, sport, dport = (server, client, 80, 40000) if back else (client, server, 40000, 80)
    stamp = struct.pack("!II", 1000 + number % 1000, 0 if flags == _SYN else 999 + number % 1000)
    if flags & _SYN:
        options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + stamp + b"\x01\x03\x03\x07"
    else:
        options = b"\x01\x01\x08\x0a" + stamp
    header_bytes = 20 + len(options)
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, header_bytes << 2, flags, 64240, 0, 0)
    tcp += options + data
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, src, dst)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return _ETHERNET + ip[:10] + struct.pack("!H", checksum) + ip[12:] + tcp


def connection(number: int, data: bytes) -> Iterator[bytes]:
    """The packets of one connection, with these bytes each way."""
    one, other = number * 2_654_435_761 % 2**32, number * 40_503_977 % 2**32
    yield segment(number, False, _SYN, one, 0, b"")
    one = one + 1 & 0xFFFFFFFF
    yield segment(number, True, _SYN | _ACK, other, one, b"")
    other = other + 1 & 0xFFFFFFFF
    yield segment(number, False, _ACK, one, other, b"")
    if data:
        yield segment(number, False, _ACK | _PSH, one, other, data)
        one = one + len(data) & 0xFFFFFFFF
        yield segment(number, True, _ACK | _PSH, other, one, data)
        yield segment(number, False, _ACK, one, other + len(data) & 0xFFFFFFFF, b"")


def batch(numbers: range, data: bytes, rate: int) -> tuple[bytes, bytes]:
    """The connections with these numbers, as Engine.feed() takes them."""
    frames, meta, at = [], [], 0
    for number in numbers:
        us = number * 1_000_000 // rate
        for frame in connection(number, data):
            frames.append(frame)
            meta.append(struct.pack("=4I", _START_S + us // 1_000_000, us % 1_000_000, at, len(frame)))
            at += len(frame)
    return b"".join(frames), b"".join(meta)


def resident_bytes() -> int:
    """Of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measure(count: int, data: bytes, rate: int, evict: str, archives: bool) -> Idle:
    """Track so many connections at once, with these bytes each way, until all are idle."""
    limits = Limits(
        payload_bytes=MIB + 4 * count * (-(-len(data) // 256) * 256),
        table_bytes=max(count, 20_000) * CONNECTION_BYTES,
        checksum="off",
        evict=evict,
        archives=archives,
    )
    enlarge_pages()
    engine = Engine(limits)
    before, seconds = resident_bytes(), 0.0
    for first in range(0, count, _BATCH):
        made = batch(range(first, min(count, first + _BATCH)), data, rate)
        begin = time.process_time()
        engine.feed(*made, 1)
        seconds += time.process_time() - begin
    del made
    engine.tick(engine.now_ns + 2 * DROWSY_NS)
    trim()  # as a mount does every few seconds
    numbers = engine.statistics()
    blocks = numbers["payload_used_bytes"]
    found = Idle(
        tracked=numbers["connections_tracked"],
        asleep=numbers["connections_asleep"],
        files=numbers["flows"],
        seconds=seconds,
        resident_bytes=(resident_bytes() - before - blocks) / (2 * count),
        block_bytes=blocks / (2 * count),
        charged_bytes=numbers["table_used_bytes"] / (2 * count),
    )
    engine.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=0, help="of payload each way (0)")
    parser.add_argument("--rate", type=int, default=RATE, help=f"connections a second ({RATE})")
    parser.add_argument(
        "--evict", choices=EVICT_POLICIES, default=EVICT_POLICIES[0], help="as of flowfs mount"
    )
    parser.add_argument("--archive", action="store_true", help="flows are to be saved, as with --archive DIR")
    options = parser.parse_args()
    how = bytes(options.bytes), options.rate, options.evict, options.archive
    measure(_WARM_UP, *how)  # what any engine takes, and the interpreter
    print(f"core: {'compiled' if compiled() else 'interpreted'}")
    found = measure(options.connections, *how)
    print(
        f"{found.tracked:,} connections tracked, {found.asleep:,} of them asleep, {found.files:,} files,"
        f" {found.seconds:.1f} s in the engine"
    )
    print(
        f"a direction: {found.resident_bytes:.0f} bytes resident and {found.block_bytes:.0f} of blocks,"
        f" {found.charged_bytes:.0f} charged"
    )


if __name__ == "__main__":
    main()

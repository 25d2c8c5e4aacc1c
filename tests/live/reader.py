"""A bad reader: `reader.py MOUNTPOINT SEED` opens, holds, maps and abandons flows until it is killed.

What it reads must be what was sent, or an error: it ends with status 1 and says so where bytes are wrong.
What is sent follows from the ports alone, so that a reader needs nothing but a file's name.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
from itertools import count
from pathlib import Path

_PERIOD = 65_521  # a prime: no page of a stream is like another, for a long time
_STREAM = random.Random(_PERIOD).randbytes(_PERIOD) * 2
HELD = 50  # files that are open at once


def sent(mark: int, offset: int, size: int) -> bytes:
    """What is sent in a flow with this mark from this offset on, up to `_PERIOD` bytes."""
    begin = (offset + mark * 31) % _PERIOD
    return _STREAM[begin : begin + size]


def mark(name: str) -> int:
    """Both directions have the same one: the sum of their ports."""
    words = name.replace("-", ".").split(".")
    return int(words[4]) + int(words[9])


def check(name: str, offset: int, data: bytes) -> None:
    if data != sent(mark(name), offset, len(data)):
        sys.exit(f"{name}: {len(data)} bytes at {offset} are not what was sent")


def look(path: Path, rng: random.Random, held: list[int]) -> None:
    """Reads some of a flow in one of several ways, and may leave it open. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    held.append(file)
    size = os.fstat(file).st_size
    at = rng.randrange(size + 1)
    check(path.name, at, os.pread(file, rng.randrange(1, 30_000), at))
    if size and rng.random() < 0.3:
        with mmap.mmap(file, size, prot=mmap.PROT_READ) as mapped:
            check(path.name, at, mapped[at : at + 5000])
    if rng.random() < 0.5:
        os.close(held.pop(rng.randrange(len(held))))


def main() -> None:
    place, rng = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    held: list[int] = []
    for _ in count():
        names = os.listdir(place)
        for name in rng.sample(names, min(20, len(names))):
            try:
                look(place / name, rng, held)
            except OSError:
                continue  # it was evicted, or removed
        while len(held) > HELD:
            os.close(held.pop(0))


if __name__ == "__main__":
    main()

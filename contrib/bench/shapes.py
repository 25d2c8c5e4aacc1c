"""What the benchmarks load: the captures by name, in full and small, and how they are mounted.

Knows nothing of how captures are made or of who reads them.
"""

from __future__ import annotations

from typing import NamedTuple

from contrib.bench.captures import Shape

MIB = 2**20


class Load(NamedTuple):
    """A capture that is to be loaded, its small form, and the memory that flowfs has for payload and tables.

    `slow_peers`: whether tcpflow and tshark have a go, too.
    """

    what: str
    full: Shape
    small: Shape
    payload_bytes: int = 256 * MIB
    table_bytes: int = 128 * MIB
    slow_peers: bool = True

    def options(self) -> list[str]:
        return [
            "--max-memory",
            f"{self.payload_bytes // MIB}M",
            "--max-table",
            f"{self.table_bytes // MIB}M",
        ]


LATE, TWICE = 0.2, 0.05  # of the packets
MIXES = 16_000  # connections, 75 packets each
CROWD = 500_000  # connections, hence a million flows
HELD = (512 * MIB, 2048 * MIB, False)  # payload and tables: all of the crowd, open and closed


def _mix(name: str, network: str = "ipv4", late: float = 0, twice: float = 0) -> tuple[Shape, Shape]:
    full, small = (Shape(name, count, 0, 384, "mix", network, late, twice) for count in (MIXES, 300))
    return full, small


LOADS: dict[str, Load] = {
    "bulk": Load(
        "64 connections × 24 MB",
        Shape("bulk", 64, 24_000_000, 64),
        Shape("bulk", 64, 500_000, 64),
    ),
    "short": Load(
        "100,000 connections × 3 KiB",
        Shape("short", 100_000, 3072, 384),
        Shape("short", 6_000, 3072, 384),
    ),
    "mix": Load("16,000, typed to downloaded", *_mix("mix")),
    "reordered": Load("that mix, 20 % late, 5 % twice", *_mix("reordered", late=LATE, twice=TWICE)),
    "ipv6": Load("that mix over IPv6", *_mix("ipv6", "ipv6")),
    "vlan": Load("that mix in a VLAN", *_mix("vlan", "vlan")),
    "million": Load(
        "1,000,000 connections × 100 B",
        Shape("million", 1_000_000, 60, 500, "tiny"),
        Shape("million", 12_000, 60, 500, "tiny"),
    ),
    "thousand": Load(
        "1,000 flows open at a time",
        Shape("thousand", CROWD, 60, 500, "tiny"),
        Shape("thousand", 12_000, 60, 500, "tiny"),
        *HELD,
    ),
    "crowd": Load(
        "1,000,000 flows open at a time",
        Shape("crowd", CROWD, 60, CROWD, "tiny"),
        Shape("crowd", 12_000, 60, 12_000, "tiny"),
        *HELD,
    ),
}

# What is replayed to interfaces.
LIVE: dict[str, Shape] = {
    "mix": Shape("live-mix", 3_000, 0, 384, "mix"),
    "requests": Shape("live-requests", 15_000, 6144, 384, "requests"),
}
LIVE_SMALL = Shape("live-small", 300, 0, 50, "mix")

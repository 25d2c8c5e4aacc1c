"""Segments → files, the slow way: every byte has a place of its own, and the first one there stays [O1].

Knows nothing of flowfs but how it names files, and sees the whole capture before it says anything; so it
needs no windows, no timeouts, no acknowledgements and no limits, and is wrong where those matter (see
DISAGREES in `test_captures`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from differential.witnesses import Seen

_SPACE = 1 << 32

End = tuple[str, int]


class Content(NamedTuple):
    """A file; what is missing reads as zeros, and stands in `holes` as [first, end)."""

    data: bytes
    holes: list[tuple[int, int]]


@dataclass
class Direction:
    """What one side of a connection sent, by sequence numbers that do not wrap."""

    isn: int | None = None
    last: int | None = None
    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    def unwrapped(self, seq: int) -> int:
        """The number that is congruent to `seq` and closest to the one before."""
        if self.last is None:
            self.last = seq + _SPACE  # so that what is before it is not below 0
        self.last += (seq - self.last + _SPACE // 2) % _SPACE - _SPACE // 2
        return self.last

    def take(self, seen: Seen) -> None:
        number = self.unwrapped(seen.seq)
        if seen.syn and self.isn is None:
            self.isn = number
        if seen.payload:
            self.pieces.append((number + seen.syn, seen.payload))

    def content(self) -> Content | None:
        """The file, None if there is none [L10]."""
        if not self.pieces:
            return None
        base = min(number for number, _ in self.pieces) if self.isn is None else self.isn + 1
        places: dict[int, int] = {}
        for number, payload in self.pieces:
            for place, byte in enumerate(payload, number - base):
                if place >= 0:
                    places.setdefault(place, byte)
        if not places:
            return None
        size = max(places) + 1
        return Content(bytes(places.get(place, 0) for place in range(size)), holes_between(places, size))


def holes_between(places: Iterable[int], size: int) -> list[tuple[int, int]]:
    holes, end = [], 0
    for place in sorted(places):
        if place > end:
            holes.append((end, place))
        end = place + 1
    assert end == size
    return holes


class Connection:
    """Both directions of one generation."""

    def __init__(self) -> None:
        self.sides: dict[End, Direction] = {}

    def side(self, end: End) -> Direction:
        return self.sides.setdefault(end, Direction())

    def is_another(self, seen: Seen) -> bool:
        """Whether a SYN begins a connection on the same addresses and ports."""
        isn = self.side((seen.src, seen.sport)).isn
        return seen.syn and isn is not None and isn % _SPACE != seen.seq

    def has_data(self) -> bool:
        return any(side.content() for side in self.sides.values())


def put_together(segments: Iterable[Seen]) -> dict[str, Content]:
    """The files of a capture, by name."""
    generations: dict[tuple[int, frozenset[End]], list[Connection]] = {}
    for seen in segments:
        ends = frozenset(((seen.src, seen.sport), (seen.dst, seen.dport)))
        connections = generations.setdefault((seen.vlan, ends), [Connection()])
        if connections[-1].is_another(seen):
            connections.append(Connection())
        connections[-1].side((seen.src, seen.sport)).take(seen)
    files = {}
    for (vlan, ends), connections in generations.items():
        with_data = [connection for connection in connections if connection.has_data()]
        for count, connection in enumerate(with_data):
            for end, direction in connection.sides.items():
                (peer,) = ends - {end} or {end}
                content = direction.content()
                if content is not None:
                    files[name_of(end, peer, vlan, count)] = content
    return files


def name_of(sender: End, receiver: End, vlan: int, count: int) -> str:
    """As tcpflow names files: %A.%a-%B.%b%V%v%C%c."""
    name = f"{written(sender[0])}.{sender[1]:05}-{written(receiver[0])}.{receiver[1]:05}"
    return name + (f"--{vlan}" if vlan else "") + (f"c{count}" if count else "")


def written(address: str) -> str:
    parsed = ipaddress.ip_address(address)
    return str(parsed) if parsed.version == 6 else ".".join(f"{byte:03}" for byte in parsed.packed)

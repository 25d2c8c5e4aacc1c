"""What is remembered of one direction for whoever asks how its file came about.

Owns conflicts [O1], the offsets of urgent data [L8], TTLs that were unusual, and what became of bytes that
are not in the file. Knows no byte and no TCP; decides nothing. Always true: each list has its greatest
length, and whoever adds to one has charged it before (`Room.charge`).
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from .counters import PAYLOAD_FATES
from .limits import MAX_CONFLICTS, MAX_TTLS, MAX_URGENT

# Numbers of PAYLOAD_FATES.
STORED, DUPLICATE, LATE, KEEPALIVE, AFTER_FIN, AFTER_CLOSE, PRE_START, WINDOW, OUT_OF_ORDER = range(9)
MEMORY, REFUSED, RST, SYN, TENTATIVE, CHECKSUM, UNACKNOWLEDGING, BEYOND = range(9, 17)

UNKNOWN_TTL = -1


class Conflict(NamedTuple):
    """Other bytes for a place that had some: where, when, and the TTLs of the first and of the other."""

    offset: int
    length: int
    time_ns: int
    first_ttl: int  # UNKNOWN_TTL where it is not known
    ttl: int


class About(NamedTuple):
    """What is known of a file beside its bytes. Offsets are those of the stream."""

    origin: int  # the stream offset of the file's first byte
    partial: bool  # the stream's beginning was not seen
    unverified: bool  # there are bytes in it with a wrong checksum [V2 T1]
    holes: list[tuple[int, int, str]]  # offset in the file, length, reason
    conflicts: list[Conflict]
    urgent: list[int]
    bytes_by_fate: dict[str, int]  # of this direction, as far as not stored; names as in PAYLOAD_FATES
    tail_missing_bytes: int
    dropped_packets: int
    """So many were lost before they came here, while the connection lived: some may have been its own.

    Those of the interfaces that its packets came by.
    """
    beyond_bytes: int = 0  # of the stream, lost ones too, behind the end of a file that reached its limit
    packets: int = 0  # segments that this side sent
    role: str = "unknown"  # "client": it sent the SYN; "server": the SYN/ACK


class Notes:
    """The notes of one stream; `ttl` is that of its first segment."""

    __slots__ = ("conflicts", "fates", "ttls", "urgent")

    def __init__(self) -> None:
        self.conflicts: list[Conflict] | None = None
        self.ttls: list[tuple[int, int, int]] | None = None  # [start, end) and its TTL
        self.urgent: array[int] | None = None
        self.fates = array("q", bytes(8 * len(PAYLOAD_FATES)))

    def add(self, fate: int, count: int) -> None:
        """So many bytes had this fate."""
        self.fates[fate] += count

    def has_room_for_conflict(self) -> bool:
        """Whether one more is recorded."""
        return self.conflicts is None or len(self.conflicts) < MAX_CONFLICTS

    def add_conflict(self, conflict: Conflict) -> None:
        """Record it; there must be room."""
        if self.conflicts is None:
            self.conflicts = []
        self.conflicts.append(conflict)

    def has_room_for_ttl(self) -> bool:
        """Whether one more is recorded."""
        return self.ttls is None or len(self.ttls) < MAX_TTLS

    def extends_ttl(self, start: int, end: int, ttl: int) -> bool:
        """Whether [start, end) continues the last range of this TTL, which it is joined to then."""
        if self.ttls is None:
            return False
        first, last, known = self.ttls[-1]
        if known != ttl or start > last or start < first:
            return False
        self.ttls[-1] = (first, max(last, end), ttl)
        return True

    def add_ttl(self, start: int, end: int, ttl: int) -> None:
        """Record a range that came with another TTL than usual."""
        if self.ttls is None:
            self.ttls = []
        self.ttls.append((start, end, ttl))

    def ttl_at(self, offset: int, usual: int) -> int:
        """The TTL with which the first byte for this place came; UNKNOWN_TTL if too many differed."""
        if self.ttls is None:
            return usual
        for start, end, ttl in self.ttls:
            if start <= offset < end:
                return ttl
        return usual if len(self.ttls) < MAX_TTLS else UNKNOWN_TTL

    def has_room_for_urgent(self) -> bool:
        """Whether one more is recorded."""
        return self.urgent is None or len(self.urgent) < MAX_URGENT

    def add_urgent(self, offset: int) -> None:
        """Record where urgent data is, once."""
        if self.urgent is None:
            self.urgent = array("q")
        if offset not in self.urgent:
            self.urgent.append(offset)

    def shift(self, by: int) -> None:
        """Count all offsets from `by` on (the stream's base became known)."""
        if self.conflicts is not None:
            self.conflicts = [conflict._replace(offset=conflict.offset - by) for conflict in self.conflicts]
        if self.ttls is not None:
            self.ttls = [(start - by, end - by, ttl) for start, end, ttl in self.ttls]

    def fates_by_name(self) -> dict[str, int]:
        """What became of bytes, as far as there were any."""
        return {name: count for name, count in zip(PAYLOAD_FATES, self.fates, strict=True) if count}

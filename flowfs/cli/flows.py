"""The flows of a mount as rows: read from `.flowfs/flows.jsonl`, sorted, written for programs.

Always true: a line for programs is one flow, its columns are parted by tabs, and none is ever cut or empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .looking import Unreadable
from .terminal import printable
from .words import SECOND_NS, per_second

FLOWS = "flows.jsonl"
STATES = ("open", "closed", "fin", "rst", "idle")
COLUMNS = ("NAME", "SIZE", "STATE", "AGE", "RATE", "FROM", "PEER")
NOTHING = "-"


class Row(NamedTuple):
    """One flow. Sizes in bytes, times in ns since 1970; `line` is its JSON, with the newline.

    `canonical`: what it is called in `.flowfs`, if that is something else.
    """

    name: str
    size: int
    state: str
    first_ns: int
    last_ns: int
    role: str
    peer: str
    line: bytes
    canonical: str = ""

    def is_in(self, state: str) -> bool:
        """Whether it is in one of STATES; closed are all that are not open."""
        return self.state == state or (state == "closed" and self.state != "open")

    def rate(self) -> int | None:
        """Bytes a second from its first packet to its last data; None if that is one moment."""
        return per_second(self.size, self.last_ns - self.first_ns)


def rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """Raises Unreadable."""
    try:
        for line in lines:
            yield _row(line)
    except Unreadable:
        raise
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unreadable(FLOWS) from None


def _row(line: bytes) -> Row:
    known = json.loads(line)
    return Row(
        _word(known["name"]),
        int(known["size"]),
        _word(known["state"]),
        int(known["first_ns"]),
        int(known["last_ns"]),
        _word(known["role"]),
        _word(known["peer"]),
        line,
        str(known.get("canonical", "")),
    )


def _word(text: str) -> str:
    return printable(text) or NOTHING


def in_order(rows: Iterable[Row], order: str) -> list[Row]:
    """As ls(1) has it: the latest data first by "time", the largest first by "size", or by "name"."""
    if order == "name":
        return sorted(rows, key=lambda row: row.name)
    if order == "size":
        return sorted(rows, key=lambda row: row.size, reverse=True)
    return sorted(rows, key=lambda row: row.last_ns, reverse=True)


def plain(row: Row, now_ns: int) -> str:
    """A line for programs: COLUMNS; bytes, seconds and bytes a second."""
    age_ms = max(0, now_ns - row.last_ns) // (SECOND_NS // 1000)
    age = f"{age_ms // 1000}.{age_ms % 1000:03}"
    rate = row.rate()
    shown = NOTHING if rate is None else rate
    return f"{row.name}\t{row.size}\t{row.state}\t{age}\t{shown}\t{row.role}\t{row.peer}\n"

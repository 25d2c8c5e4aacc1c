"""What `flowfs stats` says of one moment of a mount, or of two: lines for somebody in a hurry.

Always true: what was lost is marked, and comes once; a number that is 0 and good is short or left out.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rich.filesize import decimal

from flowfs import summary
from flowfs.config import show_memory

from .status import Numbers, Status
from .terminal import printable
from .words import per_second, short_age

LOST, WARNED, PLAIN = "lost", "warning", ""
_MARKS = {LOST: "! ", WARNED: "! ", PLAIN: "  "}
_TOPIC_WIDTH = 10
_NARROW = 40  # below, what does not fit begins further to the left

_POOLS = {
    "payload": "flows (--max-memory)",
    "out_of_order": "out of order (--max-out-of-order)",
    "table": "connections (--max-table)",
    "fragments": "fragments (--max-fragments)",
}
_NEARLY_FULL = 0.9  # above, a pool other than that of the flows, which is meant to be full, is worth a mark


class Line(NamedTuple):
    """One line; `kind` is LOST, WARNED or PLAIN."""

    topic: str
    text: str
    kind: str = PLAIN

    def plain(self, width: int = 0) -> str:
        """As it is written where there are no colours; in lines of this width, if it is not 0."""
        text = f"{_MARKS[self.kind]}{self.topic:{_TOPIC_WIDTH}}{self.text}".rstrip()
        if width <= 0 or len(text) <= width:
            return text
        indent = len(_MARKS[PLAIN]) + (_TOPIC_WIDTH if width >= _NARROW else 0)
        return textwrap.fill(text, max(width, indent + 1), subsequent_indent=" " * indent)


class Rates(NamedTuple):
    """What came in a second, between two moments."""

    packets: int
    size: int
    dropped: int


def rates(before: Status | None, after: Status, between_ns: int) -> Rates | None:
    """None if these are not two moments of one mount."""
    if before is None or (before.pid, before.started_ns) != (after.pid, after.started_ns):
        return None
    keys = ("packets", "captured_bytes", "dropped_packets")
    each = [per_second(after.numbers[key] - before.numbers[key], between_ns) for key in keys]
    return None if None in each else Rates(*(one or 0 for one in each))


def lines(place: str, status: Status, rate: Rates | None = None) -> list[Line]:
    """All that is to be said. `rate`: of the time since somebody looked last."""
    return [
        Line("mount", printable(f"{place}, {_doing(status)}, process {status.pid}")),
        Line("source", printable(", ".join(status.sources) + f", filter: {status.filter or 'none'}")),
        *_packets(status, rate),
        _flows(status.numbers),
        *_limited(status.numbers),
        *_memory(status.numbers),
        *_archive(status.archive),
        *_losses(status),
        *(Line("warning", printable(line), WARNED) for line in status.warnings),
    ]


def _doing(status: Status) -> str:
    if status.live:
        return f"live for {short_age(time.time_ns() - status.started_ns)}"
    if status.finished:
        return "all is read"
    if status.total_bytes:
        return f"read {decimal(status.read_bytes)} of {decimal(status.total_bytes)}"
    return "reading what comes"


def _packets(status: Status, rate: Rates | None) -> Iterator[Line]:
    numbers = status.numbers
    yield Line(
        "packets",
        f"{numbers['packets']:,} captured ({decimal(numbers['captured_bytes'])}),"
        f" {summary.dropped(status.interfaces):,} dropped",
    )
    if rate is not None:
        lost = f", {rate.dropped:,} packets/s dropped" * bool(rate.dropped)
        text = f"{rate.packets:,} packets/s, {decimal(rate.size)}/s{lost}"
        yield Line("rate", text, LOST if rate.dropped else PLAIN)


def _flows(numbers: Numbers) -> Line:
    removed = f", {numbers['flows_removed']:,} removed" * bool(numbers["flows_removed"])
    return Line(
        "flows",
        f"{numbers['flows']:,} are here, {numbers['flows_open']:,} of them may grow;"
        f" {numbers['flows_total']:,} in all{removed}",
    )


def _limited(numbers: Numbers) -> Iterator[Line]:
    """What is not held since nobody wanted it."""
    if behind := numbers["dropped_beyond_bytes"]:
        yield Line("", f"{decimal(behind)} behind the first --max-flow-bytes of each were left out, as told")
    if before := numbers["trimmed_beyond_bytes"]:
        yield Line("", f"{decimal(before)} before the last --max-flow-bytes of each were freed, as told")


def _memory(numbers: Numbers) -> Iterator[Line]:
    topic = "memory"
    for pool, name in _POOLS.items():
        used, limit = numbers[f"{pool}_used_bytes"], numbers[f"{pool}_limit_bytes"]
        share = used / limit if limit else 0.0
        kind = WARNED if share >= _NEARLY_FULL and pool != "payload" else PLAIN
        yield Line(
            topic, f"{show_memory(used)} of {show_memory(limit)} ({100 * share:.0f} %) for {name}", kind
        )
        topic = ""


def _archive(archive: Mapping[str, object] | None) -> Iterator[Line]:
    if archive is not None:
        known = {key: value for key, value in archive.items() if isinstance(value, int)}
        flows, size = known.get("unsaved_flows", 0), known.get("unsaved_bytes", 0)
        where = printable(str(archive.get("directory", "")))
        unsaved = f"{summary.counted(flows, 'flow')} to be saved, with {show_memory(size)} of memory"
        waiting = unsaved if flows else "all is saved"
        yield Line("archive", f"{where}: {waiting}", WARNED if known.get("is_in_trouble") else PLAIN)


def _losses(status: Status) -> Iterator[Line]:
    """In the words of a mount's end."""
    found = summary.lines(status.numbers, status.interfaces)[1:]
    for line in found:
        yield Line("lost", printable(line), LOST)
    if not found:
        yield Line("lost", "nothing")

"""Captures from the wild, as the capture room reads them.

The packets of a file that is damaged are those before the damage; a file that is no capture has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from craft import Packet, batches
from flowfs.capture import CaptureError, open_file
from flowfs.capture.merge import in_order
from flowfs.capture.sources import Batch
from flowfs.core.limits import Limits
from property import cores
from property.playing import check_counters

LIMITS = Limits(payload_bytes=16 << 20, out_of_order_bytes=1 << 20, table_bytes=1 << 20)


class Captured(NamedTuple):
    """A packet, and the link type of its interface."""

    packet: Packet
    link_type: int


def packets_of(path: Path) -> list[Captured]:
    """All packets of a file."""
    try:
        source = open_file(str(path), 0)
    except CaptureError:
        return []
    found: list[Captured] = []
    for _, batch in in_order([source], lambda descriptor: True, lambda damage: None):
        found += rows_of(batch)
    source.close()
    return found


def rows_of(batch: Batch) -> Iterator[Captured]:
    rows = batch.meta.cast("I").tolist()
    for row in range(0, len(rows), 4):
        seconds, fraction, start, length = rows[row : row + 4]
        time_ns = seconds * 10**9 + fraction * batch.fraction_ns
        yield Captured(Packet(time_ns, batch.frames[start : start + length], length), batch.link_type)


def loaded(core: cores.Core, captured: list[Captured], size: int) -> list[cores.Tree]:
    """What is to be seen before the end of the capture and after it, with batches of one size."""
    engine = core.start(LIMITS)
    for link_type, group in groupby(captured, key=lambda one: one.link_type):
        for batch in batches([one.packet for one in group], size):
            engine.feed(*batch, link_type)
    before = cores.tree(engine)
    engine.finish()
    check_counters(engine)
    seen = [before, cores.tree(engine)]
    engine.close()
    return seen

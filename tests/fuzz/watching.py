"""An engine that is looked at after each step: what a fuzzer may assert of any input.

Owns the memory of what could be read. Knows no grammar and no fuzzer. Always true: nothing here relies on how
the core works, only on `Engine`'s public methods and `Flow`'s public fields; what is checked is a sample (the
first flows, the ends of what is readable), since a fuzzer lives by the number of its inputs.
"""

from __future__ import annotations

from typing import NamedTuple

from craft import Packet, batch
from engines import check_counters, ends_retracted
from flowfs.core.engine import Engine
from flowfs.core.flow import OPEN, Evicted, Flow
from flowfs.core.limits import CONNECTION_BYTES, SECOND_NS, Limits
from flowfs.dissect import dissect

KIB = 1 << 10
BLOCK_BYTES = 64 * KIB

FLOWS = 6  # so many are looked at
EDGE_BYTES = 512  # so much at either end of what is readable is remembered
POOLS = ("payload", "out_of_order", "table", "notes", "fragments")

# An input chooses one of them, so that each budget is met by some.
LIMITS = (
    Limits(4 * BLOCK_BYTES, 256 * KIB, 100 * CONNECTION_BYTES, 256 * KIB),
    Limits(BLOCK_BYTES, 6000, 3 * CONNECTION_BYTES, 20_000, max_flows=2),
    Limits(2 * BLOCK_BYTES, 0, 2 * CONNECTION_BYTES, 0, idle_ns=5 * SECOND_NS),
    Limits(3 * BLOCK_BYTES, 1 << 20, CONNECTION_BYTES, 4000, max_flows=1),
)

Piece = tuple[int, bytes]  # what stands at an offset


class Glance(NamedTuple):
    """A flow at one moment, as far as it is remembered."""

    flow: Flow
    size: int
    start: int
    state: int
    pieces: tuple[Piece, ...]


class Watched:
    """One engine. Whoever feeds it calls look() now and then, and finish() in the end."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.engine = Engine(limits, dissect)
        self._seen: dict[int, Glance] = {}
        self._opened: list[Flow] = []
        self._retracted = 0

    def feed(self, packets: list[Packet], link_type: int) -> None:
        """One batch, and a look."""
        self.engine.feed(*batch(packets), link_type)
        self.look()

    def act(self, choice: int) -> None:
        """What a reader does to some flow: open it, let go of it, or have it evicted."""
        flows = self.engine.list_after(0, FLOWS)
        if choice % 3 == 0 and self._opened:
            self.engine.release(self._opened.pop())
        elif flows and choice % 3 == 1:
            flow = flows[choice // 3 % len(flows)]
            self._opened.append(self.engine.open(flow))
        elif flows:
            self.engine.remove(flows[choice // 3 % len(flows)])

    def look(self) -> None:
        """What could be read stays as it was, and no budget is exceeded."""
        changed = sum(compare(self.engine, glance) for glance in self._seen.values())
        retracted = ends_retracted(self.engine.statistics())
        assert changed <= 2 * (retracted - self._retracted)  # [R7], but for ends that were none
        self._retracted = retracted
        for flow in self.engine.list_after(0, FLOWS):
            self._seen[flow.serial] = glance_at(self.engine, flow)
        self._check_changes()
        check_budgets(self.engine.statistics(), self.limits)

    def _check_changes(self) -> None:
        """Whoever watches is told of flows that are gone, once."""
        changes = self.engine.changes()
        assert not self.engine.changed()
        assert all(flow.evicted for flow in changes.gone)
        for glance in self._seen.values():
            if not glance.flow.evicted:
                glance.flow.watched = glance.flow.named = True

    def finish(self) -> None:
        """The capture ends: every byte has its fate, and nothing is left behind."""
        self.engine.finish()
        self.look()
        check_counters(self.engine.statistics())
        while self._opened:
            self.engine.release(self._opened.pop())
        self.engine.close()
        left = self.engine.statistics()
        assert left["flows"] == left["connections_tracked"] == 0
        assert not any(left[f"{pool}_used_bytes"] for pool in POOLS)


def glance_at(engine: Engine, flow: Flow) -> Glance:
    size, start = flow.size, flow.start
    assert 0 <= start <= size
    assert engine.read(flow, size, 1) == b""
    last = max(start, size - EDGE_BYTES)
    pieces = tuple((offset, engine.read(flow, offset, EDGE_BYTES)) for offset in {start, last})
    assert all(len(data) == min(EDGE_BYTES, size - offset) for offset, data in pieces)
    check_gaps(flow)
    return Glance(flow, size, start, flow.state, pieces)


def check_gaps(flow: Flow) -> None:
    """Ascending, apart, and within what is readable [R4]."""
    end = 0
    for offset, length, reason in flow.gaps():
        assert offset >= end
        assert length > 0
        assert reason
        end = offset + length
    assert end <= flow.size


def compare(engine: Engine, old: Glance) -> bool:
    """What was seen of a flow is there still, or gone for good; returns whether its end was none."""
    flow = engine.get(old.flow.serial) or old.flow
    if flow is old.flow and not flow.evicted and engine.get(flow.serial) is None:
        for offset, _ in old.pieces:  # a copy of what has gone since
            check_evicted(engine, flow, offset)
        return False
    assert flow.size >= old.size  # [R2]
    assert flow.start >= old.start
    for offset, data in old.pieces:
        end = offset + len(data)
        first = min(max(offset, flow.start), end)
        if first < end:
            assert engine.read(flow, first, end - first) == data[first - offset :]  # [R1]
        if offset < first:
            check_evicted(engine, flow, offset)
    return old.state != OPEN and not flow.evicted and (flow.state, flow.size) != (old.state, old.size)


def check_evicted(engine: Engine, flow: Flow, offset: int) -> None:
    """Bytes that were freed are an error, never other bytes [R6]."""
    try:
        data = engine.read(flow, offset, 1)
    except Evicted:
        return
    raise AssertionError(f"freed, but read as {data!r}")


def check_budgets(numbers: dict[str, int], limits: Limits) -> None:
    """No pool holds more than it may [M1]."""
    for pool in POOLS:
        assert 0 <= numbers[f"{pool}_used_bytes"] <= numbers[f"{pool}_limit_bytes"], pool
    assert numbers["payload_limit_bytes"] <= max(limits.payload_bytes, BLOCK_BYTES)
    assert numbers["out_of_order_limit_bytes"] == limits.out_of_order_bytes
    assert numbers["table_limit_bytes"] == limits.table_bytes
    assert numbers["fragments_limit_bytes"] <= limits.fragment_bytes
    assert numbers["pinned_bytes"] <= numbers["payload_limit_bytes"] // 4
    assert not limits.max_flows or numbers["flows"] <= limits.max_flows

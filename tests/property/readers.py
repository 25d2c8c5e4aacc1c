"""A reader that looks at every flow after every step and remembers: what was promised is checked here.

Owns the memory of what was seen. What is always true: nothing here relies on how the core works, only on
`Engine`'s public methods and `Flow`'s public fields.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from engines import ends_retracted
from flowfs.core.engine import Engine
from flowfs.core.flow import IDLE, OPEN, Flow
from flowfs.core.limits import Limits
from property import cores
from property.cores import ALL, Core
from property.hostile import BLOCK, Action

POOLS = ("payload", "out_of_order", "table", "notes", "fragments")
REASONS = {"ack", "limit", "one-way", "close", "snaplen", "memory"}


class Glance(NamedTuple):
    """A flow at one moment."""

    size: int
    start: int
    state: int
    last_ns: int
    gaps: list[cores.Gap]
    pieces: list[cores.Piece]


class Reader:
    """Looks at one engine. `zeros_are_gaps`: no payload byte that is fed is 0."""

    def __init__(self, core: Core, engine: Engine, limits: Limits, zeros_are_gaps: bool) -> None:
        self.core = core
        self.engine = engine
        self.limits = limits
        self.zeros_are_gaps = zeros_are_gaps
        self.known: dict[int, Flow] = {}
        self.seen: dict[int, Glance] = {}
        self.opened: list[Flow] = []
        self.retracted = 0  # ends that were shown to be forged, up to the last look
        self.changed: set[int] = set()  # flows whose end is another than at the last look

    def act(self, action: Action) -> None:
        if action.what == "release":
            if self.opened:
                self.engine.release(self.opened.pop(action.which % len(self.opened)))
            return
        flows = self.engine.list_after(0, ALL)
        if not flows:
            return
        flow = flows[action.which % len(flows)]
        if action.what == "open":
            self.opened.append(self.engine.open(flow))
        else:
            self.engine.remove(flow)
            if flow.serial in self.known:
                self.known[flow.serial].named = False  # nobody needs be told

    def release_all(self) -> None:
        while self.opened:
            self.engine.release(self.opened.pop())

    # --- after each step ---------------------------------------------------------------------------

    def look(self) -> None:
        flows = self.engine.list_after(0, ALL)
        numbers = self.engine.statistics()
        self.changed.clear()
        self.look_at_the_directory(flows)
        self.look_at_changes({flow.serial for flow in flows})
        for flow in flows:
            self.look_at(flow)
        for serial, flow in self.known.items():
            if flow.evicted:
                self.look_at_evicted(serial, flow)
        retracted = ends_retracted(numbers)
        assert len(self.changed) <= 2 * (retracted - self.retracted)  # [R7 L4 L5] two directions each
        self.retracted = retracted
        self.look_at_budgets(flows)

    def look_at_the_directory(self, flows: list[Flow]) -> None:
        serials = [flow.serial for flow in flows]
        assert serials == sorted(set(serials))
        assert len({(flow.key, flow.generation) for flow in flows}) == len(flows)
        for flow in flows:
            if flow.serial not in self.known:
                assert flow.serial > max(self.known, default=0)  # a number is never used twice
            if self.known.get(flow.serial) in self.opened:
                assert self.known[flow.serial] is flow
            self.known[flow.serial] = flow
            for other in (self.engine.get(flow.serial), self.engine.find(flow.key, flow.generation)):
                assert other is not None
                assert (other.serial, other.size, other.held_bytes) == (
                    flow.serial,
                    flow.size,
                    flow.held_bytes,
                )
            assert not flow.evicted
            assert flow.named
            flow.watched = True  # also of those that have just grown

    def look_at_changes(self, listed: set[int]) -> None:
        """Whoever watches is told of each change, and whoever knows the name of the end."""
        asked = self.engine.changed()
        appeared, grown, gone, freed = self.engine.changes()
        assert asked or not (appeared or grown or gone or freed)  # what was in hand is reason as well
        assert not self.engine.changed()
        told = {flow.serial for flow in grown}
        gone_serials = [flow.serial for flow in gone]
        assert len(gone_serials) == len(set(gone_serials))
        for serial, glance in list(self.seen.items()):
            flow = self.known[serial]
            if flow.evicted or serial not in listed:
                assert not flow.named or serial in gone_serials
                flow.named = False
                if not flow.evicted:  # another stood for it that was
                    del self.known[serial], self.seen[serial]
            elif (flow.size, flow.start, flow.state) != (glance.size, glance.start, glance.state):
                assert serial in told
        assert all(flow.evicted for flow in gone)

    def look_at(self, flow: Flow) -> None:
        new = self.glance(flow)
        self.check(new)
        assert self.engine.read(flow, new.size, 10) == b""
        assert flow.first_ns <= flow.changed_ns
        if new.start:
            self.expect_evicted(flow, 0, 1)
            self.expect_evicted(flow, new.start - 1, 2)
        if flow.serial in self.seen:
            self.compare(flow, self.seen[flow.serial])
        self.seen[flow.serial] = new

    def glance(self, flow: Flow) -> Glance:
        pieces = cores.pieces(self.engine, flow)
        return Glance(flow.size, flow.start, flow.state, flow.last_ns, flow.gaps(), pieces)

    def compare(self, flow: Flow, old: Glance) -> None:
        assert flow.size >= old.size  # [R2]
        assert flow.start >= old.start
        assert flow.last_ns >= old.last_ns
        for offset, data in old.pieces:
            first = min(max(offset, flow.start), offset + len(data))
            end = offset + len(data)
            assert self.engine.read(flow, first, end - first) == data[first - offset :]  # [R1]
        new_gaps, old_gaps = (clipped(gaps, flow.start, old.size) for gaps in (flow.gaps(), old.gaps))
        assert new_gaps == old_gaps  # [R4]
        if old.state != OPEN and (flow.state, flow.size) != (old.state, old.size):
            assert old.state != IDLE  # [R7]
            self.changed.add(flow.serial)

    def check(self, glance: Glance) -> None:
        """What is true of a flow at any moment."""
        end = 0
        for offset, length, reason in glance.gaps:
            assert offset >= end
            assert length > 0
            assert reason in REASONS
            end = offset + length
        assert 0 <= glance.start <= glance.size
        assert end <= glance.size
        assert 0 <= glance.state < 4
        for offset, data in glance.pieces:
            in_gap = bool(clipped(glance.gaps, offset, offset + len(data)))
            assert not in_gap or not any(data)  # [R4]
            assert in_gap or not self.zeros_are_gaps or 0 not in data

    def look_at_evicted(self, serial: int, flow: Flow) -> None:
        """It is gone for good; who has it open reads what it was, or an error [R6]."""
        assert self.engine.get(serial) is None
        assert self.engine.find(flow.key, flow.generation) is not flow
        with pytest.raises(self.core.evicted):
            self.engine.open(flow)
        old = self.seen.get(serial)
        if old is None:
            return
        assert flow.size >= old.size
        if flow.start < flow.size:
            assert flow in self.opened
            self.compare(flow, old)
        else:
            assert flow.held_bytes == 0
            if flow.size:
                self.expect_evicted(flow, 0, 1)
                self.expect_evicted(flow, flow.size - 1, 1)

    def expect_evicted(self, flow: Flow, offset: int, size: int) -> None:
        with pytest.raises(self.core.evicted):
            self.engine.read(flow, offset, size)

    def look_at_budgets(self, flows: list[Flow]) -> None:
        """Nothing is ever exceeded, and what is charged is what is held [M1]."""
        numbers = self.engine.statistics()
        for pool in POOLS:
            assert 0 <= numbers[f"{pool}_used_bytes"] <= numbers[f"{pool}_limit_bytes"]
        held = {flow.serial: flow.held_bytes for flow in (*flows, *self.opened)}
        assert numbers["payload_used_bytes"] == sum(held.values())
        pinned = {flow.serial: flow.held_bytes for flow in self.opened if flow.evicted}
        assert numbers["pinned_bytes"] == sum(pinned.values()) <= numbers["payload_limit_bytes"] // 4
        assert numbers["flows"] == len(flows)
        assert not self.limits.max_flows or len(flows) <= self.limits.max_flows
        assert numbers["payload_limit_bytes"] <= max(self.limits.payload_bytes, BLOCK)
        assert numbers["out_of_order_limit_bytes"] == self.limits.out_of_order_bytes
        assert numbers["table_limit_bytes"] == self.limits.table_bytes


def clipped(gaps: list[cores.Gap], start: int, end: int) -> list[cores.Gap]:
    """The parts of gaps that lie in [start, end)."""
    cut = [(max(start, first), min(end, first + length), reason) for first, length, reason in gaps]
    return [(first, last - first, reason) for first, last, reason in cut if first < last]

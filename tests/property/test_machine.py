"""Hosts talk, packets are lost, doubled and late, readers come and go: the files are what the tap saw.

With ample budgets the slow model of `hosts` says what each file must be; with small ones and forged packets
each promise to readers is kept all the same.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from flowfs.core.flow import FIN, IDLE, OPEN, RST, Flow
from flowfs.core.limits import Limits
from property import hostile
from property.cores import ALL
from property.cuttings import CLIENT, SERVER
from property.dated import Dated
from property.effort import examples
from property.hosts import Line, Segment
from property.opening import Greeting
from property.wires import FIRST_GREETINGS, RAISED, SIDES, WHICH

AMPLE = Limits(payload_bytes=4 << 20, out_of_order_bytes=4 << 20, table_bytes=1 << 20)


class AmpleMachine(Dated):
    """Nothing is short: every file is exactly what the model says."""

    @initialize(raised=RAISED, greetings=FIRST_GREETINGS)
    def start(self, raised: tuple[int, int], greetings: tuple[Greeting, Greeting]) -> None:
        self.evicted = False
        self.begin(AMPLE, raised, greetings)

    def whose(self, flow: Flow) -> tuple[Line, int]:
        """The connection that a file belongs to, and the side that sent it."""
        for line in reversed(self.lines):
            if flow.key in line.keys and 0 <= line.begun_ns <= flow.first_ns:
                return line, line.keys.index(flow.key)
        raise AssertionError("a file of no connection")

    def files(self) -> dict[tuple[Line, int], Flow]:
        flows = self.first.engine.list_after(0, ALL)
        found = {self.whose(flow): flow for flow in flows}
        assert len(found) == len(flows)
        return found

    def readable(self, line: Line, side: int, files: dict[tuple[Line, int], Flow]) -> int:
        """How far a stream was handed to readers."""
        flow = files.get((line, side))
        return line.tracks[side].origin + (flow.size if flow is not None else 0)

    def look(self, line: Line) -> None:
        """What follows a SYN that was seen, and is no rival's, is there at once if it has no hole [R5]."""
        sees_both, sees_syn = line.lead == "handshake", line.lead in ("no SYN/ACK", "one-way")
        if line.opened and (sees_both or sees_syn):
            files = self.files()
            for side in (CLIENT, SERVER) if sees_both else (CLIENT,):
                assert self.readable(line, side, files) >= line.tracks[side].prefix()

    def before_evicting(self, which: int) -> None:
        flows = self.first.engine.list_after(0, ALL)
        if flows:
            flow = flows[which % len(flows)]
            line, side = self.whose(flow)
            line.tracks[side].origin += flow.size
            self.evicted = True

    @rule()
    def settle(self) -> None:
        """After a while all that the peer has, and the tap saw, is there [H1]."""
        before_ns = self.clock_ns
        for wait_ns in (1_000_000_000, 300_000_000):
            self.wait(wait_ns)
            self.tick()
        files = self.files()
        for line in self.lines:
            for side, track in enumerate(line.tracks):
                if not line.over and not line.dead:
                    assert self.readable(line, side, files) >= max(track.prefix(), track.due(before_ns))
        self.compare(at_end=False)

    def compare(self, at_end: bool) -> None:
        files = self.files()
        for (line, side), flow in files.items():
            assert flow.start == 0
            content = self.first.engine.read(flow, 0, flow.size)
            line.check(side, content, flow.gaps(), at_end)
            self.check_state(line, side, flow)
        for line in self.lines if at_end else ():
            for side, track in enumerate(line.tracks):
                assert (line, side) in files or not any(track.certain[track.origin :])

    def check_state(self, line: Line, side: int, flow: Flow) -> None:
        assert flow.state != RST or line.reset
        assert flow.state != FIN or line.tracks[side].fin >= 0
        assert flow.state != IDLE or line.dead
        if line.over or line.dead or flow.state == FIN:
            return
        assert flow.state == OPEN

    def finish(self) -> None:
        super().finish()
        self.compare(at_end=True)
        self.check_names()
        self.check_numbers()

    def check_names(self) -> None:
        """Each connection has its own count, that of those before it that carried data [R8]."""
        flows = sorted(self.first.reader.known.values(), key=lambda flow: flow.first_ns)
        counts: dict[bytes, list[int]] = {}
        for flow in flows:
            line, _ = self.whose(flow)
            begun = counts.setdefault(min(line.keys), [])
            if line.begun_ns not in begun:
                begun.append(line.begun_ns)
            assert self.evicted or flow.generation == begun.index(line.begun_ns)

    def check_numbers(self) -> None:
        numbers = self.first.engine.statistics()
        if not any(track.conflicts for line in self.lines for track in line.tracks):
            assert numbers["conflicts"] == 0
        if not self.evicted:
            flows = self.first.engine.list_after(0, ALL)
            lost = sum(length for flow in flows for _, length, _ in flow.gaps())
            assert numbers["lost_bytes"] == lost
            assert numbers["stored_bytes"] == sum(flow.size for flow in flows) - lost
        for name in ("dropped_window_bytes", "dropped_out_of_order_bytes", "dropped_memory_bytes"):
            assert numbers[name] == 0
        for name in ("fragments_bad", "fragments_discarded", "fragments_different", "fragments_evicted"):
            assert numbers[name] == 0
        assert sum(line.told_old for line in self.lines) <= numbers["old_timestamps"]  # [Q3]
        assert numbers["old_timestamps"] <= sum(line.perhaps_old for line in self.lines)
        assert numbers["bad_acks"] <= sum(track.taken_back for line in self.lines for track in line.tracks)
        assert numbers["flows_refused"] == numbers["connections_refused"] == 0


class SmallMachine(Dated):
    """Little room, and somebody who sends what no host would."""

    @initialize(raised=RAISED, greetings=FIRST_GREETINGS, limits=hostile.TINY_LIMITS)
    def start(self, raised: tuple[int, int], greetings: tuple[Greeting, Greeting], limits: Limits) -> None:
        self.poured: dict[tuple[Line, int], int] = {}
        self.begin(limits, raised, greetings)

    @precondition(Dated.talks)
    @rule(
        which=WHICH,
        side=SIDES,
        flags=st.sampled_from(hostile.FLAGS),
        offset=hostile.OFFSETS,
        length=hostile.LENGTHS,
        acked=hostile.OFFSETS,
    )
    def intrude(self, which: int, side: int, flags: str, offset: int, length: int, acked: int) -> None:
        """Anything."""
        line = self.pick(which)
        self.put(line, Segment(side, flags, offset, line.text(side, offset, offset + length, 3), acked))

    @precondition(Dated.talks)
    @rule(which=WHICH, side=SIDES, length=st.sampled_from([1460, 16_000, 60_000]), count=st.integers(1, 6))
    def pour(self, which: int, side: int, length: int, count: int) -> None:
        """A lot, in order: what fills blocks."""
        line = self.pick(which)
        for _ in range(count):
            begin = max(self.poured.get((line, side), 0), line.hosts[side].written)
            self.poured[line, side] = begin + length
            self.put(line, line.data(side, begin, begin + length))


TestAmple = AmpleMachine.TestCase
TestAmple.settings = examples(100)
TestSmall = SmallMachine.TestCase
TestSmall.settings = examples(100)

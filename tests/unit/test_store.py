"""core/store.py against plain byte strings, with a budget that is always too small."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowfs.core.counters import Counters
from flowfs.core.flow import FIN, IDLE, OPEN, RST, Evicted, Flow
from flowfs.core.limits import IDLE_VICTIM_NS, KIB, SECOND_NS, UNLIMITED_BYTES, Limits
from flowfs.core.ranges import ACK, MEMORY
from flowfs.core.store import Store

BLOCK_BYTES = 64 * KIB
STREAM = random.Random(0).randbytes(BLOCK_BYTES)


def counted(blocks: int, max_flows: int = 0) -> tuple[Store, Counters]:
    counters = Counters()
    return Store(Limits(payload_bytes=blocks * BLOCK_BYTES, max_flows=max_flows), counters), counters


def store_of(blocks: int) -> Store:
    return counted(blocks)[0]


def create(store: Store, number: int = 0) -> Flow:
    flow = store.create(number.to_bytes(12, "big"), 0, None)
    assert flow is not None
    return flow


def append(store: Store, flow: Flow, data: bytes, now_ns: int = 0) -> int:
    return store.append(flow, b"<" + data + b">", 1, 1 + len(data), now_ns)


# --- any order of everything -------------------------------------------------------------------


@dataclass
class File:
    """What a file must be."""

    flow: Flow
    content: bytearray = field(default_factory=bytearray)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    start: int = 0
    opens: int = 0
    named: bool = False
    pinned: bool = False

    def check(self, store: Store) -> None:
        flow = self.flow
        assert flow.size == len(self.content)
        assert self.start <= flow.start <= flow.size
        self.start = flow.start
        assert store.read(flow, flow.start, 1 << 30) == self.content[flow.start :]
        assert store.read(flow, flow.size, 1) == b""
        if flow.start:
            for offset in (0, flow.start - 1):
                with pytest.raises(Evicted):
                    store.read(flow, offset, 1)
                with pytest.raises(Evicted):
                    store.read_into(flow, offset, 1, memoryview(bytearray(1)))
        if not flow.evicted:
            expected = [gap for gap in self.gaps if gap[0] + gap[1] > flow.start]
            assert flow.gaps()[len(flow.gaps()) - len(expected) :] == expected


class Model:
    """A store, and what must be in it."""

    def __init__(self, blocks: int) -> None:
        self.store, self.counters = counted(blocks)
        self.files: list[File] = []
        self.now_ns = 0

    def create(self) -> None:
        file = File(create(self.store, len(self.files)), named=len(self.files) % 2 == 0)
        self.files.append(file)
        if file.named:
            self.store.keep_name(file.flow)

    def append(self, file: File, place: int, count: int) -> None:
        """As assembly does: what there is no room for is skipped."""
        if file.flow.evicted or file.flow.state != OPEN:
            return
        data = STREAM[place : place + count]
        before = self.counters.stored_bytes
        stored = append(self.store, file.flow, data, self.now_ns)
        assert self.counters.stored_bytes - before == stored
        assert file.flow.last_ns == self.now_ns
        file.content += data[:stored]
        if stored < len(data):
            self.skip(file, len(data) - stored, MEMORY, "memory")

    def skip(self, file: File, count: int, reason: int = ACK, name: str = "ack") -> None:
        if file.flow.evicted or file.flow.state != OPEN:
            return
        self.store.skip(file.flow, count, reason)
        if (
            file.gaps
            and file.gaps[-1][0] + file.gaps[-1][1] == len(file.content)
            and file.gaps[-1][2] == name
        ):
            file.gaps[-1] = (file.gaps[-1][0], file.gaps[-1][1] + count, name)
        else:
            file.gaps.append((len(file.content), count, name))
        file.content += bytes(count)

    def open(self, file: File) -> None:
        if file.flow.evicted:
            with pytest.raises(Evicted):
                self.store.open(file.flow)
        else:
            self.store.open(file.flow)
            file.opens += 1

    def release(self, file: File) -> None:
        if file.opens:
            self.store.release(file.flow)
            file.opens -= 1

    def check(self) -> None:
        store = self.store
        there = [file for file in self.files if not file.flow.evicted]
        pinned = [file for file in self.files if file.flow.evicted and file.flow.opens]
        assert store.arena.used_bytes <= store.arena.capacity_bytes
        assert store.arena.used_bytes == sum(file.flow.held_bytes for file in there + pinned)
        assert store.pinned_bytes == sum(file.flow.held_bytes for file in pinned)
        assert store.pinned_bytes <= store.arena.capacity_bytes // 4
        assert store.list_after(0, 1000) == [file.flow for file in there]
        assert store.count == len(there)
        for file in self.files:
            file.check(store)
            found = None if file.flow.evicted else file.flow
            assert store.get(file.flow.serial) is found
            assert store.find(file.flow.key, 0) is (found if file.named else None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("create append append append append skip open release evict close wait".split()),
        st.integers(0, 20),
        st.integers(0, BLOCK_BYTES),
        st.sampled_from([1, 100, 256, 257, 1448, 5000, 20_000, BLOCK_BYTES]),
    ),
    max_size=60,
)


@settings(max_examples=80)
@given(st.integers(1, 8), STEPS)
def test_like_plain_bytes(blocks: int, steps: list[tuple[str, int, int, int]]) -> None:
    """Never above the budget, and each byte is itself, a listed zero, or refused [R1 R4 R6]."""
    model = Model(blocks)
    for what, which, place, count in steps:
        file = model.files[which % len(model.files)] if model.files else None
        if what == "create" or file is None:
            model.create()
        elif what == "append":
            model.append(file, place, count)
        elif what == "skip":
            model.skip(file, count)
        elif what == "open":
            model.open(file)
        elif what == "release":
            model.release(file)
        elif what == "evict":
            model.store.evict(file.flow)
        elif what == "close":
            model.store.set_state(file.flow, FIN, model.now_ns)
        else:
            model.now_ns += SECOND_NS * which
            model.store.now_ns = model.now_ns
        model.check()
    for file in model.files:
        model.store.evict(file.flow)
        while file.opens:
            model.release(file)
    model.check()
    assert model.store.arena.used_bytes == 0


# --- reading -----------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[Store]:
    store = store_of(16)
    yield store
    for flow in store.list_after(0, 1 << 20):
        store.evict(flow)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40)), min_size=1, max_size=12), st.data())
def test_read_anywhere(pieces: list[tuple[int, int]], data: st.DataObject) -> None:
    store = store_of(16)
    flow, content = create(store), b""
    for count, gap in pieces:
        assert append(store, flow, STREAM[:count]) == count
        content += STREAM[:count] + bytes(gap)
        if gap:
            store.skip(flow, gap, ACK)
    offset, size = data.draw(st.integers(0, len(content) + 5)), data.draw(st.integers(0, len(content) + 5))
    assert store.read(flow, offset, size) == content[offset : offset + size]
    page = bytearray(b"-" * (size + 9))
    count = store.read_into(flow, offset, size, memoryview(page))
    assert page == content[offset : offset + size] + b"-" * (size + 9 - count)
    changed = bytearray(content[offset : offset + size])
    assert not store.differs(flow, offset, b"-" + bytes(changed), 1, 1 + len(changed))
    if changed:
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1
        assert store.differs(flow, offset, b"-" + bytes(changed), 1, 1 + len(changed))
    store.evict(flow)


def test_differs_knows_nothing_of_freed_bytes() -> None:
    store = store_of(2)
    flow = create(store)
    append(store, flow, b"a" * 3 * BLOCK_BYTES)
    assert 0 < flow.start < flow.size
    assert not store.differs(flow, flow.start - 3, b"zzz", 0, 3)
    assert not store.differs(flow, flow.start - 3, b"zzzaa", 0, 5)
    assert store.differs(flow, flow.start - 3, b"zzzaz", 0, 5)
    store.evict(flow)
    assert not store.differs(flow, flow.size - 3, b"zzz", 0, 3)


def test_offsets_beyond_four_gib(store: Store) -> None:
    flow = create(store)
    append(store, flow, b"head")
    store.skip(flow, 5 << 30, ACK)
    append(store, flow, b"tail")
    assert flow.size == (5 << 30) + 8
    assert store.read(flow, (5 << 30) + 3, 100) == b"\0tail"
    assert store.read(flow, 2, 4) == b"ad\0\0"
    assert flow.held_bytes < 2 * BLOCK_BYTES


def test_a_gap_is_listed_before_the_size_grows(store: Store) -> None:
    flow = create(store)
    append(store, flow, b"abc")
    store.skip(flow, 2, ACK)
    assert flow.gaps() == [(3, 2, "ack")]
    assert store.read(flow, 0, 10) == b"abc\0\0"
    store.skip(flow, 2, ACK)
    store.skip(flow, 1, MEMORY)
    assert flow.gaps() == [(3, 4, "ack"), (7, 1, "memory")]
    assert store.read(flow, 2, 10) == b"c\0\0\0\0\0"


# --- the first and the last bytes ---------------------------------------------------------------


def limited(size: int, keep: str) -> tuple[Store, Counters]:
    counters = Counters()
    limits = Limits(payload_bytes=16 * BLOCK_BYTES, max_flow_bytes=size, keep=keep)
    return Store(limits, counters), counters


def test_a_file_stops_at_its_limit() -> None:
    store, counters = limited(1000, "head")
    assert (store.head_bytes, store.tail_bytes) == (1000, UNLIMITED_BYTES)
    flow = create(store)
    flow.limit_bytes = 1000
    assert append(store, flow, STREAM[:300]) == 300
    store.skip(flow, 600, ACK)
    assert append(store, flow, STREAM[:300]) == 100
    assert append(store, flow, STREAM[:300]) == 0
    store.skip(flow, 5, ACK)
    assert flow.gaps() == [(300, 600, "ack")]
    assert store.read(flow, 0, 5000) == STREAM[:300] + bytes(600) + STREAM[:100]
    assert (counters.lost_bytes, counters.stored_bytes) == (600, 400)
    assert flow.held_bytes == 512 + 512
    store.evict(flow)


def test_a_gap_ends_at_the_limit() -> None:
    store, _ = limited(1000, "head")
    flow = create(store)
    flow.limit_bytes = 1000
    append(store, flow, STREAM[:300])
    store.skip(flow, 5000, ACK)
    assert (flow.size, flow.gaps()) == (1000, [(300, 700, "ack")])
    assert append(store, flow, b"x") == 0
    store.evict(flow)


def test_differs_knows_nothing_of_what_lies_behind_the_end(store: Store) -> None:
    """Not even what the block holds there."""
    other = create(store, 2)
    append(store, other, b"z" * 256)
    store.evict(other)
    flow = create(store)
    append(store, flow, b"abc")
    assert not store.differs(flow, 3, b"defg", 0, 4)
    assert not store.differs(flow, 1, b"bcx", 0, 3)
    assert not store.differs(flow, 100_000, b"defg", 0, 4)
    assert store.differs(flow, 1, b"bXx", 0, 3)
    store.skip(flow, 5, ACK)
    assert not store.differs(flow, 6, b"\0\0x", 0, 3)
    assert not store.differs(flow, 8, b"xyz", 0, 3)


def test_a_gap_frees_what_it_pushes_out() -> None:
    store, counters = limited(1000, "tail")
    assert (store.head_bytes, store.tail_bytes) == (UNLIMITED_BYTES, 1000)
    flow = create(store)
    append(store, flow, STREAM[:3000])
    assert 1000 <= flow.size - flow.start < 3000
    store.skip(flow, 1000, ACK)
    assert (flow.start, flow.held_bytes, counters.trimmed_beyond_bytes) == (3000, 0, 3000)
    assert store.read(flow, 3000, 5000) == bytes(1000)
    assert counters.trimmed_bytes == counters.evicted_bytes == 0
    store.evict(flow)


# --- memory ------------------------------------------------------------------------------------


def test_a_small_file_takes_a_small_block(store: Store) -> None:
    for number, (size, held) in enumerate(((1, 256), (256, 256), (257, 512), (3000, 4096), (65536, 65536))):
        flow = create(store, number)
        append(store, flow, bytes(size))
        assert flow.held_bytes == held


@pytest.mark.parametrize("step", [1, 100, 1448])
def test_at_most_half_is_to_spare(store: Store, step: int) -> None:
    flow = create(store)
    for _ in range(300):
        append(store, flow, bytes(step))
        assert flow.held_bytes <= max(256, 2 * flow.size)


def test_at_most_half_is_to_spare_between_gaps(store: Store) -> None:
    """A stream with many holes must not throw everyone else out: 200 bytes need no 64 KiB."""
    flow = create(store)
    for index in range(1, 100):
        append(store, flow, bytes(200))
        store.skip(flow, 800, ACK)
        assert flow.held_bytes <= 2 * flow.size + index * 256


def test_a_gap_of_one_byte_is_paid_for() -> None:
    """However many gaps: the list of them is within bounds, because each costs a block [M1]."""
    store = store_of(1)
    flow = create(store)
    for _ in range(5000):
        append(store, flow, b"x")
        store.skip(flow, 1, ACK)
        assert len(flow.gaps()) <= 2 * 256 + 2
    assert flow.size == 10_000
    assert store.read(flow, flow.start, 4) in (b"x\0x\0", b"\0x\0x")
    store.evict(flow)


def test_one_flow_eats_its_own_head() -> None:
    store, counters = counted(4)
    flow = create(store)
    for index in range(64):
        assert append(store, flow, bytes([index]) * BLOCK_BYTES) == BLOCK_BYTES
    assert flow.size == 64 * BLOCK_BYTES
    assert flow.size - flow.start == flow.held_bytes == 4 * BLOCK_BYTES
    assert counters.trimmed_bytes == flow.start
    assert store.read(flow, flow.start, 2) == bytes([60]) * 2
    store.evict(flow)


def test_blocks_of_others_are_not_taken_for_nothing() -> None:
    """Room for smaller blocks is used before somebody is evicted."""
    store, counters = counted(2)
    large, small = create(store, 1), create(store, 2)
    append(store, large, bytes(BLOCK_BYTES))
    for _ in range(4):
        append(store, small, bytes(BLOCK_BYTES // 8))
    assert append(store, large, bytes(BLOCK_BYTES // 2)) == BLOCK_BYTES // 2
    assert counters.flows_evicted == counters.trimmed_bytes == 0
    for flow in (large, small):
        store.evict(flow)


def test_closed_flows_go_before_data_is_lost() -> None:
    store, counters = counted(4)
    flows = [create(store, number) for number in range(5)]
    for number, flow in enumerate(flows[:4]):
        append(store, flow, bytes(BLOCK_BYTES), number)
    for number in (2, 0):
        store.set_state(flows[number], RST, 5)
    assert append(store, flows[4], bytes(BLOCK_BYTES), 6) == BLOCK_BYTES
    assert [flow.evicted for flow in flows] == [False, False, True, False, False]
    append(store, flows[1], b"x", 7)
    assert [flow.evicted for flow in flows] == [True, False, True, False, False]
    assert counters.evicted_bytes == 2 * BLOCK_BYTES
    for flow in flows:
        store.evict(flow)


def test_idle_flows_go_before_a_live_one_that_is_read_loses_data() -> None:
    """Evicted flows pin all that may be pinned, one of the others is open: still, who is idle goes [M3]."""
    store = store_of(4)
    pinned, live, idle, other = (create(store, number) for number in range(4))
    for flow in (pinned, live, idle, other):
        append(store, flow, bytes(BLOCK_BYTES))
    store.open(pinned)
    store.evict(pinned)
    assert store.pinned_bytes == BLOCK_BYTES == store.arena.capacity_bytes // 4
    store.open(live)
    store.now_ns = 2 * IDLE_VICTIM_NS
    stored = append(store, live, bytes(1000), store.now_ns)
    assert idle.evicted
    assert stored == 1000
    for flow in (live, pinned):
        store.release(flow)
    for flow in (live, idle, other):
        store.evict(flow)


# --- open files --------------------------------------------------------------------------------


def test_a_file_that_is_open_reads_on_when_it_is_evicted(store: Store) -> None:
    flow = create(store)
    append(store, flow, b"abc")
    store.open(flow)
    store.open(flow)
    store.evict(flow)
    assert store.read(flow, 1, 9) == b"bc"
    assert store.pinned_bytes == flow.held_bytes == store.arena.used_bytes == 256
    store.release(flow)
    assert store.read(flow, 0, 1) == b"a"
    store.release(flow)
    assert store.arena.used_bytes == store.pinned_bytes == 0
    with pytest.raises(Evicted):
        store.read(flow, 0, 1)
    with pytest.raises(Evicted):
        store.open(flow)
    assert store.read(flow, 3, 1) == b""


def test_above_the_pin_limit_it_does_not(store: Store) -> None:
    flows = [create(store, number) for number in range(3)]
    for flow in flows:
        append(store, flow, bytes(2 * BLOCK_BYTES))
        store.open(flow)
    for flow in flows:
        store.evict(flow)
    assert store.pinned_bytes == 4 * BLOCK_BYTES == store.arena.capacity_bytes // 4
    assert store.read(flows[0], 0, 1) == store.read(flows[1], 0, 1) == b"\0"
    with pytest.raises(Evicted):
        store.read(flows[2], 0, 1)
    for flow in flows:
        store.release(flow)
    assert store.arena.used_bytes == 0


def test_readers_cannot_hold_up_the_capture() -> None:
    """Everything is open: memory is found all the same, and the budget holds."""
    store = store_of(4)
    flows = [create(store, number) for number in range(8)]
    for flow in flows:
        assert append(store, flow, bytes(BLOCK_BYTES)) == BLOCK_BYTES
        if not flow.evicted:
            store.open(flow)
    assert store.arena.used_bytes <= store.arena.capacity_bytes
    assert store.read(flows[-1], 0, 9) == bytes(9)
    for flow in flows:
        while flow.opens:
            store.release(flow)
        store.evict(flow)
    assert store.arena.used_bytes == 0


def test_evicting_twice_is_once() -> None:
    store, counters = counted(16)
    flow = create(store)
    append(store, flow, b"abc")
    store.evict(flow)
    store.evict(flow)
    assert (counters.flows_evicted, counters.evicted_bytes) == (1, 3)
    assert store.orphans == [flow]


# --- the directory -----------------------------------------------------------------------------


def test_names_and_numbers(store: Store) -> None:
    first = create(store)
    with_generation = store.create(first.key, 1, None)
    assert with_generation is not None
    assert [first.serial, with_generation.serial] == [1, 2]
    assert store.find(first.key, 0) is None  # the table of connections finds it
    store.keep_name(first)
    store.keep_name(with_generation)
    assert store.find(first.key, 0) is first
    assert store.find(first.key, 1) is with_generation
    assert store.find(first.key, 2) is None
    store.evict(first)
    store.keep_name(first)
    assert store.find(first.key, 0) is None
    again = create(store)
    assert again.serial == 3
    store.keep_name(again)
    assert store.find(first.key, 0) is again
    assert [store.get(number) for number in (0, 1, 2, 3, 4)] == [None, None, with_generation, again, None]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=400), st.integers(1, 7))
def test_list_after_under_churn(steps: list[tuple[bool, int]], page: int) -> None:
    """Page by page while flows come and go: who is there all the time is listed once, nobody twice."""
    store = store_of(1)
    there = [create(store, number) for number in range(40)]
    number, listed, throughout, cursor = 40, [], set(there), 0
    for evict, choice in steps:
        if evict and there:
            gone = there.pop(choice % len(there))
            store.evict(gone)
            throughout.discard(gone)
        else:
            there.append(create(store, number))
            number += 1
        if choice % 5 == 0:
            found = store.list_after(cursor, page)
            assert found == [flow for flow in there if flow.serial > cursor][:page]
            listed += found
            cursor = found[-1].serial if found else cursor
    listed += store.list_after(cursor, 1 << 20)
    assert len(set(listed)) == len(listed)
    assert throughout <= set(listed)
    assert store.list_after(0, 1 << 20) == there
    for flow in there:
        store.evict(flow)


def test_list_after_the_end(store: Store) -> None:
    flow = create(store)
    assert store.list_after(flow.serial, 5) == store.list_after(1 << 60, 5) == store.list_after(0, 0) == []


def test_as_many_files_as_there_may_be() -> None:
    store, counters = counted(1, max_flows=2)
    first, second = create(store, 1), create(store, 2)
    assert store.create(bytes(12), 0, None) is None
    assert counters.flows_refused == 1
    store.set_state(first, IDLE, 0)
    third = create(store, 3)
    assert [first.evicted, second.evicted, store.count] == [True, False, 2]
    for flow in (second, third):
        store.evict(flow)


def test_what_is_told() -> None:
    """Once for each time that somebody was given the attributes."""
    store = store_of(1)
    flow = create(store)
    assert store.appeared == 1
    append(store, flow, b"a")
    assert store.grown == []
    for act in (
        lambda: append(store, flow, b"a"),
        lambda: store.set_state(flow, FIN, 9),
    ):
        flow.watched = True
        act()
        act()
        assert store.grown == [flow]
        assert not flow.watched
        store.grown = []
    assert (flow.state, flow.changed_ns) == (FIN, 9)
    store.evict(flow)
    assert store.gone == []
    named = create(store, 1)
    named.named = True
    store.evict(named)
    assert store.gone == [named]


def test_a_state_is_told_once(store: Store) -> None:
    flow = create(store)
    store.set_state(flow, FIN, 1)
    flow.watched = True
    store.set_state(flow, FIN, 2)
    assert flow.changed_ns == 1
    assert store.grown == []
    store.evict(flow)
    store.set_state(flow, RST, 3)
    assert (flow.state, flow.changed_ns) == (FIN, 1)

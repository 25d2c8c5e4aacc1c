"""core/assembly.py against a dictionary of bytes by offset, in which the first wins."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowfs.core.assembly import Assembly, Room
from flowfs.core.counters import PAYLOAD_FATES, Counters
from flowfs.core.exchange import Owner
from flowfs.core.limits import FLOW_OUT_OF_ORDER_BYTES, FLOW_OUT_OF_ORDER_SEGMENTS, MAX_CONFLICTS, MIB, Limits
from flowfs.core.pending import Pool
from flowfs.core.ranges import CLOSE
from flowfs.core.store import Store

CHUNK_OVERHEAD_BYTES = 128


@contextmanager
def room_of(out_of_order_bytes: int = MIB, blocks: int = 32, max_flows: int = 0) -> Iterator[Room]:
    """What all streams share; everything in it is freed in the end."""
    counters = Counters()
    store = Store(Limits(payload_bytes=blocks * 65536, max_flows=max_flows), counters)
    room = Room(store, Pool(out_of_order_bytes), counters)
    yield room
    for flow in store.list_after(0, 1000):
        store.evict(flow)


def assembly_in(room: Room, number: int = 0) -> Assembly:
    assembly = Assembly(number.to_bytes(12, "big"), Owner(0, 7, 3), room)
    assembly.anchored = True
    return assembly


@pytest.fixture
def room() -> Iterator[Room]:
    with room_of() as room:
        yield room


def place(assembly: Assembly, offset: int, data: bytes, now_ns: int = 0) -> None:
    assembly.room.counters.payload_bytes += len(data)
    assembly.place(b"<" + data + b">", 1, 1 + len(data), offset, now_ns)


def content(assembly: Assembly) -> bytes:
    flow = assembly.flow
    return assembly.room.store.read(flow, 0, 1 << 30) if flow is not None else b""


def gaps_of(assembly: Assembly) -> list[tuple[int, int, str]]:
    return assembly.flow.gaps() if assembly.flow is not None else []


def conflicts_of(assembly: Assembly) -> list[tuple[int, int]]:
    notes = assembly.notes
    return [(conflict.offset, conflict.length) for conflict in notes.conflicts or ()] if notes else []


def check_fates(room: Room, waiting: int) -> None:
    numbers = room.counters.as_dict()
    assert sum(numbers[name] for name in PAYLOAD_FATES) + waiting == numbers["payload_bytes"]


class Model:
    """The stream as it must come out."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.lost: set[int] = set()
        self.next = 0
        self.differing: set[int] = set()

    def place(self, offset: int, data: bytes) -> None:
        if len(data) == 1 and offset == self.next - 1:
            return  # a probe [L6]
        for at, byte in enumerate(data, offset):
            if at >= 0 and at not in self.lost and self.bytes.setdefault(at, byte) != byte:
                self.differing.add(at)
        self.advance()

    def give_up(self) -> None:
        waiting = [at for at in self.bytes if at >= self.next]
        if waiting:
            self.lost.update(range(self.next, min(waiting)))
            self.next = min(waiting)
            self.advance()

    def advance(self) -> None:
        while self.next in self.bytes:
            self.next += 1

    def content(self) -> bytes:
        return bytes(self.bytes.get(at, 0) for at in range(self.next))

    def waiting(self) -> int:
        return sum(at >= self.next for at in self.bytes)


PLACED = st.tuples(st.integers(-4, 60), st.binary(min_size=1, max_size=12))


@settings(max_examples=200)
@given(st.lists(st.one_of(PLACED, PLACED, PLACED, st.none()), max_size=25))
def test_like_a_dictionary(steps: list[tuple[int, bytes] | None]) -> None:
    """None: the first hole is given up."""
    with room_of() as room:
        assembly, model = assembly_in(room), Model()
        for step in steps:
            if step is not None:
                place(assembly, *step)
                model.place(*step)
            elif assembly.pending is not None:
                assembly.give_up(CLOSE, 0)
                model.give_up()
            assert assembly.rcv_nxt == model.next
            assert content(assembly) == model.content()
            assert (assembly.pending is None) == (model.waiting() == 0)
            gaps = gaps_of(assembly)
            assert {at for offset, size, _ in gaps for at in range(offset, offset + size)} == model.lost
            check_fates(room, model.waiting())
        told = {at for offset, size in conflicts_of(assembly) for at in range(offset, offset + size)}
        if room.counters.conflicts <= MAX_CONFLICTS:
            assert model.differing <= told <= model.bytes.keys()
        assembly.give_up_all(CLOSE, 0)
        assert room.pool.used_bytes == 0


@settings(max_examples=60)
@given(st.integers(300, 3000), st.lists(st.tuples(st.integers(0, 3), PLACED), max_size=60))
def test_a_pool_that_is_too_small(limit: int, steps: list[tuple[int, tuple[int, bytes]]]) -> None:
    """Whoever comes: never above the limit; what is stored is in its place, and each byte has its fate."""
    with room_of(limit) as room:
        assemblies = [assembly_in(room, number) for number in range(4)]
        sent: list[dict[int, set[int]]] = [{} for _ in range(4)]
        for which, (offset, data) in steps:
            place(assemblies[which], offset, data)
            for at, byte in enumerate(data, offset):
                sent[which].setdefault(at, set()).add(byte)
            assert room.pool.used_bytes <= limit
        for assembly in assemblies:
            assembly.give_up_all(CLOSE, 0)
        check_fates(room, 0)
        for which, assembly in enumerate(assemblies):
            gaps = gaps_of(assembly)
            lost = {at for offset, size, _ in gaps for at in range(offset, offset + size)}
            for at, byte in enumerate(content(assembly)):
                assert byte == 0 if at in lost else byte in sent[which][at]


def test_nothing_makes_no_file(room: Room) -> None:
    assembly = assembly_in(room)
    place(assembly, 5, b"x")
    assert assembly.flow is None
    assert room.store.count == 0
    assembly.give_up_all(CLOSE, 0)
    assert content(assembly) == b"\0\0\0\0\0x"


def test_the_file_knows_its_connection(room: Room) -> None:
    assembly = assembly_in(room)
    place(assembly, 0, b"x", now_ns=99)
    flow = assembly.flow
    assert flow is not None
    assert (flow.first_ns, flow.last_ns, flow.changed_ns, flow.source) == (7, 99, 99, 3)
    assert (assembly.owner.files, assembly.owner.carried) == (1, True)


def test_one_byte_again_is_a_probe_only_if_it_comes_alone(room: Room) -> None:
    """The last byte once more, and data behind it: what differs there is a conflict [O1 L6]."""
    assembly = assembly_in(room)
    place(assembly, 0, b"abc")
    place(assembly, 2, b"Z")
    assert (room.counters.keepalive_bytes, room.counters.conflicts) == (1, 0)
    place(assembly, 2, b"Zde")
    assert content(assembly) == b"abcde"
    assert (room.counters.keepalive_bytes, room.counters.duplicate_bytes) == (1, 1)
    assert conflicts_of(assembly) == [(2, 1)]


def test_as_many_conflicts_as_are_remembered(room: Room) -> None:
    """The rest is counted [O1]."""
    assembly = assembly_in(room)
    place(assembly, 0, b"a" * 200)
    for offset in range(100):
        place(assembly, offset, b"zz")
    assert conflicts_of(assembly) == [(offset, 2) for offset in range(MAX_CONFLICTS)]
    assert (room.counters.conflicts, room.counters.conflict_bytes) == (100, 200)


@pytest.mark.parametrize(
    "size, count", [(1024, FLOW_OUT_OF_ORDER_BYTES // 1024), (1, FLOW_OUT_OF_ORDER_SEGMENTS)]
)
def test_the_share_of_one_stream(size: int, count: int) -> None:
    """Up to the limit it waits; then the lowest half is given up [H2]."""
    data = random.Random(2).randbytes(size)
    with room_of(64 * MIB) as room:
        assembly = assembly_in(room)
        for index in range(count):
            place(assembly, 1 + index * 2 * size, data)
        assert assembly.rcv_nxt == 0
        place(assembly, 1 + count * 2 * size, data)
        assert assembly.pending is not None
        assert len(assembly.pending.offsets) == (count + 1) // 2
        assert assembly.rcv_nxt == assembly.pending.first() - size
        assert {reason for _, _, reason in gaps_of(assembly)} == {"limit"}
        assembly.give_up_all(CLOSE, 0)


def test_the_heaviest_gives_way() -> None:
    """A pool that is full costs whoever fills it, not who comes."""
    with room_of(100_000) as room:
        heavy, light = assembly_in(room, 1), assembly_in(room, 2)
        for offset in range(1, 90_000, 1000):
            place(heavy, offset, bytes(900))
        assert heavy.rcv_nxt == 0
        place(light, 1000, bytes(10_000))
        assert light.rcv_nxt == 0
        assert light.pending is not None
        assert heavy.rcv_nxt > 0
        place(light, 0, bytes(1000))
        assert light.rcv_nxt == 11_000
        assert gaps_of(light) == []
        heavy.give_up_all(CLOSE, 0)


def test_more_than_the_whole_pool() -> None:
    with room_of(1000) as room:
        assembly = assembly_in(room)
        place(assembly, 10, bytes(2000))
        assert room.counters.dropped_out_of_order_bytes == 2000
        assert assembly.pending is None
        place(assembly, 0, b"next")
        assert content(assembly) == b"next"


@pytest.mark.parametrize("order", [(0, 3, 6), (6, 3, 0), (3, 6, 0), (3, 0, 6)])
def test_a_provisional_fin_holds_back(room: Room, order: tuple[int, ...]) -> None:
    """Nothing from behind it is stored; what comes over it is split."""
    assembly = assembly_in(room)
    assembly.fin = 5
    for offset in order:
        place(assembly, offset, b"abcdefghi"[offset : offset + 3])
    assert content(assembly) == b"abcde"
    assert assembly.pending is not None
    assembly.fin = 1 << 62  # it was none
    assembly.drain(0)
    assert content(assembly) == b"abcdefghi"
    check_fates(room, 0)


def test_nothing_from_behind_a_fin_that_comes_later(room: Room) -> None:
    """It stands within what waits already."""
    assembly = assembly_in(room)
    place(assembly, 2, b"cdefg")
    assembly.fin = 5
    place(assembly, 0, b"ab")
    assert content(assembly) == b"abcde"
    assembly.fin_acked = True
    assembly.drop_behind_fin()
    assert room.counters.dropped_after_fin_bytes == 2
    check_fates(room, 0)


def test_a_fin_is_the_end_while_it_counts(room: Room) -> None:
    assembly = assembly_in(room)
    assembly.fin, assembly.fin_acked = 3, True
    place(assembly, 2, b"cxx")
    place(assembly, 5, b"xx")
    place(assembly, 0, b"ab")
    assert content(assembly) == b"abc"
    assert assembly.pending is not None
    assert assembly.pending.waiting_bytes == 4
    assembly.drop_behind_fin()
    assert room.counters.dropped_after_fin_bytes == 4
    check_fates(room, 0)


def test_cut_by_the_snapshot_length(room: Room) -> None:
    """Only a hole that is cut from end to end is lost for that reason [H6]."""
    assembly = assembly_in(room)
    place(assembly, 0, b"abc")
    assembly.cuts = [(3, 10)]
    place(assembly, 10, b"x")
    assert assembly.was_cut(10)
    assert not assembly.was_cut(11)
    assembly.give_up(CLOSE, 0)
    assert gaps_of(assembly) == [(3, 7, "snaplen")]


def test_a_file_that_was_evicted_begins_anew(room: Room) -> None:
    assembly = assembly_in(room)
    place(assembly, 0, b"abc")
    first = assembly.flow
    assert first is not None
    room.store.evict(first)
    place(assembly, 3, b"def")
    second = assembly.flow
    assert second is not None
    assert second.serial > first.serial
    assert content(assembly) == b"def"
    place(assembly, 0, b"XXX")  # of what was evicted nothing is known
    place(assembly, 3, b"deX")
    assert conflicts_of(assembly) == [(3, 3)]
    assert room.counters.duplicate_bytes == 6
    check_fates(room, 0)


def test_refused_flows_cost_nothing() -> None:
    with room_of(max_flows=1) as room:
        one, other = assembly_in(room, 1), assembly_in(room, 2)
        place(one, 0, b"abc")
        place(other, 0, b"abc")
        place(other, 5, b"xyz")
        assert other.flow is None
        other.give_up_all(CLOSE, 0)
        assert room.counters.dropped_refused_bytes == 6
        assert (other.rcv_nxt, one.rcv_nxt) == (8, 3)
        check_fates(room, 0)


def test_what_comes_again_over_many_holes(room: Room) -> None:
    """Each is looked at alone as far as the 64th; everything is counted."""
    assembly = assembly_in(room)
    for index in range(500):
        place(assembly, 2 * index + 1, b"x")
    assembly.give_up_all(CLOSE, 0)
    place(assembly, 0, b"y" * 1000)
    assert room.counters.late_bytes == room.counters.duplicate_bytes == 500
    assert room.counters.conflict_bytes == room.counters.conflicts == 63
    place(assembly, 900, b"y" * 100)
    assert room.counters.late_bytes == room.counters.duplicate_bytes == 550
    assert room.counters.conflict_bytes == 63 + 50
    check_fates(room, 0)

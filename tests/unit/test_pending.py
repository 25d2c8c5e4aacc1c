"""core/pending.py against a dictionary of bytes by offset, in which the first wins."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.pending import Pending, Pool

CHUNK_OVERHEAD_BYTES = 128
QUEUE_BYTES = 640

PLACES = st.integers(-20, 60)
INSERT = st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=12))
STEPS = st.lists(
    st.one_of(
        INSERT,
        INSERT,
        INSERT,
        st.tuples(st.sampled_from(["drop_from", "drop_before"]), PLACES, st.just(b"")),
        st.tuples(st.just("take_run"), PLACES, st.just(b"")),
        st.tuples(st.just("shift"), st.integers(-5, 5), st.just(b"")),
    ),
    max_size=30,
)


class Model:
    """Bytes by offset."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def insert(self, offset: int, data: bytes) -> set[int]:
        """Returns where other bytes are there."""
        known = dict(self.bytes)
        for place, byte in enumerate(data, offset):
            self.bytes.setdefault(place, byte)
        return {place for place, byte in enumerate(data, offset) if known.get(place, byte) != byte}

    def drop(self, places: set[int]) -> int:
        for place in places:
            del self.bytes[place]
        return len(places)


def content(pending: Pending) -> dict[int, int]:
    """What is there; chunks are ascending, disjoint and not empty."""
    found: dict[int, int] = {}
    assert len(pending.offsets) == len(pending.chunks)
    for offset, data in zip(pending.offsets, pending.chunks, strict=True):
        assert data
        assert offset > max(found, default=offset - 1)
        found.update(enumerate(data, offset))
    return found


def apply(pending: Pending, model: Model, what: str, place: int, data: bytes) -> None:
    if what == "insert":
        before, cost = pending.charged_bytes, pending.cost(place, len(data))
        known = set(model.bytes)
        conflicts = pending.insert(place, data)
        assert pending.charged_bytes - before <= cost
        told = {at for offset, length in conflicts for at in range(offset, offset + length)}
        assert model.insert(place, data) <= told <= known
    elif what == "drop_from":
        assert pending.drop_from(place) == model.drop({at for at in model.bytes if at >= place})
    elif what == "drop_before":
        assert pending.drop_before(place) == model.drop({at for at in model.bytes if at < place})
    elif what == "shift":
        pending.shift(place)
        model.bytes = {at - place: byte for at, byte in model.bytes.items()}
    elif pending.offsets:
        take(pending, model, pending.first(), place)


def take(pending: Pending, model: Model, first: int, limit: int) -> None:
    """take_run() gives all that follows without a hole, up to `limit`."""
    run = b"".join(pending.take_run(first, limit))
    end = first
    while end in model.bytes and end < limit:
        end += 1
    assert dict(enumerate(run, first)) == {at: model.bytes.pop(at) for at in range(first, end)}


@given(STEPS)
def test_like_a_dictionary(steps: list[tuple[str, int, bytes]]) -> None:
    pool = Pool(1 << 20)
    pending, model = Pending(pool, "somebody"), Model()
    for what, place, data in steps:
        apply(pending, model, what, place, data)
        assert content(pending) == model.bytes
        assert pending.waiting_bytes == len(model.bytes)
        expected = len(model.bytes) + CHUNK_OVERHEAD_BYTES * len(pending.offsets)
        expected += QUEUE_BYTES if model.bytes else 0
        assert pending.charged_bytes == pool.used_bytes == expected
        if model.bytes:
            assert (pending.first(), pending.end()) == (min(model.bytes), max(model.bytes) + 1)
    assert pending.clear() == len(model.bytes)
    assert pool.used_bytes == 0
    assert pool.heaviest() is None


def test_charge_of_a_segment_that_covers_many() -> None:
    """One segment over 50 islands becomes 51 chunks: cost() knows that before."""
    pending = Pending(Pool(1 << 20), "somebody")
    for place in range(1, 101, 2):
        pending.insert(place, b"x")
    before = pending.charged_bytes
    assert pending.cost(0, 101) == 101 + 51 * CHUNK_OVERHEAD_BYTES
    conflicts = pending.insert(0, b"y" * 101)
    assert conflicts == [(place, 1) for place in range(1, 101, 2)]
    assert pending.charged_bytes - before == 51 + 51 * CHUNK_OVERHEAD_BYTES
    assert pending.take_run(0, 1 << 62) == [b"y" if place % 2 == 0 else b"x" for place in range(101)]


def test_take_run_wants_its_place() -> None:
    pending = Pending(Pool(1 << 20), "somebody")
    pending.insert(5, b"ab")
    pending.insert(7, b"cd")
    pending.insert(10, b"ef")
    assert pending.take_run(4, 100) == []
    assert pending.take_run(5, 5) == []
    assert pending.take_run(5, 6) == [b"a"]
    assert pending.take_run(6, 100) == [b"b", b"cd"]
    assert pending.first() == 10


def test_the_pool_charges_all_of_them() -> None:
    pool = Pool(1000)
    light, heavy = Pending(pool, "light"), Pending(pool, "heavy")
    light.insert(0, b"a")
    heavy.insert(0, b"a" * 300)
    assert (
        pool.used_bytes
        == light.charged_bytes + heavy.charged_bytes
        == 301 + 2 * (QUEUE_BYTES + CHUNK_OVERHEAD_BYTES)
    )
    assert pool.heaviest() is heavy
    assert pool.fits(1000 - pool.used_bytes)
    assert not pool.fits(1001 - pool.used_bytes)
    heavy.drop_from(1)
    light.insert(5, b"b" * 200)
    assert pool.heaviest() is light
    light.clear()
    assert pool.heaviest() is heavy
    heavy.clear()
    assert pool.heaviest() is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), max_size=40))
def test_heaviest_within_a_factor_of_two(steps: list[tuple[int, int]]) -> None:
    pool = Pool(1 << 30)
    queues = {name: Pending(pool, name) for name in "abcde"}
    for which, size in steps:
        queue = queues["abcde"[which]]
        queue.clear()
        if size:
            queue.insert(0, bytes(1 << size // 4))
        charges = {name: queue.charged_bytes for name, queue in queues.items()}
        heaviest = pool.heaviest()
        if heaviest is None:
            assert not any(charges.values())
        else:
            assert charges[heaviest.owner] * 2 > max(charges.values())
    for queue in queues.values():
        queue.clear()


def test_offsets_may_be_negative_and_long() -> None:
    """While the base of a stream is not known they count from its first segment."""
    pending = Pending(Pool(1 << 20), "somebody")
    pending.insert(-3, b"abc")
    pending.insert(1 << 40, b"z")
    pending.shift(-3)
    assert pending.offsets == [0, (1 << 40) + 3]
    assert all(low < high for low, high in pairwise(pending.offsets))
    assert pending.clear() == 4


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8),
    *(st.integers(0, 70), st.integers(0, 70), st.integers(1, 5)),
)
def test_what_is_missing(inserted: list[tuple[int, int]], start: int, end: int, limit: int) -> None:
    pending = Pending(Pool(1 << 20), "somebody")
    there: set[int] = set()
    for offset, count in inserted:
        pending.insert(offset, bytes(count))
        there.update(range(offset, offset + count))
    assert {offset for offset in range(-1, 80) if pending.has(offset)} == there
    found = pending.missing(start, end, 99)
    assert [at for low, high in found for at in range(low, high)] == sorted({*range(start, end)} - there)
    assert pending.missing(start, end, limit) == found[:limit]
    pending.clear()

"""core/arena.py against a map of units, in which a block fits or does not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowfs.core.arena import Arena, size_class
from resident import resident_bytes

UNIT_BYTES, TOP_CLASS, LARGEST_BLOCK_BYTES = 256, 8, 65536
UNITS_OF_A_BLOCK = 1 << TOP_CLASS


class Model:
    """Which units are out. A block of class n is 2**n units, and lies at a multiple of its size."""

    def __init__(self, blocks: int) -> None:
        self.out = bytearray(blocks * UNITS_OF_A_BLOCK)
        self.blocks: list[tuple[int, int]] = []  # (position, class)

    def has_room(self, level: int) -> bool:
        size = 1 << level
        return any(not any(self.out[at : at + size]) for at in range(0, len(self.out), size))

    def allocate(self, position: int, level: int) -> None:
        first, size = position // UNIT_BYTES, 1 << level
        assert position % (UNIT_BYTES << level) == 0
        assert first + size <= len(self.out)
        assert not any(self.out[first : first + size]), "overlap"
        self.out[first : first + size] = b"\1" * size
        self.blocks.append((position, level))

    def release(self, index: int) -> tuple[int, int]:
        position, level = self.blocks.pop(index)
        first, size = position // UNIT_BYTES, 1 << level
        self.out[first : first + size] = bytes(size)
        return position, level

    def closest(self, level: int, steps: int) -> int:
        classes = range(level, max(0, level - steps) - 1, -1)
        return next((smaller for smaller in classes if self.has_room(smaller)), -1)

    def used_bytes(self) -> int:
        return sum(UNIT_BYTES << level for _, level in self.blocks)


def pattern(position: int, level: int) -> bytes:
    return random.Random(position << 8 | level).randbytes(UNIT_BYTES << level)


@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8]), st.integers(0, 999)),
        max_size=120,
    ),
)
def test_like_a_map(blocks: int, steps: list[tuple[bool, int, int]]) -> None:
    """No overlap, -1 only if there really is no room, and what is written stays until it is released."""
    arena, model = Arena(blocks * LARGEST_BLOCK_BYTES), Model(blocks)
    for allocate, level, choice in steps:
        if allocate:
            for steps_down in (0, 3, level):
                assert arena.closest(level, steps_down) == model.closest(level, steps_down)
            position = arena.allocate(level)
            assert (position >= 0) == model.has_room(level)
            if position >= 0:
                model.allocate(position, level)
                data = pattern(position, level)
                arena.write(position, b"--" + data + b"--", 2, 2 + len(data))
        elif model.blocks:
            position, level = model.release(choice % len(model.blocks))
            assert arena.read(position, UNIT_BYTES << level) == pattern(position, level)
            arena.release(position, level)
        assert arena.used_bytes == model.used_bytes() <= arena.capacity_bytes
    for position, level in model.blocks:
        assert arena.read(position, UNIT_BYTES << level) == pattern(position, level)
        arena.release(position, level)
    assert arena.used_bytes == 0
    whole = {arena.allocate(TOP_CLASS) for _ in range(blocks)}
    assert whole == {index * LARGEST_BLOCK_BYTES for index in range(blocks)}
    assert arena.allocate(0) == -1


def test_all_of_it_in_the_smallest_blocks() -> None:
    arena = Arena(2 * LARGEST_BLOCK_BYTES)
    positions = [arena.allocate(0) for _ in range(512)]
    assert sorted(positions) == list(range(0, 2 * LARGEST_BLOCK_BYTES, UNIT_BYTES))
    assert arena.allocate(0) == -1
    assert arena.used_bytes == arena.capacity_bytes
    random.Random(1).shuffle(positions)
    for position in positions:
        arena.release(position, 0)
    assert {arena.allocate(TOP_CLASS), arena.allocate(TOP_CLASS)} == {0, LARGEST_BLOCK_BYTES}


@pytest.mark.parametrize(
    "capacity, rounded",
    [
        (0, LARGEST_BLOCK_BYTES),
        (1, LARGEST_BLOCK_BYTES),
        (2 * LARGEST_BLOCK_BYTES - 1, LARGEST_BLOCK_BYTES),
        (2 * LARGEST_BLOCK_BYTES, 2 * LARGEST_BLOCK_BYTES),
    ],
)
def test_capacity(capacity: int, rounded: int) -> None:
    assert Arena(capacity).capacity_bytes == rounded


@pytest.mark.parametrize(
    "wanted, level",
    [
        (0, 0),
        (1, 0),
        (256, 0),
        (257, 1),
        (512, 1),
        (32768, 7),
        (32769, 8),
        (65536, 8),
        (65537, 8),
        (1 << 40, 8),
    ],
)
def test_size_class(wanted: int, level: int) -> None:
    assert size_class(wanted) == level


def test_holds() -> None:
    arena = Arena(LARGEST_BLOCK_BYTES)
    position = arena.allocate(0)
    arena.write(position, b"abcdef", 0, 6)
    assert arena.holds(position + 1, b"xbcx", 1, 3)
    assert not arena.holds(position + 1, b"xbxx", 1, 3)
    assert arena.holds(position, b"", 0, 0)


@pytest.mark.parametrize("count", [*range(520), 1448, 4095, 4096, 9000])
def test_no_byte_more_or_less_is_written(count: int) -> None:
    """Wherever it lies: whole lines of the cache are written in another way than what is left of them."""
    arena = Arena(65536)
    block = arena.allocate(TOP_CLASS)
    data = random.Random(count).randbytes(count)
    around = b"\xa5" * (count + 200)
    for place in (0, 1, 15, 16, 63, 64, 65, 100 + count % 28):
        arena.write(block, around, 0, len(around))
        arena.write(block + place, b"?" + data + b"?", 1, 1 + count)
        expected = around[:place] + data + around[place + count :]
        assert arena.read(block, len(around)) == expected


def test_what_was_read_is_a_copy() -> None:
    arena = Arena(LARGEST_BLOCK_BYTES)
    position = arena.allocate(0)
    arena.write(position, b"abc", 0, 3)
    taken = arena.read(position, 3)
    arena.write(position, b"xyz", 0, 3)
    assert taken == b"abc"


def test_an_idle_arena_costs_nothing() -> None:
    """Memory is reserved, not touched."""
    before = resident_bytes()
    arena = Arena(1 << 30)
    assert resident_bytes() - before < 16 << 20
    assert arena.allocate(TOP_CLASS) == 0

# cython: boundscheck=False, wraparound=False, cdivision=True
"""Fixed memory, handed out in blocks of 256 B to 64 KiB. A buddy allocator over one anonymous mapping.

Owns the mapping and which of its blocks are free; does not know what the blocks hold. Always true:
 - used_bytes is the sum of the sizes of the blocks that are out, and never exceeds capacity_bytes;
 - two free buddies are never left apart, so that freeing everything gives back blocks of 64 KiB;
 - memory is touched only once it is handed out, or asked for by prepare(): an idle mount costs no RAM.

Huge pages make reuse cheap; the mapping is left out of core dumps, since it holds what people sent.
"""

import contextlib
import mmap

import cython

if not cython.compiled:
    from .memory import chunk, copy_past_caches, move, populate, same

UNIT_BYTES = 256
CLASSES = 9
TOP_CLASS = CLASSES - 1
LARGEST_BLOCK_BYTES = UNIT_BYTES << TOP_CLASS


def size_class(wanted_bytes: int) -> int:
    """The class of the smallest block that holds `wanted_bytes`, or of the largest there is."""
    level = 0
    while level < TOP_CLASS and (UNIT_BYTES << level) < wanted_bytes:
        level += 1
    return level


def _table(units: int, code: str) -> memoryview:
    """A zeroed array of a number a unit; an anonymous mapping, so that only what is used takes memory."""
    item_bytes = 4 if code == "i" else 1
    mapping = mmap.mmap(-1, units * item_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memoryview(mapping).cast("B").cast("i") if code == "i" else memoryview(mapping)


class Arena:
    """`capacity_bytes` is rounded down to whole 64 KiB, at least one."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = max(1, capacity_bytes // LARGEST_BLOCK_BYTES) * LARGEST_BLOCK_BYTES
        self.used_bytes = 0
        mapping = mmap.mmap(-1, self.capacity_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel without huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
        mapping.madvise(mmap.MADV_DONTDUMP)
        self.memory = memoryview(mapping)
        self.units = self.capacity_bytes // UNIT_BYTES
        # Each a number a unit, meaningful where a free block begins: its class + 1, and its neighbours in
        # the list of free blocks of its class (a unit's number + 1). 0 is "none" throughout.
        self.free_class = _table(self.units, "B")
        self.next_free = _table(self.units, "i")
        self.previous_free = _table(self.units, "i")
        self.heads = _table(CLASSES, "i")
        self.available = 0  # a bit for each class of which there are free blocks
        self.fresh_unit = 0  # from here on nothing was ever handed out

    def allocate(self, level: int) -> int:
        """The position of a block of class `level`; -1 if there is none."""
        split = level
        available = self.available >> level
        if available:
            while available & 1 == 0:
                available >>= 1
                split += 1
            unit = self.heads[split] - 1
            self._unlink(unit, split)
        elif self.fresh_unit < self.units:
            split = TOP_CLASS
            unit = self.fresh_unit
            self.fresh_unit += 1 << TOP_CLASS
        else:
            return -1
        while split > level:
            split -= 1
            self._link(unit + (1 << split), split)
        self.used_bytes += UNIT_BYTES << level
        return unit * UNIT_BYTES

    def closest(self, level: int, steps: int) -> int:
        """The class of which allocate() has a block: `level`, or the next at most `steps` below, or -1."""
        if self.available >> level or self.fresh_unit < self.units:
            return level
        lowest = level - steps
        while level > lowest and level > 0:
            level -= 1
            if self.available >> level & 1:
                return level
        return -1

    def release(self, position: int, level: int) -> None:
        """Take back the block of class `level` at `position`."""
        unit = position // UNIT_BYTES
        self.used_bytes -= UNIT_BYTES << level
        while level < TOP_CLASS:
            buddy = unit ^ (1 << level)
            if self.free_class[buddy] != level + 1:
                break
            self._unlink(buddy, level)
            unit &= ~(1 << level)
            level += 1
        self._link(unit, level)

    def fresh_bytes(self) -> int:
        """From this position on nothing was ever handed out."""
        return self.fresh_unit * UNIT_BYTES

    def prepare(self, position: int, count: int) -> None:
        """Have memory ready for what will be written there: a fault costs up to 0.3 ms for each 2 MiB."""
        populate(self.memory, position, count)

    def write(self, position: int, base: bytes, start: int, end: int) -> None:
        """Copy base[start:end] to `position`."""
        copy_past_caches(self.memory, position, base, start, end)

    def read(self, position: int, count: int) -> bytes:
        """A copy of `count` bytes."""
        return chunk(self.memory, position, count)

    def read_into(self, position: int, count: int, to: memoryview, at: int) -> None:
        """Copy `count` bytes to `at` of a writable view."""
        move(self.memory, position, to, at, count)

    def holds(self, position: int, base: bytes, start: int, end: int) -> bool:
        """Whether base[start:end] stands at `position`."""
        return same(self.memory, position, base, start, end)

    def _link(self, unit: int, level: int) -> None:
        head = self.heads[level]
        self.next_free[unit] = head
        self.previous_free[unit] = 0
        if head:
            self.previous_free[head - 1] = unit + 1
        self.heads[level] = unit + 1
        self.available |= 1 << level
        self.free_class[unit] = level + 1

    def _unlink(self, unit: int, level: int) -> None:
        following = self.next_free[unit]
        previous = self.previous_free[unit]
        if previous:
            self.next_free[previous - 1] = following
        else:
            self.heads[level] = following
            if following == 0:
                self.available &= ~(1 << level)
        if following:
            self.previous_free[following - 1] = previous
        self.free_class[unit] = 0

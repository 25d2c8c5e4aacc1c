# cython: boundscheck=False, wraparound=False, cdivision=True
"""When to look at whom: times and keys, the earliest time first, equal ones as they were put.

A binary heap in arrays, of 24 bytes an entry: tuples in a list, as heapq has them, would be 136, and whoever
forges can have as many as there are directions. Knows not whether somebody still waits for a time.
"""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:
    from .memory import item, push, put

from .limits import NEVER_NS


class Deadlines:
    """The heap; entry n stands above entries 2n + 1 and 2n + 2."""

    __slots__ = ("keys", "orders", "put_so_far", "times_ns")

    def __init__(self) -> None:
        self.times_ns = array("q")
        self.orders = array("q")  # how many were put before it
        self.keys: list[bytes] = []
        self.put_so_far = 0

    def __len__(self) -> int:
        return len(self.keys)

    def first_ns(self) -> int:
        """The earliest time; NEVER_NS if there is none."""
        return item(self.times_ns, 0) if self.keys else NEVER_NS

    def put(self, time_ns: int, key: bytes) -> None:
        """Add an entry: O(log n)."""
        self._add(time_ns, self.put_so_far, key)
        self.put_so_far += 1

    def take(self) -> bytes:
        """Remove the entry with the earliest time, of which there must be one; returns its key: O(log n)."""
        first = self.keys[0]
        key, time_ns, order = self.keys.pop(), self.times_ns.pop(), self.orders.pop()
        if self.keys:
            self._let_sink(time_ns, order, key)
        return first

    def entries(self) -> list[tuple[int, int, bytes]]:
        """All of them, as (time, number of its own, key); in no order."""
        return list(zip(self.times_ns, self.orders, self.keys, strict=True))

    def keep(self, entries: list[tuple[int, int, bytes]]) -> None:
        """Have these instead of what is there; they are some of what entries() gave."""
        self.times_ns, self.orders, self.keys = array("q"), array("q"), []
        for time_ns, order, key in entries:
            self._add(time_ns, order, key)

    def _add(self, time_ns: int, order: int, key: bytes) -> None:
        place = len(self.keys)
        push(self.times_ns, time_ns)
        push(self.orders, order)
        self.keys.append(key)
        while place > 0 and self._goes_before(time_ns, order, (place - 1) // 2):
            self._move((place - 1) // 2, place)
            place = (place - 1) // 2
        self._set(place, time_ns, order, key)

    def _let_sink(self, time_ns: int, order: int, key: bytes) -> None:
        """The entry takes the first place, and those that go before it rise."""
        count = len(self.keys)
        place, below = 0, 1
        while below < count:
            other = below + 1
            if other < count and self._goes_before(
                item(self.times_ns, other), item(self.orders, other), below
            ):
                below = other
            if self._goes_before(time_ns, order, below):
                break
            self._move(below, place)
            place, below = below, 2 * below + 1
        self._set(place, time_ns, order, key)

    def _goes_before(self, time_ns: int, order: int, place: int) -> bool:
        """Whether it is earlier than what stands at a place; no two have one order."""
        there_ns = item(self.times_ns, place)
        return time_ns < there_ns or (time_ns == there_ns and order < item(self.orders, place))

    def _move(self, place: int, to: int) -> None:
        self._set(to, item(self.times_ns, place), item(self.orders, place), self.keys[place])

    def _set(self, place: int, time_ns: int, order: int, key: bytes) -> None:
        put(self.times_ns, place, time_ns)
        put(self.orders, place, order)
        self.keys[place] = key

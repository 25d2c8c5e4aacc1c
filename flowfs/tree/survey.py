"""What a directory of `.flowfs/by-*` lists, and whether a group is there: found by a look at all flows.

Knows no attribute. A look takes some µs a flow, so of many flows it is not taken by who asks first: they get
Unready, with the work to be done in a thread of its own. Always true: a listing goes through what was there
once it had begun, less what has gone; a group is there as long as a flow is in it, and at once.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..core.flow import Flow
from .answers import Unready
from .groups import Groups
from .shelf import Shelf

FEW = 500  # flows that anybody can wait for, 2 ms
_MAX_KNOWN = 4096  # groups that were asked for


class Listing:
    """The numbers that a listing goes through, once they are found: `find` gives them, ascending or not."""

    def __init__(self, find: Callable[[], Iterable[int]]) -> None:
        self._find = find
        self._making = threading.Lock()
        self._numbers: array[int] | None = None

    def make(self) -> None:
        """Find them, for whoever can wait; from any thread."""
        with self._making:
            if self._numbers is None:
                self._numbers = array("q", self._find())

    def ready(self) -> None:
        """Called before anything is given away. Raises Unready."""
        if self._numbers is None:
            raise Unready(self.make)

    @property
    def numbers(self) -> Sequence[int]:
        """Of a listing that is ready()."""
        assert self._numbers is not None
        return self._numbers

    def above(self, number: int) -> Iterator[int]:
        """Of numbers that ascend, the higher ones."""
        numbers = self.numbers
        return (numbers[at] for at in range(bisect_right(numbers, number), len(numbers)))


class Presence:
    """Which groups have a flow in them, if flows stay in their groups.

    Of those that were asked for, a flow is known, or how far none was found.
    """

    def __init__(self, shelf: Shelf, groups: Groups) -> None:
        self._shelf = shelf
        self._groups = groups
        self._remembering = threading.Lock()
        # By group: the number of one, or 0, and up to which flow none was seen.
        self._known: dict[int, tuple[int, int]] = {}

    def has_any(self, group: int) -> bool:
        """Raises Unready."""
        one, seen = self._known.get(group, (0, 0))
        if one and self._shelf.look(one) is not None:
            return True
        if self._shelf.count(ever=True) - seen > FEW:
            raise Unready(lambda: self._look(group))
        return self._look(group) > 0

    def _look(self, group: int) -> int:
        """Go on until one is found, whose number is given back, or 0; from any thread."""
        one, seen = 0, self._known.get(group, (0, 0))[1]
        for flow in self._shelf.after(seen):
            seen = flow.serial
            if not flow.evicted and self._groups.has(group, flow):
                one, seen = seen, seen - 1
                break
        with self._remembering:
            self._known.pop(group, None)
            self._known[group] = one, seen
            while len(self._known) > _MAX_KNOWN:
                del self._known[next(iter(self._known))]
        return one


def members(shelf: Shelf, groups: Groups, group: int) -> Iterator[int]:
    """The numbers of the flows in a group."""
    return (flow.serial for flow in shelf.after(0) if not flow.evicted and groups.has(group, flow))


def every(groups: Groups, flows: Iterable[Flow]) -> list[int]:
    """The groups that there are, in order of appearance."""
    found = dict.fromkeys(groups.always)
    for flow in flows:
        if not flow.evicted:
            found.update(dict.fromkeys(groups.of(flow)))
    return list(found)

"""What a listing asks for next, made while the kernel and whoever lists are at what they were given.

Knows no request. Always true: what was made holds only as long as nothing was learnt of the tree since. Else
the kernel may have been told of growth before it asks, and would keep an older size: what it is told after it
has asked it puts above the answer, see `Notifier.settle`. Of what holds for its moment alone, as the size of
a flow does that has just grown, nothing is learnt: entries are made ahead up to the first such one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice, takewhile

import pyfuse3

from ..tree import TreeError, Unready

Entry = tuple[bytes, pyfuse3.EntryAttributes, int]
"""What pyfuse3 is given of an entry: its name, its attributes, its cookie."""

_log = logging.getLogger(__name__)


class Foresight:
    """Entries of one listing, the last one that goes on.

    `entries` makes them, of a directory's handle and behind a cookie; `learnt` counts what was learnt of the
    tree.
    """

    def __init__(
        self, entries: Callable[[int, int], Iterator[Entry]], learnt: Callable[[], int] = int
    ) -> None:
        self._entries = entries
        self._learnt = learnt
        self._planned: tuple[int, int, int] | None = None  # a directory's handle, a cookie, how many entries
        self._made: tuple[int, int, int, list[Entry]] | None = None  # that and what was learnt, and entries

    def entries(self, handle: int, cookie: int) -> Iterator[Entry]:
        """What making them gives, and raises."""
        made, self._made, self._planned = self._made, None, None
        if made is not None and made[:3] == (handle, cookie, self._learnt()):
            for entry in made[3]:
                yield entry
                cookie = entry[2]
        yield from self._entries(handle, cookie)

    def plan(self, handle: int, cookie: int, count: int) -> None:
        """Some `count` entries behind the cookie will be asked for."""
        self._planned = handle, cookie, count

    def forget(self) -> None:
        """Something was removed by who needs not be told: it must not be listed any more."""
        self._made = None

    def make(self) -> None:
        """Make what is planned; at any time between two requests."""
        if self._planned is None:
            return
        (handle, cookie, count), self._planned = self._planned, None
        learnt = self._learnt()
        try:
            entries = list(takewhile(_lasts, islice(self._entries(handle, cookie), count)))
        except (TreeError, Unready):  # whoever asks is told
            return
        except Exception:  # noqa: BLE001  anything else would end the mount; whoever asks meets it again
            _log.exception("a fault in flowfs, in a listing")
            return
        self._made = handle, cookie, learnt, entries


def _lasts(entry: Entry) -> bool:
    """Whether its attributes hold until they are learnt to have changed."""
    return entry[1].attr_timeout > 0

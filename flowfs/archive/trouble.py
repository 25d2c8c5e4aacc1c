"""What is wrong with the disk at this moment, and what people are told of it: each trouble once, and its end.

Knows no disk. Always true: what was told of is told again only after its end was told, and that is told when
nothing went wrong for SETTLE_S: a disk that is full by turns is not worth two lines each second.
"""

from __future__ import annotations

import time

SETTLE_S = 2.0


class Trouble:
    """Of one archive. `what`: why not all can be saved, "" if it can; `last`: why at the last time."""

    def __init__(self, path: str) -> None:
        self.what = self.last = ""
        self.news: list[str] = []
        """Lines to be told, the oldest first; grows."""
        self._path = path
        self._said: set[str] = set()
        self._since_s = 0.0  # when something went wrong for the last time

    def fault(self, what: str) -> None:
        """It does not work."""
        self.what = self.last = what
        self._since_s = time.monotonic()
        if what not in self._said:
            self._said.add(what)
            self.news.append(self.line(what))

    def mended(self) -> None:
        """It works."""
        self.what = ""

    def settle(self) -> None:
        """Say that it works, when that has been so for a while. To be called now and then."""
        if self._said and not self.what and time.monotonic() - self._since_s >= SETTLE_S:
            self._said.clear()
            self.news.append(f"--archive {self._path}: it works again, and flows are saved")

    def standing(self) -> list[str]:
        """The line of what is wrong at this moment, if anything is."""
        what = self.what
        return [self.line(what)] if what else []

    def line(self, what: str) -> str:
        """What people are told of a trouble."""
        return (
            f"--archive {self._path}: {what}; what cannot be saved waits until that is mended: files wait"
            " to be read on, and of interfaces what has to go meanwhile is lost"
        )

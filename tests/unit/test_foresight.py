"""What a listing will ask for: as it would be made then, or made then."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyfuse3
import pytest

from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, Limits
from flowfs.mount.foresight import Entry, Foresight
from flowfs.mount.notifier import Notifier
from flowfs.mount.waiters import Waiters
from flowfs.tree import ROOT, Reason, Tree, TreeError, Unready
from flowfs.tree.numbers import FIRST_FLOW
from treed import Treed


class Listed(Treed):
    """Ten flows that grow no more for a while, and whoever foresees how they are listed."""

    def __init__(self) -> None:
        engine = Engine(Limits())
        super().__init__(engine, Tree(engine))
        self.flows = [self.flow(port) for port in range(1, 11)]
        self.rest()
        self.told: list[int] = []
        self.notifier = Notifier(self.tree, Waiters(), self._tell)
        self.foresight = Foresight(self.entries, lambda: self.notifier.learnt)
        self.made = 0
        self.error: Exception | None = None

    def entries(self, handle: int, cookie: int) -> Iterator[Entry]:
        """Counts how often they are made."""
        self.made += 1
        if self.error is not None:
            raise self.error
        for name, attributes, inode in self.tree.entries(handle, cookie):
            entry = pyfuse3.EntryAttributes()
            entry.st_size = attributes.size
            entry.attr_timeout = attributes.valid_s
            yield name, entry, inode

    def _tell(self, inode: int) -> bool:
        self.told.append(inode)
        return True

    def rest(self) -> None:
        self.engine.tick(self.engine.now_ns + 2 * HOT_NS)

    def inodes(self, cookie: int) -> list[int]:
        return [inode for _, _, inode in self.foresight.entries(ROOT, cookie)]

    def sizes(self, cookie: int) -> list[int]:
        return [entry.st_size for _, entry, _ in self.foresight.entries(ROOT, cookie)]

    def grow(self, number: int) -> None:
        self.feed(self.flows[number].client(3, b"def"))
        self.rest()


@pytest.fixture
def listed() -> Listed:
    listed = Listed()
    listed.notifier.settle()
    return listed


@pytest.mark.parametrize("count", [0, 1, 3, 99])
def test_what_was_made_is_what_would_be(listed: Listed, count: int) -> None:
    cookie = FIRST_FLOW + 4
    listed.foresight.plan(ROOT, cookie, count)
    listed.foresight.make()
    assert listed.inodes(cookie) == list(range(FIRST_FLOW + 5, FIRST_FLOW + 11))


def test_it_is_made_once_and_taken_once(listed: Listed) -> None:
    listed.foresight.make()
    assert listed.made == 0
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 2)
    listed.foresight.make()
    listed.foresight.make()
    assert listed.made == 1
    entries = listed.foresight.entries(ROOT, FIRST_FLOW + 4)
    next(entries), next(entries)
    assert listed.made == 1
    next(entries)
    assert listed.made == 2
    listed.inodes(FIRST_FLOW + 4)
    assert listed.made == 3


@pytest.mark.parametrize(("handle", "cookie"), [(ROOT, FIRST_FLOW + 5), (ROOT, 0)])
def test_another_listing_has_nothing_of_it(listed: Listed, handle: int, cookie: int) -> None:
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 2)
    listed.foresight.make()
    found = [inode for _, _, inode in listed.foresight.entries(handle, cookie)]
    assert found == [inode for _, _, inode in listed.tree.entries(handle, cookie)]


def test_what_the_kernel_was_told_of_since_is_made_again(listed: Listed) -> None:
    """Else it would take the older size for good: it asked after it had been told."""
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    listed.grow(7)
    listed.notifier.settle(FIRST_FLOW + 8)
    assert listed.told == [FIRST_FLOW + 8]
    assert listed.sizes(FIRST_FLOW + 4) == [3, 3, 3, 6, 3, 3]


def test_of_what_grew_and_was_not_told_the_kernel_is_told_after_it_asked(listed: Listed) -> None:
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    listed.grow(7)
    assert listed.sizes(FIRST_FLOW + 4) == [3] * 6
    listed.notifier.settle(FIRST_FLOW + 8)  # before the answer is sent
    assert listed.told == [FIRST_FLOW + 8]


def test_what_holds_for_its_moment_alone_is_not_made_ahead(listed: Listed) -> None:
    """Of a flow that has just grown nobody learns when it grows again: its size would be set back."""
    listed.feed(listed.flows[7].client(3, b"def"))
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    listed.feed(listed.flows[7].client(6, b"ghi"))
    listed.notifier.settle()
    assert listed.sizes(FIRST_FLOW + 4) == [3, 3, 3, 9, 3, 3]


def test_what_went_is_not_listed_once_that_is_known(listed: Listed) -> None:
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    listed.evict(listed.flows[7])
    listed.notifier.settle()
    assert FIRST_FLOW + 8 not in listed.inodes(FIRST_FLOW + 4)


def test_what_a_reader_removed_is_not_listed(listed: Listed) -> None:
    """Of which nobody is told, for the kernel knows it; it would take it in again."""
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    listed.tree.unlink(ROOT, listed.flows[7].client_name().encode())
    listed.notifier.settle()
    listed.foresight.forget()
    assert FIRST_FLOW + 8 not in listed.inodes(FIRST_FLOW + 4)


@pytest.mark.parametrize("error", [TreeError(Reason.STALE), Unready(int)])
def test_what_cannot_be_made_yet_is_for_whoever_asks(listed: Listed, error: Exception) -> None:
    listed.error = error
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    listed.foresight.make()
    with pytest.raises(type(error)):
        listed.inodes(FIRST_FLOW + 4)


def test_a_fault_does_not_end_the_mount(listed: Listed, caplog: pytest.LogCaptureFixture) -> None:
    listed.error = ZeroDivisionError()
    listed.foresight.plan(ROOT, FIRST_FLOW + 4, 9)
    with caplog.at_level(logging.ERROR):
        listed.foresight.make()
    assert "a fault in flowfs" in caplog.text
    listed.error = None
    assert len(listed.inodes(FIRST_FLOW + 4)) == 6

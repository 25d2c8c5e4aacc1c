"""Telling the kernel, with a kernel that is a list and a clock that waits for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest
import trio
import trio.testing

from flowfs.mount import notifier as module
from flowfs.mount.notifier import GIVE_UP_S, MAX_UNKNOWN, RETRY_S, Notifier
from flowfs.mount.waiters import Waiters
from flowfs.tree import ROOT, Name, Tree


class Kernel:
    """Notes what it is told; `unknown` are inodes and names that it does not know."""

    def __init__(self) -> None:
        self.pending: tuple[list[int], list[Name], list[int]] = ([], [], [])
        self.unknown: set[int | Name] = set()
        self.inodes: list[int] = []
        self.names: list[Name] = []
        self.batches = 0
        self.pages: list[list[int]] = []
        self.waiters = Waiters()

    # the tree

    def changed(self) -> bool:
        return self.pending != ([], [], [])

    def changes(self) -> tuple[list[int], list[Name], list[int]]:
        pending, self.pending = self.pending, ([], [], [])
        return pending

    # the kernel

    def forget_attributes(self, inode: int) -> bool:
        self.inodes.append(inode)
        return inode not in self.unknown

    def forget_names(self, names: Sequence[Name]) -> list[Name]:
        self.batches += 1
        self.names += names
        return [name for name in names if name in self.unknown]

    def forget_pages(self, inodes: Sequence[int]) -> None:
        self.pages.append(list(inodes))


Script = Callable[[Kernel, Notifier], Awaitable[None]]


def played(script: Script) -> Kernel:
    """Runs a script beside the notifier; returns what the kernel was told."""
    kernel = Kernel()

    async def main() -> None:
        # The kernel stands in for the tree, too, of which a notifier asks but changes().
        tree = cast(Tree, kernel)
        telling = kernel.forget_attributes, kernel.forget_names, kernel.forget_pages
        notifier = Notifier(tree, kernel.waiters, *telling)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run)
            await script(kernel, notifier)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))
    return kernel


async def change(
    kernel: Kernel,
    notifier: Notifier,
    inodes: Sequence[int] = (),
    names: Sequence[Name] = (),
    freed: Sequence[int] = (),
) -> None:
    kernel.pending = (list(inodes), list(names), list(freed))
    notifier.notify()
    await trio.sleep(RETRY_S / 2)


def test_it_is_told_of_each_change_once() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        await change(kernel, notifier, [1025, 1026], [(ROOT, b"a")])
        await trio.sleep(100)
        await change(kernel, notifier, [1025])

    kernel = played(script)
    assert kernel.inodes == [1025, 1026, 1025]
    assert kernel.names == [(ROOT, b"a")]


def test_it_is_told_nothing_without_being_asked_to() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([1025], [], [])
        await trio.sleep(100)

    assert played(script).inodes == []


def test_many_notices_are_one() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([1025], [], [])
        for _ in range(1000):
            notifier.notify()
        await trio.sleep(1)

    assert played(script).inodes == [1025]


def test_an_inode_that_it_does_not_know_yet() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.unknown = {1025}
        await change(kernel, notifier, [1025])
        kernel.unknown = set()
        await trio.sleep(GIVE_UP_S * 2)

    kernel = played(script)
    assert 2 <= len(kernel.inodes) <= 3


def test_an_inode_that_it_has_forgotten() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.unknown = {1025}
        await change(kernel, notifier, [1025])
        await trio.sleep(GIVE_UP_S * 2)
        told = len(kernel.inodes)
        assert GIVE_UP_S / RETRY_S / 2 < told < GIVE_UP_S / RETRY_S + 4
        await trio.sleep(100)
        assert len(kernel.inodes) == told

    played(script)


def test_unknown_inodes_are_bounded() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.unknown = set(range(5000))
        await change(kernel, notifier, range(5000))
        assert len(notifier._unknown) == MAX_UNKNOWN

    played(script)


def test_names_that_it_does_not_know_yet_are_said_once_more() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.unknown = {(ROOT, b"b"), (ROOT, b"c")}
        await change(kernel, notifier, names=[(ROOT, b"a"), (ROOT, b"b"), (ROOT, b"c")])
        await trio.sleep(100)

    kernel = played(script)
    assert kernel.names == [(ROOT, b"a"), (ROOT, b"b"), (ROOT, b"c"), (ROOT, b"b"), (ROOT, b"c")]


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 10)

    async def script(kernel: Kernel, notifier: Notifier) -> None:
        await change(kernel, notifier, names=[(ROOT, b"%d" % number) for number in range(25)])
        assert notifier.dropped == 15
        await change(kernel, notifier, names=[(ROOT, b"x")])

    assert played(script).names == [*((ROOT, b"%d" % number) for number in range(10)), (ROOT, b"x")]


def test_settling_tells_of_that_inode_alone() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([1025, 1026, 1027], [], [])
        notifier.settle(1030)
        assert kernel.inodes == []
        notifier.settle(1026)
        assert kernel.inodes == [1026]
        notifier.settle(1026)
        assert kernel.inodes == [1026]
        await change(kernel, notifier)

    assert played(script).inodes == [1026, 1025, 1027]


def test_of_a_listing_each_is_settled() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([1025, 1026, 1027], [], [])
        notifier.settle(1, 1027, 1030, 1025)
        assert kernel.inodes == [1027, 1025]

    assert played(script).inodes == [1027, 1025]


def test_what_settling_collected_is_told_without_being_asked() -> None:
    """Whoever made the changes finds none left, and does not notify."""

    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([1025, 1026], [], [])
        notifier.settle(1026)
        await trio.sleep(1)

    assert played(script).inodes == [1026, 1025]


def test_others_have_their_turn_meanwhile() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = (list(range(10_000)), [], [])
        notifier.notify()
        turns = 0
        while len(kernel.inodes) < 10_000:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns > 10_000 / module.CHUNK / 2

    played(script)


def test_pages_are_forgotten_once_and_apart_from_the_rest() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        await change(kernel, notifier, [1], [(ROOT, b"a")], [7, 8, 7])
        await change(kernel, notifier, [2])
        await change(kernel, notifier, freed=[7])

    kernel = played(script)
    assert kernel.pages == [[7, 8], [7]]
    assert kernel.inodes == [1, 2]


def test_pages_are_forgotten_also_if_settling_found_them() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        kernel.pending = ([], [], [7])
        notifier.settle(1)
        await trio.sleep(RETRY_S)

    assert played(script).pages == [[7]]


class Reader:
    """Waits for a file."""

    def __init__(self) -> None:
        self.told = 0

    def notify(self) -> None:
        self.told += 1


def test_who_waits_for_an_inode_is_told_however_it_was_found_out() -> None:
    async def script(kernel: Kernel, notifier: Notifier) -> None:
        readers = [Reader() for _ in range(3)]
        for inode, reader in enumerate(readers, 1025):
            kernel.waiters.keep(inode, inode, reader)
        await change(kernel, notifier, [1025])
        assert [reader.told for reader in readers] == [1, 0, 0]
        kernel.pending = ([1026], [], [])
        notifier.settle(1026)
        assert [reader.told for reader in readers] == [1, 1, 0]
        kernel.unknown = {1027}
        await change(kernel, notifier, [1027])
        assert [reader.told for reader in readers] == [1, 1, 1]

    played(script)

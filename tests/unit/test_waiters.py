"""Who waits for what nobody learns of: woken once that has changed, and looked after no longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from flowfs.mount.waiters import CHUNK, LOOK_S, OTHERS_SHARE, Waiters

INODE = 7


class Told:
    """A waiter that counts."""

    def __init__(self) -> None:
        self.count = 0

    def notify(self) -> None:
        self.count += 1


class Looking:
    """Waiters that are looked after, and which of their files have changed."""

    def __init__(self) -> None:
        self.waiters = Waiters()
        self.changed: set[int] = set()
        self.asked: list[int] = []
        self.clock = MockClock(autojump_threshold=0)
        self.look_takes_s = 0.0

    def has_changed(self, handle: int) -> bool:
        self.asked.append(handle)
        self.clock.jump(self.look_takes_s)
        return handle in self.changed

    def keep(self, handle: int, *, told: bool = False) -> Told:
        waiter = Told()
        self.waiters.keep(INODE + handle, handle, waiter, told=told)
        return waiter


def looked_after(steps: Callable[[Looking], Awaitable[None]]) -> None:
    """The steps, beside whoever looks after waiters; time passes by the steps alone."""
    looking = Looking()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looking.waiters.look_after, looking.has_changed)
            await steps(looking)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=looking.clock)


def test_who_waits_is_woken_once_when_it_has_changed() -> None:
    async def steps(looking: Looking) -> None:
        waiter = looking.keep(1)
        await trio.sleep(3.5 * LOOK_S)
        assert (waiter.count, looking.asked) == (0, [1, 1, 1])
        looking.changed.add(1)
        await trio.sleep(5 * LOOK_S)
        assert (waiter.count, looking.asked) == (1, [1, 1, 1, 1])
        assert len(looking.waiters) == 0

    looked_after(steps)


def test_nobody_is_asked_about_what_somebody_learns_of_or_nobody_waits_for() -> None:
    async def steps(looking: Looking) -> None:
        looking.keep(1, told=True)
        looking.keep(2)
        looking.waiters.drop(2)
        looking.keep(3)
        looking.waiters.wake(INODE + 3)
        await trio.sleep(5 * LOOK_S)
        assert looking.asked == []

    looked_after(steps)


def test_many_take_no_more_than_a_share() -> None:
    async def steps(looking: Looking) -> None:
        for handle in range(10):
            looking.keep(handle)
        looking.look_takes_s = LOOK_S / 10
        await trio.sleep(50 * LOOK_S)
        assert 2 <= len(looking.asked) / 10 <= 50 / OTHERS_SHARE + 1

    looked_after(steps)


@pytest.mark.parametrize("gone", [1, CHUNK, 2 * CHUNK])
def test_who_goes_while_others_are_looked_after_is_not_woken(gone: int) -> None:
    async def steps(looking: Looking) -> None:
        kept = {handle: looking.keep(handle) for handle in range(1, 2 * CHUNK + 1)}
        looking.changed |= kept.keys()
        await trio.sleep(LOOK_S)
        looking.waiters.drop(gone)
        await trio.sleep(LOOK_S)
        assert sum(waiter.count for waiter in kept.values()) in (2 * CHUNK - 1, 2 * CHUNK)
        assert all(waiter.count == 1 for handle, waiter in kept.items() if handle != gone)

    looked_after(steps)

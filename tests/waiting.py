"""What is to come, at a time that nobody knows: asked for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import trio

OFTEN_S = 0.01


def eventually(holds: Callable[[], Any], within_s: float = 10) -> bool:
    """Asks again and again until it holds; whether it did in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(OFTEN_S)  # nothing tells of it
    return True


def until(condition: Callable[[], Any], within_s: float = 5) -> Any:
    """What `condition` gives once it is true; fails if that takes too long."""
    found: list[Any] = [None]

    def holds() -> bool:
        found[0] = condition()
        return bool(found[0])

    assert eventually(holds, within_s)
    return found[0]


async def come_true(condition: Callable[[], Any], within_s: float = 10) -> None:
    """As `until`, while other tasks of trio go on; raises trio.TooSlowError if that takes too long."""
    with trio.fail_after(within_s):
        while not condition():
            await trio.sleep(OFTEN_S / 5)  # nothing tells of it

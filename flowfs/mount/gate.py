"""How pyfuse3's workers wait for the next request: in the kernel first, and only then in trio.

Knows no request. A worker that waits in trio costs five passes of its loop for each request, some 40 µs: more
than most answers take. Whoever reads many small files asks again some µs after an answer, so a worker looks
for the next request at once, for LINGER_S, and does not come to trio in between. Always true: after TURN_S at
the most it does, so that everybody else has their turn; and one worker at a time waits.

pyfuse3 takes what it needs of trio from a name in its module, in whose place `pyfuse3.asyncio` puts another
library; there we put this. Where there is no such name nothing is put, and all works as it does with trio.
"""

from __future__ import annotations

import select
import time
from typing import Any

import pyfuse3
import trio

LINGER_S = (
    0.0001  # in which programs that read file after file ask again; nobody else has their turn meanwhile
)
TURN_S = 0.001  # as often as the engine's changes are told at the most
_TURN_NS = int(TURN_S * 1e9)
_MAX_DESCRIPTOR = 1024  # FD_SETSIZE of select(2), whose time limits are finer than those of poll(2)


class Lock:
    """Of several workers one at a time has it; who comes again goes before those that wait.

    Else each request would be another worker's, whom trio has to wake.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        while self._held:
            await self._waiting.park()
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        self._held = False
        if self._waiting:  # who looks after it: the one that had it may have long work to do
            self._waiting.unpark()


class Waiting:
    """What stands for `trio.lowlevel`."""

    def __init__(self) -> None:
        self._turn_ends_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(trio.lowlevel, name)

    async def wait_readable(self, descriptor: int) -> None:
        """Until there is a request. Raises trio.ClosedResourceError once notify_closing() was called."""
        if time.monotonic_ns() < self._turn_ends_ns and descriptor < _MAX_DESCRIPTOR:
            readable, _, _ = select.select((descriptor,), (), (), LINGER_S)
            if readable:
                return
        await trio.lowlevel.wait_readable(descriptor)
        self._turn_ends_ns = time.monotonic_ns() + _TURN_NS


class Gate:
    """What stands for `trio` in pyfuse3."""

    Lock = Lock

    def __init__(self) -> None:
        self.lowlevel = Waiting()

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


def put_up() -> None:
    """From here on pyfuse3's workers wait so."""
    if getattr(pyfuse3, "trio", None) is trio:
        setattr(pyfuse3, "trio", Gate())  # noqa: B010  its stubs do not tell of it

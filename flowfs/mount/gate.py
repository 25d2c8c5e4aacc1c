"""How pyfuse3's workers wait for the next request: in the kernel first, and only then in trio.

Knows no request. A worker that waits in trio costs five passes of its loop for each request, some 40 µs: more
than most answers take. Whoever reads many small files asks again some µs after an answer, so a worker looks
for the next request at once, for LINGER_S, and does not come to trio in between. It does not sleep either, if
there is another processor for whoever asks: to wake a sleeping thread takes longer than an answer does, in a
virtual machine 50 µs and more. Always true: after TURN_S, and the request that goes on then, it comes to
trio, so that everybody else has their turn; and one worker at a time waits.

pyfuse3 takes what it needs of trio from a name in its module, in whose place `pyfuse3.asyncio` puts another
library; there we put this. Where there is no such name nothing is put, and all works as it does with trio.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any

import pyfuse3
import trio

# In it programs that read file after file ask again; nobody else has their turn meanwhile.
LINGER_S = 0.0002
TURN_S = 0.001  # as often as the engine's changes are told at the most
_LINGER_NS, _TURN_NS = int(LINGER_S * 1e9), int(TURN_S * 1e9)
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

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile
        self._turn_ends_ns = 0
        self._patience_s = 0.0 if len(os.sched_getaffinity(0)) > 1 else LINGER_S

    def __getattr__(self, name: str) -> Any:
        return getattr(trio.lowlevel, name)

    async def wait_readable(self, descriptor: int) -> None:
        """Until there is a request. Raises trio.ClosedResourceError once notify_closing() was called."""
        self._meanwhile()
        if descriptor < _MAX_DESCRIPTOR and self._is_asked_again(descriptor):
            return
        await trio.lowlevel.wait_readable(descriptor)
        self._turn_ends_ns = time.monotonic_ns() + _TURN_NS

    def _is_asked_again(self, descriptor: int) -> bool:
        """Whether there is a request within LINGER_S, and within the turn."""
        now_ns = time.monotonic_ns()
        ends_ns = min(now_ns + _LINGER_NS, self._turn_ends_ns)
        while now_ns < ends_ns:
            readable, _, _ = select.select((descriptor,), (), (), self._patience_s)
            if readable:
                return True
            now_ns = time.monotonic_ns()
        return False


class Gate:
    """What stands for `trio` in pyfuse3."""

    Lock = Lock

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.lowlevel = Waiting(meanwhile)

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


def put_up(meanwhile: Callable[[], None]) -> None:
    """From here on pyfuse3's workers wait so; before each wait `meanwhile` is called."""
    stands = getattr(pyfuse3, "trio", None)
    if stands is trio or isinstance(stands, Gate):
        setattr(pyfuse3, "trio", Gate(meanwhile))  # noqa: B010  its stubs do not tell of it

"""What is free in the middle of the C library's heap goes back to the kernel."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import trio

from flowfs import heap
from waiting import eventually

MIB = 1 << 20
OBJECT_BYTES = 1000  # more than Python's own allocator takes
BLOCKING = 64  # of so many objects one stays


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_pages_between_what_stays_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "GIVE_BACK_S", 0.01)
    objects = [bytes(OBJECT_BYTES) for _ in range(60 * MIB // OBJECT_BYTES)]
    staying = objects[::BLOCKING]
    del objects
    before = resident_bytes()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heap.give_back)
            await trio.to_thread.run_sync(eventually, lambda: resident_bytes() < before - 40 * MIB)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert resident_bytes() < before - 40 * MIB
    assert len(staying) > 900

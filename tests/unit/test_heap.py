"""What is free in the middle of the C library's heap goes back to the kernel."""

from __future__ import annotations

import platform

import pytest

from flowfs.heap import trim
from resident import resident_bytes

MIB = 1 << 20
OBJECT_BYTES = 1000  # more than Python's own allocator takes
OBJECTS = 60 * MIB // OBJECT_BYTES
STAYING = 64  # of so many objects one stays


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_pages_between_what_stays_are_given_back() -> None:
    objects = [bytes(OBJECT_BYTES) for _ in range(OBJECTS)]
    staying = objects[::STAYING]
    del objects
    before = resident_bytes()
    trim()
    assert resident_bytes() < before - 40 * MIB
    assert len(staying) == -(-OBJECTS // STAYING)

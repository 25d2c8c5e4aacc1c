"""core/pages.py: objects are made in large pages, and what is freed goes back to the kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import flowfs.core
from flowfs.core.engine import enlarge_pages
from resident import resident_bytes

MIB = 1 << 20
OBJECT_BYTES = 400  # less than Python's own allocator takes
OBJECTS = 64 * MIB // OBJECT_BYTES
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def large_bytes() -> int:
    found = re.search(r"AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found is not None
    return int(found[1]) << 10


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def objects() -> list[bytes]:
    return [bytes(OBJECT_BYTES) for _ in range(OBJECTS)]


@pytest.mark.skipif(not flowfs.core.compiled(), reason="only C can tell the interpreter")
@pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="another allocator makes the objects then")
@pytest.mark.skipif(
    not ENABLED.exists() or "[never]" in ENABLED.read_text(), reason="the kernel has no large pages"
)
def test_objects_are_made_in_large_pages() -> None:
    enlarge_pages()
    before, maps_before = large_bytes(), mappings()
    made = objects()
    assert large_bytes() > before + 32 * MIB, "of 64 MiB; some may be in what Python had already"
    assert mappings() < maps_before + 16, "32 pages that lie side by side"
    assert len(made) == OBJECTS


def test_what_is_freed_goes_back() -> None:
    """Of whole pages, all of it at once."""
    enlarge_pages()
    made = objects()
    before = resident_bytes()
    made.clear()
    assert resident_bytes() < before - 48 * MIB

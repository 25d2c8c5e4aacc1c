"""Reads a file and copies each byte once, round and round, into one piece of memory: what keeping takes.

Knows nothing of packets. What flowfs needs above it is what understanding them costs.
"""

from __future__ import annotations

import mmap
import sys

MEMORY_BYTES = 256 * 2**20  # what a mount is given for payload (`--max-memory`)
CHUNK_BYTES = 2**19  # at once, as flowfs reads: it stays in the processor's cache for the copy


def main() -> None:
    chunk = memoryview(bytearray(CHUNK_BYTES))
    pages = mmap.mmap(-1, MEMORY_BYTES)
    pages.madvise(mmap.MADV_HUGEPAGE)
    memory = memoryview(pages)
    end = 0
    with open(sys.argv[1], "rb", buffering=0) as file:
        while count := file.readinto(chunk):
            end = end if end + count <= MEMORY_BYTES else 0
            memory[end : end + count] = chunk[:count]
            end += count


if __name__ == "__main__":
    main()

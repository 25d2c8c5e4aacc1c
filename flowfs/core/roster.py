# cython: boundscheck=False, wraparound=False, cdivision=True
"""Files as a directory lists them: a row of numbers each, and how addresses and ports are spelled in names.

For whoever lists a hundred thousand of them: neither a call nor an object for each thing that is asked of a
file. Knows no directory, and of names only how two ends in IPv4 are written.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .flow import Flow
    from .memory import dotted

from .flow import OPEN

Row = tuple[int, bytes, int, int, int, int, int, int, bool]
"""A file: serial, key, generation, size, held bytes, first, last and changed time in nanoseconds, and whether
its size holds until changes() name it."""


def row_of(flow: Flow, hot_ns: int) -> Row:
    """The file as it is; `watched` was set before, unless it is open and has grown since `hot_ns`."""
    lasts = flow.watched and (flow.state != OPEN or flow.last_ns <= hot_ns)
    return (
        flow.serial,
        flow.key,
        flow.generation,
        flow.size,
        flow.held_bytes,
        flow.first_ns,
        flow.last_ns,
        flow.changed_ns,
        lasts,
    )


def ends_of(key: bytes) -> bytes:
    """Of a key of IPv4, `128.129.130.131.02345-010.011.012.013.45103`."""
    return dotted(key)

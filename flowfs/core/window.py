# cython: boundscheck=False, wraparound=False, cdivision=True
"""What TCP options say of windows and time: the window scale and timestamps of RFC 7323.

Reads options in place; knows no connection. Any bytes give an answer: what does not fit is not there.
"""

import cython

if not cython.compiled:
    from .memory import word

_END, _NOP, _SCALE, _TIMESTAMPS = 0, 1, 3, 8
_USUAL = _NOP << 24 | _NOP << 16 | _TIMESTAMPS << 8 | 10  # as nearly everyone sends them (RFC 7323, A)
_MAX_SCALE = 14  # RFC 7323, 2.3
ABSENT = -1


def _option(base: bytes, start: int, end: int, kind: int, length: int) -> int:
    """The position of the option `kind`, which takes `length` bytes, in base[start:end]; ABSENT if none."""
    while start + 1 < end:
        found = base[start]
        if found == _END:
            break
        if found == _NOP:
            start += 1
            continue
        size = base[start + 1]
        if size < 2 or start + size > end:
            break
        if found == kind:
            return start if size == length else ABSENT
        start += size
    return ABSENT


def scale_of(base: bytes, start: int, end: int) -> int:
    """By how many bits a window is to be shifted, as a SYN's options say; ABSENT if they do not."""
    at = _option(base, start, end, _SCALE, 3)
    return ABSENT if at == ABSENT else min(_MAX_SCALE, base[at + 2])


def timestamps_at(base: bytes, start: int, end: int) -> int:
    """Where TSval stands, four bytes before TSecr; ABSENT if there are no timestamps."""
    if start + 12 <= end and word(base, start) == _USUAL:
        return start + 4
    at = _option(base, start, end, _TIMESTAMPS, 10)
    return ABSENT if at == ABSENT else at + 2

"""Numbers as people read them at a glance: sizes, ages, rates; and whole, for programs."""

from __future__ import annotations

from rich.filesize import decimal

SECOND_NS = 10**9

_UNITS = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60))


def short_size(count: int) -> str:
    """405 B, 1.3 kB: at most 8 letters below a petabyte."""
    return decimal(count).replace(" bytes", " B").replace(" byte", " B")


def short_age(age_ns: int) -> str:
    """12s, 3m, 5h, 6d, 2y: what is past, rounded down; the future is 0s."""
    seconds = max(0, age_ns) // SECOND_NS
    for letter, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length}{letter}"
    return f"{seconds}s"


def per_second(count: int, duration_ns: int) -> int | None:
    """How many a second that was; None for a moment."""
    return count * SECOND_NS // duration_ns if duration_ns > 0 else None

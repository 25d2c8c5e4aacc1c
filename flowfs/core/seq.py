"""Arithmetic modulo 2**32. The only place that wraps: everything below has 64-bit offsets (RFC 9293, 3.4)."""

SPACE_MASK = 0xFFFFFFFF
HALF_SPACE = 0x80000000


def distance(seq: int, reference: int) -> int:
    """How far `seq` lies behind `reference`, in [-2**31, 2**31): the shorter way around."""
    return ((seq - reference + HALF_SPACE) & SPACE_MASK) - HALF_SPACE


def advance(seq: int, count: int) -> int:
    """The sequence number `count` bytes further (or back, if negative)."""
    return (seq + count) & SPACE_MASK

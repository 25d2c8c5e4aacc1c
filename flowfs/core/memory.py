"""The byte moves of the core, its sum over bytes, and its one word to the garbage collector.

Interpreted, moves are slices; compiled, `memory.pxd` makes them memcpy and memcmp, and the sum a loop in C.
Callers have checked the bounds. `to` and `view` are writable memoryviews, `base` is bytes.
"""


def copy(to: memoryview, position: int, base: bytes, start: int, end: int) -> None:
    """Copy base[start:end] to `position`."""
    to[position : position + end - start] = base[start:end]


def chunk(view: memoryview, position: int, count: int) -> bytes:
    """The bytes [position, position + count)."""
    return bytes(view[position : position + count])


def same(view: memoryview, position: int, base: bytes, start: int, end: int) -> bool:
    """Whether base[start:end] stands at `position`."""
    return view[position : position + end - start] == base[start:end]


def ones_sum(base: bytes, start: int, end: int) -> int:
    """The ones' complement sum of base[start:end] in 16-bit words (RFC 1071), an odd byte padded with zero.

    Not complemented, modulo 0xFFFF: 0 and 0xFFFF are the same number there, and are both 0 here.
    """
    return (int.from_bytes(base[start:end], "big") << ((end - start & 1) << 3)) % 0xFFFF


def untrack(thing: object) -> None:
    """Keep the garbage collector from looking at `thing` ever again; nothing to do when interpreted.

    For the objects of which there are millions, and whose circles are broken by hand: the collector would
    take a quarter of the time of a capture with many short connections.
    """

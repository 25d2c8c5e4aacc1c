"""The byte moves of the core, and its one word to the garbage collector.

Interpreted, moves are slices; compiled, `memory.pxd` makes them memcpy and memcmp. Callers have checked the
bounds. `to` and `view` are writable memoryviews, `base` is bytes.
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


def untrack(thing: object) -> None:
    """Keep the garbage collector from looking at `thing` ever again; nothing to do when interpreted.

    For the objects of which there are millions, and whose circles are broken by hand: the collector would
    take a quarter of the time of a capture with many short connections.
    """

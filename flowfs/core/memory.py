"""The byte moves of the core, its sum over bytes, and its words to the kernel, the cache and the interpreter.

Interpreted, moves are slices; compiled, `memory.pxd` makes them memcpy and memcmp, or stores that pass by the
caches, and sums loops in C. Callers have checked the bounds. `to` and `view` are writable memoryviews, `base`
is bytes. Numbers in an array are taken and put without making objects of them.
"""

from __future__ import annotations

import struct
from array import array

_IPV4 = struct.Struct("!8B2H").unpack_from


def copy(to: memoryview, position: int, base: bytes, start: int, end: int) -> None:
    """Copy base[start:end] to `position`."""
    to[position : position + end - start] = base[start:end]


def copy_past_caches(to: memoryview, position: int, base: bytes, start: int, end: int) -> None:
    """The same of what is not read soon; after publish() other threads may read it, too."""
    to[position : position + end - start] = base[start:end]


def publish() -> None:
    """Have all that was copied past the caches be there before whatever comes next.

    Nothing to do when interpreted.
    """


def chunk(view: memoryview, position: int, count: int) -> bytes:
    """The bytes [position, position + count)."""
    return bytes(view[position : position + count])


def move(view: memoryview, position: int, to: memoryview, at: int, count: int) -> None:
    """Copy the bytes [position, position + count) to `at` of another view."""
    to[at : at + count] = view[position : position + count]


def clear(to: memoryview, at: int, count: int) -> None:
    """Zeros at [at, at + count)."""
    to[at : at + count] = bytes(count)


def same(view: memoryview, position: int, base: bytes, start: int, end: int) -> bool:
    """Whether base[start:end] stands at `position`."""
    return view[position : position + end - start] == base[start:end]


def populate(view: memoryview, position: int, count: int) -> None:
    """Have the kernel give memory to [position, position + count), without the interpreter's lock.

    Nothing to do when interpreted: it would take longer than what it spares.
    """


def let_others() -> None:
    """Let go of the interpreter's lock: whoever has asked for it, as is done after a switch interval, has it.

    Nothing to do when interpreted: the interpreter sees to that everywhere.
    """


def fetch(base: bytes, position: int) -> None:
    """Have the processor fetch two lines of its cache from there; nothing to do when interpreted."""


def emptied(like: array[int]) -> array[int]:
    """An array without items, like this one of 64-bit numbers."""
    return like[:0]


def push(to: array[int], value: int) -> None:
    """Append a number."""
    to.append(value)


def item(of: array[int], index: int) -> int:
    """The number at `index`, which there must be."""
    return of[index]


def numbers(like: array[int], count: int) -> array[int]:
    """An array of `count` numbers, like this one of 64-bit numbers; what they are is not said."""
    return array(like.typecode, bytes(8 * count))


def stretch(of: array[int], count: int) -> None:
    """Make it `count` numbers long, and no longer; what is new is not said."""
    of.extend(array(of.typecode, bytes(8 * (count - len(of)))))


def put(to: array[int], index: int, value: int) -> None:
    """Set the number at `index`, which there must be."""
    to[index] = value


def swapped(key: bytes, length: int, split: int) -> bytes:
    """`key` (`length` bytes: two addresses of `split` bytes, two ports, the rest) with both pairs swapped."""
    ports = 2 * split
    addresses = key[split:ports] + key[0:split]
    return addresses + key[ports + 2 : ports + 4] + key[ports : ports + 2] + key[ports + 4 : length]


def split_of(key: bytes) -> int:
    """How many bytes an address takes in a key: with both ports and a VLAN ID, IPv4 makes 14 at most."""
    return 4 if len(key) < 16 else 16


def is_low(key: bytes) -> bool:
    """Whether the first address of a key, or if both are the same, the first port, is not above the other."""
    split = split_of(key)
    ports = 2 * split
    return (key[:split], key[ports : ports + 2]) <= (key[split:ports], key[ports + 2 : ports + 4])


def mark_of(base: bytes, start: int, count: int) -> int:
    """A number of 64 bits, signed, from the bytes base[start : start + count], a multiple of four."""
    return hash(base[start : start + count])


def is_key(key: bytes, base: bytes, start: int, count: int, vlan: int) -> bool:
    """Whether `key` is base[start : start + count], and two bytes of VLAN id if it is not 0."""
    if vlan:
        return key == base[start : start + count] + vlan.to_bytes(2, "big")
    return key == base[start : start + count]


def dotted(key: bytes) -> bytes:
    """A key of IPv4 as names have it: `128.129.130.131.02345-010.011.012.013.45103`."""
    a, b, c, d, e, f, g, h, sport, dport = _IPV4(key)
    return b"%03d.%03d.%03d.%03d.%05d-%03d.%03d.%03d.%03d.%05d" % (a, b, c, d, sport, e, f, g, h, dport)


def ones_sum(base: bytes, start: int, end: int) -> int:
    """The ones' complement sum of base[start:end] in 16-bit words (RFC 1071), an odd byte padded with zero.

    Not complemented, modulo 0xFFFF: 0 and 0xFFFF are the same number there, and are both 0 here.
    """
    return (int.from_bytes(base[start:end], "big") << ((end - start & 1) << 3)) % 0xFFFF


def adds_up(base: bytes, start: int, end: int, more: int, more_end: int, rest: int) -> bool:
    """Whether base[start:end], base[more:more_end] and the number `rest` have the ones' complement sum 0.

    0xFFFF counts as 0. `more` has an even number of bytes, few of them; `rest` has 32 bits.
    """
    return (ones_sum(base, start, end) + ones_sum(base, more, more_end) + rest) % 0xFFFF == 0


def word(base: bytes, position: int) -> int:
    """Four bytes in network order."""
    return int.from_bytes(base[position : position + 4], "big")


def word_little(base: bytes, position: int) -> int:
    """Four bytes, the least significant first."""
    return int.from_bytes(base[position : position + 4], "little")

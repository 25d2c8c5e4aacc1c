"""core/memory.py: what `memory.pxd` must do as well (the arena's tests hold it to that)."""

from __future__ import annotations

from array import array

import pytest

from flowfs.core.memory import chunk, copy, emptied, is_low, item, push, same, swapped


def test_moves() -> None:
    room = memoryview(bytearray(b"0123456789"))
    copy(room, 3, b"abcdef", 1, 4)
    assert bytes(room) == b"012bcd6789"
    assert chunk(room, 2, 5) == b"2bcd6"
    assert same(room, 3, b"abcdef", 1, 4)
    assert not same(room, 4, b"abcdef", 1, 4)


def test_nothing_is_moved() -> None:
    room = memoryview(bytearray(b"01"))
    copy(room, 2, b"abc", 3, 3)
    assert bytes(room) == b"01"
    assert chunk(room, 2, 0) == b""
    assert same(room, 2, b"abc", 3, 3)


def test_what_was_read_stays() -> None:
    """A chunk is a copy: the arena writes over its place later."""
    room = memoryview(bytearray(b"abc"))
    taken = chunk(room, 0, 3)
    copy(room, 0, b"xyz", 0, 3)
    assert taken == b"abc"


def test_numbers_in_an_array() -> None:
    numbers = emptied(array("q", [1, 2, 3]))
    assert len(numbers) == 0
    for number in (-(2**63), 2**63 - 1, 5):
        push(numbers, number)
    assert numbers.tolist() == [-(2**63), 2**63 - 1, 5]
    assert item(numbers, 2) == 5


def test_a_key_is_swapped() -> None:
    assert swapped(b"srcXdstYpPqQvv", 14, 4) == b"dstYsrcXqQpPvv"
    assert swapped(b"srcXdstYpPqQ", 12, 4) == b"dstYsrcXqQpP"


@pytest.mark.parametrize("vlan", [b"", b"\0\1"])
@pytest.mark.parametrize("address_bytes", [4, 16])
def test_one_of_two_keys_is_low(address_bytes: int, vlan: bytes) -> None:
    """By addresses, then by ports; of a host connected to itself on one port both are the same."""
    first, second = bytes(address_bytes - 1) + b"\x7f", bytes(address_bytes - 1) + b"\x80"
    assert is_low(first + second + b"\xff\xff\0\0" + vlan)
    assert not is_low(second + first + b"\0\0\xff\xff" + vlan)
    assert is_low(first + first + b"\0\x7f\0\x80" + vlan)
    assert not is_low(first + first + b"\0\x80\0\x7f" + vlan)
    assert is_low(first + first + b"\0\x7f\0\x7f" + vlan)

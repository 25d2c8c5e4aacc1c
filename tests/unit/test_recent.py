"""core/recent.py, through the table that it stands before."""

from __future__ import annotations

import pytest

from craft import Conversation
from engines import feed, started
from flowfs.core.limits import MIB, SECOND_NS, Limits
from flowfs.core.memory import is_key, mark_of
from flowfs.core.recent import SLOTS


@pytest.mark.parametrize("count", [12, 36])
def test_marks_tell_addresses_apart(count: int) -> None:
    marks = [mark_of(b"before" + number.to_bytes(count, "big"), 6, count) for number in range(5000)]
    assert all(-(1 << 63) <= mark < 1 << 63 for mark in marks)
    assert len(set(marks)) == 5000


@pytest.mark.parametrize("count", [12, 36])
def test_a_key_is_compared_whole(count: int) -> None:
    key = bytes(range(count))
    base = b"xyz" + key + b"\0\7"
    assert is_key(key, base, 3, count, 0)
    assert is_key(key + b"\0\7", base, 3, count, 7)
    assert not is_key(key, base, 3, count, 7)
    assert not is_key(key + b"\0\7", base, 3, count, 0)
    assert not is_key(key + b"\0\7", base, 3, count, 0x107)
    assert not is_key(key[:-1], base, 3, count, 0)
    assert not is_key(key[: count // 3], base, 3, count, 0)
    for place in range(count):
        other = key[:place] + bytes([key[place] ^ 1]) + key[place + 1 :]
        assert not is_key(other, base, 3, count, 0)


def test_the_next_generation_is_found_at_once() -> None:
    """Not the one whose place it took, which was found a packet before [L2]."""
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation()
        for number in range(3):
            conversation.again(1000 + 70_000_000 * number, 5 + 70_000_000 * number)
            conversation.handshake().client(0, b"%d" % number).close().wait(1)
        feed(engine, conversation, size=1)
        flows = engine.list_after(0, 9)
        assert [engine.read(flow, 0, 9) for flow in flows] == [b"0", b"1", b"2"]
        assert [flow.generation for flow in flows] == [0, 1, 2]


def one_of_many(number: int, clock_ns: int = 10**18) -> Conversation:
    return Conversation(client_address=f"10.1.{number >> 8}.{number & 255}", clock_ns=clock_ns)


@pytest.mark.parametrize("count", [1, SLOTS // 2])
def test_what_was_forgotten_is_not_found(count: int) -> None:
    """Connections that timed out long ago: a packet of each begins another [L9]. Many share slots."""
    with started(Limits(payload_bytes=MIB)) as engine:
        for number in range(count):
            feed(engine, one_of_many(number).handshake().client(0, b"a"))
        for flow in engine.list_after(0, count):
            engine.remove(flow)
        for _ in range(2):
            engine.tick(engine.now_ns + 700 * SECOND_NS)
        assert engine.statistics()["connections_tracked"] == 0
        for number in range(count):
            feed(engine, one_of_many(number, engine.now_ns).client(1, b"b"))
        assert engine.statistics()["connections"] == 2 * count


def test_more_streams_than_slots() -> None:
    """They take slots from each other, and each packet still goes where it belongs."""
    count = SLOTS + 1000
    with started(Limits(payload_bytes=16 * MIB)) as engine:
        for offset, data in enumerate((b"a", b"b")):
            for number in range(count):
                conversation = one_of_many(number).client(offset, data)
                feed(engine, conversation.server_ack(offset + 1))
        engine.finish()
        flows = engine.list_after(0, 2 * count)
        assert [engine.read(flow, 0, 9) for flow in flows] == [b"ab"] * count
        assert engine.statistics()["connections"] == count

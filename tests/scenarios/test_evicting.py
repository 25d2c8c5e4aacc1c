"""The policies on whole captures: whose bytes are left, whatever the batches."""

from __future__ import annotations

import pytest

from craft import Conversation, Packet
from engines import run
from flowfs.core.limits import EVICT_POLICIES, KIB, MIB, Limits

BLOCK_BYTES = 64 * KIB
BUDGET_BYTES = 4 * MIB
PIECE = 32_000


def talk(number: int, at_s: float, count: int, *, close: bool) -> list[Packet]:
    """A connection that begins at this time and sends `count` bytes, one piece every 10 ms."""
    conversation = Conversation(client_port=10_000 + number).wait(at_s).handshake()
    for offset in range(0, count, PIECE):
        conversation.client(offset, bytes([number]) * min(PIECE, count - offset)).server_ack(offset + PIECE)
        conversation.wait(0.01)
    return conversation.close().packets if close else conversation.packets


def left_of(policy: str, *talks: list[Packet]) -> dict[int, tuple[int, int]]:
    """What is held of each: (start, size) by number."""
    packets = sorted((packet for talk in talks for packet in talk), key=lambda packet: packet.time_ns)
    outcome = run(packets, Limits(payload_bytes=BUDGET_BYTES, table_bytes=MIB, evict=policy))
    files = outcome.by_name.values()
    for file in files:
        assert set(file.content) <= {int(file.name[16:21]) - 10_000}
    assert sum(file.held_bytes for file in files) <= BUDGET_BYTES
    freed = sum(file.start for file in files)
    numbers = outcome.statistics
    assert freed <= numbers["trimmed_bytes"]
    assert numbers["dropped_memory_bytes"] == numbers["dropped_refused_bytes"] == 0
    assert numbers["stored_bytes"] == sum(len(file.content) for file in files) + (
        numbers["trimmed_bytes"] + numbers["evicted_bytes"]
    )
    return {int(file.name[16:21]) - 10_000: (file.start, file.size) for file in files}


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_who_is_left_of_three(policy: str) -> None:
    """1 is old and goes on, 2 is closed and large, 3 comes last and needs room."""
    old = talk(1, 0, 20 * PIECE, close=False)
    large = talk(2, 1, 70 * PIECE, close=True)
    new = talk(3, 4, 50 * PIECE, close=False)
    left = left_of(policy, old, large, new)
    assert left[3] == (0, 50 * PIECE)
    if policy == "closed-first":
        assert left == {1: (0, 20 * PIECE), 3: (0, 50 * PIECE)}
    elif policy in ("lru", "oldest"):
        assert left[2] == (0, 70 * PIECE)
        assert 1 not in left or left[1][0] > 0
    else:
        assert left[1] == (0, 20 * PIECE)
        assert 0 < left[2][0] < left[2][1] == 70 * PIECE


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_many_at_once(policy: str) -> None:
    """More than fits, of all sizes, some closed: what is there is right, and everybody new was let in."""
    talks = [
        talk(number, number * 0.05, (1 + number * 7 % 13) * PIECE, close=number % 3 == 0)
        for number in range(1, 60)
    ]
    left = left_of(policy, *talks)
    assert len(left) > 5
    assert 59 in left

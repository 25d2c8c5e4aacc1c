"""The same addresses and ports once more: what an old connection left behind must not cost the new one bytes.

Who reuses them honestly sends what a forger would, a SYN and its SYN/ACK; here, whose bytes must be there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from craft import Conversation
from engines import feed, run, started
from flowfs.core.limits import MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def established() -> Conversation:
    return Conversation().handshake().client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3)


# --- what goes on after its end, and ends again ------------------------------------------------------------


def test_a_connection_that_goes_on_and_ends_again_at_once() -> None:
    """The segment that shows it has data, which comes too late for what it is of."""
    conversation = Conversation().fin(0, b"qk", seq=123_456_890, ack=500_014).wait(2.1)
    conversation.fin(0, bytes(1000), seq=123_456_793, ack=500_006).wait(0.2)
    conversation.server(0, b"wr", seq=500_010, ack=123_457_790, window=0)
    run(conversation)
    with started() as engine:
        feed(engine, conversation)
        engine.tick(engine.now_ns + 700 * 10**9)
        assert engine.statistics()["out_of_order_used_bytes"] == 0


def test_ends_by_turns_cost_no_more_where_much_waits_behind_them() -> None:
    """Each closes the connection, and each is shown to be forged."""

    def seconds(pieces: int) -> float:
        conversation = established()
        for index in range(pieces):
            conversation.client(3000 + 2 * index, b"z")
        with started(Limits(out_of_order_bytes=64 * MIB)) as engine:
            feed(engine, conversation)
            conversation.packets.clear()
            for offset in range(5, 405, 2):
                conversation.fin(offset, ack=500_004)
                conversation.server_fin(3, ack=1001 + offset + 1)
                conversation.client_ack(4, seq=1001 + offset + 1)
                conversation.client(offset, b"ab", ack=500_004)
                conversation.server_ack(offset + 2)
            began = time.perf_counter()
            feed(engine, conversation)
            elapsed = time.perf_counter() - began
            assert engine.statistics()["fin_retracted"] > 100
        return elapsed

    assert min(seconds(2500) for _ in range(3)) < 5 * min(seconds(1) for _ in range(3))

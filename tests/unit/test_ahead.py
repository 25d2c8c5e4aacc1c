"""Memory that is ready before packets fill it: how much, when, and who waits for it, which is nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

from craft import ETHERNET, Conversation, batches
from flowfs.capture import Ahead
from flowfs.capture.ahead import AHEAD_BYTES, STEP_BYTES
from flowfs.core import compiled
from flowfs.core.engine import Engine
from flowfs.core.limits import MIB, Limits
from resident import resident_bytes
from waiting import eventually, until

BUDGET_BYTES = 64 * MIB
SEGMENT_BYTES = 32 * 1024


@contextmanager
def started(payload_bytes: int = BUDGET_BYTES) -> Iterator[Engine]:
    engine = Engine(Limits(payload_bytes=payload_bytes))
    try:
        yield engine
    finally:
        engine.close()


class Sender:
    """One connection, on which as many bytes come as one likes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._feed(Conversation().handshake())

    def send(self, count: int) -> None:
        """So many bytes more, but for the rest of a segment."""
        end = self._count + count
        while self._count + SEGMENT_BYTES <= end:
            self._feed(Conversation().client(self._count, b"x" * SEGMENT_BYTES))
            self._count += SEGMENT_BYTES

    def _feed(self, conversation: Conversation) -> None:
        for frames, meta in batches(conversation.packets):
            self._engine.feed(frames, meta, ETHERNET)


def has_ended() -> bool:
    return not any(thread.name == "ahead" for thread in threading.enumerate())


def test_what_comes_first_finds_memory_ready() -> None:
    with started() as engine:
        ahead = Ahead(engine)
        with ahead:
            assert until(lambda: ahead.ready_bytes == AHEAD_BYTES)
            for _ in range(100):
                ahead.look()
            assert not eventually(lambda: ahead.ready_bytes > AHEAD_BYTES, 0.1)
    assert has_ended()


def test_a_little_data_makes_no_more_than_some_ready() -> None:
    """So a quiet network does not take the whole budget."""
    with started() as engine:
        sender, ahead = Sender(engine), Ahead(engine)
        before = resident_bytes()
        with ahead:
            sender.send(SEGMENT_BYTES)
            ahead.look()
            assert until(lambda: ahead.ready_bytes >= AHEAD_BYTES)
            for _ in range(100):
                ahead.look()
            assert not eventually(lambda: ahead.ready_bytes > AHEAD_BYTES + STEP_BYTES, 0.1)
        taken = resident_bytes() - before
        if compiled():
            assert AHEAD_BYTES - STEP_BYTES <= taken <= AHEAD_BYTES + 4 * STEP_BYTES


def test_it_stays_ahead_of_data_until_all_is_ready() -> None:
    with started() as engine:
        sender, ahead = Sender(engine), Ahead(engine)
        with ahead:
            while engine.fresh_bytes() + AHEAD_BYTES // 2 <= BUDGET_BYTES:
                sender.send(AHEAD_BYTES // 2 + SEGMENT_BYTES)
                ahead.look()
                assert until(
                    lambda: ahead.ready_bytes >= min(engine.fresh_bytes() + AHEAD_BYTES // 2, BUDGET_BYTES)
                )
            assert until(lambda: ahead.ready_bytes == BUDGET_BYTES)
            assert until(has_ended)  # there is nothing to be done any more
            sender.send(BUDGET_BYTES)
            ahead.look()


def test_a_small_budget_is_not_exceeded() -> None:
    with started(3 * MIB) as engine:
        sender, ahead = Sender(engine), Ahead(engine)
        with ahead:
            sender.send(SEGMENT_BYTES)
            ahead.look()
            assert until(lambda: ahead.ready_bytes == 3 * MIB)


def test_who_has_a_turn_does_not_keep_it_waiting() -> None:
    with started() as engine:
        sender, ahead = Sender(engine), Ahead(engine)
        sender.send(SEGMENT_BYTES)
        with ahead, engine.turn:
            ahead.look()
            assert until(lambda: ahead.ready_bytes >= AHEAD_BYTES)


class Quiet:
    """An engine in whose memory a little is in use; counts how often it is asked about that."""

    store = SimpleNamespace(arena=SimpleNamespace(capacity_bytes=BUDGET_BYTES))
    asked = 0

    def fresh_bytes(self) -> int:
        self.asked += 1
        return 1

    def prepare(self, count: int, first: int) -> None:
        pass


def test_it_sleeps_while_nothing_grows() -> None:
    engine = Quiet()
    ahead = Ahead(cast(Engine, engine))
    with ahead:
        ahead.look()
        assert until(lambda: ahead.ready_bytes >= AHEAD_BYTES)
        assert not eventually(lambda: engine.asked > AHEAD_BYTES // STEP_BYTES + 9, 0.1)
        ahead.look()
        assert not eventually(lambda: engine.asked > AHEAD_BYTES // STEP_BYTES + 9, 0.1)


class Endless:
    """An engine with so much memory that to make it ready takes for ever."""

    store = SimpleNamespace(arena=SimpleNamespace(capacity_bytes=1 << 62))

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.begun = threading.Event()

    def fresh_bytes(self) -> int:
        return 1 + max((count for _, count in self.steps), default=0)  # all of it is taken at once

    def prepare(self, count: int, first: int) -> None:
        self.steps.append((first, count))
        self.begun.set()
        time.sleep(0.001)  # so that all of it takes too long


def test_it_ends_in_the_middle() -> None:
    """After one step, whatever is left to be done."""
    engine = Endless()
    ahead = Ahead(cast(Engine, engine))
    with ahead:
        ahead.look()
        assert engine.begun.wait(20)
    assert has_ended()
    assert all(count - first <= STEP_BYTES for first, count in engine.steps)
    assert engine.steps[-1][1] < 1 << 62

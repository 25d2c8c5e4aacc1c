"""How workers wait for requests, on a pipe in the kernel's place."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from select import select
from typing import Any

import pyfuse3
import pytest
import trio
import trio.testing

from flowfs.mount import gate
from flowfs.mount.gate import Gate, Lock, Waiting

PATIENCE_S = 10


def nothing() -> None:
    """Nobody has anything to do meanwhile."""


def played(script: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(PATIENCE_S):
            await script()

    trio.run(limited)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


async def turns_of_others(counts: list[int]) -> None:
    while True:
        counts[0] += 1
        await trio.lowlevel.checkpoint()


def test_a_request_that_is_there_soon_costs_no_pass_of_the_loop(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_TURN_NS", PATIENCE_S * 10**9)
    os.write(pipe[1], b"request")

    async def script() -> None:
        waiting, counts = Waiting(nothing), [0]
        async with trio.open_nursery() as nursery:
            await waiting.wait_readable(pipe[0])
            nursery.start_soon(turns_of_others, counts)
            for _ in range(1000):
                await waiting.wait_readable(pipe[0])
            assert counts == [0]
            nursery.cancel_scope.cancel()

    played(script)


@pytest.mark.parametrize(("processors", "patience_s"), [({0}, PATIENCE_S), ({0, 1}, 0)])
def test_a_request_that_comes_soon_is_waited_for(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, processors: set[int], patience_s: float
) -> None:
    """Asleep where whoever asks has no other processor."""
    for name in ("_LINGER_NS", "_TURN_NS"):
        monkeypatch.setattr(gate, name, PATIENCE_S * 10**9)
    monkeypatch.setattr(gate, "LINGER_S", PATIENCE_S)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)
    selected_s: set[float] = set()

    def noted(readers: Any, writers: Any, others: Any, timeout_s: float) -> Any:
        selected_s.add(timeout_s)
        return select(readers, writers, others, timeout_s)

    monkeypatch.setattr("select.select", noted)
    os.write(pipe[1], b"r")

    async def script() -> None:
        waiting, counts = Waiting(nothing), [0]
        await waiting.wait_readable(pipe[0])
        os.read(pipe[0], 1)
        writer = threading.Timer(0.05, os.write, (pipe[1], b"s"))
        writer.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns_of_others, counts)
            await waiting.wait_readable(pipe[0])
            assert counts == [0]
            nursery.cancel_scope.cancel()
        writer.join()

    played(script)
    assert selected_s == {patience_s}


def test_others_have_their_turn_however_many_requests_come(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"request")

    async def script() -> None:
        waiting, counts = Waiting(nothing), [0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns_of_others, counts)
            end_s = time.monotonic() + 40 * gate.TURN_S
            while time.monotonic() < end_s:
                await waiting.wait_readable(pipe[0])
            nursery.cancel_scope.cancel()
        assert counts[0] >= 10

    played(script)


def test_without_a_request_it_waits_in_trio(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"r")

    async def script() -> None:
        waiting, done = Waiting(nothing), []

        async def wait() -> None:
            for _ in range(2):
                await waiting.wait_readable(pipe[0])
                done.append(os.read(pipe[0], 1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert done == [b"r"]
            os.write(pipe[1], b"s")
        assert done == [b"r", b"s"]

    played(script)


def test_who_waits_is_told_that_there_will_be_no_more(pipe: tuple[int, int]) -> None:
    async def script() -> None:
        waiting, ended = Waiting(nothing), []

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await waiting.wait_readable(pipe[0])
            ended.append(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            waiting.notify_closing(pipe[0])
        assert ended == [True]

    played(script)


def test_one_at_a_time_has_the_lock_and_who_comes_again_goes_first() -> None:
    async def script() -> None:
        lock, order = Lock(), []

        async def worker(name: str) -> None:
            for _ in range(3):
                async with lock:
                    order.append(name)
                    before = len(order)
                    await trio.lowlevel.checkpoint()
                    assert len(order) == before, "two had it at once"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker, "a")
            await trio.lowlevel.checkpoint()
            nursery.start_soon(worker, "b")
        assert order in (["a"] * 3 + ["b"] * 3, ["b"] * 3 + ["a"] * 3)

    played(script)


def test_while_one_works_for_long_another_has_the_lock() -> None:
    async def script() -> None:
        lock, worked = Lock(), trio.Event()

        async def slow() -> None:
            async with lock:
                await trio.lowlevel.checkpoint()
            await worked.wait()

        async def other() -> None:
            async with lock:
                worked.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(other)

    played(script)


def test_who_is_woken_and_cancelled_does_not_keep_the_lock_from_others() -> None:
    async def script() -> None:
        lock, had = Lock(), []

        async def worker(scope: trio.CancelScope, name: str) -> None:
            with scope:
                async with lock:
                    had.append(name)

        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            async with lock:
                nursery.start_soon(worker, scope, "gone")
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(worker, trio.CancelScope(), "stays")
                await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
        assert had[-1] == "stays"

    played(script)


def test_pyfuse3_has_the_name_that_it_is_put_in(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two mounts in a process the later one is served."""
    monkeypatch.setattr(pyfuse3, "trio", trio)
    gate.put_up(nothing)
    put = vars(pyfuse3)["trio"]
    assert isinstance(put, Gate)
    assert put.open_nursery is trio.open_nursery
    assert put.lowlevel.current_trio_token is trio.lowlevel.current_trio_token
    called: list[int] = []
    gate.put_up(lambda: called.append(1))
    other = vars(pyfuse3)["trio"]
    assert isinstance(other, Gate)
    os.write(pipe[1], b"request")
    played(lambda: other.lowlevel.wait_readable(pipe[0]))
    assert called == [1]

"""core/turn.py: one at a time, and nobody starves."""

from __future__ import annotations

import threading
import time

import pytest

from flowfs.core.turn import Turn


def wait_until_queued(turn: Turn) -> None:
    """Somebody stands before the door. Raises AssertionError after 10 s."""
    deadline = time.monotonic() + 10
    while not turn._next.locked():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_waits_goes_before_who_comes_again() -> None:
    turn, order = Turn(), []

    def reader() -> None:
        with turn:
            order.append("reader")

    for _ in range(20):
        turn.__enter__()
        thread = threading.Thread(target=reader, daemon=True)
        thread.start()
        wait_until_queued(turn)
        turn.__exit__()
        with turn:
            order.append("hog")
        thread.join(10)
    assert order == ["reader", "hog"] * 20


def test_a_hog_lets_others_through() -> None:
    """One thread that has a turn all the time: the other's 50 turns come without a timeout or a sleep."""
    turn, stop, taken = Turn(), threading.Event(), 0

    def hog() -> None:
        nonlocal taken
        while not stop.is_set():
            with turn:
                taken += 1
                time.sleep(0.001)

    thread = threading.Thread(target=hog, daemon=True)
    thread.start()
    waits = []
    for _ in range(50):
        before = taken
        with turn:
            waits.append(taken - before)
    stop.set()
    thread.join(10)
    assert sorted(waits)[25] <= 2  # the one that was under way, and one that had its turn already
    assert max(waits) <= 20  # the scheduler's part


def test_one_at_a_time() -> None:
    turn, inside, worst = Turn(), 0, 0

    def worker() -> None:
        nonlocal inside, worst
        for _ in range(200):
            with turn:
                inside += 1
                worst = max(worst, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (inside, worst) == (0, 1)


def test_turns_are_counted() -> None:
    turn = Turn()
    for _ in range(3):
        with turn:
            pass
    assert turn.taken == 3


def test_an_error_ends_the_turn() -> None:
    turn = Turn()
    with pytest.raises(ZeroDivisionError), turn:
        raise ZeroDivisionError
    with turn:
        pass

"""How the benchmark at an interface searches for a limit, and what it makes of what it saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benches import bench_module

live = bench_module("live")
capturing = bench_module("capturing")
Trial = capturing.Trial


def program(limit: float, fastest: float = 1e9) -> Callable[[float], Any]:
    """Loses what is sent beyond its limit, by a sender that has one, too."""

    def once(rate: float) -> Any:
        rate = min(rate, fastest)
        return Trial(rate, 100 * rate, max(0.0, 1 - limit / rate))

    return once


@pytest.mark.parametrize("limit", [20_000, 31_000, 100_000, 777_777])
def test_the_limit_is_closed_in_on(limit: float) -> None:
    found = live.search(program(limit), 20_000, 3e6, 6)
    assert limit / 1.01 < found.rate <= limit < found.lost.rate
    assert found.held.bytes_per_s == 100 * found.rate


def test_a_limit_below_the_first_rate() -> None:
    found = live.search(program(15_000), 20_000, 3e6, 6)
    assert 14_000 < found.rate <= 15_000


def test_nothing_is_held() -> None:
    found = live.search(program(1), 20_000, 3e6, 2)
    assert found.held is None
    assert found.rate == 0


@pytest.mark.parametrize("fastest", [10_000, 50_000])
def test_the_sender_has_a_limit(fastest: float) -> None:
    assert live.search(program(1e9, fastest), 20_000, 3e6, 6) == (Trial(fastest, 100 * fastest, 0), None)


def test_the_highest_rate_that_is_wanted() -> None:
    assert live.search(program(1e9), 20_000, 60_000, 6).rate == 60_000


def test_a_rate_is_tried_again() -> None:
    trials = iter([Trial(1000, 0, 0.5), Trial(1000, 0, 0.0)])
    assert live.attempt(lambda _: next(trials), 1000).lost == 0


def test_the_best_of_losing_trials() -> None:
    trials = iter([Trial(1000, 0, 0.2), Trial(1000, 0, 0.5)])
    assert live.attempt(lambda _: next(trials), 1000).lost == 0.2


def test_latencies() -> None:
    sent_ns = [0, 1_000_000, 2_000_000, 9_000_000]
    seen = [(10, 500_000), (25, 3_000_000), (40, 9_500_000)]  # the third marker is in pieces
    assert live.late_ms(sent_ns, seen, 10) == [2.0, 7.5, 0.5]


def test_names_after_passes() -> None:
    name = "010.000.001.044.12345-198.051.100.001.09000"
    assert capturing.moved(name, 0) == name
    assert capturing.moved(name, 2) == "010.002.001.044.12345-198.049.100.001.09000"
    assert capturing.moved(name, 256) == "011.000.001.044.12345-197.051.100.001.09000"


@pytest.mark.parametrize("flows, place", [(1000, "disk"), (1001, "memory"), (1999, "memory"), (2000, "disk")])
def test_where_tcpflow_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flows: int, place: str
) -> None:
    """Many files go where it matters not what was removed before, if there is room."""
    programs = bench_module("programs")
    for name in ("disk", "memory"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(programs, "MEMORY", str(tmp_path / "memory"))
    monkeypatch.setattr(programs, "free_bytes", lambda folder: 4 * 2000 * 4096)
    assert programs.tcpflow_folder(flows, tmp_path / "disk").parent == tmp_path / place


def test_there_is_no_room_where_nothing_can_be_written(tmp_path: Path) -> None:
    programs = bench_module("programs")
    assert programs.free_bytes(str(tmp_path)) > 0
    assert programs.free_bytes(str(tmp_path / "missing")) == 0

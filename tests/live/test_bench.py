"""The benchmark at an interface, in its smallest form: it sends what was meant, and losses are seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import running
from benches import bench_module, run_bench

capturing = bench_module("capturing")
captures = bench_module("captures")
wire = bench_module("wire")

pytestmark = [pytest.mark.needs("netns", "fuse"), pytest.mark.slow]

FLOWFS = [sys.executable, "-P", "-m", "flowfs"]
SHAPE = captures.Shape("test-live", 20, 0, 7, "mix")  # 1,600 packets


@pytest.fixture
def cable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", running.ENVIRONMENT["PYTHONPATH"])
    with wire.cable() as sides:
        yield sides
    assert not list(Path("/run/netns").glob(f"flowfs-bench-{os.getpid()}-*"))


def plan(place: Path, readers: int = 0, shape: Any = SHAPE) -> Any:
    return capturing.Plan(shape, 1.0, 4096, readers, FLOWFS, place)


def test_passes_are_new_connections_with_valid_checksums(cable: Any, tmp_path: Path) -> None:
    """flowfs stores each byte of each pass, and compares flows of all of them."""
    trial = capturing.try_flowfs(cable, plan(tmp_path), 5000)
    assert trial.lost == 0
    assert 1000 < trial.rate < 5100


@pytest.mark.needs("tcpflow")
def test_tcpflow_is_seen_to_lose_nothing(cable: Any, tmp_path: Path) -> None:
    assert capturing.try_tcpflow(cable, plan(tmp_path), 1000).lost == 0


def test_what_is_lost_is_seen(cable: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender claims a tenth more than it sent."""
    replay = wire.replay

    def boast(*arguments: Any) -> Any:
        sent = replay(*arguments)
        more = sent.packets // 10
        return sent._replace(packets=sent.packets + more, payload_bytes=sent.payload_bytes * 11 // 10)

    monkeypatch.setattr(wire, "replay", boast)
    assert capturing.try_flowfs(cable, plan(tmp_path), 2000).lost == pytest.approx(1 / 11, abs=0.001)


def test_flows_that_are_not_what_was_sent_are_seen(cable: Any, tmp_path: Path) -> None:
    shape = captures.Shape("test-live", 20, 0, 7, "mix")
    captures.cached(shape)  # what is sent
    other = captures.Shape("test-live", 20, 0, 7, "requests")  # what is expected, by the same name of a file
    with pytest.raises(capturing.Failed, match="is not what was sent"):
        capturing.try_flowfs(cable, plan(tmp_path, shape=other), 3000)


@pytest.mark.needs("tcpdump")
def test_the_command(tmp_path: Path) -> None:
    done = run_bench("live", tmp_path, "--small", "--only", "flowfs", "--only", "tcpdump")
    assert done.returncode == 0, done.stderr
    assert "flowfs / tcpdump" in done.stdout
    assert "from a packet to its last byte read" in done.stdout


def test_the_tools_of_every_day(tmp_path: Path) -> None:
    """On a mount, and beside a capture of which nothing may be lost."""
    done = run_bench("tree", tmp_path, "--small", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    for said in (
        "ls -U again",
        "grep -r again",
        "while a capture goes on",
        "at full load",
        " packets lost at ",
    ):
        assert said in done.stdout
    assert not list(tmp_path.glob("flowfs-bench/run-*"))

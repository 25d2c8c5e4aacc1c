"""The commands of contrib/bench in their smallest form."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import running
from benches import run_bench

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.slow]

ONE = ("--small", "--repeat", "1", "--limit-s", "60")


def test_load_several_captures(tmp_path: Path) -> None:
    names = ("mix", "thousand", "crowd")
    done = run_bench("load", tmp_path, *ONE, "--no-peers", *(f"--only={name}" for name in names))
    assert done.returncode == 0, done.stderr
    assert "nothing missed" in done.stdout
    for name in names:
        assert f"\n{name}: " in done.stdout
    assert "flowfs: crowd / thousand" in done.stdout
    assert not list(tmp_path.glob("flowfs-bench/run-*"))


@pytest.mark.needs("tcpdump")
def test_load_beside_a_peer(tmp_path: Path) -> None:
    drawing, stored = tmp_path / "load.svg", tmp_path / "ratios.json"
    only = (*ONE, "--only", "bulk", "--peer", "tcpdump", "--ratios", stored)
    done = run_bench("load", tmp_path, *only, "--plot", drawing, "--store")
    assert done.returncode == 0, done.stderr
    assert "| 64 connections × 500000 B |" in done.stdout
    ET.fromstring(drawing.read_text())
    ratios = json.loads(stored.read_text())["small"]["ratios"]
    assert ratios.keys() == {"bulk: flowfs / tcpdump"}

    stored.write_text(json.dumps({"small": {"ratios": {"bulk: flowfs / tcpdump": 0.001}}}))
    done = run_bench("load", tmp_path, *only, "--check")
    assert done.returncode == 1
    assert "MISSED: bulk: flowfs / tcpdump" in done.stdout


def test_a_peer_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(running.ENVIRONMENT, "PATH", "/nonexistent")
    done = run_bench("load", tmp_path, *ONE, "--only", "bulk")
    assert "load: there is no tcpflow here; going on without it" in done.stderr


def test_check_without_anything_stored(tmp_path: Path) -> None:
    done = run_bench("load", tmp_path, *ONE, "--check", "--ratios", tmp_path / "none.json")
    assert done.returncode == 2
    assert "none.json" in done.stderr

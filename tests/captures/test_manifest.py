"""Real and crafted captures, and what each must yield: names, sizes, SHA-256 and lost ranges.

What the manifest calls uncertain is not judged.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from conftest import CAPTURES
from flowfs.capture import Capture, open_file
from flowfs.core.engine import Engine
from flowfs.core.limits import MIB, Limits
from flowfs.dissect import dissect
from flowfs.tree.names import name_of


def entries() -> list[Any]:
    """The entries of the manifest; none where the captures are not at hand."""
    if not (CAPTURES / "manifest.json").exists():
        return []
    return list(json.loads((CAPTURES / "manifest.json").read_text()))


class InBatches(Engine):
    """An engine that is fed `batch` packets at a time, whatever the capture room passes on."""

    batch = 256
    sleeps = False  # everybody who can, after each batch; or after some, where there are many

    def feed(
        self,
        frames: bytes,
        meta: bytes | memoryview,
        link_type: int,
        source: int = 0,
        fraction_ns: int = 1000,
        packet: int = 0,
        patient: bool = False,
    ) -> int:
        """Pass on a batch in batches of this size."""
        for start in range(0, len(meta), 16 * self.batch):
            super().feed(frames, meta[start : start + 16 * self.batch], link_type, source, fraction_ns)
            if self.sleeps and self.counters.packets % (1 + self.flows.live // 50) == 0:
                self.flows.lay_down_all()
                self.changes()
        return len(meta) // 16


def tree_of(path: Path, batch: int, sleeps: bool = False) -> dict[str, dict[str, Any]]:
    engine = InBatches(Limits(payload_bytes=16 * MIB), dissect)
    engine.batch = batch
    engine.sleeps = sleeps
    trio.run(Capture([open_file(str(path), 0, filter="")], engine).run)
    tree = {}
    for flow in engine.list_after(0, 1_000_000):
        data = engine.read(flow, 0, flow.size)
        holes = [[offset, offset + length] for offset, length, _ in flow.gaps()]
        tree[name_of(flow.key, flow.generation).decode()] = {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "holes": holes,
        }
    engine.close()
    return tree


@pytest.mark.needs("captures")
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["file"])
def test_capture(entry: dict[str, Any]) -> None:
    tree = tree_of(CAPTURES / entry["file"], 256)
    uncertain = set(entry.get("uncertain", []))
    assert {name: row for name, row in tree.items() if name not in uncertain} == {
        name: row for name, row in entry["expected"].items() if name not in uncertain
    }
    assert tree == tree_of(CAPTURES / entry["file"], 1)
    assert tree == tree_of(CAPTURES / entry["file"], 1, sleeps=True)


@pytest.mark.needs("captures")
def test_there_are_captures() -> None:
    assert len(entries()) > 130

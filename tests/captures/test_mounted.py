"""Every entry of the captures' manifest through the whole program: mounted by the command, read as files."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from captures.test_manifest import entries
from conftest import CAPTURES
from live.mounting import ENVIRONMENT, FLOWFS


def flowfs(*words: str) -> str:
    """Runs the command; what it says on standard error."""
    done = subprocess.run(
        [*FLOWFS, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.needs("fuse", "captures")
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["file"])
def test_capture_mounted(entry: dict[str, Any], tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    flowfs("mount", str(flows), "-r", str(CAPTURES / entry["file"]))
    try:
        found = {
            path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in flows.iterdir()
        }
    finally:
        flowfs("umount", str(flows))
    uncertain = set(entry.get("uncertain", []))
    assert {name: row for name, row in found.items() if name not in uncertain} == {
        name: (row["size"], row["sha256"]) for name, row in entry["expected"].items() if name not in uncertain
    }

"""What an idle connection takes, as contrib/bench/idle measures it in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowfs.core

IDLE = Path(__file__).parents[2] / "contrib" / "bench" / "idle.py"
MOST_BYTES = 300  # a direction, beside the blocks of its payload
COUNT = 200_000
RATE = 400  # so that few of them are awake at any time, as of a million at the usual rate


@pytest.mark.slow
@pytest.mark.skipif(not flowfs.core.compiled(), reason="objects of Python's take more")
@pytest.mark.parametrize("payload", [0, 10])
def test_an_idle_direction_takes_at_most_300_bytes(payload: int) -> None:
    command = [
        sys.executable,
        "-P",
        str(IDLE),
        f"--connections={COUNT}",
        f"--bytes={payload}",
        f"--rate={RATE}",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{COUNT:,} connections tracked, {COUNT:,} of them asleep" in said, said
    found = re.search(r"(\d+) bytes resident and (\d+) of blocks, (\d+) charged", said)
    assert found is not None, said
    resident_bytes, _, charged_bytes = map(int, found.groups())
    assert 0 < resident_bytes <= MOST_BYTES, said
    assert resident_bytes / 1.15 <= charged_bytes <= MOST_BYTES, said

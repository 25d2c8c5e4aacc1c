"""Programs that are run to their end, and the package that is imported here as one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import flowfs

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(flowfs.__file__).parent.parent)}
MODULE = [sys.executable, "-P", "-m", "flowfs"]
"""Compiled or interpreted as the tests are; what is installed is in `live.mounting`."""


def to_its_end(
    command: Sequence[str | Path], environment: Mapping[str, str], timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Its output comes through pipes: if a daemon of its kept them open, this would wait for it."""
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done

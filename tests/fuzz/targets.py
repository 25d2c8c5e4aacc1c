"""The targets by name: functions of bytes that raise where flowfs breaks a promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz import captures, fragments, frames

CORPUS = Path(__file__).parent / "corpus"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "captures": captures.run,
    "fragments": fragments.run,
    "frames": frames.run,
}

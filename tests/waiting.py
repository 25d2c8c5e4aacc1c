"""What is to come, at a time that nobody knows: asked for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

OFTEN_S = 0.01


def eventually(holds: Callable[[], Any], within_s: float = 10) -> bool:
    """Asks again and again until it holds; whether it did in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(OFTEN_S)  # nothing tells of it
    return True

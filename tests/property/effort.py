"""How hard the property tests try: the same examples for everyone, or many and new ones for who asks.

`FLOWFS_EFFORT=50` in the environment makes it fifty times as many examples, other ones in each run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import hypothesis

EFFORT = float(os.environ.get("FLOWFS_EFFORT", "0"))


def examples(count: int) -> Callable[[Any], Any]:
    """Decorates a test that is to see so many examples; a tree that passed once passes again."""
    number = max(1, round(count * EFFORT)) if EFFORT else count
    return hypothesis.settings(max_examples=number, derandomize=not EFFORT, deadline=None)

"""How hard the property tests try: the same examples for everyone, or many and new ones for who asks.

`FLOWFS_EFFORT=50` in the environment makes it fifty times as many examples, other ones in each run.
"""

from __future__ import annotations

import os

import hypothesis

from flowfs.core import compiled

EFFORT = float(os.environ.get("FLOWFS_EFFORT", "0"))
INTERPRETED_EFFORT = 1 / 3  # as much time as the compiled core takes for all of them


def examples(count: int, steps: int = 50) -> hypothesis.settings:
    """Decorates a test that is to see so many examples; a tree that passed once passes again.

    Also the settings of a machine that takes up to so many steps in each.
    """
    effort = EFFORT or (1 if compiled() else INTERPRETED_EFFORT)
    number = max(1, round(count * effort))
    return hypothesis.settings(
        max_examples=number, stateful_step_count=steps, derandomize=not EFFORT, deadline=None
    )

"""The text of `.flowfs/status.json`: one moment of the mount, for people and for scripts.

Knows no directory and no format of its own beyond JSON: what the counters mean is with those who count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .. import __version__
from ..core.engine import Engine


def status_json(engine: Engine, about: Mapping[str, object]) -> bytes:
    """UTF-8 JSON, one object, a line each: `version`, `finished`, what `about` adds, and `statistics`.

    `statistics` is one atomic snapshot of the engine's counters and gauges, by name.
    """
    status = {
        "version": __version__,
        "finished": engine.finished,
        **about,
        "statistics": engine.statistics(),
    }
    return json.dumps(status, indent=2, ensure_ascii=False).encode() + b"\n"

"""What is in `.flowfs`: names, inode numbers and texts of what is generated.

Knows no attribute and no handle. Always true: a text is of one moment, that at which it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ..core.engine import Engine
from ..core.flow import Flow
from .meta import meta_json
from .metrics import metrics_text
from .status import status, status_json

CONTROL_NAME = b".flowfs"
META_SUFFIX = b".json"

CONTROL, STATUS, METRICS, META = 2, 3, 4, 5  # inode numbers
FIRST_META = 1 << 48  # of what is known of serial 0; of flows there are fewer
FILES = {b"status.json": STATUS, b"metrics": METRICS}
DIRECTORIES = {b"meta": META}


class Control:
    """The texts. `about`: see Tree."""

    def __init__(self, engine: Engine, about: Callable[[], Mapping[str, object]]) -> None:
        self._engine = engine
        self._about = about

    def text(self, inode: int) -> bytes:
        """What one of FILES holds."""
        numbers = status(self._engine, self._about())
        return status_json(numbers) if inode == STATUS else metrics_text(numbers)

    def meta(self, flow: Flow) -> bytes:
        """What is known of a flow."""
        sources = cast("Sequence[str]", self._about().get("sources", ()))
        return meta_json(flow, self._engine.about(flow), sources)

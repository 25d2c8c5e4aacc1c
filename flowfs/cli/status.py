"""`.flowfs/status.json` as the commands need it.

Always true: a number that the mount's version of flowfs does not have is 0.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowfs.mountpoint import CONTROL

from .looking import Unreadable

STATUS = "status.json"

Numbers = Mapping[str, int]


class Status(NamedTuple):
    """One moment of a mount. `numbers` are the engine's, `archive` is None if there is none."""

    pid: int
    started_ns: int
    sources: tuple[str, ...]
    filter: str
    live: bool
    finished: bool
    read_bytes: int
    total_bytes: int
    interfaces: Mapping[str, Numbers]
    archive: Mapping[str, Any] | None
    warnings: tuple[str, ...]
    numbers: Numbers

    @property
    def now_ns(self) -> int:
        """The time of its packets: of capture files, that of the last one that was read."""
        return time.time_ns() if self.live else self.numbers["now_ns"]


def read_status(mount: Path) -> Status:
    """Raises OSError and Unreadable."""
    return parse_status((mount / CONTROL / STATUS).read_bytes())


def parse_status(text: bytes) -> Status:
    """Raises Unreadable."""
    try:
        return _status(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unreadable(STATUS) from None


def _status(known: Mapping[str, Any]) -> Status:
    archive = known["archive"]
    return Status(
        pid=int(known["pid"]),
        started_ns=int(known["started_ns"]),
        sources=tuple(map(str, known["sources"])),
        filter=str(known["filter"]),
        live=bool(known["live"]),
        finished=bool(known["finished"]),
        read_bytes=int(known["read_bytes"]),
        total_bytes=int(known["total_bytes"]),
        interfaces={str(name): _numbers(one) for name, one in known["interfaces"].items()},
        archive=None if archive is None else dict(archive.items()),
        warnings=tuple(map(str, known["warnings"])),
        numbers=_numbers(known["statistics"]),
    )


def _numbers(known: Mapping[str, Any]) -> Numbers:
    return defaultdict(int, {name: int(number) for name, number in known.items()})

"""What happens to the flows of a mount, a line for each event, as it comes: `.flowfs/events.jsonl` read on.

Always true: each line is whole, and comes once; when the log is turned the old one is read to its end first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .flows import NOTHING
from .looking import Unreadable
from .terminal import printable
from .watching import reader_has_gone
from .words import SECOND_NS, short_size

EVENTS = "events.jsonl"
EVERY_S = 0.1  # nothing tells of a line that was added


def follow(control: Path, as_json: bool) -> None:
    """Write them until whoever reads has gone, which is a BrokenPipeError. Raises OSError, Unreadable."""
    for_people = sys.stdout.isatty()
    for line in _lines(control / EVENTS):
        if as_json:
            sys.stdout.write(line.decode())
        else:
            sys.stdout.write(_shown(line, for_people))
        sys.stdout.flush()


def _lines(path: Path) -> Iterator[bytes]:
    """Those that come from now on."""
    file = path.open("rb", buffering=0)
    try:
        file.seek(0, os.SEEK_END)
        torn = b""
        while True:
            is_last = path.stat().st_ino != os.fstat(file.fileno()).st_ino  # before what is read
            while data := file.read(1 << 16):
                *lines, torn = (torn + data).split(b"\n")
                yield from (line + b"\n" for line in lines)
            if is_last:
                file.close()
                file = path.open("rb", buffering=0)
            elif reader_has_gone(EVERY_S):
                raise BrokenPipeError
    finally:
        file.close()


def _shown(line: bytes, for_people: bool) -> str:
    """TIME EVENT NAME SIZE, parted by tabs; for people in their own time, and aligned."""
    try:
        event = json.loads(line)
        what, time_ns = printable(event["event"]), int(event.get("time_ns", time.time_ns()))
        name = printable(event.get("name") or NOTHING)
        size = int(event.get("size", event.get("count", 0)))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unreadable(EVENTS) from None
    seconds, rest_ns = divmod(time_ns, SECOND_NS)
    if not for_people:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{at}.{rest_ns:09}Z\t{what}\t{name}\t{size}\n"
    at = time.strftime("%H:%M:%S", time.localtime(seconds))
    return f"{at}.{rest_ns // 1_000_000:03}  {what:8} {short_size(size):>8}  {name}\n"

"""What is known of one flow beside its bytes, for `.flowfs/meta/NAME.json`, flows.jsonl and archives.

Knows no directory. Offsets and sizes are in bytes of the file, times in nanoseconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..core.flow import STATE_NAMES, Flow
from ..core.notes import About
from .directories import Called


def source_of(flow: Flow, sources: Sequence[str]) -> str:
    """The interface or file that it was first seen on."""
    return sources[flow.source] if flow.source < len(sources) else str(flow.source)


def described(flow: Flow, about: About, sources: Sequence[str], called: Called) -> dict[str, object]:
    """All of it, as JSON can hold it; `sources` are the names of interfaces and files by their numbers."""
    known = about._asdict()
    known["holes"] = [
        {"offset": offset, "length": length, "reason": reason} for offset, length, reason in about.holes
    ]
    known["conflicts"] = [conflict._asdict() for conflict in about.conflicts]
    return {
        **called.named(),
        "state": STATE_NAMES[flow.state],
        "source": source_of(flow, sources),
        "size": flow.size,
        "freed_bytes": flow.start,
        "first_ns": flow.first_ns,
        "last_ns": flow.last_ns,
        "changed_ns": flow.changed_ns,
        **known,
    }


def meta_json(flow: Flow, about: About, sources: Sequence[str], called: Called) -> bytes:
    """UTF-8 JSON, one object, a line each."""
    return json.dumps(described(flow, about, sources, called), indent=2, ensure_ascii=False).encode() + b"\n"

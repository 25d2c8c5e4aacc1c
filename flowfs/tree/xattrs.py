"""Extended attributes of a flow: what is known of it beside its bytes, where tools for files look for it.

Knows no directory. Values are text without a newline at the end; times are UTC as in RFC 3339, with
nanoseconds; ranges are `offset-end,offset-end` in bytes of the file, `end` being the first byte behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from ..core.flow import STATE_NAMES, Flow
from ..core.notes import About
from .answers import Reason, TreeError
from .directories import Called

PREFIX = b"user.flowfs."
MAX_VALUE_BYTES = 65536  # XATTR_SIZE_MAX of limits.h
_MORE = ",..."  # there are more ranges than fit

_SECOND_NS = 10**9
_Value = Callable[[Flow, About, Called, str], str]


def when(time_ns: int) -> str:
    """A time of a packet, for people."""
    seconds, rest = divmod(time_ns, _SECOND_NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"


def ranges(pairs: Iterable[tuple[int, int]]) -> str:
    """(offset, length) pairs, as many as fit into a value."""
    said: list[str] = []
    room = MAX_VALUE_BYTES - len(_MORE)
    for offset, length in pairs:
        one = f"{offset}-{offset + length}"
        room -= len(one) + 1
        if room < 0:
            return ",".join(said) + _MORE
        said.append(one)
    return ",".join(said)


_VALUES: Mapping[bytes, _Value] = {
    b"state": lambda flow, about, called, source: STATE_NAMES[flow.state],
    b"first": lambda flow, about, called, source: when(flow.first_ns),
    b"last": lambda flow, about, called, source: when(flow.last_ns),
    b"packets": lambda flow, about, called, source: str(about.packets),
    b"gaps": lambda flow, about, called, source: ranges(hole[:2] for hole in about.holes),
    b"missing": lambda flow, about, called, source: str(
        sum(hole[1] for hole in about.holes) + about.tail_missing_bytes
    ),
    b"freed": lambda flow, about, called, source: str(flow.start),
    b"conflicts": lambda flow, about, called, source: ranges(conflict[:2] for conflict in about.conflicts),
    b"retransmitted": lambda flow, about, called, source: str(about.bytes_by_fate.get("duplicate_bytes", 0)),
    b"peer": lambda flow, about, called, source: called.peer,
    b"role": lambda flow, about, called, source: about.role,
    b"source": lambda flow, about, called, source: source,
    b"checksum": lambda flow, about, called, source: "unverified" if about.unverified else "ok",
}
NAMES = tuple(PREFIX + name for name in _VALUES)
_BY_TEMPLATE: Mapping[bytes, _Value] = {
    b"canonical": lambda flow, about, called, source: called.canonical or "",
}
_ALL = {**_VALUES, **_BY_TEMPLATE}
_ALL_NAMES = tuple(PREFIX + name for name in _ALL)


def names(by_template: bool) -> tuple[bytes, ...]:
    """Those of a flow, whose name may come by a template."""
    return _ALL_NAMES if by_template else NAMES


def value(name: bytes, flow: Flow, about: About, called: Called, source: str) -> bytes:
    """What an attribute says. NO_ATTRIBUTE."""
    say = _ALL.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if say is None:
        raise TreeError(Reason.NO_ATTRIBUTE)
    return say(flow, about, called, source).encode()

"""What the letters of a template become for one flow: its path, as the names between the slashes.

Knows a flow's key and numbers, no other flow and no directory. Always true: a path of one template has as
many names as any other of it, so that no name is a file's in one path and a directory's in another; and each
is a name that a directory can hold: what letters made empty, `.` or `..` gets `_` behind it, and what would
pass for the mount's own gets one before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from socket import AF_INET6, inet_ntop
from typing import Any, NamedTuple, Protocol

from ..core.desk import Origin
from ..core.links import ADDRESSES_BYTES, NO_ADDRESSES, in_order
from ..templates import HIDDEN, Piece, Template
from .names import IPV4_KEY_BYTES, IPV6_KEY_BYTES, Keyed, reversed_key

_SECOND_NS = 10**9
_NO_NAMES = frozenset((b"", b".", b".."))
_HIDDEN = HIDDEN.encode()


class Named(Keyed, Protocol):
    """What of a flow names are made of; see Flow."""

    @property
    def first_ns(self) -> int: ...


class _Facts(NamedTuple):
    """A flow's key taken apart; `number`: of its kind, from 0 on."""

    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes
    vlan: int
    number: int
    flow: Named
    origin: Callable[[Any], Origin]


def _facts(flow: Named, origin: Callable[[Any], Origin]) -> _Facts:
    key = flow.key
    at = (IPV4_KEY_BYTES if len(key) < IPV6_KEY_BYTES else IPV6_KEY_BYTES) - 4
    half = at // 2
    ports = int.from_bytes(key[at : at + 2], "big"), int.from_bytes(key[at + 2 : at + 4], "big")
    return _Facts(
        _address(key[:half]),
        _address(key[half:at]),
        b"%05d" % ports[0],
        b"%05d" % ports[1],
        int.from_bytes(key[at + 4 :], "big"),
        flow.serial - 1,
        flow,
        origin,
    )


def _address(address: bytes) -> bytes:
    if len(address) == 4:
        return b"%03d.%03d.%03d.%03d" % tuple(address)
    return inet_ntop(AF_INET6, address).encode()


def _link(facts: _Facts, start: int) -> bytes:
    """An Ethernet address; zeros where a connection has none, or has gone."""
    key = facts.flow.key
    link = in_order(facts.origin(facts.flow).link or NO_ADDRESSES, key, reversed_key(key))
    return link[start : start + ADDRESSES_BYTES // 2].hex(":").encode()


def _session(facts: _Facts) -> bytes:
    session = facts.origin(facts.flow).session
    return b"%020d" % session if session is not None else b""


def _iso8601(time_ns: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // _SECOND_NS)).encode()


def _thousandth(power: int) -> Callable[[_Facts], bytes]:
    return lambda facts: b"%03d" % (facts.number // power % 1000)


_WRITE: dict[str, Callable[[_Facts], bytes]] = {
    "A": lambda facts: facts.source,
    "a": lambda facts: facts.source_port,
    "B": lambda facts: facts.destination,
    "b": lambda facts: facts.destination_port,
    "V": lambda facts: b"--" if facts.vlan else b"",
    "v": lambda facts: b"%d" % facts.vlan if facts.vlan else b"",
    "T": lambda facts: _iso8601(facts.flow.first_ns),
    "t": lambda facts: b"%d" % (facts.flow.first_ns // _SECOND_NS),
    "C": lambda facts: b"c" if facts.flow.generation else b"",
    "c": lambda facts: b"%d" % facts.flow.generation if facts.flow.generation else b"",
    "#": lambda facts: b"%d" % facts.flow.generation,
    "N": _thousandth(1),
    "K": _thousandth(10**3),
    "M": _thousandth(10**6),
    "G": _thousandth(10**9),
    "S": _session,
    "E": lambda facts: _link(facts, 0),
    "e": lambda facts: _link(facts, ADDRESSES_BYTES // 2),
    "%": lambda facts: b"%",
}


class Spelling:
    """Writes the paths of a template. `origin` tells what a flow's connection began with, see Desk."""

    def __init__(self, template: Template, origin: Callable[[Any], Origin]) -> None:
        self._origin = origin
        self._parts = [_compiled(pieces) for pieces in template.parts]

    def __call__(self, flow: Named) -> list[bytes]:
        """The names between the slashes, the file's last."""
        facts = _facts(flow, self._origin)
        names = [form % tuple([write(facts) for write in letters]) for form, letters in self._parts]
        for number, name in enumerate(names):
            if name in _NO_NAMES:
                names[number] = name + b"_"
        if names[0].startswith(_HIDDEN):
            names[0] = b"_" + names[0]
        return names


def _compiled(pieces: list[Piece]) -> tuple[bytes, list[Callable[[_Facts], bytes]]]:
    """A format of bytes, and what to put into it."""
    form = "".join("%b" if is_letter else text.replace("%", "%%") for text, is_letter in pieces)
    return form.encode(), [_WRITE[text] for text, is_letter in pieces if is_letter]

"""`flowfs interfaces`: what can be captured on."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence

from flowfs.called import command
from flowfs.interfaces import Interface, interfaces, may_capture

from .exits import FAILED
from .parse import Parser, add_common, command_parser
from .terminal import Terminal, printable

NO_RIGHT = "no right to capture (CAP_NET_RAW): run {flowfs} with sudo, the mount will still be yours"

_HELP = """\
List the interfaces that flowfs mount -i takes: NAME, STATE, LINK and ADDRESSES. Where no terminal reads it,
it is a line each without heading, parted by tabs, and the addresses by commas.
"""
_STYLES = {"up": "green", "down": "dim", "no carrier": "yellow"}


def run(arguments: Sequence[str]) -> int:
    """List as told; returns the exit status."""
    told = interfaces_parser().parse_args(arguments)
    terminal = Terminal(quiet=told.quiet, verbose=told.verbose)
    try:
        found = interfaces()
    except OSError as error:
        terminal.error(f"the kernel does not tell its interfaces: {error.strerror}")
        return FAILED
    _list(found, told.json)
    sys.stdout.flush()
    with contextlib.suppress(OSError):  # flowfs check says more of that
        if not may_capture():
            terminal.warn(NO_RIGHT.format(flowfs=command()))
    return 0


def interfaces_parser() -> Parser:
    """Its options and arguments."""
    parser = command_parser("interfaces", "[--json]", _HELP.replace("flowfs", command()))
    options = parser.add_argument_group("options")
    options.add_argument("--json", action="store_true", help="a line of JSON for each")
    add_common(parser)
    return parser


def _list(found: Sequence[Interface], as_json: bool) -> None:
    if as_json:
        sys.stdout.writelines(json.dumps(one._asdict()) + "\n" for one in found)
    elif sys.stdout.isatty():
        sys.stdout.writelines(_for_people(found))
    else:
        sys.stdout.writelines(map(plain, found))


def plain(one: Interface) -> str:
    """A line for programs."""
    cells = (one.name, one.state, one.link, ",".join(one.addresses) or "-")
    return "\t".join(map(printable, cells)) + "\n"


def _for_people(found: Sequence[Interface]) -> list[str]:
    from rich.console import Console  # with what comes with it 30 ms, for terminals alone

    from .table import Column, table

    columns: tuple[Column[Interface], ...] = (
        Column("NAME", lambda one: printable(one.name)),
        Column("STATE", lambda one: one.state, goes=2, style=lambda state: _STYLES[state]),
        Column("LINK", lambda one: one.link, goes=3),
        Column("ADDRESSES", lambda one: " ".join(one.addresses)),
    )
    return list(table(found, columns, Console()))

"""`flowfs check`: what is missing on this machine, or at a place, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from .exits import FAILED
from .needs import MISSING, OK, OPTIONAL, Finding, machine, place
from .parse import Parser, add_common, command_parser
from .terminal import output_painter, printable

_HELP = """\
Say what flowfs needs of this machine: ok, missing (what to do is behind it), or optional: missing, and needed
for some things only. With MOUNTPOINT, what is there, too. The exit status is 1 if something is missing.
"""
_STYLES = {OK: "green", MISSING: "bold red", OPTIONAL: "yellow"}


def run(arguments: Sequence[str]) -> int:
    """Say so; returns the exit status."""
    told = check_parser().parse_args(arguments)
    found = [*machine(), *map(place, told.mountpoints)]
    shown = [one for one in found if one.level != OK] if told.quiet else found
    sys.stdout.writelines(lines(shown, output_painter()))
    sys.stdout.flush()
    return FAILED if any(one.level == MISSING for one in found) else 0


def check_parser() -> Parser:
    """Its options and arguments."""
    parser = command_parser("check", "[MOUNTPOINT]...", _HELP)
    parser.add_argument(
        "mountpoints", nargs="*", metavar="MOUNTPOINT", help="a mount, or where one should be"
    )
    add_common(parser)
    return parser


def lines(found: Sequence[Finding], paint: Callable[[str, str], str]) -> list[str]:
    """A line for each."""
    width = max((len(one.what) for one in found), default=0)
    return [
        f"{paint(f'{one.level:{len(OPTIONAL)}}', _STYLES[one.level])}"
        f"  {printable(one.what):{width}}  {printable(one.text)}\n"
        for one in found
    ]

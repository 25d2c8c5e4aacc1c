"""`flowfs stats`: a mount in numbers, once or again and again."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from flowfs.called import command
from flowfs.config import ConfigError, duration
from flowfs.mountpoint import CONTROL

from .exits import USAGE
from .figures import LOST, WARNED, Line, lines, rates
from .looking import Unreadable, look
from .parse import Parser, add_common, add_mountpoint, command_parser
from .status import STATUS, Status, read_status
from .terminal import Terminal, output_painter
from .words import SECOND_NS

METRICS = "metrics"
SHORTEST_NS = SECOND_NS // 10

_HELP = """\
Say how a mount is: what was captured, dropped, lost and freed, and how full its memory is.
"""
_MORE = """\
What was lost, and warnings, are marked by ! or a colour. With --watch on a terminal, q or Ctrl-C ends it;
elsewhere there is a block each time, an empty line between two, or with --json a line each time.

examples:
  {flowfs} stats /mnt/flows --watch
  {flowfs} stats /mnt/flows --json | jq .statistics.lost_bytes
  {flowfs} stats --prometheus > /var/lib/node_exporter/flowfs.prom
"""
_STYLES = {LOST: "bold red", WARNED: "yellow"}


def run(arguments: Sequence[str]) -> int:
    """Say as told; returns the exit status."""
    told = stats_parser().parse_args(arguments)
    terminal = Terminal(quiet=told.quiet, verbose=told.verbose)
    try:
        interval_ns = _interval(told)
    except ConfigError as error:
        terminal.error(str(error))
        return USAGE
    return look(told.mountpoint, terminal, partial(_say, told, interval_ns))


def stats_parser() -> Parser:
    """Its options and arguments."""
    follows = "[MOUNTPOINT] [--json | --prometheus] [--watch [-n TIME]]"
    parser = command_parser("stats", follows, _HELP, _MORE.format(flowfs=command()))
    add_mountpoint(parser)
    group = parser.add_argument_group("options")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all numbers, as they are in .flowfs/status.json")
    form.add_argument("--prometheus", action="store_true", help="the same for Prometheus: .flowfs/metrics")
    group.add_argument("-w", "--watch", action="store_true", help="again and again, with rates")
    group.add_argument("-n", "--interval", metavar="TIME", help="how often --watch looks (1s)")
    add_common(parser)
    return parser


def _interval(told: argparse.Namespace) -> int:
    """In ns. Raises ConfigError."""
    if told.interval is not None and not told.watch:
        raise ConfigError(f"-n {told.interval} is about --watch: how often it looks")
    if told.watch and told.prometheus:
        raise ConfigError("--prometheus is one moment: --watch does without it")
    interval_ns = SECOND_NS if told.interval is None else duration("-n", told.interval)
    if interval_ns < SHORTEST_NS:
        raise ConfigError(f"-n {told.interval}: must be from 0.1s on")
    return interval_ns


def _say(told: argparse.Namespace, interval_ns: int, mount: Path) -> int:
    if told.watch:
        _watch(told.json, interval_ns / SECOND_NS, mount)
    elif told.json or told.prometheus:
        sys.stdout.buffer.write((mount / CONTROL / (STATUS if told.json else METRICS)).read_bytes())
    else:
        sys.stdout.write(shown(lines(str(mount), read_status(mount))))
    sys.stdout.flush()
    return 0


def _watch(as_json: bool, interval_s: float, mount: Path) -> None:
    from .watching import append, watch

    if as_json:
        append(partial(_one_line, mount), interval_s)
    elif sys.stdout.isatty():
        watch(_Watched(mount).block, interval_s)
    else:
        append(_Watched(mount).block, interval_s, between="\n")


def _one_line(mount: Path) -> str:
    try:
        known = json.loads((mount / CONTROL / STATUS).read_bytes())
    except ValueError:
        raise Unreadable(STATUS) from None
    return json.dumps(known, separators=(",", ":")) + "\n"


class _Watched:
    """A mount that is looked at again and again; the rates are those since the last time."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._before: Status | None = None
        self._looked_ns = 0

    def block(self) -> str:
        """Raises OSError and Unreadable."""
        status, now_ns = read_status(self._mount), time.monotonic_ns()
        rate = rates(self._before, status, now_ns - self._looked_ns)
        self._before, self._looked_ns = status, now_ns
        return shown(lines(str(self._mount), status, rate))


def shown(said: Sequence[Line]) -> str:
    """For the terminal that standard output is, or for whatever else it is."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return coloured(said, output_painter(), width)


def coloured(said: Sequence[Line], paint: Callable[[str, str], str], width: int = 0) -> str:
    """The marked lines in colours, none wider than `width`, if it is not 0."""
    styles = ((line.plain(width), _STYLES.get(line.kind, "none")) for line in said)
    return "".join(paint(text, style) + "\n" for lines, style in styles for text in lines.split("\n"))

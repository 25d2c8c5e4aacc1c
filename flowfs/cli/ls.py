"""`flowfs ls`: the flows of a mount, as a table on a terminal and as lines for programs elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowfs.called import command
from flowfs.mountpoint import CONTROL

from .events import follow
from .exits import FAILED, USAGE
from .flowfile import ATTRIBUTE
from .flows import COLUMNS, FLOWS, STATES, Row, in_order, plain, rows
from .looking import Unreadable, look
from .parse import Parser, add_common, command_parser
from .status import read_status
from .terminal import Terminal, printable
from .words import short_age, short_size

if TYPE_CHECKING:
    from rich.console import Console

_META, _META_SUFFIX = "meta", ".json"  # what is known of one flow
_FEW = 1000  # flows of which that is read one by one, rather than of all in one file

_HELP = """\
List the flows of a mount: who sent how much, when, and how fast.
"""
_MORE = """\
On a terminal it is a table, with the columns that fit. Elsewhere it is a line for each flow, without heading,
its columns parted by tabs: {columns}.
 NAME   the file's name: bytes from the first address and port to the second
 SIZE   bytes, those that were freed included
 STATE  open, fin, rst or idle
 AGE    seconds since its last data; of captured files, at the end of what was read
 RATE   bytes a second from its first packet to its last data, - if that is one moment
 FROM   who sent it: client, server, or unknown if the connection's beginning was not seen
 PEER   the name of the other direction

examples:
  {flowfs} ls /mnt/flows --sort size | head
  {flowfs} ls /mnt/flows --state open | awk '$2 > 1000000 {{ print $1 }}'
  {flowfs} ls /mnt/flows --json | jq -r 'select(.holes != []) | .name'
  {flowfs} ls /mnt/flows --follow | awk '$2 == "rst"'
"""
_STATE_STYLES = {"open": "green", "rst": "red", "fin": "dim", "idle": "yellow"}


def run(arguments: Sequence[str]) -> int:
    """List as told; returns the exit status."""
    told = ls_parser().parse_args(arguments)
    terminal = Terminal(quiet=told.quiet, verbose=told.verbose)
    if told.follow and (told.sort or told.state):
        terminal.error("--follow: what happens has its own order, so without --sort and --state")
        return USAGE
    return look(next(iter(told.places), None), terminal, partial(_list, told, terminal))


def ls_parser() -> Parser:
    """Its options and arguments."""
    follows = "[MOUNTPOINT|FLOW...] [--json] [--sort time|size|name] [--state STATE] | [--follow]"
    more = _MORE.format(columns=" ".join(COLUMNS), flowfs=command())
    parser = command_parser("ls", follows, _HELP, more)
    parser.add_argument(
        "places", nargs="*", metavar="MOUNTPOINT", help="the mount (the only one), or flows or groups of it"
    )
    add = parser.add_argument_group("options").add_argument
    add("--json", action="store_true", help="a line of JSON for each flow, with all that is known of it")
    add(
        "--sort",
        choices=("time", "size", "name"),
        help="the latest data first, the largest first, or by name; else as they appeared",
    )
    add("--state", choices=STATES, help="only those; closed: all that are not open")
    add(
        "--follow",
        action="store_true",
        help="instead, a line for whatever happens to a flow from now on: TIME EVENT NAME SIZE",
    )
    add_common(parser)
    return parser


def _list(told: argparse.Namespace, terminal: Terminal, mount: Path) -> int:
    try:
        told.meant = _meant(told.places, mount)
    except FileNotFoundError as error:
        terminal.error(f"{printable(error.filename)}: no such flow")
        return FAILED
    if told.follow:
        follow(mount / CONTROL, told.json)
    gc.disable()  # it takes half of the time for many flows, and nothing of them is garbage
    try:
        few = told.meant.known(mount / CONTROL / _META) if told.meant is not None else None
        if few is not None:
            _write(told, mount, _lines_of(few))
        else:
            with (mount / CONTROL / FLOWS).open("rb") as lines:
                _write(told, mount, lines)
        sys.stdout.flush()
    finally:
        gc.enable()
    return 0


def _write(told: argparse.Namespace, mount: Path, lines: Iterable[bytes]) -> None:
    if told.json:
        _pass_on(told, lines)
    else:
        _show(_chosen(told, lines), read_status(mount).now_ns)


def _lines_of(few: Iterable[Path]) -> Iterator[bytes]:
    """What is known of each that is still there, as flows.jsonl has it. Raises Unreadable."""
    for path in few:
        try:
            known = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except ValueError:
            raise Unreadable(f"{_META}/{path.name}") from None
        yield json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class _Meant:
    """Flows by their names, by the directories that they are in, and by what they are called in `.flowfs`."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._folders: tuple[str, ...] = ()
        self._canonical: set[str] = set()

    def add(self, path: Path, mount: Path) -> bool:
        """A flow or what is known of one, a directory of flows or of links; False if it is none of these."""
        name = str(path.relative_to(mount))
        if path.is_relative_to(mount / CONTROL):
            return self._add_known(path, mount / CONTROL)
        if path.is_dir():
            self._folders += (name + "/",)
        else:
            self._names.add(name)
        return True

    def known(self, meta: Path) -> list[Path] | None:
        """Where there is what is known of each, in the order of appearance; None if they may be many."""
        if self._folders or len(self._names) + len(self._canonical) > _FEW:
            return None
        names = self._canonical | {_canonical(meta.parent.parent / name) for name in self._names}
        found: list[tuple[int, Path]] = []
        for name in names:
            path = meta / (name + _META_SUFFIX)
            with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                found.append((path.stat().st_ino, path))
        return [path for _, path in sorted(found)]

    def _add_known(self, path: Path, control: Path) -> bool:
        """The same of what is in `.flowfs`."""
        if path.is_dir():
            self._canonical.update(entry.name for entry in path.iterdir())
        elif path.parent.parent == control:
            self._canonical.add(path.name.removesuffix(_META_SUFFIX))
        return path.parent != control

    def __contains__(self, row: Row) -> bool:
        return (
            row.name in self._names
            or (row.canonical or row.name) in self._canonical
            or row.name.startswith(self._folders)
        )


def _canonical(flow: Path) -> str:
    """What a flow is called in `.flowfs`."""
    try:
        return os.getxattr(flow, ATTRIBUTE + "canonical").decode("utf-8", "replace")
    except OSError:  # it has no other name, or has gone
        return flow.name


def _meant(places: Sequence[str], mount: Path) -> _Meant | None:
    """The flows that are named, or that are in directories; None for all flows. Raises FileNotFoundError."""
    meant = _Meant()
    for place in places:
        path = Path(place).resolve(strict=True)
        if path in (mount, mount / CONTROL) or (path.parent == mount / CONTROL and path.is_dir()):
            return None  # in each of its directories all flows are, or groups in which all are
        if not path.is_relative_to(mount) or not meant.add(path, mount):
            raise FileNotFoundError(errno.ENOENT, "", place)
    return meant if places else None


def _chosen(told: argparse.Namespace, lines: Iterable[bytes]) -> Iterable[Row]:
    found: Iterator[Row] = rows(lines)
    if told.meant is not None:
        found = (row for row in found if row in told.meant)
    if told.state:
        found = (row for row in found if row.is_in(told.state))
    return in_order(found, told.sort) if told.sort else found


def _pass_on(told: argparse.Namespace, lines: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    if told.state or told.sort or told.meant is not None:
        out.writelines(row.line for row in _chosen(told, lines))
    else:
        out.writelines(lines)


def _show(chosen: Iterable[Row], now_ns: int) -> None:
    if sys.stdout.isatty():
        from rich.console import Console  # with what comes with it 30 ms, for terminals alone

        sys.stdout.writelines(for_people(list(chosen), now_ns, Console()))
    else:
        sys.stdout.writelines(plain(row, now_ns) for row in chosen)


def for_people(chosen: Sequence[Row], now_ns: int, console: Console) -> Iterator[str]:
    """The lines of a table for the console's terminal."""
    from .table import Column, table

    columns: tuple[Column[Row], ...] = (
        Column("FROM", lambda row: row.role, goes=5),
        Column("NAME", lambda row: row.name),
        Column("SIZE", lambda row: short_size(row.size), goes=1, to_the_right=True),
        Column("STATE", lambda row: row.state, goes=2, style=lambda state: _STATE_STYLES.get(state, "")),
        Column("AGE", lambda row: short_age(now_ns - row.last_ns), goes=3, to_the_right=True),
        Column("RATE", _rate, goes=4, to_the_right=True),
        Column("PEER", lambda row: row.peer, goes=6),
    )
    return table(chosen, columns, console)


def _rate(row: Row) -> str:
    rate = row.rate()
    return "" if rate is None else f"{short_size(rate)}/s"

"""`flowfs ls` without a mount: rows, their order, the lines for programs and the table for people."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from flowfs.cli import looking, main
from flowfs.cli.flows import Row, in_order, plain, rows
from flowfs.cli.looking import Unreadable
from flowfs.cli.ls import for_people
from flowfs.cli.words import per_second, short_age, short_size
from flowfs.mountpoint import TYPE, Mounted, MountError, Unclear

SECOND_NS = 10**9
CLIENT = "010.000.000.001.40000-010.000.000.002.00080"
SERVER = "010.000.000.002.00080-010.000.000.001.40000"
NOW_NS = 100 * SECOND_NS


def known(name: str = CLIENT, peer: str = SERVER, **others: object) -> dict[str, object]:
    """A line of flows.jsonl."""
    usual = {"size": 1500, "state": "open", "first_ns": 10 * SECOND_NS, "last_ns": 40 * SECOND_NS}
    return {"name": name, "peer": peer, "role": "client", "holes": [], **usual, **others}


def line_of(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def row(**others: object) -> Row:
    return next(rows([line_of(known(**others))]))  # type: ignore[arg-type]


# --- rows --------------------------------------------------------------------------------------


def test_a_row() -> None:
    line = line_of(known())
    assert [*rows([line])] == [
        Row(CLIENT, 1500, "open", 10 * SECOND_NS, 40 * SECOND_NS, "client", SERVER, line)
    ]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"1", b"{}", b"\xff", line_of(known(size="many")), line_of(known(role=None))],
)
def test_what_flowfs_does_not_write(line: bytes) -> None:
    with pytest.raises(Unreadable):
        list(rows([line_of(known()), line]))


def test_a_line_for_programs() -> None:
    assert plain(row(), NOW_NS) == f"{CLIENT}\t1500\topen\t60.000\t50\tclient\t{SERVER}\n"
    assert plain(row(last_ns=NOW_NS - 1_999_999), NOW_NS).split("\t")[3] == "0.001"
    assert plain(row(last_ns=NOW_NS + 1), NOW_NS).split("\t")[3] == "0.000"
    assert plain(row(last_ns=10 * SECOND_NS), NOW_NS).split("\t")[4] == "-"


def test_no_name_breaks_the_columns() -> None:
    """Who mounts says what the names are, and may mean another user's terminal or script."""
    hostile = plain(row(name="a\tb\nc\x1b[2J\x9b", peer=""), NOW_NS)
    assert hostile == "a?b?c?[2J?\t1500\topen\t60.000\t50\tclient\t-\n"


def test_orders() -> None:
    first, second, third = (
        row(name="b", size=1, last_ns=30),
        row(name="c", size=3, last_ns=20),
        row(name="a", size=2, last_ns=10),
    )
    assert in_order([second, third, first], "time") == [first, second, third]
    assert in_order([first, second, third], "size") == [second, third, first]
    assert in_order([first, second, third], "name") == [third, first, second]


@pytest.mark.parametrize("state", ["open", "fin", "rst", "idle"])
def test_states(state: str) -> None:
    one = row(state=state)
    assert [asked for asked in ("open", "closed", "fin", "rst", "idle") if one.is_in(asked)] == (
        ["open"] if state == "open" else ["closed", state]
    )


# --- words -------------------------------------------------------------------------------------


def test_words() -> None:
    assert [short_size(count) for count in (0, 1, 999, 1000, 1_500_000)] == [
        "0 B",
        "1 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
    ]
    ages = (-5, 0, 59.9, 60, 3599, 3600, 86399, 86400, 365 * 86400)
    assert [short_age(int(age * SECOND_NS)) for age in ages] == (
        ["0s", "0s", "59s", "1m", "59m", "1h", "23h", "1d", "1y"]
    )
    assert (per_second(10, SECOND_NS // 2), per_second(10, 0), per_second(10, -1)) == (20, None, None)


# --- the table ---------------------------------------------------------------------------------


def console(width: int, colours: str | None = None) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        color_system=colours,  # type: ignore[arg-type]
        no_color=None,
    )


def shown(width: int, *others: Row) -> list[str]:
    return "".join(for_people([row(), *others], NOW_NS, console(width))).splitlines()


def test_a_wide_table() -> None:
    title, line = shown(200)
    assert title.split() == ["FROM", "NAME", "SIZE", "STATE", "AGE", "RATE", "PEER"]
    assert line.split("  ")[:2] == ["client", CLIENT]
    assert line.split() == ["client", CLIENT, "1.5", "kB", "open", "1m", "50", "B/s", SERVER]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (120, "FROM NAME SIZE STATE AGE RATE"),
        (80, "FROM NAME SIZE STATE AGE RATE"),
        (74, "NAME SIZE STATE AGE RATE"),
        (66, "NAME SIZE STATE AGE"),
        (60, "NAME SIZE STATE"),
        (53, "NAME SIZE"),
        (45, "NAME"),
    ],
)
def test_the_least_important_go_first(width: int, titles: str) -> None:
    lines = shown(width, row(name=SERVER, peer=CLIENT, size=999_900, last_ns=11 * SECOND_NS))
    assert lines[0].split() == titles.split()
    assert all(len(line) <= width for line in lines)
    assert all(CLIENT in line or SERVER in line for line in lines[1:])


@pytest.mark.parametrize("width", [1, 2, 7, 30, 42, 43, 59])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = shown(width, row(name="名" * 30), row(name="x"))
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= width
    assert "…" in lines[2]


def test_columns_stand_below_each_other() -> None:
    lines = shown(100, row(name="x", size=7, state="rst", last_ns=NOW_NS), row(size=123_456_789))
    states = [line.index(state) for line, state in zip(lines[1:], ("open", "rst", "open"), strict=True)]
    sizes = [line.index(size) + len(size) for line, size in zip(lines[1:], ("kB", " 7 B", "MB"), strict=True)]
    assert len(set(states)) == len(set(sizes)) == 1


def test_colours_are_the_terminals() -> None:
    lines = "".join(for_people([row(state="rst")], NOW_NS, console(100, "standard"))).splitlines()
    assert "\x1b[31mrst" in lines[1]
    assert "\x1b[" not in "".join(for_people([row(state="rst")], NOW_NS, console(100)))


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org"""
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in "".join(for_people([row(state="rst")], NOW_NS, console(100, "standard")))


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `.flowfs` of what is taken for a mount."""
    folder = tmp_path / ".flowfs"
    folder.mkdir()
    (folder / "flows.jsonl").write_bytes(
        line_of(known())
        + line_of(known(SERVER, CLIENT, state="rst", size=9000, last_ns=20 * SECOND_NS, role="server"))
    )
    status = {"pid": 1, "started_ns": 0, "sources": ["a.pcap"], "filter": "", "live": False}
    status |= {"finished": True, "read_bytes": 1, "total_bytes": 1, "interfaces": {}, "archive": None}
    status |= {"warnings": [], "statistics": {"now_ns": NOW_NS}}
    (folder / "status.json").write_text(json.dumps(status))
    monkeypatch.setattr(looking, "meant", lambda _: Mounted(str(tmp_path), TYPE, "0:1"))
    return folder


@contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard output is a terminal of 60 columns; its other side."""
    other, terminal = pty.openpty()
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    with open(terminal, "w") as out, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", out)
        yield other
    os.close(other)


def ls(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert main(["ls", *options]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


@pytest.mark.usefixtures("control")
def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Ages are those at the end of what was read, of captured files."""
    assert ls(capsys) == [
        f"{CLIENT}\t1500\topen\t60.000\t50\tclient\t{SERVER}",
        f"{SERVER}\t9000\trst\t80.000\t900\tserver\t{CLIENT}",
    ]
    assert [line.split("\t")[0] for line in ls(capsys, "--sort", "size")] == [SERVER, CLIENT]
    assert [line.split("\t")[0] for line in ls(capsys, "--state", "closed")] == [SERVER]


def test_json_is_passed_on(control: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    text = (control / "flows.jsonl").read_bytes()
    first, second = text.splitlines(keepends=True)
    for options, expected in (
        ([], text),
        (["--sort", "time"], text),
        (["--sort", "size"], second + first),
        (["--state", "rst"], second),
        (["--state", "idle"], b""),
    ):
        assert main(["ls", "--json", *options]) == 0
        assert capsysbinary.readouterr().out == expected


def test_of_a_few_that_are_named_the_others_are_not_read(
    control: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of each comes as of all, in the order of appearance; of what has gone nothing."""
    lines = (control / "flows.jsonl").read_bytes().splitlines(keepends=True)
    (control / "meta").mkdir()
    for name, line in zip((CLIENT, SERVER), lines, strict=True):
        (control.parent / name).touch()
        (control / f"meta/{name}.json").write_text(json.dumps(json.loads(line), indent=2) + "\n")
    inodes = sorted((path.stat().st_ino, path) for path in (control / "meta").iterdir())
    in_order = [lines[path.name != f"{CLIENT}.json"] for _, path in inodes]
    named = [str(control.parent / CLIENT), str(control.parent / SERVER)]
    for flows, expected in ((named, in_order), (named[:1], lines[:1]), (named[1:], lines[1:])):
        assert main(["ls", "--json", *flows]) == 0
        assert capsysbinary.readouterr().out == b"".join(expected)
    with monkeypatch.context() as patched:
        patched.setattr("flowfs.cli.ls._FEW", 1)
        assert main(["ls", "--json", *named]) == 0
        assert capsysbinary.readouterr().out == b"".join(lines)
    (control / "flows.jsonl").unlink()
    (control / f"meta/{CLIENT}.json").unlink()
    assert main(["ls", "--json", *named]) == 0
    assert capsysbinary.readouterr().out == lines[1]
    (control / f"meta/{SERVER}.json").write_text("{")
    assert main(["ls", *named]) == 1
    assert b"meta" in capsysbinary.readouterr().err


@pytest.mark.usefixtures("control")
def test_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as other:
        assert main(["ls"]) == 0
        seen = ""
        while seen.count("\n") < 3:  # a terminal passes things on in pieces
            assert select.select([other], [], [], 5)[0], seen
            seen += os.read(other, 4096).decode()
    title, *lines = seen.splitlines()
    assert re.sub(r"\x1b\[\d*m", "", title).split() == ["NAME", "SIZE", "STATE", "AGE"]
    assert "\x1b[31mrst" in lines[1]


@pytest.mark.parametrize(
    ("name", "text"), [("flows.jsonl", "{}\n"), ("flows.jsonl", "\0"), ("status.json", "[]")]
)
def test_a_mount_that_is_none(
    name: str, text: str, control: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (control / name).write_text(text)
    assert main(["ls"]) == 1
    said = capsys.readouterr().err
    assert said == f"flowfs: {control.parent}: .flowfs/{name} is not what this version of flowfs reads\n"


def test_a_mount_that_goes_away(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (control / "flows.jsonl").unlink()
    assert main(["ls"]) == 1
    assert capsys.readouterr().err == (f"flowfs: {control.parent}: the mount was taken away meanwhile\n")


def test_a_mount_that_is_not_said_is_a_matter_of_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, status in ((Unclear("which?"), 2), (MountError("none\x1b"), 4)):

        def refuse(_: str | None, error: MountError = error) -> Mounted:
            raise error

        monkeypatch.setattr(looking, "meant", refuse)
        assert main(["ls"]) == status
        assert capsys.readouterr() == ("", f"flowfs: {str(error).replace(chr(27), '?')}\n")

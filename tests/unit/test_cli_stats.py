"""`flowfs stats` without a mount: what it says of which numbers, what is marked, and how it is watched."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import flowfs
from flowfs.cli import looking, main
from flowfs.cli.figures import LOST, WARNED, Line, Rates, lines, rates
from flowfs.cli.looking import Unreadable
from flowfs.cli.stats import coloured
from flowfs.cli.status import Status, parse_status
from flowfs.cli.table import painter
from flowfs.mountpoint import TYPE, Mounted
from waiting import until

SECOND_NS = 10**9
MIB = 1 << 20


def known(statistics: dict[str, int] | None = None, **others: Any) -> dict[str, Any]:
    """What is in status.json."""
    usual: dict[str, Any] = {"pid": 7, "started_ns": 5, "sources": ["eth0"], "filter": "tcp port 25"}
    usual |= {"live": False, "finished": True, "read_bytes": 10, "total_bytes": 20, "interfaces": {}}
    usual |= {"archive": None, "warnings": []}
    return usual | others | {"statistics": statistics or {}}


def status(statistics: dict[str, int] | None = None, **others: Any) -> Status:
    return parse_status(json.dumps(known(statistics, **others)).encode())


def said(topic: str, of: Status, rate: Rates | None = None) -> list[Line]:
    """The lines of one topic."""
    return [line for line in lines("/mnt", of, rate) if line.topic == topic]


# --- what is said ------------------------------------------------------------------------------


def test_what_is_captured() -> None:
    assert said("mount", status()) == [Line("mount", "/mnt, all is read, process 7")]
    reading = status(finished=False)
    assert said("mount", reading)[0].text == "/mnt, read 10 bytes of 20 bytes, process 7"
    pipe = status(finished=False, total_bytes=0)
    assert said("mount", pipe)[0].text == "/mnt, reading what comes, process 7"
    live = status(live=True, finished=False, started_ns=time.time_ns() - 125 * SECOND_NS)
    assert said("mount", live)[0].text == "/mnt, live for 2m, process 7"
    assert said("source", status(sources=["a", "b"], filter=""))[0].text == "a, b, filter: none"


def test_numbers() -> None:
    interfaces = {"eth0": {"received_packets": 9, "dropped_by_kernel": 2, "dropped_by_interface": 1}}
    numbers = {"packets": 1234, "captured_bytes": 2000, "flows": 3, "flows_open": 1, "flows_total": 5}
    full = status(numbers, interfaces=interfaces)
    assert said("packets", full)[0].text == "1,234 captured (2.0 kB), 3 dropped"
    assert said("flows", full)[0].text == "3 are here, 1 of them may grow; 5 in all"
    removed = said("flows", status({"flows_removed": 1000}))[0].text
    assert removed.endswith(", 1,000 removed")


@pytest.mark.parametrize(
    ("pool", "used", "kind"),
    [
        ("payload", 100, ""),  # is meant to be full
        ("table", 89, ""),
        ("table", 90, WARNED),
        ("out_of_order", 95, WARNED),
        ("fragments", 100, WARNED),
    ],
)
def test_what_is_nearly_full_is_marked(pool: str, used: int, kind: str) -> None:
    numbers = {f"{pool}_used_bytes": used, f"{pool}_limit_bytes": 100}
    found = [line for line in lines("/mnt", status(numbers)) if f"({used} %)" in line.text]
    assert [line.kind for line in found] == [kind]


def test_what_nobody_wanted_is_said_and_no_loss() -> None:
    full = status({"dropped_beyond_bytes": 2000, "trimmed_beyond_bytes": 3000})
    behind, before = said("", full)[:2]
    assert behind == Line("", "2.0 kB behind the first --max-flow-bytes of each were left out, as told")
    assert before == Line("", "3.0 kB before the last --max-flow-bytes of each were freed, as told")
    assert said("lost", full) == [Line("lost", "nothing")]


def test_losses_are_marked_and_come_once() -> None:
    interfaces = {"eth0": {"received_packets": 97, "dropped_by_kernel": 3, "dropped_by_interface": 0}}
    numbers = {"lost_bytes": 1000, "flows_refused": 2, "flows_evicted": 1, "evicted_bytes": 5}
    found = said("lost", status(numbers, interfaces=interfaces, warnings=["be warned"]))
    assert [line.kind for line in found] == [LOST] * 4
    for words in (
        "dropped on eth0: 3 by the kernel",
        "refused: segments 2",
        "freed",
        "holes in flows: 1.0 kB",
    ):
        assert sum(line.text.startswith(words) for line in found) == 1
    assert said("lost", status({"tail_missing_bytes": 1}))[0].kind == LOST
    assert said("lost", status()) == [Line("lost", "nothing")]
    assert said("warning", status(warnings=["be warned"])) == [Line("warning", "be warned", WARNED)]


def test_archives() -> None:
    archive = {"directory": "/kept", "is_in_trouble": False, "unsaved_flows": 0, "unsaved_bytes": 0}
    assert said("archive", status(archive=archive)) == [Line("archive", "/kept: all is saved")]
    archive |= {"is_in_trouble": True, "unsaved_flows": 2, "unsaved_bytes": 1000}
    line = said("archive", status(archive=archive))[0]
    assert line == Line("archive", "/kept: 2 flows to be saved, with 1000 bytes of memory", WARNED)
    assert said("archive", status()) == []


def test_marks_and_colours() -> None:
    three = [Line("a", "x"), Line("b", "y", LOST), Line("c", "z", WARNED)]
    assert [line.plain() for line in three] == ["  a         x", "! b         y", "! c         z"]

    def terminal(colours: Any) -> Console:
        return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=colours)

    first, second, third = coloured(three, painter(terminal("standard"))).splitlines()
    assert "\x1b" not in first
    assert second.startswith("\x1b[1;31m! b")
    assert third.startswith("\x1b[33m! c")
    assert "\x1b" not in coloured(three, painter(terminal(None)))


@pytest.mark.parametrize("width", [1, 13, 20, 39, 40, 59, 60, 200])
def test_narrow_terminals(width: int) -> None:
    """No line is wider than the terminal, and all is there."""
    full = status({"packets": 1234, "captured_bytes": 2000, "flows_refused": 2}, warnings=["a warning " * 9])
    found = lines("/mnt/" + "flows" * 20, full)
    shown = coloured(found, lambda text, style: f"<{text}>", width)
    rows = [row[1:-1] for row in shown.splitlines()]
    assert shown == "".join(f"<{row}>\n" for row in rows), "each row has its colour"
    assert max(map(len, rows)) <= max(width, 13)
    assert "".join("".join(rows).split()) == "".join("".join(line.plain() for line in found).split())
    if width == 200:
        assert rows == [line.plain() for line in found]


def test_nothing_that_is_said_moves_the_cursor() -> None:
    hostile = "\x1b[2J\n\x9b"
    archive = {"directory": hostile}
    everywhere = status(sources=[hostile], filter=hostile, warnings=[hostile], archive=archive)
    everywhere = everywhere._replace(
        interfaces={hostile: {"received_packets": 1, "dropped_by_kernel": 1, "dropped_by_interface": 0}}
    )
    for line in lines(hostile, everywhere):
        assert line.plain().isprintable()


# --- rates -------------------------------------------------------------------------------------


def test_rates() -> None:
    before = status({"packets": 10, "captured_bytes": 1000, "dropped_packets": 1})
    after = status({"packets": 30, "captured_bytes": 4000, "dropped_packets": 1})
    assert rates(before, after, 2 * SECOND_NS) == Rates(10, 1500, 0)
    assert rates(None, after, SECOND_NS) is None
    assert rates(before, after, 0) is None
    assert rates(before, after._replace(pid=8), SECOND_NS) is None  # mounted anew in between
    assert rates(before, after._replace(started_ns=6), SECOND_NS) is None


def test_rates_are_said_and_marked_where_packets_are_lost() -> None:
    assert said("rate", status()) == []
    assert said("rate", status(), Rates(1000, 1500, 0)) == [Line("rate", "1,000 packets/s, 1.5 kB/s")]
    assert said("rate", status(), Rates(1, 1, 2))[0].kind == LOST


# --- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{}", "1", json.dumps(known(archive=[])), "\udcff"])
def test_a_status_that_is_none(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_status(text.encode("utf-8", "surrogateescape"))


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `.flowfs` of what is taken for a mount."""
    folder = tmp_path / ".flowfs"
    folder.mkdir()
    (folder / "status.json").write_text(json.dumps(known({"packets": 5}), indent=2))
    (folder / "metrics").write_text("flowfs_packets_total 5\n")
    monkeypatch.setattr(looking, "meant", lambda _: Mounted(str(tmp_path), TYPE, "0:1"))
    return folder


def test_once(control: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["stats", "/x"]) == 0
    assert b"\n  packets   5 captured (0 bytes)" in capsysbinary.readouterr().out
    for option, name in (("--json", "status.json"), ("--prometheus", "metrics")):
        assert main(["stats", option]) == 0
        assert capsysbinary.readouterr().out == (control / name).read_bytes()


@pytest.mark.parametrize("options", [["-n", "1"], ["--watch", "--prometheus"], ["-w", "-n", "0.09"]])
def test_what_does_not_fit(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


WATCHING = """
import sys
from flowfs.cli import looking, main
from flowfs.mountpoint import Mounted
looking.meant = lambda place: Mounted(place, "fuse.flowfs", "0:1")
sys.exit(main(["stats", "--watch", "-n", "0.1", *sys.argv[1:]]))
"""


@contextmanager
def watching(control: Path, *options: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """The command while it watches; it does not outlive the test, whatever it waits for."""
    command = [sys.executable, "-c", WATCHING, str(control.parent), *options]
    environment = os.environ | {"PYTHONPATH": str(Path(flowfs.__file__).parent.parent), "TERM": "xterm"}
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, **how) as process:
        try:
            yield process
        finally:
            process.kill()


def test_watched_through_a_pipe(control: Path) -> None:
    """A block each time and at once, which ends with who reads."""
    with watching(control, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(9)]
        assert not any("rate" in line for line in first)
        assert process.stdout.readline() == "\n"
        second = [process.stdout.readline() for _ in range(10)]
        assert "  rate      0 packets/s, 0 bytes/s\n" in second
        process.stdout.close()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_who_has_read_enough_is_not_waited_for(control: Path) -> None:
    with watching(control, "-n", "1h", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 1


def test_watched_as_json(control: Path) -> None:
    with watching(control, "--json", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert json.loads(process.stdout.readline())["statistics"] == {"packets": 5}
        (control / "status.json").unlink()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read().endswith(": the mount was taken away meanwhile\n")


@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", 0), ("xq", 0), ("", 128 + 15)])
def test_watched_on_a_terminal(control: Path, key: str, status: int) -> None:
    """q and Ctrl-C end it; however it ends, the terminal is as it was."""
    other, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with watching(
        control, stdin=terminal, stdout=terminal, start_new_session=True, preexec_fn=_take_terminal
    ) as process:
        seen = ""

        def shows_a_rate() -> bool:
            nonlocal seen
            seen += os.read(other, 4096).decode()
            return "packets/s" in seen

        until(shows_a_rate, 10)
        assert not termios.tcgetattr(terminal)[3] & termios.ECHO
        if key:
            os.write(other, key.encode())
        else:
            process.terminate()
        assert process.wait(10) == status
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert termios.tcgetattr(terminal) == before
    os.close(terminal)
    os.close(other)


def _take_terminal() -> None:
    """Standard input is the terminal that Ctrl-C comes from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

"""What people type, what they are told, and with which exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import craft
import flowfs
from flowfs.cli import COMMANDS, main
from flowfs.cli.mount import _fault
from flowfs.cli.parse import _OPTIONS_HELP, mount_config
from flowfs.cli.terminal import Terminal
from flowfs.config import Config, ConfigError
from flowfs.core.limits import EVICT_POLICIES, Limits
from flowfs.mount import MountOptions
from running import ENVIRONMENT, MODULE, to_its_end

MIB = 1 << 20


def config(line: str, *more: str) -> Config:
    return mount_config([*line.split(), *more])


def status_of(line: str) -> int:
    """The exit status of a command line that argparse may end."""
    try:
        return main(line.split())
    except SystemExit as exit_:
        return int(exit_.code or 0)


# --- argv → Config -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "/mnt -i eth0 tcp port 25",
        "/mnt tcp port 25 -i eth0",
        "-i eth0 /mnt tcp port 25",
        "/mnt tcp -i eth0 port 25",
        "/mnt -ieth0 tcp port 25",
        "/mnt --interface=eth0 -- tcp port 25",
        "--interface eth0 -- /mnt tcp port 25",
    ],
)
def test_options_and_filter_in_any_order(line: str) -> None:
    assert config(line) == Config("/mnt", interfaces=("eth0",), filter="tcp port 25")


def test_a_filter_in_one_word() -> None:
    assert config("/mnt -i eth0", "tcp port 25").filter == "tcp port 25"
    assert config("/mnt -i eth0", "tcp port 25", "-q", "and host 10.0.0.1").filter == (
        "tcp port 25 and host 10.0.0.1"
    )


@pytest.mark.parametrize(
    "words", ["not port 22", "tcp[13] & 2 != 0", "len - 5 > 3", "src host 10.0.0.1 and (port 80 or port 81)"]
)
def test_filters_with_signs(words: str) -> None:
    assert config("/mnt -i eth0 " + words).filter == words


def test_every_option() -> None:
    told = config(
        "/mnt -i eth0 -i lo -s 100 -B 2048 -p --direction in --no-tunnels --max-memory 1G"
        " --max-out-of-order 32M --max-table 16MiB --max-fragments 1M --max-flows 1000 --idle-timeout 1h"
        " --archive kept -o ro -o nodev,noexec -f --no-wait -Z nobody -q -v --checksum strict"
        " --evict lru --max-flow-bytes 1.5k --keep tail"
    )
    assert told == Config(
        "/mnt",
        interfaces=("eth0", "lo"),
        snaplen=100,
        buffer_kib=2048,
        promiscuous=False,
        direction="in",
        tunnels=False,
        limits=Limits(
            payload_bytes=1024 * MIB,
            out_of_order_bytes=32 * MIB,
            table_bytes=16 * MIB,
            fragment_bytes=MIB,
            max_flows=1000,
            idle_ns=3600 * 10**9,
            evict="lru",
            max_flow_bytes=1536,
            keep="tail",
            archives=True,
            checksum="strict",
        ),
        archive=os.path.abspath("kept"),
        mount_options=("ro", "nodev,noexec"),
        foreground=True,
        wait=False,
        user="nobody",
        quiet=True,
        verbose=True,
    )


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_policies(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is taken, explained by -h, and named by the error about another."""
    assert config(f"/mnt -i eth0 --evict {policy}").limits.evict == policy
    for line in ("mount -h", "mount /mnt -i lo --evict fifo"):
        status_of(line)
        said = capsys.readouterr()
        assert policy in said.out + said.err


def test_the_first_bytes_are_kept_unless_told_otherwise() -> None:
    told = config("/mnt -i eth0 -b 1")
    assert (told.limits.max_flow_bytes, told.limits.keep) == (1, "head")
    assert config("/mnt -i eth0 -b 1 --keep tail").limits.keep == "tail"
    assert config("/mnt -i eth0").limits == Limits()


def test_files_and_standard_input() -> None:
    assert config("/mnt -r a.pcap -r - -r b.pcap").files == ("a.pcap", "-", "b.pcap")


def test_debug_stays_in_the_foreground() -> None:
    told = config("/mnt -i lo -d")
    assert told.foreground
    assert told.debug


def test_a_snapshot_length_of_zero_is_all() -> None:
    assert config("/mnt -i lo -s 0").snaplen == 262144


def test_a_mountpoint_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config("flows -i lo").mountpoint == str(tmp_path / "flows")


def test_a_place_may_be_called_as_filters_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no directory tcp port 25"):
        config("-i lo", "tcp port 25")
    for name in ("tcp", "net"):
        (tmp_path / name).mkdir()
        assert config(f"{name} -i lo udp").mountpoint == str(tmp_path / name)
    assert config("./vlan -i lo").mountpoint == str(tmp_path / "vlan")


@pytest.mark.parametrize("no", ["", "no"])
def test_the_help_names_options_that_are_understood(no: str) -> None:
    words = _OPTIONS_HELP.partition("pass on:")[2].replace("[no]", no).replace("x-*", "x-a").split(", ")
    assert len(words) > 10
    assert MountOptions.parse(["ro", *words]) == MountOptions(read_only=True)


def test_a_filter_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "filter"
    path.write_text("# mail\ntcp port 25 # SMTP\n  or tcp port 587\n\n")
    assert config(f"/mnt -i lo -F {path}").filter == "tcp port 25 or tcp port 587"
    with pytest.raises(ConfigError, match="there is a filter on the command line, too: udp"):
        config(f"/mnt -i lo -F {path} udp")
    path.write_bytes(b"\xff\xfe\0\0")
    with pytest.raises(ConfigError, match=r"-F .*: cannot read it: not a text file"):
        config(f"/mnt -i lo -F {path}")


# --- errors in the command line ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no command given: mount, umount"),
        ("munt /mnt", "no such command: munt; there is mount, umount"),
        ("/mnt -i eth0", "a command comes first: flowfs mount MOUNTPOINT"),
        ("-i eth0", "a command comes first"),
        ("mount", "where to? usage: flowfs mount MOUNTPOINT"),
        ("mount -i lo", "where to?"),
        ("mount -i lo tcp port 25", "MOUNTPOINT comes first, then the filter: there is no directory tcp; "),
        ("mount -i lo (port 25 or port 26)", "there is no directory (port; flowfs mount MOUNTPOINT"),
        ("mount -i lo not port 22", "there is no directory not"),
        ("mount -i lo ip6[6]=6", "there is no directory ip6[6]=6"),
        (f"mount /mnt -r x {__file__}", "is a file, not a filter: -r comes before each file"),
        ("mount /mnt", "nothing to capture: give -i INTERFACE"),
        ("mount /mnt tcp port 25", "nothing to capture: give -i INTERFACE"),
        ("mount /mnt lo", "nothing to capture: did you mean -i lo? flowfs mount MOUNTPOINT (-i IFACE"),
        ("mount any /mnt", "nothing to capture: did you mean -i any? "),
        (f"mount /mnt {__file__}", f"nothing to capture: did you mean -r {__file__}? "),
        ("mount /mnt -i lo -r a.pcap", "-i and -r exclude each other"),
        (
            "mount /mnt -i any -i lo",
            "-i any takes all interfaces, and would take their packets twice with -i lo",
        ),
        ("mount /mnt -i lo -i eth0 -i lo", "-i lo is given twice"),
        ("mount /mnt -i", "-i/--interface: expected one argument"),
        ("mount /mnt -i lo host 10.0.0.1 and -s", "-s/--snapshot-length/--snaplen: expected one argument"),
        ("mount /mnt -i lo -s 5", "-s 5: must be from 64 to 262144"),
        ("mount /mnt -i lo -s many", "-s many: not a whole number"),
        ("mount /mnt -i lo -B 0", "-B 0: must be from 1 to 2097151"),
        ("mount /mnt -i lo --checksum lax", "--checksum: invalid choice: 'lax'"),
        ("mount /mnt -i lo --direction up", "--direction: invalid choice: 'up'"),
        ("mount /mnt -i lo --max-memory lots", "--max-memory lots: not a size"),
        ("mount /mnt -i lo --max-memory 1k", "--max-memory 1K: must be from 1M"),
        ("mount /mnt -i lo --idle-timeout soon", "--idle-timeout soon: not a time"),
        ("mount /mnt -i lo --max-flows -3", "--max-flows"),
        ("mount /mnt -i lo -F /nonexistent", "-F /nonexistent: cannot read it: No such file"),
        ("mount /mnt -i lo --archive=", "--archive: the name is empty"),
        ("mount /mnt -i lo --archive", "--archive: expected one argument"),
        ("mount /mnt -i lo --evict fifo", "--evict: invalid choice: 'fifo' (choose from"),
        ("mount /mnt -i lo -b 0", "--max-flow-bytes 0: must be from 1 to"),
        ("mount /mnt -i lo --max-flow-bytes some", "--max-flow-bytes some: not a size"),
        ("mount /mnt -i lo -b 10 --keep both", "--keep: invalid choice: 'both'"),
        ("mount /mnt -i lo --keep tail", "--keep tail: of how much? give --max-flow-bytes (-b), too"),
        ("mount /mnt -i lo --max-mem 10M", "unrecognized arguments: --max-mem 10M"),
        ("mount /mnt -i lo -x", "unrecognized arguments: -x"),
        ("umount", "the following arguments are required: MOUNTPOINT"),
        ("umount /mnt -x", "unrecognized arguments: -x"),
        ("ls --stat open", "unrecognized arguments: --stat"),
        ("ls --state shut", "--state: invalid choice: 'shut'"),
        ("ls --sort age", "--sort: invalid choice: 'age'"),
        ("cat", "the following arguments are required: FLOW"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = status_of(line)
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("flowfs: ")
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("line", ["-h", "--help", "help", *(f"{name} -h" for name in COMMANDS)])
def test_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(line) == 0
    said = capsys.readouterr()
    assert f"flowfs {line.partition(' ')[0] if ' ' in line else 'mount'} " in said.out
    assert max(map(len, said.out.splitlines())) <= 110
    assert said.err == ""


def test_help_with_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("umount -h") == 0
    expected = capsys.readouterr().out
    assert status_of("help umount") == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    "line", ["-h", "mount -h", "umount -h", "", "munt", "mount", "mount /mnt -x", "umount"]
)
def test_commands_are_named_as_they_are_called(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWFS_COMMAND", "100%/contrib/run")
    status_of(line)
    said = "".join(capsys.readouterr())
    assert re.search(r"100%/contrib/run (u?mount|-)", said)
    assert not re.search(r"(?<!: )\bflowfs (u?mount|-)", said)


@pytest.mark.parametrize("line", ["-V", "--version", *(f"{name} -V" for name in COMMANDS)])
def test_version(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(line) == 0
    assert capsys.readouterr().out == f"flowfs {flowfs.__version__}\n"


# --- what fails later --------------------------------------------------------------------------


def flowfs_(*arguments: str) -> tuple[int, str]:
    """The exit status of the command, and what it said on standard error."""
    done = to_its_end([*MODULE, *arguments], ENVIRONMENT)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("line", ["-h", "check", "interfaces", "interfaces --json", "umount -h"])
def test_no_room_for_what_is_said(line: str) -> None:
    command = [*MODULE, *line.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"flowfs: standard output: No space left on device\n")


@pytest.fixture
def capture(tmp_path: Path) -> str:
    segment = craft.tcp("10.0.0.1", "10.0.0.2", 1, 2, payload=b"x")
    frame = craft.ethernet(craft.ipv4("10.0.0.1", "10.0.0.2", segment))
    return str(craft.write_pcap(tmp_path / "a.pcap", [craft.Packet(10**18, frame, len(frame))]))


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "flows").mkdir()
    return str(tmp_path / "flows")


@pytest.mark.parametrize("foreground", [["-f"], []], ids=["foreground", "background"])
def test_what_cannot_be_opened(place: str, capture: str, tmp_path: Path, foreground: list[str]) -> None:
    bad = flowfs_("mount", place, "-r", capture, "tcp prt 25", *foreground)
    assert bad == (
        2,
        "flowfs: bad filter 'tcp prt 25': can't parse filter expression: syntax error; see pcap-filter(7)\n",
    )
    lines = flowfs_("mount", place, "-r", capture, "tcp\nprt 25", *foreground)
    assert lines == (
        2,
        "flowfs: bad filter 'tcp prt 25': can't parse filter expression: syntax error; see pcap-filter(7)\n",
    )
    missing = flowfs_("mount", place, "-r", "/nonexistent.pcap", *foreground)
    assert missing == (3, "flowfs: cannot read /nonexistent.pcap: No such file or directory\n")
    status, said = flowfs_("mount", place, "-i", "nosuch0", *foreground)
    assert status == 3
    assert said.startswith("flowfs: ")
    assert said.count("\n") == 1


def test_settings_that_the_machine_refuses(place: str, capture: str) -> None:
    status, said = flowfs_("mount", place, "-r", capture, "--max-memory", "60T")
    assert status == 2
    assert said.startswith("flowfs: --max-memory 60T: ")
    status, said = flowfs_("mount", place, "-r", capture, "-Z", "no-such-user")
    assert (status, said) == (2, "flowfs: -Z no-such-user: no such user\n")
    status, said = flowfs_("mount", place, "-r", capture, "-o", "frobnicate")
    assert status == 2
    assert "frobnicate" in said


@pytest.mark.needs("fuse")
def test_a_place_where_nothing_can_be_mounted(place: str, capture: str) -> None:
    status, said = flowfs_("mount", place + "/missing", "-r", capture)
    assert status == 4
    assert said.startswith(f"flowfs: {place}/missing: no such directory")
    Path(place, "file").touch()
    status, said = flowfs_("mount", place, "-r", capture)
    assert status == 4
    assert "not empty" in said


def test_unmounting_what_is_not_mounted(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["umount", place]) == 4
    assert capsys.readouterr().err == f"flowfs: {place}: nothing is mounted there\n"


@pytest.mark.parametrize(("option", "said"), [([], ""), (["-q"], ""), (["-v"], "flowfs: /x: taken away\n")])
def test_how_much_is_said_of_unmounting(
    option: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowfs.cli.umount.unmount", lambda *_: None)
    assert main(["umount", "/x", *option]) == 0
    assert capsys.readouterr().err == said


def test_a_fault_of_ours_is_one_line() -> None:
    try:
        raise ExceptionGroup("unhandled errors", [ExceptionGroup("more", [ValueError("two\nlines")])])
    except ExceptionGroup as group:
        line = _fault(group)
    assert line.startswith("internal error: ValueError: two")
    assert "\n" not in line
    assert "-d shows all of it" in line


# --- the terminal ------------------------------------------------------------------------------


def speak(terminal: Terminal) -> None:
    terminal.error("an error")
    terminal.warn("a warning")
    terminal.say("a count")
    terminal.note("a note")
    terminal.progress(1, 2)
    terminal.ready()


@pytest.mark.parametrize(
    ("quiet", "verbose", "shown"),
    [
        (False, False, ["an error", "a warning", "a count"]),
        (False, True, ["an error", "a warning", "a count", "a note"]),
        (True, False, ["an error"]),
        (True, True, ["an error"]),
    ],
)
def test_how_much_is_said(
    quiet: bool, verbose: bool, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    speak(Terminal(quiet=quiet, verbose=verbose))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"flowfs: {line}" for line in shown]


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    terminal.progress(10, 100)
    terminal.warn("a [warning]")
    terminal.progress(100, 100)
    terminal.ready()
    said = capsys.readouterr().err
    assert "loading" in said
    assert "flowfs: a [warning]" in said

"""`flowfs ls`, `stats` and `check` on real mounts, as people and scripts run them."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from craft import Conversation
from flowfs.mountpoint import unmount
from live.mounting import ENVIRONMENT, FLOWFS, clean_up, flowfs
from mounted.people import open_to_all
from mounted.served import close_pipes, served, start

pytestmark = pytest.mark.needs("fuse")

DEMO = Path(__file__).resolve().parents[2] / "contrib/demo.pcap"
MAIL = "192.000.002.010.49152-192.000.002.025.00025"
PAGE = "2001:db8::80.00080-2001:db8::10.51000"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which $flowfs is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        env=ENVIRONMENT | {"flowfs": " ".join(FLOWFS)} | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "flows"
    path.mkdir()
    try:
        assert flowfs("mount", path, "-r", DEMO).returncode == 0
        yield path
        unmount(str(path))
    finally:
        clean_up(path)


def test_ls_for_programs(demo: Path) -> None:
    lines = [line.split("\t") for line in flowfs("ls", demo).stdout.splitlines()]
    assert {line[0] for line in lines} == set(os.listdir(demo))
    for name, size, state, age, rate, role, peer in lines:
        assert int(size) == (demo / name).stat().st_size
        assert state.encode() == os.getxattr(demo / name, "user.flowfs.state")
        assert role.encode() == os.getxattr(demo / name, "user.flowfs.role")
        assert (demo / peer).exists()
        assert 0 <= float(age) < 1  # at the end of what was read, years ago
        assert int(rate) > 0
    done = shell("$flowfs ls $place --sort size | awk '$2 > 300 { print $1 }'", place=str(demo))
    assert done.stdout.splitlines() == [PAGE, MAIL]


def test_ls_as_json(demo: Path) -> None:
    assert flowfs("ls", demo, "--json").stdout == (demo / ".flowfs/flows.jsonl").read_text()


def test_ls_on_a_terminal(demo: Path) -> None:
    typed = f"stty cols 60; TERM=xterm {' '.join(FLOWFS)} ls {demo}"
    lines = re.sub(r"\x1b\[[\d;]*m", "", shell(f'script -qc "{typed}" /dev/null').stdout).splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "STATE", "AGE"]
    assert len(lines) == 5
    assert max(map(len, lines)) <= 60


INSIDE = (".flowfs", MAIL, ".flowfs/by-port/25", f".flowfs/by-port/25/{MAIL}", "gone")


@pytest.mark.parametrize(("command", "places"), [("ls", INSIDE[:1]), ("stats", INSIDE)])
def test_a_path_within_a_mount(demo: Path, command: str, places: Sequence[str]) -> None:
    whole = flowfs(command, demo).stdout
    assert whole
    for inside in places:
        assert flowfs(command, demo / inside).stdout == whole


@pytest.mark.parametrize("command", ["ls", "stats", "ls --json --sort name"])
def test_who_has_read_enough_ends_it_quietly(demo: Path, command: str) -> None:
    done = shell(f"$flowfs {command} $place | true; $flowfs {command} $place | head -c 1", place=str(demo))
    assert (len(done.stdout), done.stderr) == (1, "")


def test_stats(demo: Path) -> None:
    told = flowfs("stats", demo).stdout
    assert f"mount     {demo}, all is read, process " in told
    assert "\n  packets   46 captured (4.9 kB), 0 dropped" in told
    assert "\n  lost      nothing\n" in told
    status = json.loads(flowfs("stats", demo, "--json").stdout)
    assert status["statistics"]["flows_total"] == 4
    assert "\nflowfs_flows_total 4\n" in flowfs("stats", demo, "--prometheus").stdout


def test_stats_tells_when_the_mount_goes(demo: Path) -> None:
    command = [*FLOWFS, "stats", str(demo), "--watch", "-n", "0.1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=pipe, stderr=pipe) as watching:
        assert watching.stdout is not None
        while "rate" not in watching.stdout.readline():
            pass
        unmount(str(demo), lazy=True)
        said = watching.communicate(timeout=10)[1]
    assert said == f"flowfs: {demo}: the mount was taken away meanwhile\n"
    assert watching.returncode == 1
    assert flowfs("mount", demo, "-r", DEMO).returncode == 0


def test_check_of_a_mount(demo: Path) -> None:
    """The machine lacks nothing that a mount needs, or there would be none."""
    done = flowfs("check", demo)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].split(None, 2) == ["ok", str(demo), "a flowfs mount that answers"]


@pytest.mark.parametrize("command", ["ls", "stats"])
def test_no_mount(command: str, tmp_path: Path) -> None:
    for path, why in (
        (tmp_path, "no flowfs is mounted there"),
        (tmp_path / "x", "no such file or directory"),
    ):
        done = flowfs(command, path)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith(f"flowfs: {path}: {why}")
        assert done.stderr.count("\n") == 1


def test_a_dead_mount(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.mkdir()
    mount = start(path)
    mount.process.kill()
    mount.process.wait(10)
    close_pipes(mount.process)
    dead = f"{path}: a dead flowfs mount, whose process has gone; take it away: flowfs umount -z {path}"
    for command in ("ls", "stats"):
        done = flowfs(command, path)
        assert (done.returncode, done.stderr) == (4, f"flowfs: {dead}\n")
    done = flowfs("check", path)
    assert done.returncode == 1
    assert dead in done.stdout
    assert flowfs("umount", "-z", path).returncode == 0


@pytest.mark.needs("root")
def test_the_mount_of_somebody_else() -> None:
    """Not even root can look into it."""
    with open_to_all() as folder:
        path = folder / "flows"
        path.mkdir()
        os.chown(path, 65534, 65534)
        try:
            assert flowfs("mount", path, "-r", DEMO, "-Z", "nobody").returncode == 0
            for command, status in (("ls", 4), ("stats", 4), ("check", 1)):
                done = flowfs(command, path)
                assert done.returncode == status
                assert "the mount is nobody's" in done.stderr + done.stdout
            unmount(str(path))
        finally:
            clean_up(path)


@pytest.mark.needs("netns")
def test_the_only_mount(tmp_path: Path) -> None:
    """In a mount namespace that has no others."""
    places = [tmp_path / "a", tmp_path / "b"]
    script = f"""
        umount -at fuse.flowfs
        $flowfs ls; echo "status $?"
        mkdir {places[0]} {places[1]}
        $flowfs mount {places[0]} -r {DEMO} && $flowfs ls | wc -l
        $flowfs mount {places[1]} -r {DEMO}
        $flowfs ls; echo "status $?"
        $flowfs umount {places[0]} {places[1]}
    """
    done = shell(f"unshare --mount --propagation private bash -c '{script}'")
    assert done.stdout.split("\n") == ["status 4", "4", "status 2", ""]
    assert done.stderr.splitlines() == [
        "flowfs: no flowfs is mounted; this mounts: flowfs mount MOUNTPOINT -i IFACE",
        f"flowfs: which MOUNTPOINT? flowfs is mounted at {places[0]}, {places[1]}",
    ]


def test_flows_and_groups_that_are_named(demo: Path) -> None:
    one = [line.split("\t")[0] for line in flowfs("ls", demo / MAIL).stdout.splitlines()]
    assert one == [MAIL]
    both = flowfs("ls", *demo.glob("*.00080*")).stdout.splitlines()
    assert len(both) == 2
    assert flowfs("ls", demo / ".flowfs/by-port/80").stdout.splitlines() == both
    (line,) = flowfs("ls", "--json", demo / MAIL).stdout.splitlines()
    assert line in flowfs("ls", "--json", demo).stdout.splitlines()
    assert len(flowfs("ls", demo, demo / MAIL).stdout.splitlines()) == 4
    whole = flowfs("ls", demo).stdout
    for folder in ("meta", "conversations", "follow", "by-host", "by-port", "by-state", "by-time"):
        assert flowfs("ls", demo / ".flowfs" / folder).stdout == whole, folder
    for known in (f"meta/{MAIL}.json", f"conversations/{MAIL}", f"follow/{MAIL}", f"by-port/25/{MAIL}"):
        assert flowfs("ls", demo / ".flowfs" / known).stdout == flowfs("ls", demo / MAIL).stdout, known
    done = flowfs("ls", demo / ".flowfs/status.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"flowfs: {demo}/.flowfs/status.json: no such flow\n"
    done = flowfs("ls", demo / "*.09999")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"flowfs: {demo}/*.09999: no such flow\n"


def take_until(lines: Iterable[str], what: str) -> Iterator[str]:
    """Those up to one that has this in it."""
    for line in lines:
        yield line
        if what in line:
            return


def test_what_happens_is_told_as_it_does(tmp_path: Path) -> None:
    with served(tmp_path / "flows") as mount:
        command = [*FLOWFS, "ls", str(mount.path), "--follow"]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            said, ports = following.stdout, itertools.count(1)
            while not select.select([said], [], [], 0.1)[0]:  # what comes before it listens is not told
                mount.feed(Conversation(client_port=next(ports)).handshake().client(0, b"abc"))
            conversation = Conversation().handshake().client(0, b"abc")
            mount.feed(conversation)
            mount.feed(conversation.close())
            lines = [line.rstrip("\n").split("\t") for line in take_until(said, "\tfin\t")]
            assert [line[1:] for line in lines[-2:]] == [
                ["new", conversation.client_name(), "0"],
                ["fin", conversation.client_name(), "3"],
            ]
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", lines[0][0])
            said.close()
            assert following.wait(10) == 1  # nobody reads: as of any tool in a pipe
        done = flowfs("ls", mount.path, "--follow", "--sort", "size")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "line", ["ls {}", "ls {} --json", "ls {} --sort size", "stats {}", "stats {} --json", "stats {} -w"]
)
def test_no_room_for_what_is_said(demo: Path, line: str) -> None:
    done = shell(f"$flowfs {line.format(demo)} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "flowfs: standard output: No space left on device\n")

"""`flowfs ls`, `stats` and `check` on real mounts, as people and scripts run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowfs.mountpoint import unmount
from live.mounting import ENVIRONMENT, FLOWFS, clean_up
from mounted.people import open_to_all
from mounted.served import close_pipes, start

pytestmark = pytest.mark.needs("fuse")

DEMO = Path(__file__).resolve().parents[2] / "contrib/demo.pcap"
MAIL = "192.000.002.010.49152-192.000.002.025.00025"
PAGE = "2001:db8::80.00080-2001:db8::10.51000"


def flowfs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FLOWFS, *map(str, arguments)],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


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


@pytest.mark.parametrize("command", ["ls", "stats"])
def test_a_path_within_a_mount(demo: Path, command: str) -> None:
    whole = flowfs(command, demo).stdout
    assert whole
    for inside in (MAIL, ".flowfs", ".flowfs/by-port/25", f".flowfs/by-port/25/{MAIL}", "gone"):
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
    assert done.stdout.splitlines()[-1].split(None, 2) == ["ok", str(demo), "a live flowfs mount"]


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


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount for somebody else takes root")
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


@pytest.mark.parametrize(
    "line", ["ls {}", "ls {} --json", "ls {} --sort size", "stats {}", "stats {} --json", "stats {} -w"]
)
def test_no_room_for_what_is_said(demo: Path, line: str) -> None:
    done = shell(f"$flowfs {line.format(demo)} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "flowfs: standard output: No space left on device\n")

"""Names by a template on real mounts: the tools of every day in directories that come and go."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiving import check
from craft import Conversation, Packet
from flowfs.mountpoint import unmount
from live.mounting import FLOWFS, clean_up, flowfs
from mounted.served import Served, run, served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

DEMO = Path(__file__).resolve().parents[2] / "contrib/demo.pcap"
TEMPLATE = "%A/%B/%a-%b%V%v%C%c"
MAIL = "192.000.002.010/192.000.002.025/49152-00025"
ANSWER = "192.000.002.025/192.000.002.010/00025-49152"
MANY = 20_000


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "flows"
    path.mkdir()
    try:
        done = flowfs("mount", path, "-r", DEMO, "-T", TEMPLATE)
        assert (done.returncode, done.stderr) == (0, "")
        yield path
        unmount(str(path))
    finally:
        clean_up(path)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "flows", names="%A/%B/%a") as mount:
        yield mount


def contents(path: Path) -> dict[str, bytes]:
    """What is in the files, by their paths."""
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def conversation_of(number: int, size: int = 3) -> Conversation:
    return (
        Conversation(f"10.1.{number % 7}.{number % 5}", client_port=1024 + number)
        .handshake()
        .client(0, b"abc"[:size])
    )


def path_of(number: int) -> str:
    return f"010.001.{number % 7:03}.{number % 5:03}/010.000.000.002/{1024 + number:05}"


def fill(mount: Served, numbers: range) -> None:
    packets: list[Packet] = []
    for number in numbers:
        packets += conversation_of(number).packets
    mount.feed_packets(packets)


# --- tools ---------------------------------------------------------------------------------------------


def test_what_tools_copy(demo: Path, tmp_path: Path) -> None:
    expected = contents(demo)
    assert len(expected) > 3
    assert all(expected.values())
    archive = tmp_path / "all.tar"
    commands: list[list[str | Path]] = [
        ["cp", "-r", f"{demo}/.", tmp_path / "copied"],
        ["rsync", "-a", "--exclude=.flowfs", f"{demo}/", tmp_path / "synchronised"],
        ["tar", "-C", demo, "-cf", archive, "."],
    ]
    for command in commands:
        done = run(*command)
        assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "unpacked").mkdir()
    assert run("tar", "-C", tmp_path / "unpacked", "-xf", archive).returncode == 0
    for copy in ("copied", "synchronised", "unpacked"):
        assert contents(tmp_path / copy) == expected


def test_what_tools_list(demo: Path) -> None:
    expected = sorted(contents(demo))
    found = run("find", demo, "-type", "f", "-printf", "%P\\n")
    assert (sorted(found.stdout.split()), found.stderr) == (expected, "")
    deep = run("find", demo, "-mindepth", "3", "-printf", "%P\\n").stdout.split()
    assert sorted(deep) == expected, "however find(1) takes the links of a directory"
    listed = run("ls", "-R", demo)
    assert listed.stderr == ""
    assert {Path(name).name for name in expected} <= set(listed.stdout.split())
    sizes = {name: len(data) for name, data in contents(demo).items()}
    total = int(run("du", "-sb", "--apparent-size", demo).stdout.split()[0])
    assert total == sum(sizes.values())
    assert run("grep", "-rlaE", "^MAIL FROM:", demo).stdout.split() == [f"{demo}/{MAIL}"]
    for directory, folders, _ in os.walk(demo):
        assert os.stat(directory).st_nlink == 2 + len(folders)
        inode = os.stat(directory).st_ino
        assert {os.stat(Path(directory, folder, "..")).st_ino for folder in folders} <= {inode}


def test_links_lead_to_the_flows(demo: Path) -> None:
    links = list((demo / ".flowfs/by-port/25").iterdir())
    assert sorted(str(link.resolve().relative_to(demo)) for link in links) == [MAIL, ANSWER]
    assert all(not os.readlink(link).startswith("/") for link in links)
    for link in links:
        assert (demo / f".flowfs/meta/{link.name}.json").exists()
        with (demo / f".flowfs/follow/{link.name}").open("rb") as stream:
            assert stream.read() == link.read_bytes()


def test_the_peer_is_said_from_the_root_of_the_mount(demo: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'cat "$(getfattr --only-values -n user.flowfs.peer {MAIL})"'],
        cwd=demo,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ((demo / ANSWER).read_bytes(), b"")


# --- the commands --------------------------------------------------------------------------------------


def test_cat(demo: Path) -> None:
    done = run(*FLOWFS, "cat", "--both", demo / ANSWER)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.split("\n") if line.startswith("==>")] == [
        f"==> {MAIL} <==",
        f"==> {ANSWER} <==",
    ]
    (link,) = (demo / ".flowfs/by-port/25").glob("192.000.002.010*")
    assert run(*FLOWFS, "cat", link).stdout.encode() == (demo / MAIL).read_bytes().replace(b"\r\n", b"\n")
    beside = subprocess.run(
        [*FLOWFS, "cat", "--both", "49152-00025"],
        cwd=demo / MAIL.rpartition("/")[0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (beside.stdout, beside.stderr) == (done.stdout.replace("\r\n", "\n"), "")


def test_ls(demo: Path) -> None:
    def names(*arguments: str | Path) -> list[str]:
        done = flowfs("ls", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return sorted(line.split("\t")[0] for line in done.stdout.splitlines())

    assert names(demo) == sorted(contents(demo))
    assert names(demo / MAIL) == [MAIL]
    assert names(demo / "192.000.002.010/192.000.002.025") == [MAIL]
    assert names(demo / "192.000.002.025") == [ANSWER]
    assert names(demo / ".flowfs/by-port/25") == [MAIL, ANSWER]
    assert names(demo / MAIL, demo / "192.000.002.025") == [MAIL, ANSWER]
    lines = [line.split("\t") for line in flowfs("ls", demo).stdout.splitlines()]
    assert all((demo / line[6]).is_file() for line in lines)
    gone = flowfs("ls", demo / "192.000.002.010/none")
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "template", ["%Q", "", "/tmp/%A", "../%A", "%A/", "%A//%B", ".flowfs/%A", "%A%", "%A%B%A%B%A%B", "a\nb"]
)
def test_what_is_no_template_is_said_in_one_line(tmp_path: Path, template: str) -> None:
    done = flowfs("mount", tmp_path, "-r", DEMO, "--names", template)
    assert done.returncode == 2
    assert done.stderr.startswith("flowfs: --names ")
    assert done.stderr.count("\n") == 1


def test_the_archive_has_the_same_paths(tmp_path: Path) -> None:
    path, kept = tmp_path / "flows", tmp_path / "kept"
    path.mkdir()
    try:
        assert flowfs("mount", path, "-r", DEMO, "-T", "%B/%A", "--archive", kept).returncode == 0
        expected = contents(path)
        assert flowfs("umount", path).returncode == 0
    finally:
        clean_up(path)
    check(kept)
    (kept / "flows.jsonl").unlink()
    assert contents(kept) == expected
    assert len(expected) > 3


# --- coming and going ----------------------------------------------------------------------------------


def test_rm_of_a_flow_and_of_directories(live: Served) -> None:
    fill(live, range(100))
    first = live.path / path_of(0)
    assert first.read_bytes() == b"abc"
    assert run("rm", first).stderr == ""
    assert not first.exists()
    done = run("rm", "-r", first.parent.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert not first.parent.parent.exists()
    assert live.statistics()["flows"] == 97
    done = run("rm", "-r", *live.path.iterdir())
    assert (done.returncode, done.stderr) == (0, "")
    assert live.names() == []
    assert live.statistics()["flows"] == 0
    fill(live, range(100, 120))
    assert (live.path / path_of(110)).read_bytes() == b"abc"


def test_deleting_by_find(live: Served) -> None:
    fill(live, range(200))
    done = run("find", live.path, "-mindepth", "1", "-delete")
    assert (done.returncode, done.stderr) == (0, "")
    assert live.names() == []


def test_a_directory_that_is_not_empty_stays(live: Served) -> None:
    fill(live, range(1))
    folder = (live.path / path_of(0)).parent
    assert "not empty" in run("rmdir", folder).stderr
    commands: list[list[str | Path]] = [
        ["touch", folder / "x"],
        ["mkdir", folder / "x"],
        ["mv", folder, live.path / "x"],
    ]
    for command in commands:
        assert "Read-only file system" in run(*command).stderr
    assert "Read-only file system" in run("rmdir", live.path / ".flowfs/meta").stderr
    assert (live.path / path_of(0)).exists()


def test_what_was_evicted_is_not_found(live: Served) -> None:
    """In directories of its own the kernel keeps names as well, and is told of those that go."""
    fill(live, range(10))
    path = live.path / path_of(3)
    assert path.read_bytes() == b"abc"
    live.evict(conversation_of(3))
    assert eventually(lambda: not path.exists())
    assert eventually(lambda: not path.parent.parent.exists(), 10)
    going_on = conversation_of(3)
    going_on.packets.clear()
    live.feed(going_on.client(3, b"other"))
    assert eventually(path.exists)
    assert path.read_bytes() == b"other"


@pytest.mark.slow
def test_listings_under_churn(live: Served) -> None:
    """What is there throughout comes exactly once in a walk, everything else at most once."""
    fill(live, range(2000))
    throughout = {path_of(number) for number in range(2000) if number % 4}
    walks = 0
    walker = subprocess.Popen(
        ["sh", "-c", f"for i in 1 2 3 4 5; do find {live.path} -type f -printf '%P\\n'; echo; done"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for number in range(0, 2000, 4):
        live.evict(conversation_of(number))
        if number % 40 == 0:
            fill(live, range(2000 + number, 2040 + number))
    output, said = walker.communicate(timeout=60)
    for walk in output.split("\n\n")[:5]:
        names = walk.split()
        assert len(names) == len(set(names))
        assert throughout <= set(names)
        walks += 1
    assert walks == 5
    assert all("No such file" in line for line in said.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("names", ["all/%a-%A", "%a-%A"])
def test_listing_many_in_one_directory(tmp_path: Path, names: str) -> None:
    with served(tmp_path / "flows", names=names, patience_s=300, table_bytes=1 << 29) as mount:
        for first in range(0, MANY, 5000):
            packets: list[Packet] = []
            for number in range(first, first + 5000):
                packets += (
                    Conversation(f"10.{number >> 14}.{number >> 7 & 127}.{number & 127}")
                    .handshake()
                    .client(0, b"x")
                    .packets
                )
            mount.feed_packets(packets)
        path = mount.path / os.path.dirname(names)
        began = time.monotonic()
        count = len(run("ls", "-U", path, timeout=60).stdout.split())
        took_s = time.monotonic() - began
        assert count == MANY
        assert len(os.listdir(path)) == MANY
        assert took_s < 10

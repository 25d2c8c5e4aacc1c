"""A mount as the tools of every day see it."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path

import pytest

from craft import Conversation, Tag
from flowfs.tree.control import NAMES
from mounted.served import Served, run
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

PATTERN = b"".join(b"%07d\n" % line for line in range(40_000))


def send(conversation: Conversation, data: bytes, begin: int = 0, segment: int = 1460) -> Conversation:
    """The client sends data[begin:], which the server acknowledges."""
    for at in range(begin, len(data), segment):
        conversation.client(at, data[at : at + segment])
    return conversation.server_ack(len(data))


@pytest.fixture
def live(mount: Served) -> Path:
    """A flow of PATTERN that goes on."""
    conversation = send(Conversation().handshake(), PATTERN)
    mount.feed(conversation)
    return mount.client(conversation)


@pytest.fixture
def closed(mount: Served) -> Path:
    """A flow of PATTERN that has ended."""
    conversation = send(Conversation(client_port=41000).handshake(), PATTERN).close()
    mount.feed(conversation)
    return mount.client(conversation)


@pytest.fixture
def asleep(mount: Served, live: Path) -> Path:
    """One of which nothing came for a while."""
    mount.ask("lay_down_all")
    assert mount.statistics()["connections_asleep"] == 1
    return live


@pytest.fixture(params=["live", "closed", "asleep"])
def flow(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_cat(flow: Path) -> None:
    assert flow.read_bytes() == PATTERN
    assert run("cat", flow).stdout.encode() == PATTERN


def test_cp_and_cmp(flow: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert run("cp", "-a", flow, copy).stderr == ""
    assert copy.read_bytes() == PATTERN
    assert copy.stat().st_mtime_ns == flow.stat().st_mtime_ns
    assert run("cmp", flow, copy).returncode == 0


@pytest.mark.parametrize(
    ("block", "skip", "count"), [(7, 3, 5), (1000, 11, 3), (131072, 1, 1), (4097, 70, 9), (1, 319_998, 9)]
)
def test_dd_at_odd_places(flow: Path, tmp_path: Path, block: int, skip: int, count: int) -> None:
    part = tmp_path / "part"
    done = run("dd", f"if={flow}", f"of={part}", f"bs={block}", f"skip={skip}", f"count={count}")
    assert done.returncode == 0, done.stderr
    assert part.read_bytes() == PATTERN[block * skip : block * (skip + count)]


def test_beyond_the_end_is_nothing(flow: Path) -> None:
    with flow.open("rb") as file:
        assert os.pread(file.fileno(), 10, len(PATTERN)) == b""
        assert os.pread(file.fileno(), 10, len(PATTERN) - 3) == PATTERN[-3:]
        assert os.pread(file.fileno(), 10, 1 << 40) == b""


def test_head_tail_and_wc(flow: Path) -> None:
    assert run("wc", "-c", flow).stdout.split()[0] == str(len(PATTERN))
    assert run("tail", "-n", "2", flow).stdout == "0039998\n0039999\n"
    assert run("head", "-c", "10", flow).stdout == "0000000\n00"


def test_mmap(flow: Path) -> None:
    with flow.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
        assert view[:] == PATTERN
        assert view.find(b"0012345") == 12345 * 8


def test_shared_mmap_of_a_closed_flow(closed: Path) -> None:
    with closed.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        assert view[:] == PATTERN


def test_grep_finds_each_flow_once(mount: Served) -> None:
    for port in range(5):
        word = b"needle\n" if port % 2 else b"hay\n"
        mount.feed(Conversation(client_port=50000 + port).handshake().client(0, b"a line\n" + word))
    found = run("grep", "-r", "needle", mount.path).stdout.splitlines()
    assert sorted(found) == [
        f"{mount.path}/010.000.000.001.{50000 + port}-010.000.000.002.00080:needle" for port in (1, 3)
    ]
    assert run("grep", "-rl", "payload_used_bytes", mount.path).stdout == ""  # .flowfs is not walked into
    assert run("grep", "-c", "flows_total", mount.path / ".flowfs/status.json").stdout == "1\n"


def test_ls_shows_size_times_and_mode(mount: Served) -> None:
    conversation = Conversation(clock_ns=1_700_000_000 * 10**9).handshake().client(0, b"abc")
    conversation.wait(10).client(3, b"def").wait(20).server_ack(6).fin()
    mount.feed(conversation)
    line = run("ls", "-l", "--time-style=+%s", mount.path).stdout.splitlines()[-1].split()
    assert line[0] == "-r--------"
    assert line[4:] == ["6", "1700000010", conversation.client_name()]
    stat = mount.client(conversation).stat()
    assert int(stat.st_atime) == 1_700_000_000
    assert int(stat.st_mtime) == 1_700_000_010
    assert int(stat.st_ctime) == 1_700_000_000
    assert (stat.st_uid, stat.st_gid, stat.st_nlink) == (os.getuid(), os.getgid(), 1)
    assert stat.st_blocks * 512 >= 6
    assert stat.st_blksize == 131072


def test_ls_l_asks_for_attributes_once_a_device(mount: Served) -> None:
    """Extended attributes asked for file by file make `ls -l` 30 × slower."""
    mount.feed(Conversation().handshake().client(0, b"abc"))
    with pytest.raises(OSError, match="not supported"):
        os.getxattr(next(mount.path.iterdir()), "security.selinux")
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(next(mount.path.iterdir()), "user.none")


def test_names_of_ipv6_and_vlan(mount: Served) -> None:
    six = Conversation("2001:db8::1", "2001:db8::2", 80, 51000)
    tagged = Conversation(tags=[Tag(42, pcp=5)])
    for conversation in (six, tagged):
        mount.feed(conversation.handshake().client(0, b"abc"))
    assert mount.names() == [
        "2001:db8::1.00080-2001:db8::2.51000",
        "010.000.000.001.40000-010.000.000.002.00080--42",
    ]
    assert mount.client(six).read_bytes() == mount.client(tagged).read_bytes() == b"abc"


def test_only_the_canonical_name_is_found(mount: Served) -> None:
    mount.feed(Conversation().handshake().client(0, b"abc"))
    for name in ("10.0.0.1.40000-10.0.0.2.80", "010.000.000.001.40000-010.000.000.002.00080c1", "x" * 255):
        assert not (mount.path / name).exists()


def test_dots_and_the_hidden_directory(mount: Served) -> None:
    mount.feed(Conversation().handshake().client(0, b"abc"))
    listed = run("ls", "-a", mount.path).stdout.split()
    assert listed[:2] == [".", ".."]
    assert len(listed) == 3
    names = [name.decode() for name in NAMES if name != b"events.jsonl.1"]
    assert run("ls", "-a", mount.path / ".flowfs").stdout.split() == [".", "..", *sorted(names)]
    assert not (mount.path / ".flowfs/other").exists()
    assert run("find", mount.path, "-type", "f").stdout.count("\n") == 1


def test_status_is_one_moment(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    path = mount.path / ".flowfs/status.json"
    with path.open("rb") as before:
        size = os.fstat(before.fileno()).st_size
        beginning = before.read(10)
        mount.feed(conversation.client(3, b"d" * 1000))
        status = json.loads(beginning + before.read())
        assert status["statistics"]["payload_bytes"] == 3
        assert size == len(beginning) + len(json.dumps(status, indent=2)) + 1 - 10
    assert json.loads(path.read_text())["statistics"] == mount.statistics()


def test_df(mount: Served) -> None:
    limit = mount.statistics()["payload_limit_bytes"]
    mount.feed(send(Conversation().handshake(), PATTERN))
    size, used, free = run("df", "-B1", "--output=size,used,avail", mount.path).stdout.splitlines()[1].split()
    assert int(size) == limit
    assert int(used) == mount.statistics()["payload_used_bytes"] >= len(PATTERN)
    assert int(free) == int(size) - int(used)
    total, held, free, kind = (
        run("df", "--output=itotal,iused,iavail,fstype", mount.path).stdout.splitlines()[1].split()
    )
    assert (int(held), kind) == (1, "fuse.flowfs")
    assert int(total) == int(free) + 1 > 100_000


def test_the_directory_changes_when_a_flow_appears_or_goes(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    times = [mount.path.stat().st_mtime_ns]
    for change in (mount.feed, mount.evict):
        change(conversation)
        assert eventually(lambda: mount.path.stat().st_mtime_ns > times[-1])
        times.append(mount.path.stat().st_mtime_ns)


def test_reading_while_the_interpreter_is_busy(mount: Served, live: Path) -> None:
    mount.ask("spin", True)
    for _ in range(20):
        assert live.read_bytes() == PATTERN
    mount.ask("spin", False)

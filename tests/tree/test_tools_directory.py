"""Tools that look at the whole directory: what they list, count, search and copy, while some flows grow."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, run
from tree.growing import DATA, FIRST_BYTES, LINES, Growing, all_grow, is_beginning, output
from waiting import eventually

PATIENCE_S = 30

pytestmark = pytest.mark.needs("fuse")

STILL = {10_000 + number: b"".join(LINES[: 50 * number]) for number in range(1, 31)}  # by the client's port
PORTS = (40_000, 40_001, 40_002)


class Many:
    """Flows that have ended, of known bytes, and some that grow."""

    def __init__(self, mount: Served) -> None:
        self.mount = mount
        self.still: dict[str, bytes] = {}
        packets = Conversation()
        for port, data in STILL.items():
            packets.again(1000, 500_000, client_port=port).handshake()
            for at in range(0, len(data), 1300):
                packets.client(at, data[at : at + 1300])
            packets.server_ack(len(data)).close()
            self.still[packets.client_name()] = data
        mount.feed(packets)
        self.growing = {flow.path.name: flow for flow in (Growing(mount, port) for port in PORTS)}
        self.names = [*self.still, *self.growing]

    def check(self, found: dict[str, bytes]) -> None:
        """That what was found by name is what there is, or was at some time."""
        assert sorted(found) == sorted(self.names)
        for name, data in found.items():
            assert data == self.still[name] if name in self.still else is_beginning(data), name


@pytest.fixture
def many(mount: Served) -> Many:
    return Many(mount)


@pytest.fixture
def grown(many: Many) -> Iterator[Many]:
    """While they grow."""
    with all_grow(list(many.growing.values())):
        yield many


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.name != ".flowfs"}


# --- listing -----------------------------------------------------------------------------------------


def test_ls_l(mount: Served) -> None:
    """Size, times, mode and owner; blocks in the first line."""
    conversation = Conversation(clock_ns=1_700_000_000 * 10**9).handshake().client(0, b"abc")
    conversation.wait(10).client(3, b"def").wait(20).server_ack(6).fin()
    mount.feed(conversation)
    total, line = run("ls", "-l", "--time-style=+%s", mount.path).stdout.splitlines()
    blocks = mount.client(conversation).stat().st_blocks
    assert total == f"total {-(-blocks // 2)}"
    user, group = (run("id", option).stdout.strip() for option in ("-un", "-gn"))
    expected = ["-r--------", "1", user, group, "6", "1700000010", conversation.client_name()]
    assert line.split() == expected
    for option, at in (("--time=atime", 1_700_000_000), ("--time=ctime", 1_700_000_000)):
        assert str(at) in run("ls", "-l", "--time-style=+%s", option, mount.path).stdout
    found = mount.client(conversation).stat()
    assert (found.st_uid, found.st_gid, found.st_blksize) == (os.getuid(), os.getgid(), 131072)


def test_ls_of_flows_that_grow(grown: Many) -> None:
    for _ in range(5):
        names = run("ls", "-U", grown.mount.path).stdout.splitlines()
        assert names == grown.names, "in order of appearance"
        assert run("ls", grown.mount.path).stdout.splitlines() == sorted(grown.names)
        sizes = {
            line.split()[-1]: int(line.split()[4])
            for line in run("ls", "-lU", grown.mount.path).stdout.splitlines()[1:]
        }
        assert list(sizes) == grown.names
        for name, size in sizes.items():
            if name in grown.still:
                assert size == len(grown.still[name])
            else:
                assert FIRST_BYTES <= size <= grown.growing[name].sent
    largest = [line.split()[-1] for line in run("ls", "-lS", grown.mount.path).stdout.splitlines()[1:4]]
    assert sorted(largest) == sorted(grown.growing)


def test_ls_of_many(mount: Served) -> None:
    conversation = Conversation()
    for port in range(1024, 3024):
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"abc")
    mount.feed(conversation)
    names = [Conversation(client_port=port).client_name() for port in range(1024, 3024)]
    assert run("ls", "-U", mount.path).stdout.splitlines() == names
    lines = run("ls", "-lU", mount.path).stdout.splitlines()[1:]
    assert [line.split()[-1] for line in lines] == names
    assert {line.split()[4] for line in lines} == {"3"}


def test_ls_of_what_is_hidden(many: Many) -> None:
    assert run("ls", "-a", many.mount.path).stdout.split() == [".", "..", *sorted(many.names)]
    own = run("ls", "-aU", many.mount.path / ".flowfs").stdout.split()
    assert own[:2] == [".", ".."]
    assert {"README", "status.json", "by-port", "meta"} < set(own)
    lines = run("ls", "-l", many.mount.path / ".flowfs/by-port/80").stdout.splitlines()[1:]
    assert [line.split()[-3:] for line in lines] == [
        [name, "->", f"../../../{name}"] for name in sorted(many.names)
    ]


def found(path: Path, *tests: str | Path) -> list[str]:
    done = run("find", path, "-type", "f", *tests, "-printf", "%P\\n")
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_find_by_size(grown: Many) -> None:
    path, sizes = grown.mount.path, {name: len(data) for name, data in grown.still.items()}
    assert found(path) == grown.names
    assert found(path, "-size", "+63k") == list(grown.growing)
    assert found(path, "-size", "-2k") == [name for name, size in sizes.items() if size <= 1024]
    assert found(path, "-size", "1300c") == [name for name, size in sizes.items() if size == 1300]
    assert found(path, "-empty") == found(path, "-perm", "/022") == []
    inodes = run("find", path, "-printf", "%i\\n").stdout.split()
    assert len(set(inodes)) == len(inodes) == len(grown.names) + 1


def test_find_by_age(mount: Served, tmp_path: Path) -> None:
    """That of the last payload."""
    now_ns, names = time.time_ns(), []
    for port, minutes in ((1, 120), (2, 30), (3, 0)):
        conversation = Conversation(client_port=port, clock_ns=now_ns - (minutes * 60 + 1) * 10**9)
        mount.feed(conversation.handshake().client(0, b"abc"))
        names.append(conversation.client_name())
    assert found(mount.path, "-mmin", "-1") == found(mount.path, "-mmin", "-20") == names[2:]
    assert found(mount.path, "-mmin", "-45") == names[1:]
    assert found(mount.path, "-mmin", "+60") == names[:1]
    mark = tmp_path / "mark"
    mark.touch()
    for number, name in enumerate(names):
        at_ns = (mount.path / name).stat().st_mtime_ns
        os.utime(mark, ns=(at_ns - 1, at_ns - 1))
        assert found(mount.path, "-newer", mark) == names[number:]
        os.utime(mark, ns=(at_ns, at_ns))
        assert found(mount.path, "-newer", mark) == names[number + 1 :]
    mount.feed(conversation.wait(1).client(3, b"def"))
    assert eventually(lambda: found(mount.path, "-newer", mark) == names[2:])


# --- counting ----------------------------------------------------------------------------------------


def test_du(grown: Many) -> None:
    """Each byte is counted once, so nothing of `.flowfs`."""
    still = sum(map(len, grown.still.values()))
    first, last = FIRST_BYTES * len(PORTS), len(DATA) * len(PORTS)
    for _ in range(3):
        total, name = run("du", "-sb", grown.mount.path).stdout.split()
        assert name == str(grown.mount.path)
        assert still + first <= int(total) <= still + last
        assert int(run("du", "-sk", grown.mount.path).stdout.split()[0]) * 1024 >= still + first
        lines = run("du", "-ab", grown.mount.path).stdout.splitlines()
        assert [Path(line.split("\t")[1]).name for line in lines[:-1]] == grown.names


def test_df(many: Many) -> None:
    limit, used = (many.mount.statistics()[f"payload_{name}_bytes"] for name in ("limit", "used"))
    head, line = run("df", "-B1", many.mount.path).stdout.splitlines()
    assert head.split()[:4] == ["Filesystem", "1B-blocks", "Used", "Available"]
    name, *numbers, share, place = line.split()
    assert (name, place) == ("flowfs", str(many.mount.path))
    size, shown, free = map(int, numbers)
    assert size == limit
    assert used <= shown < used + 1024
    assert shown >= sum(map(len, many.still.values())) + FIRST_BYTES * len(PORTS)
    assert free == size - shown
    assert share == "1%"
    assert run("df", "--output=fstype", many.mount.path).stdout.split()[1] == "fuse.flowfs"


def test_df_i(many: Many) -> None:
    head, line = run("df", "-i", many.mount.path).stdout.splitlines()
    assert head.split()[:4] == ["Filesystem", "Inodes", "IUsed", "IFree"]
    total, held, free = map(int, line.split()[1:4])
    assert held == len(many.names)
    assert free == many.mount.statistics()["flows_free"] > 100_000
    assert total == held + free


def test_wc(grown: Many) -> None:
    *lines, total = run("sh", "-c", f"cd {grown.mount.path} && wc -c *").stdout.splitlines()
    sizes = {line.split()[1]: int(line.split()[0]) for line in lines}
    assert sum(sizes.values()) == int(total.split()[0])
    for name, data in grown.still.items():
        assert sizes[name] == len(data)
    assert all(FIRST_BYTES <= sizes[name] <= len(DATA) for name in grown.growing)


# --- searching ---------------------------------------------------------------------------------------

SEARCHES = {
    "grep": ["grep", "-ra", "", "."],
    "grep-mask": ["sh", "-c", "grep -a '' *"],
    "rg": ["rg", "-aNH", "--no-heading", "--color=never", "", "."],
    "rg-mmap": ["rg", "-aNH", "--mmap", "--no-heading", "--color=never", "", "."],
    "rg-one-thread": ["rg", "-aNH", "-j1", "--sort=path", "--no-heading", "--color=never", "", "."],
    "find": ["find", ".", "-type", "f", "-exec", "grep", "-aH", "", "{}", "+"],
    "xargs": ["sh", "-c", "ls | xargs -P8 -n 40 grep -aH ''"],
}


@pytest.mark.parametrize("tool", SEARCHES)
def test_each_line_of_each_flow_is_found_once(grown: Many, tool: str) -> None:
    found: dict[str, list[bytes]] = {}
    for line in output(["env", "-C", grown.mount.path, *SEARCHES[tool]]).splitlines(keepends=True):
        name, _, rest = line.partition(b":")
        found.setdefault(name.decode().removeprefix("./"), []).append(rest)
    grown.check({name: b"".join(lines) for name, lines in found.items()})


def test_a_word_is_found_where_it_is(grown: Many) -> None:
    path = grown.mount.path
    with_it = sorted(name for name, data in grown.still.items() if b"0000777 line" in data)
    commands = [["grep", "-rl"], ["rg", "-l"], ["rg", "--mmap", "-l"]]
    for command in commands:
        found = [Path(line).name for line in run(*command, "0000777", path).stdout.splitlines()]
        assert sorted(found) == sorted([*with_it, *grown.growing]), command
    for command in (commands[0] + ["-P"], commands[1] + ["-a"]):
        assert run(*command, r"\x00", path).stdout == "", "a zero"
    assert run("grep", "-rl", "payload_used_bytes", path).stdout == "", ".flowfs is not walked into"
    assert run("grep", "-c", "flows_total", path / ".flowfs/status.json").stdout == "1\n"


def test_digests_of_all_by_eight_at_once(grown: Many) -> None:
    said = output(["sh", "-c", f"cd {grown.mount.path} && ls | xargs -P8 -n1 sha256sum"])
    digests = {name: digest for digest, name in (line.split() for line in said.decode().splitlines())}
    assert sorted(digests) == sorted(grown.names)
    for name, data in grown.still.items():
        assert digests[name] == hashlib.sha256(data).hexdigest()


# --- copying -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["cp", "-r", "FLOWS/.", "COPY"],
        ["cp", "-a", "FLOWS/.", "COPY"],
        ["rsync", "-aX", "FLOWS/", "COPY"],
        ["sh", "-c", "ls FLOWS | xargs -P8 -I{} cp FLOWS/{} COPY/"],
    ],
)
def test_copies_of_all(grown: Many, tmp_path: Path, command: list[str]) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    output([word.replace("FLOWS", str(grown.mount.path)).replace("COPY", str(copy)) for word in command])
    grown.check(contents(copy))


def test_copies_by_tar_and_python(grown: Many, tmp_path: Path) -> None:
    shutil.copytree(grown.mount.path, tmp_path / "all")
    grown.check(contents(tmp_path / "all"))
    # 1: a file changed as it was read, which some do
    archive = output(["sh", "-c", f"tar -C {grown.mount.path} -cf - . || test $? = 1"])
    assert len(output(["tar", "-tf", "-"], archive).splitlines()) == len(grown.names) + 1
    (tmp_path / "unpacked").mkdir()
    output(["tar", "-C", tmp_path / "unpacked", "-xf", "-"], archive)
    grown.check(contents(tmp_path / "unpacked"))


def test_rsync_again_sends_what_has_changed(many: Many, tmp_path: Path) -> None:
    copy, one = tmp_path / "copy", many.growing[next(iter(many.growing))]
    command = ["rsync", "-aX", "--itemize-changes", f"{many.mount.path}/", str(copy)]
    first = output(command).decode().splitlines()
    assert sorted(line.split()[1] for line in first if line.startswith(">f")) == sorted(many.names)
    many.check(contents(copy))
    assert output(command) == b"", "nothing, since nothing has changed"
    one.send(1300)
    one.conversation.wait(5)
    one.send(1300)
    (line,) = output(command).decode().splitlines()
    assert line.startswith(">f.st")
    assert line.split()[1] == one.path.name
    assert (copy / one.path.name).read_bytes() == DATA[: one.sent]
    told = run("getfattr", "-d", one.path).stdout.split("\n", 1)[1]
    assert 'user.flowfs.state="open"' in told
    assert run("getfattr", "-d", copy / one.path.name).stdout.split("\n", 1)[1] == told
    assert output(command) == b""


def test_diff_of_all(many: Many, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert run("cp", "-a", many.mount.path, copy).stderr == ""
    done = run("diff", "-r", "--exclude=.flowfs", many.mount.path, copy)
    assert (done.returncode, done.stdout) == (0, "")
    with all_grow(list(many.growing.values())):
        deadline_s = time.monotonic() + PATIENCE_S
        while any(flow.sent < len(DATA) for flow in many.growing.values()):
            assert time.monotonic() < deadline_s, "the feeder failed"
            done = run("diff", "-rq", "--exclude=.flowfs", many.mount.path, copy)
            differing = {Path(line.split()[1]).name for line in done.stdout.splitlines()}
            assert differing <= set(many.growing)


def test_the_list_of_all_names_each_once(grown: Many) -> None:
    path = grown.mount.path / ".flowfs/flows.jsonl"
    assert int(run("wc", "-l", path).stdout.split()[0]) == len(grown.names)
    assert [json.loads(line)["name"] for line in output(["cat", path]).splitlines()] == grown.names
    assert run("jq", "-r", ".name", path).stdout.split() == grown.names

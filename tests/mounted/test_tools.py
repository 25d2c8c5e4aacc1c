"""The tools of every day: each gives a beginning of the right bytes of a flow that grows, in the end all.

A feeder grows the flow all the while a tool runs. What a tool writes is compared with what it writes of an
ordinary file of the same bytes, or is a beginning of them; a zero too many would show.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, run, served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

LINES = [b"%07d line\n" % number for number in range(30_000)]
DATA = b"".join(LINES)
STEP_BYTES = 13 * 1000  # a thousand lines at a time
FIRST_BYTES = 5 * STEP_BYTES


class Growing:
    """A flow of DATA that has its first part, and gets the rest by and by."""

    def __init__(self, mount: Served) -> None:
        self._mount = mount
        self._conversation = Conversation().handshake()
        self._sent = 0
        self._lock = threading.Lock()
        self.path = mount.client(self._conversation)
        self.send(FIRST_BYTES)

    def send(self, count: int) -> None:
        with self._lock:
            end = min(len(DATA), self._sent + count)
            for at in range(self._sent, end, 1300):
                self._conversation.client(at, DATA[at : min(end, at + 1300)])
            self._mount.feed(self._conversation.server_ack(end))
            self._sent = end

    def finish(self) -> None:
        self.send(len(DATA))
        self._mount.feed(self._conversation.close())

    @contextmanager
    def grows(self) -> Iterator[None]:
        """All the while; at most up to the whole."""
        stop = threading.Event()

        def feed() -> None:
            while not stop.is_set():
                self.send(1300)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield
        finally:
            stop.set()
            feeder.join()


@pytest.fixture
def growing(mount: Served) -> Growing:
    return Growing(mount)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """An ordinary file of the same bytes."""
    path = tmp_path / "whole"
    path.write_bytes(DATA)
    return path


def output(command: Sequence[str | Path], given: bytes | None = None) -> bytes:
    words = list(map(str, command))
    done = subprocess.run(words, input=given, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_beginning(data: bytes) -> bool:
    return len(data) >= FIRST_BYTES and DATA.startswith(data)


# --- tools that read all of it ---------------------------------------------------------------------

TO_STANDARD_OUTPUT = {
    "cat": ["cat", "FLOW"],
    "head": ["head", "-c", "100000000", "FLOW"],
    "tail": ["tail", "-c", "+1", "FLOW"],
    "dd": ["dd", "if=FLOW", "bs=7919", "status=none"],
    "dd-direct": ["dd", "if=FLOW", "bs=4096", "iflag=direct", "status=none"],
    "grep": ["grep", "-a", "", "FLOW"],
    "rg": ["rg", "-N", "--no-heading", "--color=never", "", "FLOW"],
    "rg-mmap": ["rg", "--mmap", "-N", "--no-heading", "--color=never", "", "FLOW"],
    "sed": ["sed", "", "FLOW"],
    "awk": ["awk", "1", "FLOW"],
    "strings": ["strings", "-n", "1", "FLOW"],
    "less": ["sh", "-c", "less FLOW | cat"],
    "xargs": ["sh", "-c", "echo FLOW | xargs -P8 cat"],
}


@pytest.mark.parametrize("tool", TO_STANDARD_OUTPUT)
def test_what_a_tool_writes_is_a_beginning(growing: Growing, tool: str) -> None:
    command = [word.replace("FLOW", str(growing.path)) for word in TO_STANDARD_OUTPUT[tool]]
    with growing.grows():
        for _ in range(3):
            assert is_beginning(output(command))
    growing.finish()
    assert output(command) == DATA


TO_A_FILE = {
    "cp": ["cp", "FLOW", "COPY"],
    "cp-a": ["cp", "-a", "FLOW", "COPY"],
    "cp-sparse": ["cp", "--sparse=always", "FLOW", "COPY"],
    "install": ["install", "-m", "600", "FLOW", "COPY"],
    "rsync": ["rsync", "-aX", "FLOW", "COPY"],
    "rsync-again": ["sh", "-c", "rsync -a FLOW COPY && rsync -a --append FLOW COPY"],
    "tar": ["sh", "-c", "tar -cf - -C DIRECTORY NAME 2>/dev/null | tar -xOf - > COPY"],
}


@pytest.mark.parametrize("tool", TO_A_FILE)
def test_what_a_tool_copies_is_a_beginning(growing: Growing, tool: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    flow = growing.path
    words = {"FLOW": flow, "COPY": copy, "DIRECTORY": flow.parent, "NAME": flow.name}

    def filled(word: str) -> str:
        for name, value in words.items():
            word = word.replace(name, str(value))
        return word

    command = [filled(word) for word in TO_A_FILE[tool]]
    with growing.grows():
        output(command)
        assert is_beginning(copy.read_bytes())
    growing.finish()
    copy.unlink()
    output(command)
    assert copy.read_bytes() == DATA


# --- tools that compare, count and look ------------------------------------------------------------


def test_tools_that_compare(growing: Growing, whole: Path) -> None:
    with growing.grows():
        assert "EOF on" in run("cmp", growing.path, whole).stderr
        lines = run("diff", growing.path, whole).stdout.splitlines()
        assert [line for line in lines if not line.startswith(">")][1:] == []  # `12345a12346,30000`
    growing.finish()
    assert run("cmp", growing.path, whole).returncode == 0
    assert run("diff", "-q", growing.path, whole).returncode == 0
    digest = hashlib.sha256(DATA).hexdigest()
    assert run("sha256sum", growing.path).stdout.split()[0] == digest
    assert run("sh", "-c", f"ls {growing.path} | xargs -P8 sha256sum").stdout.split()[0] == digest


def test_tools_that_count(growing: Growing) -> None:
    with growing.grows():
        lines, count = map(int, run("wc", "-lc", growing.path).stdout.split()[:2])
        assert FIRST_BYTES <= count <= len(DATA)
        assert abs(count - lines * len(LINES[0])) < 2 * STEP_BYTES
        apparent = int(run("du", "-b", growing.path).stdout.split()[0])
        assert FIRST_BYTES <= apparent <= len(DATA)
        assert "ASCII text" in run("file", growing.path).stdout
    growing.finish()
    assert run("wc", "-c", growing.path).stdout.split()[0] == str(len(DATA))
    assert int(run("du", "-k", growing.path).stdout.split()[0]) >= len(DATA) // 1024


def test_find(growing: Growing, mount: Served, tmp_path: Path) -> None:
    """By age, by size: as of any file."""
    mark = tmp_path / "mark"
    mark.touch()
    os.utime(mark, ns=((growing.path.stat().st_mtime_ns - 1),) * 2)
    small = Conversation(client_port=7).handshake().client(0, b"abc")
    mount.feed(small)
    flow = str(growing.path)
    assert run("find", mount.path, "-size", "+10k", "-type", "f").stdout.splitlines() == [flow]
    assert run("find", mount.path, "-size", "-4c", "-type", "f").stdout.splitlines() == [
        str(mount.client(small))
    ]
    assert flow in run("find", mount.path, "-newer", mark).stdout.splitlines()
    os.utime(mark, ns=((growing.path.stat().st_mtime_ns),) * 2)
    assert flow not in run("find", mount.path, "-newer", mark).stdout.splitlines()
    assert run("find", mount.path, "-mmin", "-1", "-type", "f").stdout == ""  # packets of long ago
    assert run("find", mount.path, "-empty").stdout == ""
    assert run("find", mount.path, "-perm", "/022").stdout == ""


# --- tools that follow -----------------------------------------------------------------------------


@pytest.mark.parametrize("follow", ["-f", "-F", "--follow=name"])
def test_tail_follows(growing: Growing, follow: str) -> None:
    command = ["tail", "-s", "0.05", "-c", "+1", follow, str(growing.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail, growing.grows():
        assert tail.stdout is not None
        assert tail.stdout.read(2 * FIRST_BYTES) == DATA[: 2 * FIRST_BYTES]
        tail.kill()


@contextmanager
def terminal(command: str, tmp_path: Path) -> Iterator[list[str]]:
    """A terminal of tmux in which the command runs; gives the words before what is to be asked of it."""
    tmux = ["tmux", "-S", str(tmp_path / "tmux")]
    size = ["-x", "250", "-y", "24"]  # so that a path fits into a line
    subprocess.run([*tmux, "-f", "/dev/null", "new-session", "-d", *size, command], check=True)
    try:
        yield tmux
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


def screen(tmux: list[str]) -> str:
    return subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout


def test_less_follows(growing: Growing, tmp_path: Path) -> None:
    with terminal(f"LESS= less +F {growing.path}", tmp_path) as tmux:
        last = DATA[:FIRST_BYTES].splitlines()[-1].decode()
        assert eventually(lambda: last in screen(tmux))
        growing.send(13)
        assert eventually(lambda: f"{int(last[:7]) + 1:07} line" in screen(tmux))
        assert "^@" not in screen(tmux)


def test_vim_reads(growing: Growing, tmp_path: Path) -> None:
    """Read-only, and the whole of what there is; `:e` reads it again."""
    with terminal(f"vim -R -u NONE -i NONE -n {growing.path}", tmp_path) as tmux:
        assert eventually(lambda: "0000000 line" in screen(tmux))
        growing.finish()
        subprocess.run([*tmux, "send-keys", ":e", "Enter", "G"], check=True)
        assert eventually(lambda: LINES[-1].decode().strip() in screen(tmux))
        assert "^@" not in screen(tmux)


def test_inotify_is_silent(growing: Growing) -> None:
    """What grows in a file system of FUSE's tells nobody: README and `tail` know that."""
    command = ["inotifywait", "-q", "-t", "1", "-e", "modify", str(growing.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watcher, growing.grows():
        assert watcher.wait(20) == 2  # nothing happened in time


# --- programs --------------------------------------------------------------------------------------


def test_mmap_of_a_flow_that_grows(growing: Growing) -> None:
    with growing.path.open("rb") as file, growing.grows():
        for _ in range(20):
            with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
                assert is_beginning(mapped[:])


def test_reading_backwards(growing: Growing) -> None:
    growing.finish()
    with growing.path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        assert end == len(DATA)
        parts = []
        while end > 0:
            begin = max(0, end - 4999)
            file.seek(begin)
            parts.append(file.read(end - begin))
            end = begin
        assert b"".join(reversed(parts)) == DATA


def test_what_getfattr_and_rsync_see(growing: Growing, tmp_path: Path) -> None:
    growing.finish()
    told = run("getfattr", "-d", growing.path).stdout
    assert 'user.flowfs.state="fin"' in told
    assert run("rsync", "-aX", growing.path, tmp_path / "copy").stderr == ""
    assert run("getfattr", "-d", tmp_path / "copy").stdout.split("\n", 1)[1] == told.split("\n", 1)[1]


def test_copying_all_while_it_grows(mount: Served, growing: Growing, tmp_path: Path) -> None:
    for port in range(1, 50):
        mount.feed(Conversation(client_port=port).handshake().client(0, b"%d" % port))
    with growing.grows():
        shutil.copytree(mount.path, tmp_path / "all")
        # 1: a file changed as it was read, which one does
        archive = output(["sh", "-c", f"tar -C {mount.path} -cf - . || test $? = 1"])
    assert len(list((tmp_path / "all").iterdir())) == 50
    assert is_beginning((tmp_path / "all" / growing.path.name).read_bytes())
    listed = output(["tar", "-tf", "-"], archive).splitlines()
    assert len(listed) == 51


@pytest.mark.parametrize("tail_bytes", [1024, 65536])
def test_the_end_of_a_flow_whose_head_was_freed(tmp_path: Path, tail_bytes: int) -> None:
    """It is read to the byte, also when the flow has ended, and tail(1) need not begin where nothing is."""
    data = DATA[:300_000]
    conversation = Conversation().handshake()
    for at in range(0, len(data), 1300):
        conversation.client(at, data[at : at + 1300])
    with served(tmp_path / "flows", max_flow_bytes=tail_bytes, keep="tail") as mount:
        mount.feed(conversation.server_ack(len(data)).close())
        flow = mount.client(conversation)
        freed = int(os.getxattr(flow, "user.flowfs.freed"))
        assert 0 < freed <= len(data) - tail_bytes
        for count in (5, 1000, len(data) - freed):
            assert output(["tail", "-c", str(count), flow]) == data[-count:]
        assert run("cat", flow).stderr.endswith("Input/output error\n")

"""Tools that follow a flow, on a terminal or a pipe: what they show is right, and comes in time."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served
from tree.growing import DATA, FIRST_BYTES, LINES, Growing
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

PERIOD_S = 0.05


@contextmanager
def tail(*words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Which looks often."""
    pipe = subprocess.PIPE
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    command = ["tail", "-s", str(PERIOD_S), *words]
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, env=environment)
    with process:
        try:
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[bytes], count: int, within_s: float = 10) -> bytes:
    """The next bytes that it says."""
    assert process.stdout is not None
    found, deadline = b"", time.monotonic() + within_s
    while len(found) < count:
        assert select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0], found[-100:]
        piece = os.read(process.stdout.fileno(), count - len(found))
        assert piece, "it has ended"
        found += piece
    return found


@pytest.mark.parametrize("follow", ["-f", "-F", "--follow=name"])
def test_tail_follows(growing: Growing, follow: str) -> None:
    with tail("-c", "+1", follow, growing.path) as process, growing.grows():
        assert heard(process, 2 * FIRST_BYTES) == DATA[: 2 * FIRST_BYTES]


def test_tail_follows_from_the_last_bytes_on(growing: Growing) -> None:
    """And several at once, each for itself."""
    with tail("-c", "1000", "-f", growing.path) as one, tail("-n", "5", "-F", growing.path) as other:
        assert heard(one, 1000) == DATA[FIRST_BYTES - 1000 : FIRST_BYTES]
        assert heard(other, 5 * 13) == DATA[FIRST_BYTES - 5 * 13 : FIRST_BYTES]
        with growing.grows():
            for process in (one, other):
                assert heard(process, 50_000) == DATA[FIRST_BYTES : FIRST_BYTES + 50_000]


def test_tail_goes_on_to_who_comes_after_an_eviction(mount: Served, growing: Growing) -> None:
    """tail -F follows the name; what was evicted is another file, and nothing of it is said twice."""
    with tail("-c", "+1", "-F", growing.path) as process:
        assert heard(process, FIRST_BYTES) == DATA[:FIRST_BYTES]
        mount.evict(growing.conversation)
        assert eventually(lambda: not growing.path.exists())
        growing.send(13_000)
        assert heard(process, 13_000) == DATA[FIRST_BYTES : FIRST_BYTES + 13_000]
        growing.send(13)
        assert heard(process, 13) == DATA[FIRST_BYTES + 13_000 :][:13]
        process.kill()
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "following new file" in said or "has been replaced" in said


def test_tail_holds_on_to_what_was_evicted(mount: Served, growing: Growing) -> None:
    """tail -f follows the file: it has all of it, and nothing of who comes after."""
    with tail("-c", "+1", "-f", growing.path) as process:
        assert heard(process, FIRST_BYTES) == DATA[:FIRST_BYTES]
        growing.send(1300)
        mount.evict(growing.conversation)
        growing.send(1300)
        assert heard(process, 1300) == DATA[FIRST_BYTES : FIRST_BYTES + 1300]
        assert process.stdout is not None
        assert not select.select([process.stdout], [], [], 6 * PERIOD_S)[0], "it looks so often in vain"


# --- on a terminal -----------------------------------------------------------------------------------


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
        with growing.grows():
            assert eventually(lambda: f"{int(last[:7]) + 3000:07} line" < max(screen(tmux).splitlines()))
            assert "^@" not in screen(tmux)


def test_vim_reads(growing: Growing, tmp_path: Path) -> None:
    """Read-only, and the whole of what there is; `:e` reads it again."""
    with terminal(f"vim -R -u NONE -i NONE -n {growing.path}", tmp_path) as tmux, growing.grows():
        assert eventually(lambda: "0000000 line" in screen(tmux))
        subprocess.run([*tmux, "send-keys", r":g/\%x00/d", "Enter"], check=True)
        assert eventually(lambda: "Pattern not found" in screen(tmux))
        growing.finish()
        subprocess.run([*tmux, "send-keys", ":e!", "Enter", "G"], check=True)
        assert eventually(lambda: LINES[-1].decode().strip() in screen(tmux))
        assert "^@" not in screen(tmux)


# --- programs ----------------------------------------------------------------------------------------


def test_inotify_is_silent(growing: Growing) -> None:
    """What grows in a file system of FUSE's tells nobody: README and `tail` know that."""
    command = ["inotifywait", "-q", "-t", "1", "-e", "modify", str(growing.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watcher, growing.grows():
        assert watcher.wait(20) == 2  # nothing happened in time


SELECT = """
import os, select, sys
with open(sys.argv[1], "rb", buffering=0) as file:
    while select.select([file], [], [], 10)[0]:
        piece = file.read(50_000)
        if not piece:
            break
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
"""


def test_select_reads_it_to_its_end(growing: Growing) -> None:
    """It waits for growth, and is told of the end; nothing is read twice, and no zero."""
    command = [sys.executable, "-c", SELECT, str(growing.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        with growing.grows():
            beginning = heard(process, 2 * FIRST_BYTES)
        growing.finish()
        assert process.stdout is not None
        assert beginning + process.stdout.read() == DATA
        assert process.wait(10) == 0


def test_a_connection_that_is_reset_ends_it_too(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3)
    mount.feed(conversation)
    command = [sys.executable, "-c", SELECT, str(mount.client(conversation))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert heard(process, 3) == b"abc"
        mount.feed(conversation.rst())
        assert process.communicate(timeout=10)[0] == b""

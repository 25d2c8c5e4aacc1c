"""Flows that grow while they are read: nothing is seen too early, too late or twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

STEP = b"".join(b"%07d\n" % line for line in range(200_000))  # every reader knows what comes next


@contextmanager
def tool(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def scripts(count: int, script: str, *arguments: str | Path) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]


def said_by(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each printed, with its exit status unless that is 0."""
    said = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        said.append(output.strip() if process.returncode == 0 else f"{output.strip()} → {process.returncode}")
    return said


@pytest.mark.slow
def test_tail_sees_growth_within_a_second(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"one\n")
    mount.feed(conversation)
    with tool("tail", "-f", mount.client(conversation)) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline() == b"one\n"
        for word in (b"two\n", b"three\n"):
            conversation.client(conversation.client_next, word)
            mount.feed(conversation)
            began = time.monotonic()
            assert tail.stdout.readline() == word
            assert time.monotonic() - began < 1.5  # tail looks once a second
        conversation.client(conversation.client_next, b"end\n").close()
        mount.feed(conversation)
        assert tail.stdout.readline() == b"end\n"


def test_a_closed_flow_is_whole_when_it_is_opened(mount: Served) -> None:
    """Even if the kernel was not told yet that the size it knows is an old one."""
    for port in range(40_000, 40_100):
        conversation = Conversation(client_port=port).handshake().client(0, b"abc")
        mount.feed(conversation)
        path = mount.client(conversation)
        assert path.stat().st_size == 3
        mount.feed(conversation.client(3, b"d" * 5000).close(), notify=False)
        assert path.read_bytes() == b"abc" + b"d" * 5000


READ = """
import os, sys, time
STEP, path = b"".join(b"%07d\\n" % line for line in range(200_000)), sys.argv[1]
wrong = reads = 0
while not os.path.exists(sys.argv[2]):
    with open(path, "rb", buffering=0) as file:
        seen = b""
        while part := file.read(50_001):
            seen += part
        wrong += seen != STEP[:len(seen)]
        reads += 1
print("wrong", wrong)
sys.exit(reads < 10)
"""


@pytest.mark.slow
def test_racing_readers_see_nothing_but_the_beginning(mount: Served, tmp_path: Path) -> None:
    """Through the page cache they would see zeros at the old end."""
    conversation = Conversation().handshake().client(0, STEP[:100])
    mount.feed(conversation)
    readers = scripts(4, READ, mount.client(conversation), tmp_path / "stop")
    grow(mount, conversation)
    mount.feed(conversation.close())
    time.sleep(0.3)  # time to read a wrong end
    (tmp_path / "stop").touch()
    assert said_by(readers) == ["wrong 0"] * 4
    assert mount.client(conversation).read_bytes() == STEP[: conversation.client_next]


def grow(mount: Served, conversation: Conversation) -> None:
    """Some seconds of growth."""
    chance = random.Random(1)
    for _ in range(6000):
        begin = conversation.client_next
        conversation.client(begin, STEP[begin : begin + chance.randrange(1, 500)])
    mount.trickle(conversation, pause_s=0.0006)


SHRINK = """
import os, sys
shrunk = seen = 0
while not os.path.exists(sys.argv[2]):
    for name in os.listdir(sys.argv[1]):
        with open(os.path.join(sys.argv[1], name), "rb", buffering=0) as file:
            for _ in range(2):
                size = os.fstat(file.fileno()).st_size
                shrunk += size < seen
                seen = max(size, seen)
print("shrunk", shrunk)
"""


@pytest.mark.slow
def test_a_size_is_never_seen_to_shrink(mount: Served, tmp_path: Path) -> None:
    """Of two answers in flight the kernel keeps one and passes the other on, in whatever order."""
    conversation = Conversation().handshake().client(0, STEP[:100])
    mount.feed(conversation)
    readers = scripts(4, SHRINK, mount.path, tmp_path / "stop")
    grow(mount, conversation)
    (tmp_path / "stop").touch()
    assert said_by(readers) == ["shrunk 0"] * 4


STAT = """
import os, sys
for port in range(int(sys.argv[2]), int(sys.argv[3])):
    while True:
        try:
            os.stat(f"{sys.argv[1]}/010.000.000.001.{port:05}-010.000.000.002.00080")
            break
        except FileNotFoundError:
            pass
"""


@pytest.mark.slow
def test_growth_while_the_flow_is_looked_up_for_the_first_time(mount: Served) -> None:
    """The kernel is told of growth before the asking process has taken the first answer in."""
    conversations = [Conversation(client_port=port).handshake() for port in range(30_000, 30_400)]
    hogs = scripts(2, "while True: pass")  # so that it is kept from running
    try:
        readers = scripts(1, STAT, mount.path, "30000", "30400")
        for conversation in conversations:
            mount.feed(conversation.client(0, b"abc"))
            pause_s = random.Random(conversation.client_port).random() * 0.002
            time.sleep(pause_s)  # so that they meet at any step
            mount.feed(conversation.client(3, b"def"))
        assert said_by(readers) == [""]
    finally:
        for hog in hogs:
            hog.kill()
            hog.communicate()
    assert eventually(lambda: {os.stat(mount.client(one)).st_size for one in conversations} == {6}, 2)

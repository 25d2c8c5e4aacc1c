"""`.flowfs/follow`: FIFOs for tools that know only files, and readers who come, wait, are slow and die."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from craft import Conversation
from mounted.readers import SOON_S, ended, heard, larger_than_memory
from mounted.served import Served, run
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")


def stream(mount: Served, conversation: Conversation) -> Path:
    return mount.path / ".flowfs/follow" / conversation.client_name()


def opened(*command: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pipes(mount: Served) -> int:
    """How many FIFOs the daemon has open."""
    folder = Path(f"/proc/{mount.process.pid}/fd")
    links = []
    for entry in os.listdir(folder):
        try:
            links.append(os.readlink(folder / entry))
        except FileNotFoundError:
            continue
    return sum(link.startswith(str(mount.path)) for link in links)


@pytest.mark.parametrize("end", ["fin", "evict", "finish"])
def test_a_stream_from_its_start_to_its_end(mount: Served, conversation: Conversation, end: str) -> None:
    path = stream(mount, conversation)
    assert stat.S_ISFIFO(path.stat().st_mode)
    process = opened("cat", path)
    assert heard(process, b"\n", 3) == b"abc\n"
    for word in (b"def\n", b"ghi\n"):
        mount.feed(conversation.client(conversation.client_next, word))
        assert heard(process, b"\n", SOON_S) == word
    assert process.poll() is None
    assert pipes(mount) == 1
    if end == "fin":
        mount.feed(conversation.client(12, b"end\n").server_ack(16).close())
    elif end == "evict":
        mount.evict(conversation)
    else:
        mount.ask("finish")
    assert ended(process) == (0, b"end\n" if end == "fin" else b"", b"")
    assert eventually(lambda: pipes(mount) == 0, SOON_S)


def test_what_has_ended_and_is_large(mount: Served) -> None:
    conversation = Conversation().handshake()
    for number in range(100):
        conversation.client(number * 30_000, b"%05d\n" % number * 5_000)
    mount.feed(conversation.server_ack(3_000_000).close())
    path = stream(mount, conversation)
    for _ in range(3):
        done = subprocess.run(["cat", path], capture_output=True, timeout=10, check=True)
        assert done.stdout == mount.client(conversation).read_bytes()


def test_each_reader_has_the_whole_of_it(mount: Served, conversation: Conversation) -> None:
    readers = [opened("cat", stream(mount, conversation)) for _ in range(5)]
    for reader in readers:
        assert heard(reader, b"\n", 3) == b"abc\n"
    mount.feed(conversation.client(4, b"def\n").server_ack(8).close())
    assert [ended(reader) for reader in readers] == [(0, b"def\n", b"")] * 5


def test_looking_is_not_opening(mount: Served) -> None:
    """A listing starts nothing, and whoever opens one of them afterwards is served at once."""
    conversations = [
        Conversation(client_port=port).handshake().client(0, b"abc\n") for port in range(1, 1001)
    ]
    for conversation in conversations:
        mount.feed(conversation)
    threads = threads_of(mount)
    listed = run("ls", "-l", mount.path / ".flowfs/follow").stdout
    assert listed.count("\nprw-------") == 1000
    time.sleep(0.05)  # they are looked for meanwhile
    assert pipes(mount) == 0
    assert threads_of(mount) <= threads + 3
    process = opened("cat", stream(mount, conversations[500]))
    assert heard(process, b"\n", SOON_S) == b"abc\n"
    process.kill()
    process.communicate()
    assert eventually(lambda: pipes(mount) == 0, SOON_S)


def threads_of(mount: Served) -> int:
    return len(os.listdir(f"/proc/{mount.process.pid}/task"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_reader_who_waits_can_be_killed(mount: Served, conversation: Conversation, how: int) -> None:
    process = opened("cat", stream(mount, conversation))
    assert heard(process, b"\n", 3) == b"abc\n"
    process.send_signal(how)
    assert ended(process)[0] == -how
    assert eventually(lambda: pipes(mount) == 0, SOON_S)
    mount.feed(conversation.client(4, b"def\n"))
    assert mount.client(conversation).read_bytes() == b"abc\ndef\n"


def test_nobody_waits_for_a_slow_reader(mount: Served) -> None:
    conversation = Conversation().handshake()
    for number in range(100):
        conversation.client(number * 30_000, b"%05d\n" % number * 5_000)
    mount.feed(conversation)
    path = stream(mount, conversation)
    slow = opened("sh", "-c", f"exec <{path}; echo; exec sleep 100")
    assert heard(slow, b"\n", 3) == b"\n"
    mount.feed(conversation.server_ack(3_000_000).close())
    quick = subprocess.run(["cat", path], capture_output=True, timeout=10, check=True)
    assert quick.stdout == mount.client(conversation).read_bytes()
    assert pipes(mount) == 1
    slow.kill()
    slow.communicate()
    assert eventually(lambda: pipes(mount) == 0, SOON_S)


def test_more_readers_than_are_served_at_once(mount: Served, conversation: Conversation) -> None:
    """They wait for their turn; nobody gets less for it."""
    path, found = stream(mount, conversation), []

    def read() -> None:
        with path.open("rb") as file:
            found.append(file.read())

    threads = [threading.Thread(target=read, daemon=True) for _ in range(80)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: pipes(mount) == 64, 5)
    time.sleep(0.2)  # the others would have their turn in less
    assert pipes(mount) == 64
    mount.feed(conversation.server_ack(4).close())
    for thread in threads:
        thread.join(5)
    assert found == [b"abc\n"] * 80
    assert eventually(lambda: pipes(mount) == 0, SOON_S)


def test_what_was_freed_ends_a_stream(tmp_path: Path) -> None:
    with larger_than_memory(tmp_path / "flows") as (mount, conversation, _):
        assert run("cat", stream(mount, conversation)).stdout == ""


def test_names_that_are_not_there(mount: Served, conversation: Conversation) -> None:
    path = stream(mount, conversation)
    assert not path.with_name("none").exists()
    mount.client(conversation).unlink()
    assert not path.exists()
    assert os.listdir(path.parent) == []

"""Flows that go: by `rm`, and because memory is short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, run, served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

MIB = 1 << 20


def flow(mount: Served, port: int = 40_000, size: int = 100_000) -> Conversation:
    conversation = Conversation(client_port=port).handshake()
    for at in range(0, size, 1000):
        conversation.client(at, b"%07d\n" % at * 125)
    mount.feed(conversation)
    return conversation


def content(size: int = 100_000) -> bytes:
    return b"".join(b"%07d\n" % at * 125 for at in range(0, size, 1000))


def gone(path: Path) -> bool:
    return not path.exists() and path.name not in os.listdir(path.parent)


def test_rm_evicts(mount: Served) -> None:
    first, second = flow(mount, 40_001), flow(mount, 40_002)
    assert run("rm", "-f", mount.client(first)).stderr == ""
    assert mount.names() == [second.client_name()]
    assert not mount.client(first).exists()
    statistics = mount.statistics()
    assert (statistics["flows_removed"], statistics["flows"]) == (1, 1)
    assert (statistics["flows_evicted"], statistics["evicted_bytes"]) == (0, 0)
    assert "No such file" in run("rm", mount.client(first)).stderr
    assert run("sh", "-c", f"rm -f {mount.path}/*").returncode == 0
    assert mount.names() == []
    assert mount.statistics()["payload_used_bytes"] == 0


def test_an_evicted_flow_is_gone_although_the_kernel_knew_it(mount: Served) -> None:
    conversation = flow(mount)
    path = mount.client(conversation)
    assert path.stat().st_size == 100_000
    assert path.name in run("ls", "-l", mount.path).stdout
    mount.evict(conversation)
    assert eventually(lambda: gone(path), within_s=1)
    with pytest.raises(FileNotFoundError):
        path.open()


def test_opening_what_was_evicted_just_now_says_that_it_is_not_there(mount: Served) -> None:
    for port in range(40_000, 40_050):
        conversation = flow(mount, port, 1000)
        path = mount.client(conversation)
        assert path.exists()
        mount.evict(conversation)  # the kernel still has the name
        with pytest.raises(FileNotFoundError):
            path.open()


@pytest.mark.parametrize("how", ["rm", "evict"])
def test_an_open_file_reads_on(mount: Served, how: str) -> None:
    conversation = flow(mount)
    path = mount.client(conversation)
    with path.open("rb", buffering=0) as file:
        assert file.read(7) == b"0000000"
        if how == "rm":
            path.unlink()
        else:
            mount.evict(conversation)
        assert eventually(lambda: gone(path))
        assert os.pread(file.fileno(), 200_000, 0) == content()
        stat = os.fstat(file.fileno())
        assert (stat.st_size, stat.st_nlink) == (100_000, 0)
        assert mount.statistics()["pinned_bytes"] >= 100_000
    assert eventually(lambda: mount.statistics()["pinned_bytes"] == 0)


def test_two_readers_of_what_was_evicted(mount: Served) -> None:
    conversation = flow(mount)
    path = mount.client(conversation)
    with path.open("rb") as first:
        with path.open("rb") as second:
            path.unlink()
            assert second.read() == content()
        assert first.read() == content()


def test_a_closed_flow_read_through_the_page_cache(mount: Served) -> None:
    conversation = flow(mount)
    mount.feed(conversation.server_ack(100_000).close())
    path = mount.client(conversation)
    with path.open("rb") as file:
        path.unlink()
        assert file.read() == content()


def test_beyond_the_pin_limit_the_bytes_are_gone(tmp_path: Path) -> None:
    with served(tmp_path / "flows", payload_bytes=4 * MIB) as mount:
        conversation = flow(mount, size=2 * MIB)
        path = mount.client(conversation)
        with path.open("rb", buffering=0) as file:
            mount.evict(conversation)
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(file.fileno(), 10, 0)
            with pytest.raises(OSError, match="Input/output error"):
                file.read()
        assert mount.statistics()["payload_used_bytes"] == 0


def test_memory_is_short(tmp_path: Path) -> None:
    """The oldest closed flows go; those that stay are whole."""
    with served(tmp_path / "flows", payload_bytes=4 * MIB) as mount:
        conversations = []
        for port in range(40_000, 40_100):
            conversations.append(flow(mount, port))
            mount.feed(conversations[-1].server_ack(100_000).close())
            assert mount.client(conversations[-1]).stat().st_size == 100_000
        left = set(mount.names())
        names = [conversation.client_name() for conversation in conversations]
        assert 20 < len(left) < 45
        assert left == set(names[-len(left) :])
        assert eventually(lambda: not any((mount.path / name).exists() for name in names[: -len(left)]))
        for name in left:
            assert (mount.path / name).read_bytes() == content()
        statistics = mount.statistics()
        assert statistics["payload_used_bytes"] <= statistics["payload_limit_bytes"]


def test_the_head_of_a_large_flow_that_goes_on_is_freed(tmp_path: Path) -> None:
    with served(tmp_path / "flows", payload_bytes=4 * MIB) as mount:
        conversation = flow(mount, size=6_000_000)
        path = mount.client(conversation)
        assert path.stat().st_size == 6_000_000
        with path.open("rb", buffering=0) as file:
            with pytest.raises(OSError, match="Input/output error"):
                file.read(10)
            assert os.pread(file.fileno(), 8, 5_999_000) == b"5999000\n"
            assert os.pread(file.fileno(), 1_000_000, 5_000_000) == content(6_000_000)[5_000_000:]


def test_inode_numbers_are_never_used_twice(mount: Served) -> None:
    conversation, seen = Conversation(), set()
    for isn in range(1000, 500_000, 100_000):
        mount.feed(
            conversation.again(isn, isn + 1).handshake().client(0, b"abc").server_ack(3).close().wait(5)
        )
        (path,) = mount.path.iterdir()
        seen.add(path.stat().st_ino)
        path.unlink()
    assert len(seen) == 5


def test_a_second_connection_is_another_file(mount: Served) -> None:
    conversation = flow(mount, size=1000)
    first = mount.client(conversation)
    inode = first.stat().st_ino
    mount.feed(
        conversation.server_ack(1000).close().wait(1).again(900_000, 950_000).handshake().client(0, b"new")
    )
    assert mount.client(conversation, generation=1).read_bytes() == b"new"
    assert mount.client(conversation, generation=1).stat().st_ino != inode
    assert first.read_bytes() == content(1000)

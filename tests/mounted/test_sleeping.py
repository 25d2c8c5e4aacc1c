"""Flows of connections that sleep, in a listing and one by one: nobody can tell but by the gauge."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from craft import Conversation, Packet
from mounted.served import Served, run
from waiting import until

pytestmark = pytest.mark.needs("fuse")

COUNT = 1000


def conversation_of(number: int) -> Conversation:
    address = f"10.1.{number >> 8}.{number & 255}"
    return Conversation(address).handshake().client(0, b"from %d" % number).server(0, b"to %d" % number)


@pytest.fixture
def names(mount: Served) -> list[str]:
    """So many connections, all of them asleep: their files, in the order of appearance."""
    packets: list[Packet] = []
    names = []
    for number in range(COUNT):
        conversation = conversation_of(number)
        packets += conversation.packets
        names += [conversation.client_name(), conversation.server_name()]
    mount.feed_packets(packets)
    mount.ask("lay_down_all")
    assert asleep(mount.path) == COUNT
    return names


def asleep(path: Path) -> int:
    statistics = json.loads((path / ".flowfs" / "status.json").read_text())["statistics"]
    assert statistics["connections_tracked"] >= statistics["connections_asleep"]
    return int(statistics["connections_asleep"])


def has_size(path: Path, size: int) -> bool:
    return path.stat().st_size == size


def is_gone(path: Path) -> bool:
    return not path.exists()


def test_ls(mount: Served, names: list[str]) -> None:
    for _ in range(2):
        lines = run("ls", "-lU", mount.path).stdout.splitlines()[1:]
        assert [line.split()[-1] for line in lines] == names
        assert [int(line.split()[4]) for line in lines[:4]] == [6, 4, 6, 4]
        assert asleep(mount.path) == COUNT


def test_stat_and_cat(mount: Served, names: list[str]) -> None:
    for number in (0, 7, COUNT - 1):
        path = mount.path / conversation_of(number).client_name()
        assert run("stat", "-c", "%s", path).stdout == f"{len(f'from {number}')}\n"
        assert run("cat", path).stdout == f"from {number}"
        about = json.loads((mount.path / ".flowfs" / "meta" / f"{path.name}.json").read_text())
        assert about["name"] == path.name
    found = run("grep", "-rl", "to 77", mount.path).stdout.split()
    assert len(found) == 11  # 77, 770 to 779
    assert asleep(mount.path) == COUNT


def test_what_was_listed_is_seen_to_grow_and_to_go(mount: Served, names: list[str]) -> None:
    """The kernel keeps what it was told while they slept; it is told as soon as that holds no more."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(mount.path)}
    assert len(sizes) == 2 * COUNT
    for number in range(0, COUNT, 50):
        conversation = conversation_of(number)
        path = mount.client(conversation)
        begin = sizes[path.name]
        packets = Conversation(conversation.client_address).client(begin, b"more").packets
        mount.feed_packets(packets)
        until(partial(has_size, path, begin + 4))
        assert path.read_bytes() == b"from %dmore" % number
    assert asleep(mount.path) == COUNT - COUNT // 50
    mount.ask("lay_down_all")
    for number in range(0, COUNT, 50):
        mount.evict(conversation_of(number))
        until(partial(is_gone, mount.client(conversation_of(number))))


def test_rm(mount: Served, names: list[str]) -> None:
    assert run("find", mount.path, "-type", "f", "-delete").returncode == 0
    assert mount.names() == []
    assert mount.statistics()["flows_removed"] == 2 * COUNT
    assert mount.statistics()["payload_used_bytes"] == 0

"""What stat, statfs and getxattr say."""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Callable

import pytest

from craft import Conversation
from flowfs.core.limits import CONNECTION_BYTES, KIB, MIB, RIVALS_SHARE
from tree.doors import Door, refused
from waiting import eventually

START_S = 1_700_000_000


def test_of_a_flow(door: Door) -> None:
    name = door.flow().client_name()
    found = door.stat(name)
    with door.hold(name) as held, door.open(name) as file:
        assert held.stat() == file.stat() == found
    assert found.mode == stat.S_IFREG | 0o400
    assert (found.links, found.size) == (1, 3)
    assert 3 <= found.blocks * 512 <= KIB


def test_of_the_mounts_own(door: Door) -> None:
    name = door.flow().client_name()
    modes = {
        "": stat.S_IFDIR | 0o700,
        ".flowfs": stat.S_IFDIR | 0o500,
        ".flowfs/by-port": stat.S_IFDIR | 0o500,
        ".flowfs/by-port/80": stat.S_IFDIR | 0o500,
        f".flowfs/by-port/80/{name}": stat.S_IFLNK | 0o777,
        ".flowfs/README": stat.S_IFREG | 0o400,
        ".flowfs/flows.jsonl": stat.S_IFREG | 0o400,
        f".flowfs/meta/{name}.json": stat.S_IFREG | 0o400,
        f".flowfs/conversations/{name}": stat.S_IFREG | 0o400,
        f".flowfs/follow/{name}": stat.S_IFIFO | 0o600,
    }
    assert {path: door.stat(path).mode for path in modes} == modes
    assert (door.stat("").links, door.stat(f".flowfs/by-port/80/{name}").links) == (2, 1)


def test_times(door: Door) -> None:
    """First packet, last payload, last change of state: those of packets, to the nanosecond."""
    conversation = Conversation(clock_ns=START_S * 10**9, step_ns=1000).handshake().client(0, b"abc")
    conversation.wait(10).client(3, b"def").wait(20).server_ack(6)
    name = door.feed(conversation).client_name()
    found = door.stat(name)
    assert [at_ns // 10**9 - START_S for at_ns in found[-3:]] == [0, 10, 0]
    assert (found.mtime_ns - START_S * 10**9) % 10**9 == 4000
    door.feed(conversation.wait(5).close())
    assert [at_ns // 10**9 - START_S for at_ns in door.stat(name)[-3:]] == [0, 10, 35]


@pytest.mark.parametrize("rests", [False, True])
def test_growth(door: Door, rests: bool) -> None:
    """Though the kernel keeps what it is told of a flow that rests."""
    conversation = door.flow()
    for size in range(3, 30):
        if rests:
            door.rest()
        assert door.stat(conversation.client_name()).size == size
        door.feed(conversation.client(size, b"x"))
    held = door.stat(conversation.client_name()).blocks
    door.feed(conversation.client(30, b"x" * 60_000))
    found = door.stat(conversation.client_name())
    assert found.size == 60_030
    assert held < found.blocks <= 2 * 65536 // 512


def test_what_is_listed_is_of_the_same_moment_as_what_is_looked_at(door: Door) -> None:
    conversation = door.flow()
    for size in range(3, 9):
        door.rest()
        (entry,) = door.entries()
        assert (door.stat(entry.name).inode, door.stat(entry.name).size) == (entry.inode, size)
        door.feed(conversation.client(size, b"x"))


def test_the_directory_changes_with_what_is_in_it(door: Door) -> None:
    times = [door.stat("").mtime_ns]
    for change in (door.flow, lambda: door.evict(Conversation())):
        change()
        assert eventually(lambda: door.stat("").mtime_ns > times[-1])  # the kernel keeps it for a second
        times.append(door.stat("").mtime_ns)
    assert door.stat("").mtime_ns == times[-1]
    assert abs(times[-1] / 1e9 - time.time()) < 60


# --- space -------------------------------------------------------------------------------------------


def test_space(door: Door) -> None:
    empty = door.space()
    assert (empty.total_bytes, empty.used_bytes, empty.flows) == (256 * MIB, 0, 0)
    conversation = door.flow(data=b"x" * 1000)
    space = door.space()
    assert space.total_bytes == 256 * MIB
    assert 1000 <= space.used_bytes <= 2048
    assert space.flows == 1
    places = 128 * MIB // CONNECTION_BYTES
    assert space.free_flows == 2 * (places - places // RIVALS_SHARE - 1)
    door.unlink(conversation.client_name())
    assert (door.space().used_bytes, door.space().flows) == (0, 0)


def test_space_that_was_chosen(opens: Callable[..., Door]) -> None:
    door = opens(payload_bytes=4 * MIB)
    conversation = Conversation().handshake()
    for at in range(0, 6 * MIB, 1024):
        conversation.client(at, b"x" * 1024)
    door.feed(conversation)
    space = door.space()
    assert space.total_bytes == 4 * MIB
    assert 3 * MIB < space.used_bytes <= 4 * MIB
    assert door.stat(conversation.client_name()).size == 6 * MIB
    assert door.stat(conversation.client_name()).blocks * 512 <= 4 * MIB, "what is held of it"
    with door.open(conversation.client_name()) as file:
        with refused(errno.EIO):
            file.pread(0, 10)
        assert file.pread(5 * MIB, 2 * MIB) == b"x" * MIB


# --- extended attributes -----------------------------------------------------------------------------


def told(door: Door, path: str) -> dict[str, str]:
    return {
        name.removeprefix("user.flowfs."): door.getxattr(path, name).decode() for name in door.listxattr(path)
    }


def test_what_is_attached_to_a_flow(opens: Callable[..., Door]) -> None:
    door = opens(sources=("eth0",))
    conversation = Conversation(clock_ns=START_S * 10**9, step_ns=0).handshake().client(0, b"abc")
    conversation.client(0, b"abc").client(5, b"fgh").client(0, b"aX").server_ack(8).wait(1).client(8, b"ijk")
    door.feed(conversation.server_ack(11).wait(1).client(11, b"l"))
    assert told(door, conversation.client_name()) == {
        "state": "open",
        "first": "2023-11-14T22:13:20.000000000Z",
        "last": "2023-11-14T22:13:22.000000000Z",
        "packets": "8",
        "gaps": "3-5",
        "missing": "2",
        "freed": "0",
        "conflicts": "0-2",
        "retransmitted": "5",
        "peer": conversation.server_name(),
        "role": "client",
        "source": "eth0",
        "checksum": "ok",
    }
    assert door.read(conversation.client_name()) == b"abc\0\0fghijkl"


def test_they_change_with_the_flow(door: Door) -> None:
    conversation = door.flow()
    assert told(door, conversation.client_name())["gaps"] == ""
    door.feed(conversation.client(6, b"xyz").server_ack(9).wait(1).server_ack(9).client(9, b"!"))
    found = told(door, conversation.client_name())
    assert (found["gaps"], found["missing"], found["state"]) == ("3-6", "3", "open")
    door.feed(conversation.server_ack(10).close())
    assert told(door, conversation.client_name())["state"] == "fin"


def test_attributes_that_are_not_there(door: Door) -> None:
    name = door.flow().client_name()
    for other in ("user.flowfs.", "user.flowfs.size", "user.flowfs.canonical", "user.state", "user.none"):
        with refused(errno.ENODATA):
            door.getxattr(name, other)
    for path in ("", ".flowfs", ".flowfs/status.json", ".flowfs/by-host", f".flowfs/meta/{name}.json"):
        assert door.listxattr(path) == []
        with refused(errno.ENODATA):
            door.getxattr(path, "user.flowfs.state")
    with refused(errno.ENOENT):
        door.getxattr("none", "user.flowfs.state")


def test_who_called_whom(door: Door) -> None:
    seen = Conversation(client_port=1).handshake().client(0, b"a").server(0, b"b")
    half = Conversation(client_port=2).syn_ack().client(0, b"a").server(0, b"b")
    midway = Conversation(client_port=3).client(0, b"a").server(0, b"b").client(1, b"c").server(1, b"d")
    for conversation in (seen, half, midway):
        door.feed(conversation)
    door.finish()
    roles = [
        door.getxattr(name, "user.flowfs.role").decode()
        for conversation in (seen, half, midway)
        for name in (conversation.client_name(), conversation.server_name())
    ]
    assert roles == ["client", "server"] * 2 + ["unknown"] * 2

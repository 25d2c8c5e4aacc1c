"""Directories of flows by a template: each flow has one path, and each path one flow."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Callable

import pytest

from craft import Conversation
from flowfs.tree.places import AT_ONCE, CHUNK
from tree.doors import ALL, Door, refused
from waiting import eventually

FIRST = "010.000.000.001/010.000.000.002/40000-00080"
SECOND = "010.000.000.001/010.000.000.002/40001-00080"
OUTER, INNER = "010.000.000.001", "010.000.000.001/010.000.000.002"

Opens = Callable[..., Door]


@pytest.fixture
def door(opens: Opens) -> Door:
    return opens(names="%A/%B/%a-%b%C%c")


def test_a_flow_is_found_by_its_path(door: Door) -> None:
    door.flow()
    found = door.stat(FIRST)
    assert (found.mode, found.links, found.size) == (stat.S_IFREG | 0o400, 1, 3)
    assert door.read(FIRST) == b"abc"
    for path in ("x", f"{OUTER}/x", FIRST + "x", f"{INNER}/x", "010.000.000.001.40000-010.000.000.002.00080"):
        with refused(errno.ENOENT):
            door.stat(path)
    with refused(errno.ENOTDIR):
        door.stat(FIRST + "/x")


def test_directories(door: Door) -> None:
    door.flow()
    door.flow(40_001)
    door.flow(40_002, server_address="10.0.0.3")
    assert door.names() == [OUTER]
    assert door.names(OUTER) == ["010.000.000.002", "010.000.000.003"]
    assert door.names(INNER) == ["40000-00080", "40001-00080"]
    assert [door.stat(path).links for path in ("", OUTER, INNER)] == [3, 4, 2]
    assert door.stat(INNER).mode == stat.S_IFDIR | 0o700
    assert door.entries(OUTER)[0].inode == door.stat(INNER).inode
    with refused(errno.EISDIR):
        door.read(INNER)
    with refused(errno.ENODATA):
        door.getxattr(INNER, "user.flowfs.state")


def test_dots_lead_up(door: Door) -> None:
    door.flow()
    for path, above in (("", ""), (OUTER, ""), (INNER, OUTER)):
        with door.listing(path) as listing:
            dots = listing.take(2)
        assert [(entry.name, entry.inode) for entry in dots] == [
            *((".", door.stat(path).inode), ("..", door.stat(above).inode)),
        ]


def test_each_flow_once(door: Door) -> None:
    """However many connections share addresses and ports."""
    expected = {}
    for number in range(60):
        conversation = Conversation(f"10.1.{number % 7}.{number % 5}", client_port=1024 + number % 40)
        door.feed(conversation.handshake().client(0, b"%d" % number).server_ack(2).server(0, b"x"))
        expected[f"010.001.{number % 7:03}.{number % 5:03}/010.000.000.002"] = 0
    found = [(path, entry) for path, entry in door.walk() if entry.kind == stat.S_IFREG]
    assert len({path for path, _ in found}) == len({entry.inode for _, entry in found}) == len(found)
    assert len(found) == door.statistics()["flows"] == 120
    assert set(expected) <= {path.rpartition("/")[0] for path, _ in found}
    for path, entry in found[::7]:
        assert door.stat(path).inode == entry.inode


def test_many_flows_are_taken_in_at_once(opens: Opens) -> None:
    door, conversation = opens(names="%b/%a"), Conversation()
    ports = range(1000, 1010 + CHUNK * AT_ONCE)
    for port in ports:
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"%d" % port)
    door.feed(conversation)
    assert door.read("00080/01009") == b"1009"
    assert door.names("00080") == [f"{port:05}" for port in ports]


def test_the_mounts_own_is_in_the_root_alone(opens: Opens) -> None:
    door = opens(names="%A/%B/%a-%b%C%c", visible=True)
    door.flow()
    assert door.names() == [".flowfs", OUTER]
    assert door.names(OUTER) == ["010.000.000.002"]
    with refused(errno.ENOENT):
        door.stat(f"{OUTER}/.flowfs")


def test_who_comes_later_gets_a_number(opens: Opens) -> None:
    door = opens(names="%A/%B")
    first, _, third = (door.flow(40_000 + number, b"x" * (number + 1)) for number in range(3))
    names = ["010.000.000.002", "010.000.000.002~2", "010.000.000.002~3"]
    assert door.names(OUTER) == names
    assert [door.stat(f"{OUTER}/{name}").size for name in names] == [1, 2, 3]
    door.evict(third)
    door.flow(40_009)
    assert door.names(OUTER) == [*names[:2], "010.000.000.002~4"], "what it was called is no one's"
    door.evict(first)
    door.flow(40_010, b"y" * 9)
    assert door.names(OUTER) == ["010.000.000.002~2", "010.000.000.002~4", "010.000.000.002"]
    assert door.read(f"{OUTER}/010.000.000.002") == b"y" * 9


@pytest.mark.parametrize("template", ["x~%N", "%C%cx~%#"])
def test_a_template_that_looks_like_a_number(opens: Opens, template: str) -> None:
    """x~000 of the first, so x~001 of the second, and so on; or all are x~0."""
    door = opens(names=template)
    for number in range(5):
        door.flow(40_000 + number, b"%d" % number)
    assert len(set(door.names())) == 5
    assert {door.read(name) for name in door.names()} == {b"0", b"1", b"2", b"3", b"4"}
    if template.endswith("#"):
        assert door.names()[:3] == ["x~0", "x~0~2", "x~0~3"]


# --- going -------------------------------------------------------------------------------------------


def test_what_was_evicted_is_not_found(door: Door) -> None:
    """In directories of its own the kernel keeps names as well, and is told of those that go."""
    conversation = door.flow()
    door.flow(40_001)
    assert door.read(FIRST) == b"abc"
    door.evict(conversation)
    for ask in (door.stat, door.open):
        with refused(errno.ENOENT):
            ask(FIRST)
    assert door.names(INNER) == ["40001-00080"]
    door.feed(conversation.client(3, b"other"))
    assert door.read(FIRST).endswith(b"other")


def test_growth_is_seen(door: Door) -> None:
    conversation = door.flow()
    with door.open(FIRST) as file:
        for size in range(3, 9):
            door.rest()
            assert door.stat(FIRST).size == file.stat().size == size
            door.feed(conversation.client(size, b"d"))
            assert file.pread(size, 9) == b"d"


def test_directories_change_with_what_is_in_them(door: Door) -> None:
    door.flow()
    inner_ns, outer_ns = door.stat(INNER).mtime_ns, door.stat(OUTER).mtime_ns
    door.flow(40_001)
    door.names()
    assert eventually(lambda: door.stat(INNER).mtime_ns > inner_ns)  # the kernel keeps it for a second
    assert door.stat(OUTER).mtime_ns == outer_ns
    inner_ns = door.stat(INNER).mtime_ns
    door.unlink(SECOND)
    assert eventually(lambda: door.stat(INNER).mtime_ns > inner_ns)


# --- what else has names -----------------------------------------------------------------------------


def test_in_the_mounts_own_there_are_no_directories(door: Door) -> None:
    name = door.flow().client_name()
    assert door.names(".flowfs/meta") == [name + ".json"]
    assert door.names(".flowfs/follow") == door.names(".flowfs/conversations") == [name]
    assert door.names(".flowfs/by-port/80") == [name]
    assert door.readlink(f".flowfs/by-port/80/{name}") == f"../../../{FIRST}"
    assert door.stat(f".flowfs/by-port/80/{name}").size == len(f"../../../{FIRST}")


def test_what_is_known_of_a_flow_has_its_path(door: Door) -> None:
    conversation = door.flow()
    assert door.getxattr(FIRST, "user.flowfs.peer") == b"", "which is not there"
    door.feed(conversation.server(0, b"answer"))
    peer = "010.000.000.002/010.000.000.001/00080-40000"
    known = {"name": FIRST, "peer": peer, "canonical": conversation.client_name()}
    meta = json.loads(door.read(f".flowfs/meta/{conversation.client_name()}.json"))
    assert known.items() <= meta.items()
    assert known.items() <= json.loads(door.read(".flowfs/flows.jsonl").splitlines()[0]).items()
    assert door.getxattr(FIRST, "user.flowfs.peer") == peer.encode()
    assert door.getxattr(FIRST, "user.flowfs.canonical") == conversation.client_name().encode()
    assert "user.flowfs.canonical" in door.listxattr(FIRST)


def test_events_have_paths(door: Door) -> None:
    with door.open(".flowfs/events.jsonl") as file:
        conversation = door.flow()
        door.evict(conversation)
        door.flow(40_001)
        door.unlink(SECOND)
        lines = [json.loads(line) for line in file.pread(0, ALL).splitlines()]
    assert [(line["event"], line["name"]) for line in lines] == [
        ("new", FIRST),
        ("evicted", FIRST),
        ("new", SECOND),
        ("removed", SECOND),
    ]
    assert lines[0]["canonical"] == conversation.client_name()

"""What there is, and by which name: each flow by one, and nothing that nobody asked for is listed."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable

from craft import Conversation, Tag
from flowfs.tree.control import NAMES
from tree.doors import Door, refused

CONTROL_NAMES = [
    name.decode() for name in NAMES if name != b"events.jsonl.1"
]  # which there is once it is full


def test_a_flow_is_found_by_its_name(door: Door) -> None:
    conversation = door.flow()
    (entry,) = door.entries()
    assert entry.name == conversation.client_name() == "010.000.000.001.40000-010.000.000.002.00080"
    assert entry.kind == stat.S_IFREG
    assert door.stat(entry.name).inode == entry.inode
    assert door.read(entry.name) == b"abc"


def test_each_direction_that_says_something_is_a_file(door: Door) -> None:
    conversation = door.flow()
    with refused(errno.ENOENT):
        door.stat(conversation.server_name())
    door.feed(conversation.server(0, b"answer"))
    assert door.names() == [conversation.client_name(), conversation.server_name()]
    assert door.read(conversation.server_name()) == b"answer"
    assert door.read(conversation.client_name()) == b"abc"


def test_flows_are_listed_in_order_of_appearance(door: Door) -> None:
    """More than fit into one answer to the kernel, and each is found where it was listed."""
    conversation = Conversation()
    ports = [1024 + number * 7919 % 60_000 for number in range(700)]
    for port in ports:
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"%d" % port)
    door.feed(conversation)
    listed = door.entries()
    assert [entry.name for entry in listed] == [
        Conversation(client_port=port).client_name() for port in ports
    ]
    assert len({entry.inode for entry in listed}) == 700
    for entry, port in list(zip(listed, ports, strict=True))[::50]:
        assert door.stat(entry.name).inode == entry.inode
        assert door.read(entry.name) == b"%d" % port


def test_names_of_ipv6_and_vlan(door: Door) -> None:
    six = Conversation("2001:db8::1", "2001:db8::2", 80, 51000)
    tagged, untagged = Conversation(tags=[Tag(42, pcp=5)]), Conversation(client_port=7, tags=[Tag(0)])
    for conversation in (six, tagged, untagged):
        door.feed(conversation.handshake().client(0, b"abc"))
    assert door.names() == [
        "2001:db8::1.00080-2001:db8::2.51000",
        "010.000.000.001.40000-010.000.000.002.00080--42",
        "010.000.000.001.00007-010.000.000.002.00080",
    ]
    assert {door.read(name) for name in door.names()} == {b"abc"}


NOT_THERE = [
    "10.0.0.1.40000-10.0.0.2.80",
    "010.000.000.001.40000-010.000.000.002.00080c1",
    "010.000.000.001.40000-010.000.000.002.00080c0",
    "010.000.000.001.40000-010.000.000.002.00080--42",
    "010.000.000.001.40000-010.000.000.002.00080 ",
    "010.000.000.001.40000-010.000.000.002.00080\n",
    "010.000.000.002.00080-010.000.000.001.40000",  # that said nothing
    "status.json",
    ".flowfs2",
    "x" * 255,
    ".flowfs/.flowfs",
    ".flowfs/other",
    ".flowfs/events.jsonl.1",
]


def test_names_that_are_not_there(door: Door) -> None:
    door.flow()
    for name in NOT_THERE:
        for ask in (door.stat, door.open, door.listing):
            with refused(errno.ENOENT):
                ask(name)


def test_kinds_are_told_apart(door: Door) -> None:
    flow = door.flow().client_name()
    for file in (
        flow,
        ".flowfs/README",
        ".flowfs/status.json",
        ".flowfs/metrics",
        f".flowfs/meta/{flow}.json",
    ):
        assert stat.S_ISREG(door.stat(file).mode)
        with refused(errno.ENOTDIR):
            door.stat(file + "/x")
        with refused(errno.ENOTDIR):
            door.listing(file)
    for folder in ("", ".flowfs", ".flowfs/meta", ".flowfs/by-port", ".flowfs/by-port/80"):
        assert stat.S_ISDIR(door.stat(folder).mode)
        with refused(errno.EISDIR):
            door.read(folder)
    assert stat.S_ISLNK(door.stat(f".flowfs/by-port/80/{flow}").mode)
    assert stat.S_ISFIFO(door.stat(f".flowfs/follow/{flow}").mode)


def test_what_is_the_mounts_own_is_found_and_not_listed(door: Door) -> None:
    conversation = door.flow()
    assert door.names() == [conversation.client_name()]
    assert [path for path, _ in door.walk()] == [conversation.client_name()]
    listed = door.entries(".flowfs")
    assert [entry.name for entry in listed] == CONTROL_NAMES
    for entry in listed:
        if entry.name != "events.jsonl":  # which gets its number when somebody looks
            found = door.stat(f".flowfs/{entry.name}")
            assert (found.inode, stat.S_IFMT(found.mode)) == (entry.inode, entry.kind)


def test_what_is_the_mounts_own_can_be_shown(opens: Callable[..., Door]) -> None:
    door = opens(visible=True)
    name = door.flow().client_name()
    assert door.names() == [".flowfs", name]
    assert door.entries()[0].kind == stat.S_IFDIR
    assert door.stat(".flowfs").inode == door.entries()[0].inode
    for first in range(1, 5):
        with door.listing() as listing:
            pieces = [listing.take(count) for count in (first, 1, 5)]
        assert [entry.name for piece in pieces for entry in piece] == [".", "..", ".flowfs", name]


def test_nothing_is_listed_twice(door: Door) -> None:
    """But a flow in each place where it is looked for, and there once."""
    for port in range(5):
        door.feed(
            door.flow(40_000 + port, b"abc").server(0, b"def").close() if port % 2 else door.flow(port + 1)
        )
    listed = [path for path, _ in door.walk(".flowfs")]
    assert len(set(listed)) == len(listed)
    names = set(door.names())
    assert len(names) == 7
    places = {path.split("/")[1] for path in listed if path.count("/") > 1}
    assert places == {"by-host", "by-port", "by-state", "by-time", "meta", "conversations", "follow"}
    for place in places:
        below = [path.rsplit("/", 1)[1] for path in listed if path.startswith(f".flowfs/{place}/")]
        assert {name.removesuffix(".json") for name in below if "-0" in name and len(name) > 20} == names


def test_the_same_ports_again_are_another_file(door: Door) -> None:
    conversation = door.feed(door.flow().server_ack(3).close().wait(1))
    first = door.stat(conversation.client_name())
    door.feed(conversation.again(900_000, 950_000).handshake().client(0, b"other"))
    names = [conversation.client_name(), conversation.client_name() + "c1"]
    assert door.names() == names
    assert [door.read(name) for name in names] == [b"abc", b"other"]
    assert door.stat(names[0]) == first
    assert door.stat(names[1]).inode != first.inode


def test_inode_numbers_are_never_used_twice(door: Door) -> None:
    conversation, seen = Conversation(), set()
    for isn in range(1000, 500_000, 100_000):
        door.feed(
            conversation.again(isn, isn + 1).handshake().client(0, b"abc").server_ack(3).close().wait(5)
        )
        (entry,) = door.entries()
        assert door.stat(entry.name).inode == entry.inode
        seen.add(entry.inode)
        door.unlink(entry.name)
    assert len(seen) == 5

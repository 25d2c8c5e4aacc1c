"""Links to flows by what they have in common, and streams of them."""

from __future__ import annotations

import errno
import stat

import pytest

from craft import Conversation
from flowfs.tree.survey import FEW
from tree.doors import Door, refused
from waiting import eventually

IPV6 = ("2001:db8::1", "2001:db8::2")
HOST, PORT, STATE, TIME = (f".flowfs/by-{name}" for name in ("host", "port", "state", "time"))


def test_flows_by_what_they_have_in_common(door: Door) -> None:
    first = door.flow(40_001, clock_ns=1_700_002_740 * 10**9)  # 22:59
    second = door.flow(40_002, client_address="10.0.0.9", clock_ns=1_700_002_860 * 10**9)
    door.feed(second.close())
    assert door.names(HOST) == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
    assert door.names(PORT) == ["40001", "80", "40002"]
    assert door.names(STATE) == ["open", "closed"]
    assert door.names(TIME) == ["2023-11-14T22", "2023-11-14T23"]
    one, other = [first.client_name()], [second.client_name()]
    for group, names in {
        f"{HOST}/10.0.0.1": one,
        f"{HOST}/10.0.0.2": one + other,
        f"{HOST}/10.0.0.9": other,
        f"{PORT}/80": one + other,
        f"{PORT}/40001": one,
        f"{STATE}/open": one,
        f"{STATE}/closed": other,
        f"{TIME}/2023-11-14T22": one,
        f"{TIME}/2023-11-14T23": other,
    }.items():
        assert stat.S_ISDIR(door.stat(group).mode)
        assert door.names(group) == names, group
        assert {entry.kind for entry in door.entries(group)} == {stat.S_IFLNK}
        for name in {*one, *other}.difference(names):
            with refused(errno.ENOENT):
                door.stat(f"{group}/{name}")


def test_hours_are_utc(door: Door) -> None:
    door.flow(clock_ns=(1_700_000_000 - 1_700_000_000 % 3600 - 1) * 10**9, step_ns=0)
    assert door.names(TIME) == ["2023-11-14T21"]


def test_ipv6(door: Door) -> None:
    conversation = door.flow(client_address=IPV6[0], server_address=IPV6[1])
    assert door.names(HOST) == list(IPV6)
    for address in IPV6:
        assert door.names(f"{HOST}/{address}") == [conversation.client_name()]


def test_a_flow_changes_its_group_with_its_state(door: Door) -> None:
    conversation = door.flow()
    name = conversation.client_name()
    assert (door.names(f"{STATE}/open"), door.names(f"{STATE}/closed")) == ([name], [])
    door.feed(conversation.server_ack(3).close())
    assert (door.names(f"{STATE}/open"), door.names(f"{STATE}/closed")) == ([], [name])


def test_a_link_leads_to_its_flow(door: Door) -> None:
    conversation = door.flow()
    name = conversation.client_name()
    link = f"{PORT}/80/{name}"
    target = door.readlink(link)
    assert target == f"../../../{name}"
    found = door.stat(link)
    assert (stat.S_IFMT(found.mode), found.size) == (stat.S_IFLNK, len(target))
    (entry,) = door.entries(f"{PORT}/80")
    assert (entry.name, entry.inode, entry.kind) == (name, found.inode, stat.S_IFLNK)
    for other in ("", ".flowfs/status.json", name, f"{PORT}/80"):
        with refused(errno.EINVAL):
            door.readlink(other)


def test_a_link_goes_with_its_flow(door: Door) -> None:
    """And a group with the last of its links."""
    first, second = door.flow(1), door.flow(2)
    link = f"{PORT}/80/{first.client_name()}"
    assert door.stat(link).links == 1
    door.evict(first)
    assert eventually(lambda: link.rpartition("/")[2] not in door.names(f"{PORT}/80"))
    assert eventually(lambda: refuses(door, link))  # the kernel keeps it for a second
    assert door.names(PORT) == ["2", "80"]
    door.evict(second)
    assert eventually(lambda: refuses(door, f"{PORT}/80"))
    assert door.names(PORT) == []


def refuses(door: Door, path: str) -> bool:
    try:
        door.stat(path)
    except FileNotFoundError:
        return True
    return False


GROUPS = {
    HOST: ["10.0.0.3", "010.000.000.001", "10.0.0", "::1", "10.0.0.1 ", "x"],
    PORT: ["00080", "81", "65536", "-1", "x", "99999999999999999999"],
    STATE: ["fin", "0", "x"],
    TIME: ["1970-01-01T00", "2023-13-01T00", "2023-11-14T2", "1960-01-01T00"],
}


@pytest.mark.parametrize("index", GROUPS)
def test_groups_that_are_not_there(door: Door, index: str) -> None:
    door.flow()
    for name in GROUPS[index]:
        for ask in (door.stat, door.listing):
            with refused(errno.ENOENT):
                ask(f"{index}/{name}")


def test_groups_of_many(door: Door) -> None:
    """Which take a look at all flows, for which somebody waits."""
    conversation, ports = Conversation(), range(1000, 1000 + 2 * FEW)
    for port in ports:
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"abc")
    door.feed(conversation)
    assert door.names(f"{PORT}/80") == door.names() == door.names(f"{STATE}/open")
    assert door.names(PORT) == [str(ports[0]), "80", *(str(port) for port in ports[1:])]
    last = Conversation(client_port=ports[-1])
    assert door.names(f"{PORT}/{ports[-1]}") == [last.client_name()]
    assert door.readlink(f"{PORT}/80/{last.client_name()}") == f"../../../{last.client_name()}"
    with refused(errno.ENOENT):
        door.stat(f"{PORT}/7")
    with door.listing(f"{PORT}/80") as listing:
        found = listing.take(FEW)
        door.evict(last)
        door.evict(Conversation(client_port=ports[0]))
        found += listing.take(10 * FEW)
    assert [entry.name for entry in found[2:]] == [
        Conversation(client_port=port).client_name() for port in ports[:-1]
    ]


# --- streams -----------------------------------------------------------------------------------------


def test_streams_are_listed_once_each(door: Door) -> None:
    conversation = Conversation()
    for port in range(1, 700):
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"abc")
    door.feed(conversation)
    listed = door.entries(".flowfs/follow")
    assert {entry.kind for entry in listed} == {stat.S_IFIFO}
    assert [entry.name for entry in listed] == door.names()


def test_a_stream_is_there_as_long_as_its_flow(door: Door) -> None:
    conversation = door.flow()
    path = f".flowfs/follow/{conversation.client_name()}"
    found = door.stat(path)
    assert (stat.S_IFMT(found.mode), found.size, found.links) == (stat.S_IFIFO, 0, 1)
    assert door.listxattr(path) == []
    with refused(errno.ENOENT):
        door.stat(".flowfs/follow/none")
    with refused(errno.ENOTDIR):
        door.stat(path + "/x")
    with door.hold(path) as held:
        door.evict(conversation)
        with refused(errno.ESTALE):
            held.stat()
    with refused(errno.ENOENT):
        door.stat(path)

"""`.flowfs` without a kernel: links by what flows have in common, attributes, and the long list of all."""

from __future__ import annotations

import itertools
import json
import stat
from collections.abc import Callable
from socket import AF_INET6, inet_ntop
from typing import Any

import pytest

from craft import Conversation
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from flowfs.tree import ROOT, Attributes, Reason, Tree, TreeError, Unready
from flowfs.tree import events as room
from flowfs.tree.groups import MAX_HOSTS, Hosts
from flowfs.tree.numbers import Fixed
from flowfs.tree.roll import BLOCK_BYTES, Text
from flowfs.tree.survey import FEW
from treed import Treed

INDICES = (Fixed.BY_HOST, Fixed.BY_PORT, Fixed.BY_STATE, Fixed.BY_TIME)


class Directory(Treed):
    """One with a source that has a name."""

    def __init__(self) -> None:
        engine = Engine(Limits())
        super().__init__(engine, Tree(engine, lambda: {"sources": ["eth0"]}))

    def names(self, inode: int, cookie: int = 0) -> list[bytes]:
        handle = self.tree.open_directory(inode)
        listed = [name for name, _, _ in self.tree.entries(handle, cookie)]
        self.tree.release_directory(handle)
        return listed if cookie else listed[2:]

    def group(self, index: Fixed, name: bytes) -> Attributes:
        return self.tree.lookup(index, name)

    def inode(self, conversation: Conversation) -> int:
        return self.tree.lookup(ROOT, name_of(conversation)).inode


@pytest.fixture
def directory() -> Directory:
    return Directory()


def name_of(conversation: Conversation) -> bytes:
    return conversation.client_name().encode()


def refused(reason: Reason, ask: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(TreeError) as error:
        ask(*arguments)
    assert error.value.reason is reason


# --- links -----------------------------------------------------------------------------------------


def test_a_link_goes_with_its_flow(directory: Directory) -> None:
    conversation = directory.flow()
    group = directory.group(Fixed.BY_PORT, b"80")
    link = directory.tree.lookup(group.inode, name_of(conversation))
    for other in (ROOT, Fixed.STATUS, directory.inode(conversation), group.inode):
        refused(Reason.NOT_A_LINK, directory.tree.target, other)
    directory.evict(conversation)
    refused(Reason.STALE, directory.tree.target, link.inode)
    refused(Reason.STALE, directory.tree.attributes, link.inode)
    assert directory.names(group.inode) == []


def test_names_that_are_no_text(directory: Directory) -> None:
    directory.flow()
    for index in INDICES:
        for name in (b"", b"\xff", b"\0"):
            refused(Reason.NOT_FOUND, directory.group, index, name)


def test_a_list_of_groups_is_kept_as_long_as_it_is_open(directory: Directory) -> None:
    directory.flow()
    handle = directory.tree.open_directory(Fixed.BY_PORT)
    assert len(list(directory.tree.entries(handle, 0))) == 4
    directory.tree.release_directory(handle)
    refused(Reason.STALE, list, directory.tree.entries(handle, 0))


def ready(ask: Callable[..., Any], *arguments: object) -> Any:
    """What a question comes to once its work is done, and what it is asked first must not give."""
    for _ in range(3):
        try:
            return ask(*arguments)
        except Unready as unready:
            unready.work()
    pytest.fail("it is never ready")


def many(directory: Directory, ports: range) -> None:
    for port in ports:
        directory.flow(port)


def test_of_many_flows_nobody_waits_for_a_look_at_all(directory: Directory) -> None:
    """Whoever asks is told what is to be done before, once for each listing, and for a group as seldom."""
    tree, first, last = directory.tree, 1000, 1000 + 2 * FEW
    many(directory, range(first, last))
    for inode in (Fixed.BY_PORT, ready(directory.group, Fixed.BY_PORT, b"80").inode):
        handle = tree.open_directory(inode)
        with pytest.raises(Unready) as unready:
            next(tree.entries(handle, 0))
        many(directory, range(last, last + 1))  # they are there before it is found out who is
        last += 1
        unready.value.work()
        listed = [name for name, _, _ in tree.entries(handle, 0)]
        assert listed[:2] == [b".", b".."]
        assert len(set(listed)) == len(listed) == 2 + last - first + (inode == Fixed.BY_PORT)
        assert [name for name, _, _ in tree.entries(handle, tree_cookie(tree, handle, 500))] == listed[500:]


def tree_cookie(tree: Tree, handle: int, count: int) -> int:
    return list(itertools.islice(tree.entries(handle, 0), count))[-1][2]


def test_a_group_among_many_flows(directory: Directory) -> None:
    """It is looked for once, found at once from then on, and gone with its last flow."""
    first, last = 1000, 1000 + 2 * FEW
    many(directory, range(first, last))
    late = b"%d" % (last - 1)
    with pytest.raises(Unready):
        directory.group(Fixed.BY_PORT, late)
    inode = ready(directory.group, Fixed.BY_PORT, late).inode
    assert directory.group(Fixed.BY_PORT, late).inode == inode
    with pytest.raises(Unready) as unready:
        directory.group(Fixed.BY_PORT, b"7")
    unready.value.work()
    refused(Reason.NOT_FOUND, directory.group, Fixed.BY_PORT, b"7")
    directory.flow(7)
    assert directory.group(Fixed.BY_PORT, b"7").mode
    directory.evict(Conversation(client_port=last - 1))
    refused(Reason.NOT_FOUND, directory.group, Fixed.BY_PORT, late)
    directory.evict(Conversation(client_port=first))
    assert ready(directory.group, Fixed.BY_PORT, b"80").mode


def test_addresses_are_not_kept_for_ever(directory: Directory) -> None:
    hosts = Hosts()
    names = [
        inet_ntop(AF_INET6, at.to_bytes(16, "big")).encode()
        for at in range(1 << 120, (1 << 120) + MAX_HOSTS + 2)
    ]
    numbers = [hosts.number(name) for name in names]
    assert None not in numbers
    assert len(set(numbers)) == MAX_HOSTS + 2
    assert [hosts.name(number or 0) for number in numbers[:3]] == [None, None, names[2]]
    assert directory.tree.attributes(Fixed.BY_HOST).links == 2


def test_more_addresses_than_are_kept_hide_no_flow(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowfs.tree.groups.MAX_HOSTS", 2)
    conversations = [
        directory.flow(port, client_address=f"2001:db8::{port}", server_address="2001:db8::99")
        for port in range(1, 7)
    ]
    for port, conversation in enumerate(conversations, 1):
        group = directory.group(Fixed.BY_HOST, f"2001:db8::{port}".encode())
        assert directory.names(group.inode) == [name_of(conversation)]
        directory.tree.lookup(group.inode, name_of(conversation))


# --- extended attributes ---------------------------------------------------------------------------


def test_attributes_that_nobody_has(directory: Directory) -> None:
    inode = directory.inode(directory.flow())
    for name in (b"user.flowfs.state\0", b"state", b""):
        refused(Reason.NO_ATTRIBUTE, directory.tree.xattr, inode, name)
    refused(Reason.STALE, directory.tree.xattr, inode + 1, b"user.flowfs.state")


def test_many_gaps_are_told_as_far_as_there_is_room() -> None:
    from flowfs.tree.xattrs import MAX_VALUE_BYTES, ranges

    assert ranges([]) == ""
    assert ranges([(3, 2), (100, 1348)]) == "3-5,100-1448"
    told = ranges((at, 1) for at in range(10**9, 10**9 + 10_000))
    assert MAX_VALUE_BYTES - 30 < len(told) <= MAX_VALUE_BYTES
    assert told.endswith(",...")


# --- flows.jsonl -----------------------------------------------------------------------------------


def made(ask: Callable[..., Any], *arguments: object) -> Any:
    """The answer, after what has to be made for it is."""
    while True:
        try:
            return ask(*arguments)
        except Unready as error:
            error.work()


def test_the_list_of_all_is_not_made_to_be_listed(directory: Directory) -> None:
    directory.flow()
    (listed,) = [
        attributes
        for name, attributes, _ in directory.tree.entries(Fixed.CONTROL, 0)
        if name == b"flows.jsonl"
    ]
    assert (listed.size, listed.valid_s) == (0, 0)
    with pytest.raises(Unready):
        directory.tree.attributes(Fixed.FLOWS)


def test_a_list_of_all_is_made_once_for_those_who_ask_together(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.flow()
    with pytest.raises(Unready) as first:
        directory.tree.open(Fixed.FLOWS)
    with pytest.raises(Unready) as second:
        directory.tree.attributes(Fixed.FLOWS)
    first.value.work()
    opened = directory.tree.open(Fixed.FLOWS)
    directory.flow(7)
    assert directory.tree.attributes(Fixed.FLOWS).size == len(directory.tree.read(opened.handle, 0, 1 << 20))
    monkeypatch.setattr("flowfs.tree.roll.FRESH_S", 0)
    with pytest.raises(Unready):
        directory.tree.open(Fixed.FLOWS)
    second.value.work()
    directory.tree.release(opened.handle)
    assert directory.tree._control._roll._made is None


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
def test_a_long_text_is_read_as_bytes_are(size: int) -> None:
    data = b"".join(b"%07d\n" % at for at in range(-(-size // 8)))[:size]
    text = Text(data[at : at + 1000] for at in range(0, size, 1000))
    assert len(text) == size
    for start in (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 3, size):
        for count in (0, 1, 4096, BLOCK_BYTES + 2, size):
            assert text[start : start + count] == data[start : start + count]


# --- events.jsonl ----------------------------------------------------------------------------------


def log(directory: Directory) -> int:
    return directory.tree.lookup(Fixed.CONTROL, b"events.jsonl").inode


def events(directory: Directory, handle: int) -> list[tuple[str, str, int]]:
    lines = directory.tree.read(handle, 0, 1 << 24).splitlines()
    return [(one["event"], one["name"], one["size"]) for one in map(json.loads, lines)]


def test_nothing_is_recorded_before_somebody_looks(directory: Directory) -> None:
    directory.flow()
    directory.tree.changes()
    assert directory.engine.store.events is None
    assert directory.tree.attributes(log(directory)).size == 0
    assert directory.engine.store.events == []


def test_what_was_not_taken_in_time_is_counted(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfs.core.register.MAX_EVENTS", 2)
    handle = directory.tree.open(log(directory)).handle
    directory.feed(directory.flow(1).close())
    directory.feed(directory.flow(2).close())
    lines = [json.loads(line) for line in directory.tree.read(handle, 0, 1 << 20).splitlines()]
    assert [line["event"] for line in lines] == ["new", "fin", "lost"]
    assert lines[-1]["count"] == 2


def test_a_full_log_is_turned(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfs.tree.events.FULL_BYTES", 200)
    first = log(directory)
    handle = directory.tree.open(first).handle
    refused(Reason.NOT_FOUND, directory.tree.lookup, Fixed.CONTROL, b"events.jsonl.1")
    assert b"events.jsonl.1" not in directory.names(Fixed.CONTROL)
    for port in range(1, 4):
        directory.flow(port)
    assert len(events(directory, handle)) == 2
    assert directory.tree.lookup(Fixed.CONTROL, b"events.jsonl.1").inode == first
    assert b"events.jsonl.1" in directory.names(Fixed.CONTROL)
    second = log(directory)
    assert len(events(directory, directory.tree.open(second).handle)) == 1
    for port in range(4, 6):
        directory.flow(port)
    assert log(directory) != second
    refused(Reason.STALE, directory.tree.attributes, first)
    refused(Reason.STALE, directory.tree.open, first)
    assert len(events(directory, handle)) == 2


# --- streams ---------------------------------------------------------------------------------------


def test_each_who_asks_for_a_stream_has_one_of_his_own(directory: Directory) -> None:
    conversation = directory.flow()
    name, flow = name_of(conversation), directory.inode(conversation)
    visits = [directory.tree.lookup(Fixed.FOLLOW, name) for _ in range(10_000)]
    assert len({visit.inode for visit in visits[:8000]}) == 8000
    for visit in visits:
        assert stat.S_ISFIFO(visit.mode)
        assert (visit.size, visit.valid_s) == (0, 0)  # so that each who opens it asks for it before
        assert directory.tree.followed(visit.inode) == flow
        assert directory.tree.attributes(visit.inode) == visit
        assert directory.tree.xattr_names(visit.inode) == ()
    refused(Reason.NOT_FOUND, directory.tree.lookup, Fixed.FOLLOW, b"none")
    refused(Reason.NOT_A_DIRECTORY, directory.tree.lookup, visits[0].inode, b"x")
    refused(Reason.STALE, directory.tree.followed, flow)
    directory.evict(conversation)
    refused(Reason.STALE, directory.tree.attributes, visits[0].inode)
    refused(Reason.NOT_FOUND, directory.tree.lookup, Fixed.FOLLOW, name)


def test_a_log_that_was_turned_has_ended(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FULL_BYTES", 1)
    directory.tree.lookup(Fixed.CONTROL, b"events.jsonl")
    handle = directory.tree.open(directory.tree.lookup(Fixed.CONTROL, b"events.jsonl").inode).handle
    assert not directory.tree.is_told(handle)
    assert directory.tree.readiness(handle) == (False, False)
    directory.flow(1)
    assert directory.tree.has_grown(handle)
    assert directory.tree.readiness(handle) == (True, False)
    assert not directory.tree.has_grown(handle)
    directory.tree.read(handle, 0, 1 << 20)
    assert directory.tree.readiness(handle) == (False, False)
    directory.flow(2)
    assert directory.tree.has_grown(handle)
    assert directory.tree.readiness(handle) == (True, True)


def test_a_snapshot_has_nobody_wait(directory: Directory) -> None:
    handle = directory.tree.open(Fixed.STATUS).handle
    directory.tree.read(handle, 0, 1 << 20)
    assert directory.tree.readiness(handle) == (True, False)
    assert directory.tree.is_told(handle)


@pytest.mark.parametrize("asleep", [False, True])
def test_a_conversation_goes_on_until_both_sides_have_ended(directory: Directory, asleep: bool) -> None:
    talk = directory.feed(Conversation().handshake().client(0, b"GET").fin())
    inode = directory.tree.lookup(Fixed.CONVERSATIONS, name_of(talk)).inode
    handle = directory.tree.open(inode).handle
    if asleep:
        directory.engine.flows.lay_down_all()
    assert directory.tree.readiness(handle) == (False, False)
    directory.feed(talk.server_ack(4).server(0, b"200"))
    assert directory.tree.readiness(handle) == (True, False)
    directory.tree.read(handle, 0, 1 << 20)
    directory.feed(talk.server_fin().client_ack(4))
    assert directory.tree.readiness(handle) == (True, True)


def test_who_follows_a_flow_is_told_of_its_end(directory: Directory) -> None:
    """Though nobody was given its name."""
    conversation = directory.flow()
    inode = directory.tree.followed(directory.tree.lookup(Fixed.FOLLOW, name_of(conversation)).inode)
    handle = directory.tree.open(inode).handle
    directory.evict(conversation)
    assert inode in directory.tree.changes()[0]
    assert directory.tree.readiness(handle) == (True, True)

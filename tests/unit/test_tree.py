"""The directory without a kernel: the real engine below, and one that acts at the worst moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft import Conversation, batch
from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, KIB, Limits
from flowfs.core.roster import Entry, Roster
from flowfs.tree import ROOT, Reason, Tree, TreeError
from flowfs.tree.answers import FILE_MODE, Attributes
from flowfs.tree.numbers import FIRST_FLOW, Fixed, Kind, inode_of
from treed import Treed

MIB = 1 << 20


CONTROL, STATUS, METRICS, META = Fixed.CONTROL, Fixed.STATUS, Fixed.METRICS, Fixed.META
FIRST_META = inode_of(Kind.META, 0)


class Directory(Treed):
    """One of flows that have not just grown."""

    def __init__(self, **limits: Any) -> None:
        engine = Engine(Limits(**limits))
        super().__init__(engine, Tree(engine))

    def feed(self, conversation: Conversation) -> Conversation:
        super().feed(conversation)
        self.engine.tick(self.engine.now_ns + HOT_NS)
        return conversation

    def lookup(self, conversation: Conversation) -> Any:
        return self.tree.lookup(ROOT, conversation.client_name().encode())

    def names(self) -> list[bytes]:
        return [name for name, _, _ in self.tree.entries(ROOT, 0)][2:]


@pytest.fixture
def directory() -> Directory:
    return Directory()


def refused(reason: Reason, ask: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(TreeError) as error:
        ask(*arguments)
    assert error.value.reason is reason


def asleep(count: int) -> tuple[Directory, list[Conversation]]:
    """So many connections of which nothing comes."""
    directory = Directory()
    flows = [directory.flow(port=40_000 + number) for number in range(count)]
    directory.tree.changes()
    directory.engine.flows.lay_down_all()
    return directory, flows


# --- names and attributes --------------------------------------------------------------------------


def test_names_that_no_path_has(directory: Directory) -> None:
    directory.flow()
    for name in (b"", b".", b"..", b"\xff" * 300):
        for parent in (ROOT, CONTROL, META):
            refused(Reason.NOT_FOUND, directory.tree.lookup, parent, name)


@pytest.mark.parametrize(
    "inode", [0, 7, 1023, FIRST_FLOW, FIRST_FLOW + 1, FIRST_FLOW + 2, FIRST_META, FIRST_META + 1, 1 << 60]
)
def test_inodes_that_are_not_there(directory: Directory, inode: int) -> None:
    for ask in (directory.tree.attributes, directory.tree.open):
        refused(Reason.STALE, ask, inode)
    refused(Reason.STALE, directory.tree.lookup, inode, b"x")


# --- reading ---------------------------------------------------------------------------------------


def test_a_handle_that_was_given_back(directory: Directory) -> None:
    for inode in (directory.lookup(directory.flow()).inode, STATUS):
        handle = directory.tree.open(inode).handle
        directory.tree.release(handle)
        refused(Reason.NOT_OPEN, directory.tree.read, handle, 0, 1)
        refused(Reason.NOT_OPEN, directory.tree.readiness, handle)
        refused(Reason.NOT_OPEN, directory.tree.release, handle)


def test_a_page_is_what_is_read_until_the_next_one(directory: Directory) -> None:
    conversation = directory.flow(data=b"abcdef")
    handle = directory.tree.open(directory.lookup(conversation).inode).handle
    for offset, size in ((0, 100), (2, 3), (6, 3), (0, 2 * MIB)):
        assert directory.tree.read_page(handle, offset, size) == b"abcdef"[offset : offset + size]
    assert directory.tree.readiness(handle) == (False, False)
    directory.feed(conversation.client(6, b"ghi"))
    assert directory.tree.readiness(handle) == (True, False)
    assert directory.tree.read_page(handle, 6, 3) == b"ghi"
    assert directory.tree.readiness(handle) == (False, False)
    directory.tree.release(handle)
    refused(Reason.NOT_OPEN, directory.tree.read_page, handle, 0, 1)


def test_a_page_is_as_large_as_what_is_asked_for(directory: Directory) -> None:
    """The kernel may ask for more than is usual: what comes short is taken for the end."""
    data = bytes(range(256)) * 8192
    conversation = directory.flow(data=b"")
    for at in range(0, len(data), 32 * KIB):
        directory.feed(conversation.client(at, data[at : at + 32 * KIB]))
    handle = directory.tree.open(directory.lookup(conversation).inode).handle
    assert directory.tree.read_page(handle, 0, 2 * MIB) == data
    assert directory.tree.read_page(handle, 1, 1000) == data[1:1001]


def test_there_is_one_page_for_all(directory: Directory) -> None:
    """Which costs no memory for each read; who keeps what he was given has what came later."""
    first, second = (
        directory.tree.open(directory.lookup(directory.flow(port, data)).inode).handle
        for port, data in ((1, b"first"), (2, b"other"))
    )
    page, kept = directory.tree.read_page(first, 0, 5), directory.tree.read(first, 0, 5)
    assert directory.tree.read_page(second, 0, 5) == page == b"other"
    assert kept == b"first"


def test_handles_are_never_used_twice(directory: Directory) -> None:
    inode = directory.lookup(directory.flow()).inode
    handles = set()
    for number in (inode, STATUS) * 5:
        opened = directory.tree.open(number)
        handles.add(opened.handle)
        directory.tree.release(opened.handle)
    assert len(handles) == 10


def test_a_flow_that_has_ended_may_be_cached(directory: Directory) -> None:
    closed = directory.feed(directory.flow(1).server_ack(3).close())
    going = directory.flow(2)
    assert directory.tree.open(directory.lookup(closed).inode).cacheable
    assert not directory.tree.open(directory.lookup(going).inode).cacheable
    directory.engine.finish()
    assert directory.tree.open(directory.lookup(going).inode).cacheable
    assert not directory.tree.open(STATUS).cacheable
    assert not directory.tree.open(METRICS).cacheable


def test_an_evicted_flow_is_forgotten_with_its_last_reader(directory: Directory) -> None:
    conversation = directory.flow()
    inode = directory.lookup(conversation).inode
    first, second = directory.tree.open(inode), directory.tree.open(inode)
    directory.evict(conversation)
    directory.tree.release(first.handle)
    left = directory.tree.attributes(inode)
    assert (left.links, left.size) == (0, 3)
    directory.tree.release(second.handle)
    refused(Reason.STALE, directory.tree.attributes, inode)
    assert directory.tree._shelf.held == {}


def test_what_is_known_of_a_flow_has_what_was_dropped_meanwhile(directory: Directory) -> None:
    name = directory.flow().client_name().encode() + b".json"
    directory.engine.drop(0, 0, 1 << 62, 5)
    found = directory.tree.lookup(META, name)
    assert found.valid_s == 0
    text = directory.tree.read(directory.tree.open(found.inode).handle, 0, 100_000)
    assert json.loads(text)["dropped_packets"] == 5


# --- evicting --------------------------------------------------------------------------------------


def test_who_removed_a_name_knows_that(directory: Directory) -> None:
    name = directory.flow().client_name().encode()
    directory.tree.lookup(ROOT, name)
    directory.tree.unlink(ROOT, name)
    assert directory.tree.changes() == ([], [], [])


# --- changes ---------------------------------------------------------------------------------------


def test_only_what_was_given_away_is_told_of(directory: Directory) -> None:
    known, unknown = directory.flow(port=1), directory.flow(port=2)
    inode = directory.lookup(known).inode
    for conversation in (known, unknown):
        directory.feed(conversation.client(3, b"def"))
    assert directory.tree.changed()
    assert directory.tree.changes() == ([inode], [], [])
    assert not directory.tree.changed()
    directory.feed(known.client(6, b"ghi"))
    assert directory.tree.changes() == ([], [], [])  # it was told already that it knows nothing
    for conversation in (known, unknown):
        directory.evict(conversation)
    assert directory.tree.changes() == ([], [(ROOT, known.client_name().encode())], [])


def test_bytes_that_were_freed_are_told_of_if_somebody_had_the_file_open(directory: Directory) -> None:
    opened, held, never = (directory.flow(port=port) for port in (1, 2, 3))
    inodes = [directory.lookup(conversation).inode for conversation in (opened, held)]
    handles = [directory.tree.open(inode).handle for inode in inodes]
    directory.tree.release(handles[0])
    directory.tree.changes()
    for conversation in (opened, held, never):
        directory.evict(conversation)
    assert directory.tree.changes()[2] == inodes[:1]
    assert not directory.tree.changed()
    directory.tree.release(handles[1])
    assert directory.tree.changed()
    assert directory.tree.changes()[2] == inodes[1:]


def test_a_head_that_was_freed_is_told_of_each_time() -> None:
    directory = Directory(payload_bytes=MIB)
    conversation = Conversation().handshake().client(0, b"a" * 60_000)
    directory.feed(conversation)
    inode = directory.lookup(conversation).inode
    directory.tree.open(inode)
    directory.tree.changes()
    told = 0
    for number in range(1, 60):
        directory.feed(conversation.client(60_000 * number, b"b" * 60_000))
        told += directory.tree.changes()[2] == [inode]
    assert told > 10
    assert directory.engine.statistics()["trimmed_bytes"] > MIB


def test_a_change_of_state_is_a_change(directory: Directory) -> None:
    conversation = directory.flow()
    inode = directory.lookup(conversation).inode
    directory.feed(conversation.server_ack(3).close())
    assert directory.tree.changes() == ([inode], [], [])


def test_what_was_listed_was_given_away(directory: Directory) -> None:
    conversation = directory.flow()
    assert directory.names() == [conversation.client_name().encode()]
    directory.feed(conversation.client(3, b"def"))
    directory.evict(conversation)
    assert directory.tree.changes() == ([FIRST_FLOW + 1], [(ROOT, conversation.client_name().encode())], [])


def test_what_has_just_grown_is_known_for_the_moment_alone(directory: Directory) -> None:
    """And nobody is told of growth then, until the flow has rested; its name holds."""
    conversation = directory.flow()
    directory.lookup(conversation)
    directory.feed(conversation.client(3, b"def").client(6, b"ghi"))
    directory.tree.changes()
    for data, ask in ((b"jkl", "lookup"), (b"mno", "list"), (b"pqr", "attributes")):
        frames, meta = batch(conversation.client(conversation.client_next, data).packets)
        directory.engine.feed(frames, meta, conversation.link_type)
        conversation.packets.clear()
        if ask == "list":
            found = list(directory.tree.entries(ROOT, 0))[2][1]
        else:
            found = directory.lookup(conversation)
        assert (found.valid_s, found.name_valid_s, found.size) == (0, 300, conversation.client_next)
    directory.feed(conversation.client(18, b"stu"))
    assert directory.tree.changes() == ([], [], [])
    assert directory.lookup(conversation).valid_s == 300
    directory.feed(conversation.client(21, b"vwx"))
    assert directory.tree.changes() == ([FIRST_FLOW + 1], [], [])


@pytest.mark.parametrize("end", ["close", "finish"])
def test_what_has_ended_holds_at_once(directory: Directory, end: str) -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3)
    frames, meta = batch((conversation.close() if end == "close" else conversation).packets)
    directory.engine.feed(frames, meta, conversation.link_type)
    if end == "finish":
        directory.engine.finish()
    assert directory.lookup(conversation).valid_s == 300


# --- waiting ---------------------------------------------------------------------------------------


def test_who_waits_is_told_of_growth_and_of_each_end(directory: Directory) -> None:
    conversations = [directory.flow(port=port) for port in range(1, 5)]
    grows, ends, goes, is_removed = conversations
    inodes = [directory.lookup(conversation).inode for conversation in conversations]
    handles = [directory.tree.open(inode).handle for inode in inodes]
    directory.tree.changes()
    for handle in handles:
        directory.tree.read(handle, 0, 3)
        assert directory.tree.readiness(handle) == (False, False)
    assert not directory.tree.changed()
    for offset in range(3, 6):
        assert directory.tree.readiness(handles[0]) == (False, False)
        directory.feed(grows.client(offset, b"d"))
        assert directory.tree.changes()[0] == inodes[:1]
        assert directory.tree.read(handles[0], offset, 3) == b"d"
    directory.feed(ends.server_ack(3).close())
    assert directory.tree.changes()[0] == inodes[1:2]
    directory.evict(goes)
    assert inodes[2] in directory.tree.changes()[0]
    directory.tree.unlink(ROOT, is_removed.client_name().encode())
    assert directory.tree.changed()
    assert inodes[3] in directory.tree.changes()[0]
    assert not directory.tree.changed()
    assert [directory.tree.readiness(handle) for handle in handles] == [
        *((False, False), (True, True), (True, True), (True, True))
    ]


def test_who_waits_is_told_of_the_end_of_all(directory: Directory) -> None:
    directory.flow(port=1)
    inode = directory.lookup(directory.flow(port=2)).inode
    handle = directory.tree.open(inode).handle
    directory.tree.changes()
    directory.engine.finish()
    assert directory.tree.changed()
    assert directory.tree.changes()[0] == [inode]
    assert not directory.tree.changed()
    assert directory.tree.readiness(handle) == (True, True)


# --- the worst moment ------------------------------------------------------------------------------


class FakeFlow:
    """A flow that notes what the tree looks at, in which order, and lets something happen in between."""

    generation = first_ns = last_ns = changed_ns = held_bytes = opens = state = 0

    def __init__(self, serial: int = 1, at_watched: Callable[[], object] = bool) -> None:
        self.serial, self.at_watched = serial, at_watched
        self.log: list[str] = []
        self.evicted, self.big = False, 0
        self.key = bytes(10) + serial.to_bytes(2, "big")

    @property
    def watched(self) -> bool:
        self.log.append("watched")
        self.at_watched()
        return True

    @property
    def size(self) -> int:
        self.log.append("size")
        return self.big


class FakeEngine:
    finished = False
    now_ns = HOT_NS

    def __init__(self, *flows: FakeFlow) -> None:
        self.flows = {flow.serial: flow for flow in flows}

    def statistics(self) -> dict[str, int]:
        return {"flows_total": 0, "flows": 0}

    def find(self, key: bytes, generation: int) -> FakeFlow | None:
        return next((flow for flow in self.flows.values() if flow.key == key), None)

    def entries_after(self, serial: int, count: int, roster: Roster) -> list[Entry]:
        numbers = [number for number in sorted(self.flows) if number > serial][: min(count, 3)]
        inodes = [FIRST_FLOW + number for number in numbers]
        return [
            (NAME, Attributes(inode, 0, 0, 0, 0, 0, FILE_MODE, 1, 300.0, 300.0), inode) for inode in inodes
        ]


def tree_of(*flows: FakeFlow) -> tuple[Tree, FakeEngine]:
    engine = FakeEngine(*flows)
    return Tree(cast(Engine, engine)), engine


NAME = b"000.000.000.000.00000-000.000.000.000.00001"


def test_a_size_is_read_after_it_is_known_whether_it_lasts() -> None:
    flow = FakeFlow()
    tree_of(flow)[0].lookup(ROOT, NAME)
    assert flow.log.index("watched") < flow.log.index("size")


def test_a_flow_that_goes_while_its_name_is_given_away() -> None:
    flow = FakeFlow()
    flow.evicted = True
    tree, _ = tree_of(flow)
    refused(Reason.NOT_FOUND, tree.lookup, ROOT, NAME)


def test_what_grows_or_goes_between_its_entry_and_its_turn_is_told_of(directory: Directory) -> None:
    """Entries are made some at a time, before they are given away."""
    flows = [
        directory.feed(Conversation(client_port=port).handshake().client(0, b"abc")) for port in (1, 2, 3)
    ]
    directory.engine.tick(directory.engine.now_ns + 2 * HOT_NS)
    directory.tree.changes()
    entries = directory.tree.entries(ROOT, 2)
    next(entries)
    directory.feed(flows[1].client(3, b"def"))
    directory.evict(flows[2])
    sizes = [attributes.size for _, attributes, _ in entries]
    assert sizes == [3, 3], "entries are made one at a time"
    grown, gone, _ = directory.tree.changes()
    assert grown == [directory.lookup(flows[1]).inode]
    assert gone == [(ROOT, flows[2].client_name().encode())]


def test_growth_while_the_size_is_given_away() -> None:
    flow = FakeFlow(at_watched=lambda: setattr(flow, "big", 7))
    assert tree_of(flow)[0].lookup(ROOT, NAME).size == 7


Step = tuple[int, list[int], int]  # entries read in one call, serials that go afterwards, flows that appear


@given(
    st.integers(0, 12),
    st.lists(
        st.tuples(st.integers(1, 6), st.lists(st.integers(1, 20), max_size=4), st.integers(0, 3)), max_size=12
    ),
)
def test_a_listing_in_pieces_shows_each_flow_once(count: int, steps: list[Step]) -> None:
    tree, engine = tree_of(*(FakeFlow(serial) for serial in range(1, count + 1)))
    throughout, seen, cookie, next_serial = set(engine.flows), [], 0, count + 1
    for read, going, coming in [*steps, (100, [], 0)]:
        for name, attributes, following in take(read, tree.entries(ROOT, cookie)):
            seen.append(attributes.inode if name[:1] != b"." else name)
            cookie = following  # the listing goes on from here in the next piece
        for serial in going:
            engine.flows.pop(serial, None)
            throughout.discard(serial)
        for serial in range(next_serial, next_serial + coming):
            engine.flows[serial] = FakeFlow(serial)
        next_serial += coming
    assert seen[:2] == [b".", b".."]
    inodes = cast(list[int], seen[2:])
    assert inodes == sorted(set(inodes))
    assert {FIRST_FLOW + serial for serial in throughout} <= set(inodes)


def take(count: int, entries: Iterator[Any]) -> list[Any]:
    return [entry for _, entry in zip(range(count), entries, strict=False)]


# --- what sleeps ------------------------------------------------------------------------------------


def test_what_sleeps_is_told_of_though_changes_are_asked_for_between_two_entries() -> None:
    """As the mount does, behind each entry."""
    count = 200
    directory, flows = asleep(count)
    listed = []
    for name, attributes, _ in directory.tree.entries(ROOT, 2):
        assert directory.tree.changes() == ([], [], [])
        listed.append((name, attributes.inode))
    names = [conversation.client_name().encode() for conversation in flows]
    assert [name for name, _ in listed] == names
    assert directory.engine.statistics()["connections_asleep"] == count
    for conversation in flows:
        late = Conversation(client_port=conversation.client_port)
        directory.feed(late.client(3, b"def"))
    grown, _, _ = directory.tree.changes()
    assert grown == [inode for _, inode in listed]
    directory.engine.flows.lay_down_all()
    for conversation in flows:
        directory.evict(conversation)
    assert directory.tree.changes()[1] == [(ROOT, name) for name in names]

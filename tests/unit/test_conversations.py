"""`.flowfs/conversations` without a kernel: names, sizes, ranges, growth, and what is freed meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest

from conversing import Reader, conversation, inode_of, parsed
from craft import Conversation, Tag
from engines import evict
from flowfs.core import dialogue
from flowfs.core.dialogue import Page
from flowfs.core.engine import Engine
from flowfs.core.flow import Flow
from flowfs.core.limits import KIB, MIB, Limits
from flowfs.tree import ROOT, Reason, Tree, TreeError
from flowfs.tree import conversations as room
from flowfs.tree.numbers import Fixed
from treed import Treed


class Directory(Treed):
    """One with limits of its own."""

    def __init__(self, **limits: Any) -> None:
        engine = Engine(Limits(**limits))
        super().__init__(engine, Tree(engine))

    def remove(self, key: bytes) -> None:
        evict(self.engine, key)


@pytest.fixture
def directory() -> Directory:
    return Directory()


def talk() -> Conversation:
    return Conversation().handshake().client(0, b"GET /\n").server(0, b"200").client(6, b"thanks").close()


def test_the_very_text(directory: Directory) -> None:
    capture = directory.feed(talk())
    assert conversation(directory.engine, capture.server_name()).decode() == (
        "=== 2023-11-14T22:13:20.000300000Z 010.000.000.001.40000 > 010.000.000.002.00080 6 bytes\n"
        "GET /\n"
        "\n"
        "=== 2023-11-14T22:13:20.000400000Z 010.000.000.002.00080 > 010.000.000.001.40000 3 bytes\n"
        "200\n"
        "=== 2023-11-14T22:13:20.000500000Z 010.000.000.001.40000 > 010.000.000.002.00080 6 bytes\n"
        "thanks\n"
    )


def test_ipv6_and_vlans(directory: Directory) -> None:
    capture = Conversation(
        client_address="2001:db8::1", server_address="2001:db8::2", tags=[Tag(42)]
    ).handshake()
    directory.feed(capture.client(0, b"x").close())
    (turn,) = parsed(conversation(directory.engine, capture.client_name()))
    assert (turn.sender, turn.receiver) == ("2001:db8::1.40000", "2001:db8::2.00080")


def test_names(directory: Directory) -> None:
    tree, capture = directory.tree, directory.feed(talk())
    handle = tree.open_directory(Fixed.CONVERSATIONS)
    entries = list(tree.entries(handle, 0))[2:]
    assert [name.decode() for name, _, _ in entries] == [capture.client_name(), capture.server_name()]
    assert [attributes.inode for _, attributes, _ in entries] == [
        inode_of(tree, capture.client_name()),
        inode_of(tree, capture.server_name()),
    ]
    assert [name for name, _, _ in tree.entries(handle, entries[0][2])] == [entries[1][0]]
    for name in (b"", b"x", capture.client_name().encode() + b"c1"):
        with pytest.raises(TreeError) as error:
            tree.lookup(Fixed.CONVERSATIONS, name)
        assert error.value.reason is Reason.NOT_FOUND
    with pytest.raises(TreeError) as error:
        tree.unlink(Fixed.CONVERSATIONS, capture.client_name().encode())
    assert error.value.reason is Reason.READ_ONLY
    assert tree.xattr_names(entries[0][1].inode) == ()
    directory.remove(capture.client_key())
    with pytest.raises(TreeError) as error:
        tree.attributes(entries[0][1].inode)
    assert error.value.reason is Reason.STALE


def test_any_range(directory: Directory) -> None:
    """Read in pieces of any size, at any offset: as all at once."""
    chance = random.Random(3)
    capture, ends = Conversation().handshake(), [0, 0]
    for at in range(60):
        data = chance.randbytes(chance.choice((1, 2, 50, 1400)))
        (capture.server if at % 2 else capture.client)(ends[at % 2], data)
        ends[at % 2] += len(data)
    directory.feed(capture.close())
    reader = Reader(directory.tree, capture.client_name())
    text = reader.go_on()
    for _ in range(400):
        start, size = chance.randrange(len(text) + 10), chance.choice((1, 2, 7, 90, 4096, 131072))
        assert directory.tree.read(reader.handle, start, size) == text[start : start + size]
    assert directory.tree.read(reader.handle, len(text), 10) == b""
    reader.close()


def test_what_is_open_only_grows(directory: Directory) -> None:
    capture = directory.feed(Conversation().handshake().client(0, b"abc"))
    reader = Reader(directory.tree, capture.client_name())
    assert reader.go_on() == b""
    directory.feed(capture.server(0, b"xyz"))
    first = reader.go_on()
    assert parsed(first)[0].data == b"abc"
    directory.feed(capture.client(3, b"def").close())
    assert [turn.data for turn in parsed(reader.go_on())] == [b"abc", b"xyz", b"def"]
    reader.close()


def test_time_alone_ends_a_turn(directory: Directory) -> None:
    capture = directory.feed(Conversation().handshake().client(0, b"abc"))
    reader = Reader(directory.tree, capture.client_name())
    directory.engine.tick(directory.engine.now_ns + 999_000_000)
    assert reader.go_on() == b""
    directory.engine.tick(directory.engine.now_ns + 1_000_000)
    assert parsed(reader.go_on())[0].data == b"abc"
    reader.close()


@pytest.mark.parametrize("server", [False, True])
def test_what_is_open_stays_when_a_flow_is_removed(directory: Directory, server: bool) -> None:
    """Open flows are kept, within the pin limit; whoever opens it afterwards is told of what went."""
    capture = directory.feed(Conversation().handshake().client(0, b"abc").server(0, b"xyz").client(3, b"d"))
    reader = Reader(directory.tree, capture.server_name() if server else capture.client_name())
    first = reader.go_on()
    directory.remove(capture.client_key())
    directory.feed(capture.server(3, b"!").client(4, b"e").close())
    text = reader.go_on()
    assert text.startswith(first)
    assert [(turn.data, turn.notes) for turn in parsed(text)] == [
        *((b"abc", {}), (b"xyz", {}), (b"", {"not held": 1}), (b"!", {}), (b"e", {})),
    ]
    assert directory.tree.attributes(reader.inode).links == int(server)
    later = parsed(conversation(directory.engine, capture.server_name()))
    assert later[0].notes == {"not held": 3}
    assert [turn.data for turn in later] == [b"", b"xyz", b"", b"!", b"e"]
    reader.close()
    assert directory.engine.statistics()["pinned_bytes"] == 0
    if not server:
        with pytest.raises(TreeError):
            directory.tree.attributes(reader.inode)


def test_freed_while_it_is_open() -> None:
    """The pin limit is too small: bytes that went are an error, those before and behind them are there."""
    directory = Directory(payload_bytes=64 * KIB, table_bytes=MIB)
    capture = Conversation().handshake().client(0, b"c" * 30_000).server(0, b"s" * 100).client(30_000, b"!")
    directory.feed(capture.server(100, b"?"))
    reader = Reader(directory.tree, capture.server_name())
    text = reader.go_on()
    heading = text.index(b"\n") + 1
    directory.remove(capture.client_key())
    read = directory.tree.read
    assert read(reader.handle, 0, 1000) == text[:heading]
    for offset in (heading, heading + 29_999):
        with pytest.raises(TreeError) as error:
            read(reader.handle, offset, 1000)
        assert error.value.reason is Reason.FREED
    behind = heading + 30_000
    assert read(reader.handle, behind, 250) == text[behind : behind + 250]
    assert directory.tree.attributes(reader.inode).size == len(text)
    reader.close()


def test_opens_are_given_back(directory: Directory) -> None:
    capture = directory.feed(talk())
    flow = directory.engine.find(capture.client_key(), 0)
    assert flow is not None
    readers = [Reader(directory.tree, name) for name in (capture.client_name(), capture.server_name()) * 2]
    for reader in readers:
        reader.go_on()
    assert flow.opens == 2  # once for each of the names
    handle = directory.tree.open(directory.tree.lookup(ROOT, capture.client_name().encode()).inode).handle
    directory.tree.release(handle)
    for reader in readers:
        reader.close()
    assert flow.opens == 0
    assert not directory.tree._shelf.held


def test_many_turns_that_are_open(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are let go of, and are an error then; places stay."""
    monkeypatch.setattr(room, "MAX_PLACED", 64)
    capture = Conversation().handshake()
    for at in range(50):
        capture.client(at, b"q").server(at, b"a")
    directory.feed(capture)
    reader = Reader(directory.tree, capture.client_name())
    size = directory.tree.attributes(reader.inode).size
    with pytest.raises(TreeError):
        directory.tree.read(reader.handle, 0, 10)
    tail = directory.tree.read(reader.handle, size - 2 * 91, 1000)
    assert [turn.data for turn in parsed(tail[tail.index(b"===") :])][-1] == b"q"
    reader.close()


@pytest.mark.parametrize("server", [False, True])
def test_asleep_as_awake(server: bool) -> None:
    """Attributes and text are the same before and after its flow was removed, whoever slept meanwhile."""
    seen = []
    for sleeps in (False, True):
        directory = Directory()
        capture = directory.feed(talk())
        if sleeps:
            directory.engine.flows.lay_down_all()
        reader = Reader(directory.tree, capture.server_name() if server else capture.client_name())
        looks: list[object] = [reader.go_on(), directory.tree.attributes(reader.inode)]
        if sleeps:
            directory.engine.flows.lay_down_all()
        directory.remove(capture.server_key() if server else capture.client_key())
        looks += [reader.go_on(), directory.tree.attributes(reader.inode)]
        assert directory.tree.attributes(reader.inode).links == 0
        reader.close()
        seen.append(looks)
    assert seen[0] == seen[1]


def long_talk(turns: int) -> Conversation:
    capture = Conversation().handshake()
    for at in range(turns // 2):
        capture.client(at, b"q").server(at, b"a")
    return capture


def test_who_looks_again_or_opens_it_then_has_it_for_nothing(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def turns_of(engine: Engine, flow: Flow, number: int) -> Page | None:
        asked.append(number)
        return dialogue.turns_of(engine, flow, number)

    monkeypatch.setattr(room, "turns_of", turns_of)
    capture = directory.feed(long_talk(1000))
    inode = inode_of(directory.tree, capture.client_name())
    assert asked.count(0) == 1
    size = directory.tree.attributes(inode).size
    reader = Reader(directory.tree, capture.client_name())
    assert len(reader.go_on()) == size
    assert asked.count(0) == 1
    directory.feed(capture.client(500, b"!").server(500, b"?"))
    assert len(parsed(reader.go_on())) == 1001
    reader.close()
    assert asked.count(0) == 1
    directory.tree.attributes(inode)
    assert asked.count(0) == 2, "what was open holds on to nothing"
    monkeypatch.setattr(room, "FRESH_S", 0.0)
    directory.tree.changes()
    directory.tree.attributes(inode)
    assert asked.count(0) == 3


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("server", [False, True])
def test_what_was_freed_since_somebody_looked_is_told(
    directory: Directory, asleep: bool, server: bool
) -> None:
    capture = directory.feed(talk())
    if asleep:
        directory.engine.flows.lay_down_all()
    inode = inode_of(directory.tree, capture.server_name())
    whole = directory.tree.attributes(inode).size
    if server:
        directory.remove(capture.server_key())
        with pytest.raises(TreeError) as error:
            directory.tree.attributes(inode)
        assert error.value.reason is Reason.STALE
        inode = inode_of(directory.tree, capture.client_name())
    else:
        directory.remove(capture.client_key())
    size = directory.tree.attributes(inode).size
    assert size != whole
    reader = Reader(directory.tree, capture.client_name() if server else capture.server_name())
    text = reader.go_on()
    assert len(text) == size
    assert [turn.notes for turn in parsed(text)] == (
        [{}, {"not held": 3}, {}] if server else [{"not held": 6}, {}, {"not held": 6}]
    )
    reader.close()


def test_what_was_trimmed_since_somebody_looked_is_told() -> None:
    directory = Directory(max_flow_bytes=3000, keep="tail")
    capture = directory.feed(Conversation().handshake().client(0, b"a" * 2000).server(0, b"x"))
    inode_of(directory.tree, capture.client_name())
    for at in range(20):
        capture.client(2000 + at * 1400, b"b" * 1400)
    directory.feed(capture)
    first = parsed(conversation(directory.engine, capture.client_name()))
    reader = Reader(directory.tree, capture.client_name())
    found = parsed(reader.go_on())
    assert found == first
    assert found[0].notes == {"not held": 2000}
    reader.close()

"""`.flowfs/conversations` without a kernel: names, sizes, ranges, growth, and what is freed meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from conversing import Reader, conversation, inode_of, parsed
from craft import Conversation, Tag
from engines import evict
from flowfs.core import dialogue
from flowfs.core.dialogue import Page
from flowfs.core.engine import Engine
from flowfs.core.flow import Flow
from flowfs.core.limits import Limits
from flowfs.tree import ROOT, Reason, Tree, TreeError
from flowfs.tree import conversations as room
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


def test_ipv6_and_vlans(directory: Directory) -> None:
    capture = Conversation(
        client_address="2001:db8::1", server_address="2001:db8::2", tags=[Tag(42)]
    ).handshake()
    directory.feed(capture.client(0, b"x").close())
    (turn,) = parsed(conversation(directory.engine, capture.client_name()))
    assert (turn.sender, turn.receiver) == ("2001:db8::1.40000", "2001:db8::2.00080")


def test_time_alone_ends_a_turn(directory: Directory) -> None:
    capture = directory.feed(Conversation().handshake().client(0, b"abc"))
    reader = Reader(directory.tree, capture.client_name())
    directory.engine.tick(directory.engine.now_ns + 999_000_000)
    assert reader.go_on() == b""
    directory.engine.tick(directory.engine.now_ns + 1_000_000)
    assert parsed(reader.go_on())[0].data == b"abc"
    reader.close()


def test_who_speaks_on_is_shown_all_the_same(directory: Directory) -> None:
    """A log, of which a line comes every half second: what there is after five is a turn."""
    capture = Conversation(step_ns=500_000_000).handshake()
    for at in range(25):
        capture.server(at, b"x")
    directory.feed(capture)
    reader = Reader(directory.tree, capture.server_name())
    turns = parsed(reader.go_on())
    assert [turn.data for turn in turns] == [b"x" * 10, b"x" * 10]
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

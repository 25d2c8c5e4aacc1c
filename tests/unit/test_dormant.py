"""core/dormant.py: what wakes up is what went to sleep, whatever field it is in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from craft import Conversation
from engines import SMALL, UNCOMMON, evict, feed, started
from flowfs.core.bundle import Bundle
from flowfs.core.dormant import last_ns_of, may_sleep, sleep, take_apart, wake
from flowfs.core.engine import Engine
from flowfs.core.stream import Connection, Stream
from flowfs.core.uncommon import Beyond, OddAcks, OddEnd

FAR_AWAY = 1 << 62  # as an offset

# What holds the objects together and is made anew, and places in a queue, which are the table's.
STRUCTURE = {
    "one",
    "other",
    "peer",
    "connection",
    "owner",
    "room",
    "queue",
    "older",
    "newer",
    "side",
    "turns",
}
KEPT = {"notes", "cuts", "key"}  # objects
OF_BOTH = {"link", "turns"}  # the same, of the connection
WAITING = {"afar", "incumbent", "pending", "rival", "tentative"}  # objects that nobody has who sleeps
NARROW = {"state": 2, "scale": 14, "files": 1, "speaker": 0}  # another value than usual, which they can have


def fields(of: type) -> list[str]:
    """All attributes that the class and those it derives from say they have."""
    return sorted({name for one in of.__mro__ for name in getattr(one, "__slots__", ())})


def numbers(of: type) -> list[str]:
    others = STRUCTURE | KEPT | OF_BOTH | WAITING | set(UNCOMMON) | {"flow"}
    return [name for name in fields(of) if name not in others]


def places(connection: Connection) -> dict[str, Any]:
    """The connection, its directions, and what these have of their own, all with numbers."""
    found: dict[str, Any] = {"connection": connection}
    for side in ("one", "other"):
        stream = found[side] = getattr(connection, side)
        found |= {f"{side} {part}": getattr(stream, part) for part in UNCOMMON}
    return found


def unusual(name: str, value: Any, salt: int) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if name in NARROW:
        return NARROW[name]
    return 1000 + salt if value == FAR_AWAY else value + 3 + salt


def everything(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for where, place in places(connection).items():
        names = numbers(type(place)) + (sorted(KEPT) if isinstance(place, Stream) else [])
        found |= {f"{where} {name}": getattr(place, name) for name in names}
    return found


@pytest.fixture
def engine() -> Iterator[Engine]:
    with started(SMALL) as engine:
        yield engine


def connection_of(engine: Engine, conversation: Conversation) -> Connection:
    feed(engine, conversation)
    stream = engine.flows.stream_of(conversation.client_key())
    assert stream is not None
    return stream.connection


def talk(engine: Engine) -> Connection:
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"de").client_ack(2).server_ack(3)
    return connection_of(engine, conversation)


def uncommon(connection: Connection) -> Connection:
    """With something to say of everything."""
    for stream in (connection.one, connection.other):
        for name, kind in UNCOMMON.items():
            setattr(stream, name, kind())
    return connection


def slept(engine: Engine, connection: Connection) -> Connection:
    """A copy that has slept; the connection stays as it was."""
    one, other = connection.one, connection.other
    bundle = Bundle()
    record = sleep(connection, bundle, True)
    record.touched_ns = connection.touched_ns
    assert last_ns_of(record) == last_ns_of(connection) == connection.last_ns
    one.connection = other.connection = one.owner = other.owner = connection
    one.peer, other.peer = other, one
    copy = wake(record, engine.flows.room, bundle)
    for flow in (one.flow, other.flow):
        if flow is not None:
            flow.owner = connection
    return copy


def test_slots_are_told() -> None:
    """Else the tests below look at nothing."""
    assert {"rcv_nxt", "isn", "peer_ack", "reach_bytes"} <= set(numbers(Stream))
    assert {"late_fin", "reset_overtook"} <= set(numbers(OddEnd))
    assert {"low_ack", "strange_count"} <= set(numbers(OddAcks))
    assert {"said", "since_ns"} <= set(numbers(Beyond))
    assert {"state", "last_ns", "generation", "other_source", "refused_isn"} <= set(numbers(Connection))
    assert sum(map(len, map(numbers, [Stream, *UNCOMMON.values()]))) > 60


WHERE = ["connection", *(" ".join(words) for words in product(["one", "other"], UNCOMMON)), "one", "other"]


@pytest.mark.parametrize("where", WHERE)
def test_each_field(engine: Engine, where: str) -> None:
    """It survives, or whoever has another value there than usual does not sleep."""
    connection = uncommon(talk(engine))
    assert may_sleep(connection)
    place = places(connection)[where]
    awake = set()
    for salt, name in enumerate(numbers(type(place))):
        before = getattr(place, name)
        setattr(place, name, unusual(name, before, salt))
        if may_sleep(connection):
            expected = everything(connection)
            copy = slept(engine, connection)
            assert everything(copy) == expected, f"{name} does not survive"
            take_apart(copy)
        else:
            awake.add(name)
        setattr(place, name, before)
    assert awake == ({"scheduled_ns", "settling"} if isinstance(place, Stream) else set())


def test_all_fields_at_once_and_large(engine: Engine) -> None:
    connection = uncommon(talk(engine))
    known = []
    for place in places(connection).values():
        for name in numbers(type(place)):
            before = getattr(place, name)
            known.append((place, name, before))
            if not isinstance(before, bool) and name not in {*NARROW, "scheduled_ns", "ttl"}:
                large = (1 << 31) - 5 if is_narrow(place, name) else (1 << 60) + len(known)
                setattr(place, name, large)
    expected = everything(connection)
    copy = slept(engine, connection)
    assert everything(copy) == expected
    take_apart(copy)
    for place, name, before in known:
        setattr(place, name, before)


def test_who_has_nothing_uncommon_shares_it(engine: Engine) -> None:
    """Before and after; the object that says so is one for all."""
    connection = talk(engine)
    copy = slept(engine, connection)
    for part in UNCOMMON:
        shared = getattr(connection.one, part)
        assert (
            getattr(connection.other, part) is getattr(copy.one, part) is getattr(copy.other, part) is shared
        )
    take_apart(copy)


def is_narrow(place: Any, name: str) -> bool:
    """Whether the attribute has 32 bits where it is compiled."""
    before = getattr(place, name)
    try:
        setattr(place, name, 1 << 61)
    except OverflowError:
        return True
    setattr(place, name, before)
    return name in ("base_seq", "echo", "isn", "said_stamp", "stamp", "value")  # of 32 bits, on the wire


@pytest.mark.parametrize("opened", [False, True])
def test_files_and_notes(engine: Engine, opened: bool) -> None:
    """Notes are the same object; so is a file that a reader has open, and others are another."""
    connection = connection_of(engine, Conversation().handshake().client(0, b"abc").client(0, b"xyz"))
    assert connection.one.flow is not None
    if opened:
        engine.open(connection.one.flow)
    copy = slept(engine, connection)
    assert copy.one.notes is connection.one.notes is not None
    assert (copy.one.flow is connection.one.flow) == opened
    assert copy.one.flow is not None
    assert (copy.one.flow.size, copy.one.flow.key) == (3, connection.one.key)
    assert (copy.files, copy.other.flow, copy.other.notes) == (1, None, None)
    take_apart(copy)


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation().handshake().client(5, b"behind a hole"),
        Conversation().client(0, b"the first of a pickup"),
        Conversation().handshake().client(0, b"abc").syn(isn=7),
        Conversation().handshake().client(0, b"abc").rst(100),
        Conversation().handshake().client(0, b"abc").close().client(4, b"behind a FIN"),
        Conversation().handshake().client(1 << 25, b"from afar"),
    ],
)
def test_who_has_something_waiting_does_not_sleep(engine: Engine, conversation: Conversation) -> None:
    assert not may_sleep(connection_of(engine, conversation))


def test_who_sleeps_takes_few_bytes(engine: Engine) -> None:
    """Of what two hosts say that use timestamps nearly nothing is unusual."""
    connection = talk(engine)
    take_apart(slept(engine, connection))
    engine.flows.lay_down_all()
    (record,) = engine.flows.entries.values()
    assert len(record.packed) < 120


def test_turns_and_addresses(engine: Engine) -> None:
    """Who spoke when is the same; a long talk's is the same object, and so are Ethernet addresses."""
    connection = talk(engine)
    known = connection.turns_from(0)
    copy = slept(engine, connection)
    assert copy.turns_from(0) == known
    assert (copy.one.side, copy.other.side) == (0, 1)
    take_apart(copy)
    connection.link = b"addresses"
    for number in range(9):
        connection.take_turn(number % 2, 10 + number, 10**9 + number, engine.flows.room.turns)
    copy = slept(engine, connection)
    assert copy.turns is connection.turns is not None
    assert copy.turns_from(3) == connection.turns_from(3)
    assert copy.link is connection.link
    take_apart(copy)


def test_turns_of_who_lost_a_file_asleep() -> None:
    """They are all there, though there is less of what was said."""
    with started(SMALL) as engine:
        conversation = Conversation().handshake().client(0, b"abc").server(0, b"de")
        connection = connection_of(engine, conversation)
        known = connection.turns_from(0)
        engine.flows.lay_down_all()
        evict(engine, conversation.client_key())
        conversation.packets.clear()
        feed(engine, conversation.wait(1).client_ack(2))
        stream = engine.flows.stream_of(conversation.client_key())
        assert stream is not None
        assert stream.connection.turns_from(0) == known

"""core/flows.py: whose segment it is, how connections begin and end, and who goes when the table is full."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from craft import Conversation, Tag
from engines import check_counters, feed, run, started
from flowfs.core.engine import Engine
from flowfs.core.flow import FIN, IDLE, OPEN, RST
from flowfs.core.limits import (
    CONNECTION_BYTES,
    HALF_OPEN_NS,
    IDLE_VICTIM_NS,
    KIB,
    MIB,
    REMEMBER_NS,
    SECOND_NS,
    STEPS_PER_SLICE,
    Limits,
)

NAME = Conversation().client_name()
AGAIN = Conversation().client_name(1)
HALF_OPEN_S, REMEMBER_S = HALF_OPEN_NS / SECOND_NS, REMEMBER_NS / SECOND_NS


NEVER_NS = 1 << 62


def table_of(connections: int, **limits: Any) -> Limits:
    return Limits(
        payload_bytes=limits.pop("payload_bytes", MIB), table_bytes=connections * CONNECTION_BYTES, **limits
    )


def numbered(number: int, clock_ns: int = Conversation.clock_ns) -> Conversation:
    """A connection with an address of its own."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Conversation(client_address=address, server_address="192.0.2.1", clock_ns=clock_ns, step_ns=1000)


# --- whose ---------------------------------------------------------------------------------------


def test_whose() -> None:
    """Each of address, port, VLAN and IP version makes another connection [K1]."""
    conversations = [
        Conversation(),
        Conversation(client_port=40001),
        Conversation(server_port=81),
        Conversation(client_address="10.0.0.3"),
        Conversation(server_address="10.0.0.4"),
        Conversation(tags=[Tag(1)]),
        Conversation(tags=[Tag(2)]),
        Conversation(client_address="2001:db8::1", server_address="2001:db8::2"),
        # Sources and destinations crosswise, but not reversed.
        Conversation(client_address="10.0.0.2", server_address="10.0.0.1"),
    ]
    packets = []
    for number, conversation in enumerate(conversations):
        packets += conversation.handshake().client(0, b"%d" % number).server(0, b"-%d" % number).packets
    outcome = run(packets)
    expected = {}
    for number, conversation in enumerate(conversations):
        expected[conversation.client_name()] = b"%d" % number
        expected[conversation.server_name()] = b"-%d" % number
    assert outcome.files() == expected
    assert outcome.statistics["connections"] == len(conversations)


@pytest.mark.parametrize("version", [4, 6])
def test_both_ends_are_the_same(version: int) -> None:
    """A host that connects a port to itself (RFC 9293, 3.5 simultaneous open), or says so ("land")."""
    end = "127.0.0.1" if version == 4 else "::1"
    conversation = Conversation(end, end, client_port=7, server_port=7)
    conversation.client(0, b"abc").wait(1).client(3, b"def").wait(1).client(6, b"ghi").rst().wait(90)
    conversation.syn(isn=5).other().wait(90).other()
    assert next(iter(run(conversation).files().values()))[:3] == b"abc"


def test_both_ends_are_the_same_in_a_full_table() -> None:
    limits = table_of(2)
    packets = []
    for number in range(9):
        end = f"10.0.0.{number}"
        packets += Conversation(end, end, client_port=7, server_port=7).syn().client(0, b"abc").packets
    run(packets, limits)


# --- how they begin ------------------------------------------------------------------------------


def test_a_syn_flood_makes_no_file() -> None:
    """[L10] in bounded memory, while a flow that is there goes on."""
    limits = table_of(50)
    live = Conversation(step_ns=1000).handshake().client(0, b"abc")
    with started(limits) as engine:
        feed(engine, live)
        for start in range(0, 3000, 50):
            for number in range(start, start + 50):
                feed(engine, numbered(number, live.clock_ns).syn())
            live.packets.clear()
            feed(engine, live.client(live.client_next, b"def"))
            numbers = engine.statistics()
            assert numbers["table_used_bytes"] <= numbers["table_limit_bytes"]
        assert [engine.read(flow, 0, 9) for flow in engine.list_after(0, 9)] == [b"abcdefdef"]
        assert engine.statistics()["connections_refused"] == 0


@pytest.mark.parametrize("flags", ["R", "RA"])
def test_a_reset_begins_nothing(flags: str) -> None:
    outcome = run(Conversation().rst(5, payload=b"bye", flags=flags))
    assert outcome.files() == {}
    assert outcome.statistics["connections"] == 0
    assert outcome.statistics["stray_packets"] == 1
    assert outcome.statistics["dropped_rst_bytes"] == 3


def test_data_without_ack_is_none() -> None:
    """RFC 9293, 3.10.7.4: a segment without ACK is dropped."""
    outcome = run(Conversation().handshake().client(0, b"xyz", flags="").client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["dropped_unacknowledging_bytes"] == 3


def test_a_handshake_whose_syn_was_not_seen() -> None:
    conversation = (
        Conversation(client_isn=2**32 - 1).syn_ack().client_ack(0).client(3, b"def").client(0, b"abc")
    )
    assert run(conversation).before.files() == {NAME: b"abcdef"}


def test_a_reset_refuses_a_syn() -> None:
    outcome = run(Conversation().syn().server_rst(-1, seq=0, ack=1001).client(0, b"abc"))
    assert outcome.files() == {}
    assert outcome.statistics["dropped_tentative_bytes"] == 3  # the refusal may be forged [L5]


def test_a_forged_refusal_does_not() -> None:
    outcome = run(Conversation().syn().server_rst(-1, seq=0, ack=77).syn_ack().client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["rst_ignored"] == 1


def test_a_syn_ack_to_another_syn_is_counted() -> None:
    outcome = run(Conversation().syn().syn_ack(acked=77).syn_ack().client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_acks"] == 1


def test_data_of_a_syn_ack() -> None:
    """[L7] the client's ACK tells that it was taken."""
    conversation = Conversation().syn().syn_ack(payload=b"hello")
    conversation.server_next = 5
    conversation.client_ack(5).close()
    assert run(conversation).files() == {Conversation().server_name(): b"hello"}


# --- how they end --------------------------------------------------------------------------------


def test_half_open_ones_time_out() -> None:
    """[L9]"""
    with started() as engine:
        feed(engine, Conversation().syn())
        engine.tick(Conversation.clock_ns + HALF_OPEN_NS - 1)
        assert engine.statistics()["connections_expired"] == 0
        engine.tick(Conversation.clock_ns + HALF_OPEN_NS)
        assert engine.statistics()["connections_expired"] == 1
        engine.tick(Conversation.clock_ns + HALF_OPEN_NS + REMEMBER_NS)
        assert engine.statistics()["connections_tracked"] == 0


def test_idle_ones_time_out() -> None:
    """[L9]"""
    limits = table_of(10, idle_ns=100 * SECOND_NS)
    conversation = Conversation().handshake().client(0, b"abc").client(4, b"e")
    for _ in range(5):
        conversation.wait(99).client_ack(0)
    with started(limits) as engine:
        feed(engine, conversation)
        flow = engine.list_after(0, 9)[0]
        last_ns = engine.now_ns
        engine.tick(last_ns + 99 * SECOND_NS)
        assert flow.state == OPEN
        engine.tick(last_ns + 100 * SECOND_NS)
        assert flow.state == IDLE
        assert flow.changed_ns == last_ns + 100 * SECOND_NS
        assert engine.read(flow, 0, 9) == b"abc\0e"
        assert flow.gaps() == [(3, 1, "close")]


def test_what_was_picked_up_is_not_half_open() -> None:
    """One segment of one direction, and silence for longer than a handshake may take: it has data [L3 L9]."""
    conversation = Conversation().client(0, b"abc").wait(1).other().wait(HALF_OPEN_S + 10).client(3, b"def")
    assert run(conversation).files() == {NAME: b"abcdef"}


def half_open_ones(engine: Engine, count: int) -> int:
    """So many connections begin; returns when all of them have timed out."""
    for number in range(count):
        feed(engine, numbered(number).syn())
    return Conversation.clock_ns + HALF_OPEN_NS + SECOND_NS


def test_many_end_in_slices() -> None:
    count = STEPS_PER_SLICE + 100
    with started(table_of(2 * count)) as engine:
        engine.flows.drowsy_ns = NEVER_NS
        now_ns = half_open_ones(engine, count)
        for more, expired in ((True, STEPS_PER_SLICE), (False, count)):
            assert engine.flows.catch_up(now_ns) == more
            assert engine.statistics()["connections_expired"] == expired


@pytest.mark.parametrize("by", ["packet", "tick"])
def test_many_end_before_anything_else_happens(by: str) -> None:
    """In slices, between which readers have their turn."""
    count = 2 * STEPS_PER_SLICE + 100
    with started(table_of(2 * count)) as engine:
        now_ns = half_open_ones(engine, count)
        packets = engine.statistics()["packets"]
        if by == "tick":
            engine.tick(now_ns)
        else:
            feed(engine, Conversation(clock_ns=now_ns).syn())
        numbers = engine.statistics()
        assert numbers["connections_expired"] == count
        assert numbers["connections"] == count + (by == "packet")
        assert numbers["packets"] == packets + (by == "packet")


def test_who_is_spoken_to_again_keeps_no_other_one_half_open() -> None:
    """One that has just been heard of may be the oldest [L9]."""
    held = numbered(0)
    packets = [*held.syn().packets, *numbered(1, clock_ns=held.clock_ns).syn().packets]
    with started() as engine:
        feed(engine, packets)
        for _ in range(6):
            held.packets.clear()
            feed(engine, held.wait(10).syn())
        assert engine.statistics()["connections_expired"] == 1


@pytest.mark.parametrize("end", ["close", "rst"])
@pytest.mark.parametrize("after_s, files", [(5, 1), (REMEMBER_S - 1, 1), (REMEMBER_S + 1, 2)])
def test_what_is_over_absorbs_what_is_late(end: str, after_s: float, files: int) -> None:
    """[L9] for a minute; then the same addresses are another connection, with another name [R8]."""
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3)
    getattr(conversation, end)()
    outcome = run(conversation.wait(after_s).client(0, b"abc"))
    assert list(outcome.files()) == [NAME, AGAIN][:files]
    assert outcome.statistics["late_packets"] == 2 - files


@pytest.mark.parametrize("after_s, files", [(5, {}), (REMEMBER_S + 1, {NAME: b"abc"})])
def test_what_is_over_and_has_no_file_does_so_too(after_s: float, files: dict[str, bytes]) -> None:
    """[L9]"""
    conversation = Conversation().handshake().close().wait(after_s).other().client(0, b"abc")
    assert run(conversation).files() == files


@pytest.mark.parametrize("payload", [b"", b"abc"])
def test_what_is_in_doubt_goes_with_who_is_followed_by_another(payload: bytes) -> None:
    """With files, by which the connection is still known, or without; it is counted once."""
    conversation = Conversation().handshake().client(0, payload).rst(len(payload))
    with started() as engine:
        feed(engine, conversation.client(len(payload), b"late"))
        assert engine.statistics()["out_of_order_used_bytes"] > 0
        after_ns = conversation.clock_ns + SECOND_NS
        feed(engine, Conversation(client_isn=10**6, server_isn=10**7, clock_ns=after_ns).handshake())
        numbers = engine.statistics()
    assert numbers["connections"] == 2
    assert (numbers["out_of_order_used_bytes"], numbers["dropped_tentative_bytes"]) == (0, 4)


def test_a_late_ack_after_a_timeout_begins_nothing() -> None:
    conversation = Conversation().handshake().client(0, b"abc").wait(700).other().client_ack(0).server_ack(3)
    outcome = run(conversation)
    assert outcome.statistics["late_packets"] == 2
    assert list(outcome.files()) == [NAME]


def test_data_after_a_timeout_is_another_connection() -> None:
    """The state was final [R7]."""
    conversation = Conversation().handshake().client(0, b"abc").wait(700).other().client(3, b"def")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc", AGAIN: b"def"}
    assert (outcome.state(NAME), outcome.state(AGAIN)) == ("idle", "open")


def test_both_directions_share_the_count() -> None:
    """The server said something in the second and third connection, the client in the first and third."""
    conversation = Conversation()
    for number in range(3):
        conversation.again(10_000_000 * number, 20_000_000 * number).wait(1).handshake()
        if number != 1:
            conversation.client(0, b"c%d" % number)
        if number != 0:
            conversation.server(0, b"s%d" % number)
        conversation.close()
    names = {
        (sender, count): getattr(conversation, sender + "_name")(count)
        for sender in ("client", "server")
        for count in range(3)
    }
    assert run(conversation).files() == {
        names["client", 0]: b"c0",
        names["server", 1]: b"s1",
        names["client", 2]: b"c2",
        names["server", 2]: b"s2",
    }


def test_a_name_is_not_used_twice_while_its_file_is_there() -> None:
    """The first file was evicted, the second is there: the next is the third [R8]."""
    conversation = Conversation()
    with started() as engine:
        for number in range(2):
            conversation.packets.clear()
            conversation.again(10_000_000 * number, 5).handshake().client(0, b"%d" % number).close().wait(1)
            feed(engine, conversation)
        first, second = engine.list_after(0, 9)
        engine.remove(first)
        conversation.packets.clear()
        feed(engine, conversation.wait(200).again(77_000_000, 5).handshake().client(0, b"2"))
        third = engine.list_after(second.serial, 9)[0]
        assert (third.generation, third.serial) == (2, 3)
        found = engine.find(conversation.client_key(), 1)
        assert found is not None
        assert found.serial == second.serial


def test_states_of_the_directions() -> None:
    """A half-closed connection that is reset: what had ended has ended."""
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz").fin().server_ack(4)
    outcome = run(conversation.server_rst(3, ack=1005))
    assert outcome.state(Conversation().client_name()) == "fin"
    assert outcome.state(Conversation().server_name()) == "rst"


def test_an_evicted_flow_that_goes_on_is_a_new_file() -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    with started() as engine:
        feed(engine, conversation)
        flow = engine.list_after(0, 9)[0]
        engine.remove(flow)
        assert engine.list_after(0, 9) == []
        conversation.packets.clear()
        feed(engine, conversation.client(3, b"def"))
        again = engine.list_after(0, 9)[0]
        assert again.serial > flow.serial
        assert engine.read(again, 0, 9) == b"def"
        assert engine.statistics()["connections"] == 1


# --- a full table --------------------------------------------------------------------------------


def speak_both(conversation: Conversation) -> None:
    """Both say two things."""
    conversation.handshake().client(0, b"ab").server(0, b"cd").client(2, b"ef").server(2, b"gh")


def speak_one_way(conversation: Conversation) -> None:
    """The capture does not see the server."""
    conversation.syn().client(0, b"ab").client(2, b"ef")


@pytest.mark.parametrize(
    ("speak", "contents"), [(speak_both, [b"abef", b"cdgh"]), (speak_one_way, [b"abef"])]
)
def test_in_a_full_table_those_that_begin_go_on(
    speak: Callable[[Conversation], None], contents: list[bytes]
) -> None:
    """[M2] beside those that are over, and each other: so it is in a mount that has run for some time."""
    clock_ns = Conversation.clock_ns
    over = [numbered(number, clock_ns + number).handshake().client(0, b"x").close() for number in range(80)]
    conversations = [numbered(1000 + number, clock_ns + SECOND_NS) for number in range(8)]
    for conversation in conversations:
        speak(conversation)
    with started(table_of(80)) as engine:
        for conversation in over:
            feed(engine, conversation)
        assert engine.statistics()["connections_tracked"] == 78  # the rest is for rivals
        for turn in range(20):
            for number, conversation in enumerate(conversations):  # each begins a turn after the one before
                feed(engine, conversation.packets[max(0, turn - number) : max(0, turn - number + 1)])
        for conversation in conversations:
            flows = [engine.find(key, 0) for key in (conversation.client_key(), conversation.server_key())]
            assert [engine.read(flow, 0, 9) for flow in flows if flow is not None] == contents
            assert not any(flow.partial for flow in flows if flow is not None)
        assert engine.statistics()["connections"] == 88


def said(engine: Engine, conversation: Conversation) -> bytes | None:
    """What the client said, if its file is there."""
    flow = engine.find(conversation.client_key(), 0)
    return None if flow is None else engine.read(flow, 0, 99)


def test_what_half_closed_ones_said_gives_no_room() -> None:
    """[M2] to evict it would free no connection: the newcomer is refused, and nothing is lost."""
    clock_ns = Conversation.clock_ns
    downloads = [numbered(number, clock_ns + number).handshake() for number in range(39)]
    with started(table_of(40)) as engine:
        for download in downloads:
            feed(engine, download.client(0, b"request").fin().server_ack(8).server(0, b"answer"))
        feed(engine, numbered(1000, clock_ns + SECOND_NS).syn())
        numbers = engine.statistics()
        assert (numbers["flows_evicted"], numbers["connections_refused"]) == (0, 1)
        assert [said(engine, one) for one in downloads] == [b"request"] * 39


def established(number: int, clock_ns: int) -> Conversation:
    """Both sides have said something."""
    conversation = numbered(number, clock_ns).handshake().client(0, b"x").server(0, b"y")
    return conversation.client_ack(1).server_ack(1)


def test_a_packet_that_nobody_takes_does_not_keep_the_idle_ones() -> None:
    """[M2] The one that was idle longest had it, and is not the newest for that."""
    clock_ns = Conversation.clock_ns
    idle = [established(number, clock_ns + number * 1_000_000) for number in range(39)]
    with started(table_of(40)) as engine:
        engine.flows.drowsy_ns = NEVER_NS
        for conversation in idle:
            feed(engine, conversation)
        idle[0].packets.clear()
        idle[0].clock_ns = clock_ns + 2 * IDLE_VICTIM_NS
        feed(engine, idle[0].client(1, b"z", checksum="bad"))
        for number in range(38):
            feed(engine, established(1000 + number, idle[0].clock_ns + 1_000_000 * number))
        assert engine.statistics()["connections_refused"] == 0
        there = [engine.find(one.client_key(), 0) is not None for one in idle]
        assert there == [True] + [False] * 38


def test_who_wakes_up_is_not_the_one_that_goes() -> None:
    """[M2] Others are as idle, and say nothing."""
    clock_ns = Conversation.clock_ns
    sleepers = [established(number, clock_ns + number * 1_000_000) for number in range(30)]
    with started(table_of(40)) as engine:
        for conversation in sleepers:
            feed(engine, conversation)
        now_ns = clock_ns + 2 * IDLE_VICTIM_NS
        engine.tick(now_ns)
        number = 1000
        while engine.flows.limit_bytes - engine.flows.used_bytes >= CONNECTION_BYTES:
            feed(engine, established(number, now_ns + number))
            number += 1
        sleepers[0].packets.clear()
        sleepers[0].clock_ns = now_ns + SECOND_NS
        feed(engine, sleepers[0].client(1, b"more"))
        assert said(engine, sleepers[0]) == b"xmore"


@pytest.mark.parametrize("early", [b"", b"early "])
def test_who_gives_room_to_its_successor(early: bytes) -> None:
    """[M2 L7] the oldest closed one goes for a SYN of its own addresses and ports, which loses nothing."""
    clock_ns = Conversation.clock_ns
    oldest = close_with_data(0, clock_ns)
    with started(table_of(40)) as engine:
        feed(engine, oldest)
        number = 1
        while engine.flows.limit_bytes - engine.flows.used_bytes >= CONNECTION_BYTES:
            feed(engine, close_with_data(number, engine.now_ns + 1000))
            number += 1
        again = oldest.again(9_000_000, 8_000_000)
        again.packets.clear()
        again.clock_ns = engine.now_ns + 1000
        again.syn(payload=early).syn_ack(acked=len(early))
        again.client(len(early), b"hello").server(0, b"world").client(len(early) + 5, b" again")
        before = engine.statistics()
        feed(engine, again)
        engine.finish()
        numbers = engine.statistics()
        flow = engine.find(oldest.client_key(), 1)
        assert flow is not None
        assert engine.read(flow, 0, 99) == early + b"hello again"
        assert numbers["connections"] == before["connections"] + 1
        assert numbers["connections_refused"] == 0
        check_counters(numbers)


def test_who_goes_first() -> None:
    """[M2] closed without data, half-open, closed (the oldest first), idle longest; the active ones stay."""
    clock_ns = Conversation.clock_ns
    active = [numbered(number, clock_ns).handshake().client(0, b"active") for number in (1, 2)]
    closed = [
        numbered(number, clock_ns + number).handshake().client(0, b"closed").close() for number in (3, 4)
    ]
    half_open = numbered(5, clock_ns + 5).syn()
    without_data = numbered(6, clock_ns + 6).handshake().close()
    with started(table_of(6)) as engine:
        engine.flows.drowsy_ns = NEVER_NS
        for conversation in (*active, *closed, half_open, without_data):
            feed(engine, conversation)
        now_ns = engine.now_ns
        tracked = (without_data, half_open, closed[0], closed[1])
        for number, gone in enumerate(tracked):
            assert engine.flows.stream_of(gone.client_key()) is not None
            feed(engine, numbered(100 + number, now_ns).handshake().client(0, b"new"))
            assert engine.flows.stream_of(gone.client_key()) is None
            assert engine.find(gone.client_key(), 0) is None
        feed(engine, numbered(200, now_ns).syn())
        numbers = engine.statistics()
        assert (numbers["connections_refused"], numbers["connections_tracked"]) == (1, 6)
        feed(engine, numbered(201, now_ns + IDLE_VICTIM_NS).handshake().client(0, b"new"))
        assert engine.find(active[0].client_key(), 0) is None
        assert engine.find(active[1].client_key(), 0) is not None
        assert engine.statistics()["connections_tracked"] == 6


def test_refused_payload_is_counted() -> None:
    with started(table_of(1)) as engine:
        feed(engine, Conversation().handshake().client(0, b"abc"))
        feed(engine, Conversation(client_port=5).client(0, b"12345"))
        engine.finish()
        numbers = engine.statistics()
        assert (numbers["connections_refused"], numbers["dropped_refused_bytes"]) == (1, 5)
        check_counters(numbers)


def test_never_more_than_the_table_holds() -> None:
    """Whatever is in it: open and closed, with files and without, several generations of one name."""
    with started(table_of(7)) as engine:
        clock_ns = Conversation.clock_ns
        for number in range(400):
            conversation = numbered(number % 11, clock_ns).again(number * 1_000_000, number).handshake()
            if number % 3:
                conversation.client(0, b"abc")
            if number % 5:
                conversation.close()
            clock_ns += (number % 7) * SECOND_NS
            feed(engine, conversation)
            numbers = engine.statistics()
            assert numbers["connections_tracked"] - numbers["connections_asleep"] <= 7
            assert numbers["table_used_bytes"] <= numbers["table_limit_bytes"]
        check_counters(engine.statistics())


def test_files_that_are_read_hold_the_table() -> None:
    """Nobody can be forgotten: refused, and nothing breaks."""
    with started(table_of(2)) as engine:
        for port in (1, 2):
            feed(engine, Conversation(client_port=port).handshake().client(0, b"abc").close())
        flows = engine.list_after(0, 9)
        for flow in flows:
            engine.open(flow)
        feed(engine, Conversation(client_port=3).handshake().client(0, b"abc"))
        assert engine.statistics()["connections_tracked"] == 2
        for flow in flows:
            engine.release(flow)
        feed(engine, Conversation(client_port=4).handshake().client(0, b"abc"))
        assert [flow.evicted for flow in flows].count(True) == 1


def test_as_many_files_as_there_may_be() -> None:
    """--max-flows: closed and idle ones make room, others do not."""
    with started(table_of(10, max_flows=2)) as engine:
        for port in (1, 2, 3):
            feed(engine, Conversation(client_port=port).handshake().client(0, b"abc"))
        assert len(engine.list_after(0, 9)) == 2
        assert engine.statistics()["flows_refused"] == 1
        feed(engine, Conversation(client_port=4, clock_ns=engine.now_ns + IDLE_VICTIM_NS).client(0, b"abc"))
        engine.finish()
        assert [flow.serial for flow in engine.list_after(0, 9)] == [2, 3]
        check_counters(engine.statistics())


# --- nothing is left behind ----------------------------------------------------------------------


def close_with_data(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).handshake().client(0, b"abc").server(0, b"xyz").close()


def close_without(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).handshake().close()


def leave_half_open(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).syn()


def leave_with_holes(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).handshake().client(3, b"abc").server(3, b"xyz").server_ack(6)


def leave_in_the_middle(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).client(3, b"abc")


def reset(number: int, clock_ns: int) -> Conversation:
    return numbered(number, clock_ns).handshake().client(0, b"abc").rst()


def use_again(number: int, clock_ns: int) -> Conversation:
    return close_with_data(number, clock_ns).again(9_000_000, 8_000_000).handshake().client(0, b"abc")


ENDS = (
    close_with_data,
    close_without,
    leave_half_open,
    leave_with_holes,
    leave_in_the_middle,
    reset,
    use_again,
)


@pytest.mark.parametrize("conversation_of", ENDS)
def test_nothing_is_left_of_a_connection(conversation_of: Callable[[int, int], Conversation]) -> None:
    """Objects that the garbage collector does not see go by themselves when their connection has gone."""
    limits = table_of(20, payload_bytes=64 * KIB)
    with started(limits) as engine:
        clock_ns, blocks = Conversation.clock_ns, []
        for _ in range(3):
            for number in range(300):
                feed(engine, conversation_of(number, clock_ns))
                clock_ns = engine.now_ns + SECOND_NS // 10
            clock_ns += 800 * SECOND_NS
            empty(engine, clock_ns)
            gc.collect()
            blocks.append(sys.getallocatedblocks())
        assert blocks[2] - blocks[1] < 300, "more than one object a connection stays"


def empty(engine: Engine, now_ns: int) -> None:
    """Everything times out; the files are removed; what was remembered is forgotten."""
    engine.tick(now_ns)
    for flow in engine.list_after(0, 1000):
        engine.remove(flow)
    engine.changes()
    engine.tick(now_ns + REMEMBER_NS + SECOND_NS)
    numbers = engine.statistics()
    assert (numbers["connections_tracked"], numbers["flows"]) == (0, 0)


def test_nothing_is_left_of_an_engine() -> None:
    packets = []
    for number, conversation_of in enumerate(ENDS * 20):
        packets += conversation_of(number, Conversation.clock_ns).packets
    blocks = []
    for _ in range(4):
        with started() as engine:
            feed(engine, packets)
        del engine
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert blocks[3] - blocks[1] < 100


def test_states_are_numbers_of_their_own() -> None:
    assert len({OPEN, FIN, RST, IDLE}) == 4


@pytest.mark.parametrize("max_flows, free", [(0, [20, 18, 16]), (2, [2, 1, 0]), (30, [20, 18, 16])])
def test_the_room_for_more_files(max_flows: int, free: list[int]) -> None:
    """Two for each connection that the table still takes; df -i shows it."""
    with started(table_of(10, max_flows=max_flows)) as engine:
        told = [engine.statistics()["flows_free"]]
        for number in range(2):
            feed(engine, Conversation(client_port=2000 + number).handshake().client(0, b"abc"))
            told.append(engine.statistics()["flows_free"])
    assert told == free

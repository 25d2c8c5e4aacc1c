"""Where the table is full of active connections: another one on the ports of one that is there [M2 L2].

The old one's end was not captured, so it seems to last. Its place is the new one's, once that is shown to be
there; and no byte of the one goes into the other's file.
"""

from __future__ import annotations

import pytest

from craft import Conversation, Packet
from engines import check_counters, feed, run, started
from flowfs.core.limits import CONNECTION_BYTES, MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()
FIRST = {NAME: b"abcde", SERVER_NAME: b"xyz"}
CLIENT = b"one two three"
SERVER = b"four five six seven"
SECOND = {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}

TABLE = 64  # connections, of which 62 are anyone's and two are kept for rivals
ISNS = [(2**31 + 20, 2**30 + 20), (2**31 + 10**8, 2**30 + 10**8), (2**31 - 10**8, 2**30 - 10**8), (7, 9)]


def table_of(connections: int) -> Limits:
    return Limits(payload_bytes=MIB, table_bytes=connections * CONNECTION_BYTES)


def other(number: int, clock_ns: int = Conversation.clock_ns) -> Conversation:
    """An active connection of somebody else."""
    conversation = Conversation(client_address=f"10.1.0.{number}", clock_ns=clock_ns, step_ns=1000)
    return conversation.syn().syn_ack().client(0, b"%d" % number)


def full(count: int = TABLE - 2) -> tuple[Conversation, list[Packet], dict[str, bytes]]:
    """The first connection, the packets of all that there is room for, and the files of the others."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30, step_ns=1000).handshake()
    conversation.client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3)
    others = [other(number, conversation.clock_ns) for number in range(1, count)]
    packets = [packet for each in others for packet in each.packets]
    conversation.packets += packets
    conversation.wait(0.001)
    names = {each.client_name(): b"%d" % number for number, each in enumerate(others, 1)}
    return conversation, packets, names


def both(conversation: Conversation) -> Conversation:
    return conversation.talk(CLIENT, SERVER)


# What was captured of the handshake, and numbers by which the rest is known then [L2 Q2].
TOLD = [
    *(("SYN, SYN/ACK", isns) for isns in ISNS),
    *((handshake, isns) for handshake in ("SYN", "SYN/ACK") for isns in ISNS[1:]),
    *(("", isns) for isns in ISNS[2:]),
]


@pytest.mark.parametrize(("handshake", "isns"), TOLD)
def test_the_new_one_takes_the_room_of_the_old_one(handshake: str, isns: tuple[int, int]) -> None:
    conversation, _, others = full()
    conversation.again(*isns)
    if handshake not in ("", "SYN/ACK"):
        conversation.syn()
    if "ACK" in handshake:
        conversation.syn_ack()
    if handshake:
        conversation.client_ack(0)
    outcome = run(both(conversation).wait(0.3).client_ack(len(SERVER)), table_of(TABLE))
    assert outcome.before.files() == others | SECOND
    assert outcome.statistics["connections_tracked"] <= TABLE - 2
    assert outcome.statistics["lost_bytes"] == outcome.statistics["connections_refused"] == 0


def test_what_was_closed_meanwhile_goes_first() -> None:
    """[M2] The old one's files stay then."""
    conversation, _, others = full()
    closing = Conversation(client_address="10.1.0.1", clock_ns=conversation.clock_ns)
    closing.client_next = 1
    conversation.again(*ISNS[0]).syn().syn_ack()
    conversation.packets += closing.close().packets
    del others[closing.client_name()]
    outcome = run(both(conversation.wait(0.001).client_ack(0)), table_of(TABLE))
    assert outcome.before.files() == others | FIRST | SECOND


def test_a_reader_of_the_old_one_keeps_what_he_reads() -> None:
    """But it is no reason to refuse the new one."""
    conversation, _, _ = full()
    with started(table_of(TABLE)) as engine:
        feed(engine, conversation)
        flows = [flow for flow in engine.list_after(0, 99) if flow.key == conversation.client_key()]
        engine.open(flows[0])
        conversation.packets.clear()
        feed(engine, both(conversation.again(*ISNS[0]).handshake()))
        assert engine.find(conversation.client_key(), 0) is None
        second = engine.find(conversation.client_key(), 1)
        assert second is not None
        assert engine.read(second, 0, 99) == CLIENT
        assert engine.statistics()["connections_tracked"] == TABLE - 2
        engine.release(flows[0])


@pytest.mark.parametrize("isns", ISNS)
def test_a_forged_one_costs_nobody_anything(isns: tuple[int, int]) -> None:
    """Neither the one that is there, nor the others."""
    conversation, _, others = full()
    for number in range(5):
        conversation.again(isns[0] + 40 * number, isns[1] + 40 * number).syn().syn_ack()
        conversation.server(0, b"evil")
    conversation.again(2**31, 2**30).client(5, b"fgh", ack=2**30 + 4).server(3, b"uvw", ack=2**31 + 9)
    outcome = run(conversation.wait(1).client(8, b"i", ack=2**30 + 7), table_of(TABLE))
    assert outcome.before.files() == others | {NAME: b"abcdefghi", SERVER_NAME: b"xyzuvw"}
    assert outcome.statistics["flows_evicted"] == 0
    assert outcome.statistics["connections_tracked"] <= TABLE


def test_newcomers_are_refused_as_before_and_cost_no_rival_its_place() -> None:
    conversation, _, others = full()
    conversation.again(*ISNS[0]).syn().syn_ack()
    for number in range(100, 120):
        conversation.packets += other(number, conversation.clock_ns).packets
    outcome = run(both(conversation.wait(0.001).client_ack(0)), table_of(TABLE))
    assert outcome.before.files() == others | SECOND
    assert outcome.statistics["connections_refused"] == 60


@pytest.mark.parametrize("isns", ISNS)
def test_one_that_gave_way_to_other_rivals(isns: tuple[int, int]) -> None:
    """The oldest goes first; what it says next is still its own."""
    conversation, _, others = full()
    conversation.again(*isns).syn().syn_ack()
    for number in range(1, 9):
        forged = other(number, conversation.clock_ns)
        forged.packets.clear()
        conversation.packets += forged.syn(isn=7_000_000).syn_ack(isn=77, ack=7_000_001).packets
    outcome = run(both(conversation.wait(0.001).client_ack(0)), table_of(TABLE))
    assert outcome.before.files() == others | SECOND
    assert outcome.statistics["connections_tracked"] <= TABLE
    assert outcome.statistics["lost_bytes"] == 0


# --- a table so small that none is kept for rivals ----------------------------------------------------------


@pytest.mark.parametrize(
    ("handshake", "isns"), [*((True, isns) for isns in ISNS), *((False, isns) for isns in ISNS[2:])]
)
def test_one_that_is_refused(handshake: bool, isns: tuple[int, int]) -> None:
    """It is counted, and none of its bytes gets into the other's file.

    Without a handshake, and ahead, it looks like a gap of the capture [Q2].
    """
    conversation, _, others = full(4)
    conversation.again(*isns)
    if handshake:
        conversation.handshake()
    both(conversation).again(2**31, 2**30).client(5, b"fgh", ack=2**30 + 4).server(3, b"uvw", ack=2**31 + 9)
    outcome = run(conversation, table_of(4))
    assert outcome.before.files() == others | {NAME: b"abcdefgh", SERVER_NAME: b"xyzuvw"}
    assert outcome.statistics["dropped_refused_bytes"] == len(CLIENT + SERVER)
    assert outcome.statistics["connections_refused"] > 0
    assert outcome.statistics["lost_bytes"] == 0


@pytest.mark.parametrize("isns", ISNS)
def test_one_that_was_refused_until_there_is_room(isns: tuple[int, int]) -> None:
    conversation, _, others = full(4)
    both(conversation.again(*isns).handshake())
    closing = Conversation(client_address="10.1.0.1", clock_ns=conversation.clock_ns)
    closing.client_next = 1
    conversation.packets += closing.close().packets
    del others[closing.client_name()]
    conversation.wait(0.001)
    for index, letter in enumerate(b"more"):
        conversation.client(13 + index, bytes([letter])).server_ack(14 + index)
    outcome = run(conversation.wait(0.3).client_ack(19), table_of(4))
    assert outcome.before.files()[NAME + "c1"].endswith(b"more")
    assert outcome.before.files().items() >= others.items()
    assert NAME not in outcome.before.files() or outcome.before.files()[NAME] == b"abcde"


def test_a_forged_handshake_that_was_refused_and_what_is_missing() -> None:
    """Once the host goes on, what lies ahead is his again."""
    conversation, _, _ = full(4)
    conversation.syn(isn=2**31 + 20).syn_ack(isn=2**30 + 20, ack=2**31 + 21)
    conversation.client(5, b"f").client(30, b"ahead").client(6, b"g" * 24).server_ack(35)
    outcome = run(conversation, table_of(4))
    assert outcome.before.files()[NAME] == b"abcdef" + b"g" * 24 + b"ahead"


def test_one_that_is_refused_adds_up() -> None:
    conversation, _, _ = full(4)
    with started(table_of(4)) as engine:
        feed(engine, both(conversation.again(*ISNS[0]).handshake()))
        engine.finish()
        check_counters(engine.statistics())


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("what", ["client", "server", "client's RST", "server's RST"])
def test_one_that_was_refused_and_takes_the_room_of_the_old_one_when_that_is_closed(
    what: str, whole: bool
) -> None:
    """The first of its segments begins a connection, unless it is a RST, which begins none."""
    conversation, _, _ = full(4)
    isns = (conversation.client_isn, conversation.server_isn)
    with started(table_of(4)) as engine:
        conversation.again(7, 9).syn()
        if whole:
            conversation.syn_ack()
        feed(engine, conversation.again(*isns).server_rst(3, ack=isns[0] + 6))
        before = engine.statistics()
        assert before["connections_refused"] > 0
        conversation.packets.clear()
        conversation.again(7, 9)
        if "RST" in what:
            feed(engine, conversation.rst(0) if "client" in what else conversation.server_rst(0))
            numbers = engine.statistics()
            assert numbers["stray_packets"] == before["stray_packets"] + 1
            assert numbers["connections"] == before["connections"]
        else:
            first = conversation.client(0, b"one") if what == "client" else conversation.server(0, b"four")
            feed(engine, first)
            assert engine.statistics()["connections"] == before["connections"] + 1
        conversation.packets.clear()
        feed(engine, both(conversation).client_ack(len(SERVER)).server_ack(len(CLIENT)))
        engine.finish()
        found = [engine.find(key, 0) for key in (conversation.client_key(), conversation.server_key())]
        assert [None if one is None else engine.read(one, 0, 99) for one in found] == [CLIENT, SERVER]
        check_counters(engine.statistics())


def test_one_that_has_its_place_at_the_end_and_takes_the_room_of_another() -> None:
    """Who goes for it was there when the last look at all connections began."""
    conversation, _, names = full(TABLE - 3)
    silent = Conversation(client_address="10.2.0.1", clock_ns=conversation.clock_ns, step_ns=1000)
    with started(table_of(TABLE)) as engine:
        feed(engine, conversation)
        feed(engine, silent.handshake())
        for each in (conversation, silent):
            each.packets.clear()
        feed(engine, conversation.again(7, 9).syn().syn_ack().server(0, b"banner"))
        feed(engine, silent.wait(0.01).rst())
        before = engine.statistics()
        assert engine.find(conversation.server_key(), 1) is None
        engine.finish()
        flow = engine.find(conversation.server_key(), 1)
        assert flow is not None
        assert engine.read(flow, 0, 99) == b"banner"
        assert engine.flows.stream_of(silent.client_key()) is None
        numbers = engine.statistics()
        assert numbers["connections_tracked"] == before["connections_tracked"] - 1
        assert numbers["flows"] == 3 + len(names)
        check_counters(numbers)

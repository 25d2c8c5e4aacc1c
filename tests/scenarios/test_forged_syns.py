"""Forged SYNs and SYN/ACKs: a connection that nobody began must not take the place of one that there is.

Nor must it take bytes from it, or keep out an honest one; what the hosts say afterwards shows which is which.
"""

from __future__ import annotations

import pytest

from craft import Conversation
from engines import check_two_rivals_at_most, feed, run, started
from flowfs.core.flow import OPEN
from flowfs.core.limits import (
    CONNECTION_BYTES,
    MIB,
    Limits,
)

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def established() -> Conversation:
    """W 0:abcde !5"""
    return Conversation().handshake().client(0, b"abcde").server_ack(5)


# --- SYN/ACK [L1] ------------------------------------------------------------------------------------


def answered(conversation: Conversation, asked: int) -> Conversation:
    """The server's response, all of it acknowledged, and a second request."""
    conversation.server_ack(asked).server(0, b"HTTP/1.1 200 OK\r\n").client_ack(17).client(asked, b"more")
    conversation.server_ack(asked + 4)
    for index in range(8):
        conversation.server(17 + 100 * index, bytes([65 + index]) * 100).client_ack(117 + 100 * index)
    return conversation


ANSWER = b"HTTP/1.1 200 OK\r\n" + b"".join(bytes([65 + index]) * 100 for index in range(8))
AWAY = [1, -1, 5000, -5000, 2**30, 2**31 - 1]


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("request_", [b"", b"GET /\r\n"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("acked", [False, True])
def test_another_syn_ack_before_the_first_answer(away: int, request_: bytes, count: int, acked: bool) -> None:
    """The client has acknowledged the true one; one ACK of the other is not enough to unsay that."""
    conversation = Conversation().handshake()
    if request_:
        conversation.client(0, request_)
    for _ in range(count):
        conversation.syn_ack(isn=(500_000 + away) % 2**32, payload=b"X")
    if acked:
        conversation.client_ack(0, ack=(500_001 + away) % 2**32)
    outcome = run(answered(conversation, len(request_)).close())
    assert outcome.files() == {NAME: request_ + b"more", SERVER_NAME: ANSWER}
    assert outcome.gaps(SERVER_NAME) == []
    assert outcome.before.state(SERVER_NAME) == "fin"
    assert outcome.statistics["dropped_pre_start_bytes"] == 0


@pytest.mark.parametrize("away", AWAY)
def test_another_syn_ack_and_its_ack_before_the_true_one(away: int) -> None:
    """The client acknowledges the true one with its ACK and its request: that is more."""
    forged = (500_000 + away) % 2**32
    conversation = Conversation().syn().syn_ack(isn=forged).client_ack(0, ack=(forged + 1) % 2**32)
    conversation.syn_ack().client_ack(0).client(0, b"GET /\r\n")
    outcome = run(answered(conversation, 7).close())
    assert outcome.files() == {NAME: b"GET /\r\nmore", SERVER_NAME: ANSWER}
    assert outcome.gaps(SERVER_NAME) == []


@pytest.mark.parametrize("last", [500_000, 900_000])
def test_two_syn_acks_and_the_ack_that_chooses(last: int) -> None:
    """A server that keeps no state may answer a SYN twice, and not alike."""
    conversation = Conversation().syn().syn_ack(isn=1_400_000 - last).syn_ack(isn=last).client_ack(0)
    outcome = run(conversation.server(0, b"hello").client_ack(5))
    assert outcome.files() == {SERVER_NAME: b"hello"}


@pytest.mark.parametrize("isn", [901_400, 902_000, 50_000_000, 2**32 - 1])
@pytest.mark.parametrize("payload", [b"", b"evil"])
@pytest.mark.parametrize("order", ["true, forged", "forged, true", "forged, true, forged"])
@pytest.mark.parametrize("accepted", [0, 2, 4])
@pytest.mark.parametrize("early", [False, True])
def test_another_syn_before_the_answer_to_one_with_data(
    isn: int, payload: bytes, order: str, accepted: int, early: bool
) -> None:
    """The SYN/ACK acknowledges some of the data of one: that is chosen, with what it brought [L1 L7]."""
    conversation = Conversation(client_isn=900_000, server_isn=7_000_000)
    for which in order.split(", "):
        if which == "true":
            conversation.syn(payload=b"fast")
        else:
            conversation.syn(isn=isn, payload=payload)
    conversation.syn_ack(acked=accepted)
    if early:
        conversation.server(0, b"hello", ack=900_001 + accepted)
    conversation.client_ack(5 if early else 0, seq=900_005)
    conversation.client(accepted, b"fastopen"[accepted:]).server_ack(8)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"fastopen"} | ({SERVER_NAME: b"hello"} if early else {})
    assert outcome.before.state(NAME) == "open"
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["conflicts"] == 0


# --- SYN [L2] ----------------------------------------------------------------------------------------


def with_syns(conversation: Conversation, isn: int = 7_000_000) -> Conversation:
    """A SYN and a SYN/ACK that nobody means."""
    return conversation.syn(isn=isn).syn_ack(isn=isn + 50, ack=isn + 1)


def test_a_syn_and_its_syn_ack() -> None:
    conversation = with_syns(established().server(0, b"xyz"))
    conversation.client(5, b"fgh").server(3, b"uvw", ack=1009).client(8, b"i").server_ack(9)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghi", SERVER_NAME: b"xyzuvw"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


def test_a_syn_and_its_syn_ack_before_there_is_data() -> None:
    conversation = with_syns(Conversation().handshake())
    outcome = run(conversation.client(0, b"abc").server(0, b"xyz", ack=1004).client(3, b"def"))
    assert outcome.before.files() == {NAME: b"abcdef", SERVER_NAME: b"xyz"}


@pytest.mark.parametrize("last", ["A", "PA"])
def test_a_whole_handshake_while_the_client_goes_on(last: str) -> None:
    """Two sides go on under one name: who is there has the better claim."""
    conversation = with_syns(established()).client(5, b"f")
    payload = b"evil" if "P" in last else b""
    conversation.client(0, payload, seq=7_000_001, ack=7_000_051, flags=last)
    outcome = run(conversation.client(6, b"g").server_ack(7).client(7, b"h"))
    assert outcome.before.files() == {NAME: b"abcdefgh"}
    assert outcome.statistics["dropped_tentative_bytes"] == len(payload)


def test_another_connection_although_something_of_the_old_one_came_late() -> None:
    conversation = established().again(7_000_000, 7_000_050).syn().syn_ack()
    conversation.client(5, b"late", seq=1006, ack=500_001).client_ack(0)
    for index in range(3):
        conversation.client(index, b"new"[index : index + 1])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdelate", NAME + "c1": b"new"}


def test_a_server_that_speaks_at_once() -> None:
    """What comes right behind the SYN/ACK is of the new connection, which is shown to be one afterwards."""
    conversation = established().server(0, b"xyz").again(7_000_000, 7_000_050).syn().syn_ack()
    conversation.server(4, b"o\n").server(0, b"hell")
    assert run(conversation).before.files() == {NAME: b"abcde", SERVER_NAME: b"xyz"}
    outcome = run(conversation.client_ack(6).server(6, b"more").client(0, b"hi", ack=7_000_061))
    assert outcome.before.files() == {
        NAME: b"abcde",
        SERVER_NAME: b"xyz",
        NAME + "c1": b"hi",
        SERVER_NAME + "c1": b"hello\nmore",
    }
    assert outcome.statistics["connections"] == 2
    assert outcome.before.state(NAME) == "idle"


def test_another_connection_whose_third_packet_has_data_and_fin() -> None:
    conversation = established().again(7_000_000, 7_000_050).syn().syn_ack().fin(3, payload=b"new")
    outcome = run(conversation.server_ack(4).server_fin().client_ack(1))
    assert outcome.before.files() == {NAME: b"abcde", NAME + "c1": b"new"}
    assert outcome.before.state(NAME + "c1") == "fin"


def test_a_syn_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abc").syn(isn=7_000_000).client(3, b"def")
    outcome = run(conversation.client(6, b"ghi"))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


def test_data_in_a_syn_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abc").again(7_000_000, 0).syn(payload=b"fast")
    outcome = run(conversation.client(4, b" open"))
    assert outcome.before.files() == {NAME: b"abc", NAME + "c1": b"fast open"}


def test_another_connection_while_the_old_one_ends() -> None:
    """The old one's last packets come late, and the place is free then: it is the new one's all the same."""
    conversation = established().fin().syn(isn=7_000_000).syn_ack(isn=7_000_050, ack=7_000_001)
    conversation.server_ack(6).server_fin().client_ack(1, seq=1007)
    conversation.again(7_000_000, 7_000_050)
    for index in range(3):
        conversation.client(index, b"new"[index : index + 1])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcde", NAME + "c1": b"new"}


def test_a_reset_of_what_was_never_a_connection() -> None:
    """The client answers a SYN/ACK that it did not ask for."""
    with started() as engine:
        feed(engine, with_syns(established()))
        assert engine.statistics()["connections_tracked"] == 2
        feed(engine, Conversation().rst(seq=7_000_001, ack=7_000_051))
        assert engine.statistics()["connections_tracked"] == 1
        feed(engine, Conversation().client(5, b"fgh"))
        (flow,) = engine.list_after(0, 9)
        assert engine.read(flow, 0, 99) == b"abcdefgh"
        assert flow.state == OPEN


def test_many_syns_cost_no_more_than_two() -> None:
    with started() as engine:
        conversation = established()
        for number in range(100):
            with_syns(conversation, 7_000_000 + number * 1000)
            conversation.server(0, b"w" * 100, seq=7_000_051 + number * 1000, ack=7_000_001 + number * 1000)
        feed(engine, conversation.client(5, b"f"))
        check_two_rivals_at_most(engine)


@pytest.mark.parametrize("count", [1, 2])
def test_a_syn_where_the_table_is_full(count: int) -> None:
    """There may be no room for another connection, or only that of the one in whose place it would be."""
    limits = Limits(payload_bytes=MIB, table_bytes=count * CONNECTION_BYTES)
    conversation = Conversation(client_port=1).syn().client(0, b"one way")
    conversation.syn(isn=7_000_000).client(7, b"...", ack=1).wait(1).other()
    kept = {} if count == 1 else {conversation.client_name(): b"one way..."}
    assert run(conversation, limits).files() == kept
    outcome = run(with_syns(established()).client(5, b"fgh"), limits)
    assert outcome.before.files() == {NAME: b"abcdefgh"}


# --- RST and SYN [L5 L2] ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [False, True])
def test_a_reset_and_a_syn(answered: bool) -> None:
    """What seems free to be taken is not."""
    conversation = established().rst(5).syn(isn=7_000_000)
    if answered:
        conversation.syn_ack(isn=7_000_050, ack=7_000_001)
    outcome = run(conversation.client(5, b"fgh").server_ack(8).client(8, b"i"))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


def test_a_reset_and_a_syn_before_there_is_data() -> None:
    conversation = Conversation().handshake().server_rst(0).syn(isn=7_000_000)
    outcome = run(conversation.client(0, b"abc").server_ack(3).client(3, b"def"))
    assert outcome.before.files() == {NAME: b"abcdef"}


def test_a_fin_and_a_syn_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abc").fin(3).syn(isn=7_000_000)
    outcome = run(conversation.client(3, b"d").client(4, b"e").client(5, b"f"))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"


@pytest.mark.parametrize("isn", [7_000_050, 2**31 + 7, 2**32 - 3])
@pytest.mark.parametrize("seen", ["SYN", "SYN/ACK", "SYN, SYN/ACK", "SYN, SYN"])
def test_another_connection_after_a_reset(seen: str, isn: int) -> None:
    """Whatever of its handshake was captured, its bytes are its own."""
    conversation = established().server(0, b"xyz").rst(5).wait(1).again(7_000_000, isn)
    if seen == "SYN, SYN":
        conversation.syn(isn=6_000_000)
    if seen != "SYN/ACK":
        conversation.syn()
    if "ACK" in seen:
        conversation.syn_ack()
    conversation.server(0, b"hel").server(3, b"lo").client(0, b"new", ack=isn + 6).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == {
        NAME: b"abcde",
        SERVER_NAME: b"xyz",
        NAME + "c1": b"new",
        SERVER_NAME + "c1": b"hello",
    }


def check_that_it_goes_on(conversation: Conversation) -> None:
    """Both hosts go on with what they have, and that is all there is."""
    for index in range(5):
        conversation.client(5 + index, b"f", ack=500_004 + index).server_ack(6 + index)
        conversation.server(3 + index, b"w", ack=1007 + index).client_ack(4 + index)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefffff", SERVER_NAME: b"xyzwwwww"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


@pytest.mark.parametrize("last", ["A", "PA", "FA", "R", "RA"])
@pytest.mark.parametrize("payload", [b"", b"evil"])
@pytest.mark.parametrize("ahead", [0, 5, 60_000])
@pytest.mark.parametrize("of_server", [False, True])
def test_a_reset_a_syn_ack_and_one_more(last: str, payload: bytes, ahead: int, of_server: bool) -> None:
    """Nobody asked for the SYN/ACK: one packet more of the side that it is sent to is not enough."""
    conversation = established().server(0, b"xyz").client_ack(3)
    numbers = [(1006, 500_004), (500_004, 1006)]
    seq, ack = numbers[of_server]
    send = conversation.send
    send(not of_server, b"", seq=seq, ack=ack, flags="RA")
    send(of_server, payload, seq=ack + 100, ack=seq, flags="SA")
    send(not of_server, b"more" if last != "A" else b"", seq=seq, ack=ack + 101 + ahead, flags=last)
    check_that_it_goes_on(conversation)


@pytest.mark.parametrize("last", ["A", "PA", "FA", "R", "RA"])
@pytest.mark.parametrize("payload", [b"", b"evil"])
@pytest.mark.parametrize("of_server", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_reset_a_syn_and_what_goes_on_with_it(
    last: str, payload: bytes, of_server: bool, count: int
) -> None:
    """All of one side: the other one, which was there, has not said a word of it."""
    conversation = established().server(0, b"xyz").client_ack(3)
    send = conversation.send
    send(not of_server, b"", seq=(1006, 500_004)[of_server], ack=(500_004, 1006)[of_server], flags="RA")
    send(not of_server, b"", seq=7_000_000, ack=0, flags="S")
    for index in range(count):
        flags = last if index == count - 1 else "PA"
        send(not of_server, payload, seq=7_000_001 + index * len(payload), ack=77, flags=flags)
    check_that_it_goes_on(conversation)


@pytest.mark.parametrize("end", ["FIN", "RST", ""])
@pytest.mark.parametrize("seconds", [0.001, 3, 31])
def test_another_connection_of_which_only_the_client_is_seen(end: str, seconds: float) -> None:
    """After a reset, which a connection that goes on would have shown by then to be forged [L5]."""
    conversation = established().server(0, b"xyz").rst(5).wait(1).again(7_000_000, 7_000_050).syn()
    conversation.client_ack(0).client(0, b"n").wait(seconds).client(1, b"e").client(2, b"w")
    if end:
        conversation = conversation.fin() if end == "FIN" else conversation.rst()
    outcome = run(conversation.other())
    first = {NAME: b"abcde", SERVER_NAME: b"xyz"}
    assert outcome.files() == first | {NAME + "c1": b"new"}
    assert outcome.before.files() == (first if seconds < 1 else outcome.files())
    assert run(conversation.wait(31).other()).before.files() == outcome.files()
    assert outcome.statistics["dropped_tentative_bytes"] == 0


@pytest.mark.parametrize("payload", [b"", b"bye"])
def test_a_reset_a_syn_and_its_reset(payload: bytes) -> None:
    """The payload of a RST is no data: nothing came of a connection there."""
    conversation = established().rst(5).syn(isn=7_000_000).rst(payload=payload, seq=7_000_001)
    outcome = run(conversation.client(5, b"fgh").server_ack(8).client(8, b"i"))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.statistics["connections"] == 1


@pytest.mark.parametrize("spoken", [False, True])
@pytest.mark.parametrize("end", ["", "FIN", "RST", "31 s"])
def test_another_connection_whose_syn_was_not_captured(spoken: bool, end: str) -> None:
    """The client goes on with it, or acknowledges what the server sent, or that is all there is."""
    conversation = established().server(0, b"xyz").rst(5).wait(1).again(7_000_000, 7_000_050).syn_ack()
    if spoken:
        conversation.server(0, b"hel").server(3, b"lo")
        files = {SERVER_NAME + "c1": b"hello"}
    else:
        conversation.client_ack(0).client(0, b"n").client(1, b"ew")
        files = {NAME + "c1": b"new"}
    if end == "FIN" and spoken:
        conversation.server_fin().client_ack(6)
    elif end == "FIN":
        conversation.fin().server_ack(4)
    elif end == "RST" and spoken:
        conversation.server_rst()
    elif end == "RST":
        conversation.rst()
    elif end:
        conversation.wait(31).other()
    outcome = run(conversation.wait(0.2).other())
    result = outcome.before if end else outcome
    assert result.files() == {NAME: b"abcde", SERVER_NAME: b"xyz"} | files
    assert outcome.statistics["dropped_tentative_bytes"] == 0


def test_syns_to_what_was_closed_give_way_to_others() -> None:
    """They are half-open, and go first where the table is full [M2]."""
    limits = Limits(payload_bytes=MIB, table_bytes=6 * CONNECTION_BYTES)
    with started(limits) as engine:
        for port in range(3):
            feed(engine, Conversation(client_port=port).handshake().client(0, b"abc").server_ack(3).rst(3))
            feed(engine, Conversation(client_port=port).syn(isn=7_000_000))
        for port in range(3, 6):
            feed(engine, Conversation(client_port=port).handshake().client(0, b"abc").server_ack(3))
        assert len(engine.list_after(0, 9)) == 6
        assert engine.statistics()["connections_tracked"] == 6


@pytest.mark.parametrize("ended", ["RST", "FIN", ""])
def test_another_connection_of_which_only_the_server_is_seen(ended: str) -> None:
    """Its SYN/ACK begins it, and what it sends shows that it is one."""
    conversation = Conversation().syn_ack().server(0, b"xyz")
    if ended == "RST":
        conversation.server_rst(3)
    elif ended == "FIN":
        conversation.server_fin(3)
    conversation.wait(1).again(7_000_000, 7_000_050).syn_ack().server(0, b"hel").server(3, b"lo")
    outcome = run(conversation)
    assert outcome.before.files() == {SERVER_NAME: b"xyz", SERVER_NAME + "c1": b"hello"}


# --- one side alone, and ports used again [L1 L2] -----------------------------------------------------


@pytest.mark.parametrize("flags", ["S", "SA"])
@pytest.mark.parametrize("by", [1, 5000, 1_300_000_000, -1_000_000, -1_300_000_000])
def test_one_handshake_more_where_one_side_is_captured(flags: str, by: int) -> None:
    """The side's own ACK says that it had an answer: another ISN is none of this connection."""
    conversation = Conversation().syn().client_ack(0)
    conversation.send(False, b"", seq=1000 + by, ack=4000 if "A" in flags else 0, flags=flags)
    for offset in range(0, 70, 7):
        conversation.client(offset, b"7 bytes").client_ack(0).wait(0.1)
    outcome = run(conversation.fin().wait(0.2).other())
    assert outcome.before.files() == {NAME: b"7 bytes" * 10}


@pytest.mark.parametrize("end", ["FIN", "RST"])
def test_two_syn_acks_between_those_of_another_connection(end: str) -> None:
    """Nobody sent the SYNs that they answer: the one whose SYN was seen keeps its place."""
    conversation = established()
    conversation = (conversation.close() if end == "FIN" else conversation.rst()).wait(1)
    conversation = conversation.again(900_000, 7_000_000).syn().syn_ack()
    for number in (1, 2):
        conversation.send(True, b"", seq=number * 10**9, ack=number * 10**9 + 77, flags="SA")
    conversation.client_ack(0).client(0, b"new").server_ack(3)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files()[NAME + "c1"] == b"new"


def test_one_that_stands_only_at_the_end_and_what_waits_in_it() -> None:
    """Behind a RST that may be forged, of one side alone: its place, and its bytes, are known at the end."""
    conversation = established().rst(5).again(70_000_000, 90_000_000).syn().client(3, b"behind a hole")
    with started() as engine:
        feed(engine, conversation)
        assert engine.find(conversation.client_key(), 1) is None
        engine.finish()
        flow = engine.find(conversation.client_key(), 1)
        assert flow is not None
        assert flow.gaps() == [(0, 3, "close")]
        assert engine.read(flow, 0, 99) == b"\0\0\0behind a hole"
        assert engine.statistics()["out_of_order_used_bytes"] == 0

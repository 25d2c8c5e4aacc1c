"""Forged packets: somebody sees the traffic and sends a few of his own, with the right addresses and ports.

He cannot stop what the hosts send. So what they say afterwards shows what was forged, and their files must be
whole in the end.
"""

from __future__ import annotations

import random

import pytest

from craft import Conversation, timestamps, wscale
from engines import feed, run, started
from flowfs.core.flow import OPEN
from flowfs.core.limits import (
    CONNECTION_BYTES,
    FLOW_OUT_OF_ORDER_BYTES,
    HALF_OPEN_NS,
    KIB,
    MIB,
    REMEMBER_NS,
    SECOND_NS,
    Limits,
)

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def established() -> Conversation:
    """W 0:abcde !5"""
    return Conversation().handshake().client(0, b"abcde").server_ack(5)


# --- FIN [L4] ----------------------------------------------------------------------------------------


def test_a_fin_and_the_ack_of_one_byte_in_its_place() -> None:
    """The ACK of the byte looks like that of the FIN; the next one tells."""
    conversation = established().fin(5).client(5, b"f").server_ack(6)
    assert run(conversation).before.files() == {NAME: b"abcde"}
    outcome = run(conversation.client(6, b"ghi").server_ack(9))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["fin_retracted"] == 1
    assert outcome.statistics["dropped_after_fin_bytes"] == 0


def test_a_fin_and_then_the_true_one() -> None:
    conversation = established().fin(5).client(5, b"f").server_ack(6).client(6, b"gh").fin(8).server_ack(9)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefgh"}
    assert outcome.before.state(NAME) == "fin"


def test_a_fin_ahead_of_the_true_one() -> None:
    conversation = established().fin(4000).client(5, b"fgh").fin(8).server_ack(9)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefgh"}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.statistics["tail_missing_bytes"] == 0


def test_two_fins_that_close_the_connection() -> None:
    """One of each side, each taken for acknowledged: the connection is over, and then it is not."""
    conversation = established().server(0, b"xyz").fin(5).server_fin(3)
    conversation.client(5, b"f", ack=500_005).server(3, b"w", ack=1007)
    assert run(conversation).before.state(NAME) == "fin"
    conversation.client(6, b"gh", ack=500_005).server(4, b"vu", ack=1009).client_ack(6).wait(1).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefgh", SERVER_NAME: b"xyzwvu"}
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "open"
    outcome = run(conversation.client(8, b"i").server_ack(9).close())
    assert outcome.before.files() == {NAME: b"abcdefghi", SERVER_NAME: b"xyzwvu"}
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "fin"
    assert outcome.statistics["dropped_after_fin_bytes"] == 0


def test_bytes_in_doubt_outlast_what_was_waited_for_before() -> None:
    """A hole was to be looked at when a forged RST came: that is no time for what came behind it [L5]."""
    conversation = Conversation().handshake().client(1, b"b").server_ack(2).client(0, b"a").rst(2)
    conversation.client(3, b"d").client(2, b"c").wait(0.3).other().client(4, b"e")
    conversation.client(2, b"X").server_ack(5)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcde"}
    assert outcome.statistics["dropped_tentative_bytes"] == 1  # the other byte for a place that has one


@pytest.mark.parametrize("closed, bound_bytes", [(False, FLOW_OUT_OF_ORDER_BYTES), (True, 4 * MIB)])
def test_what_lies_behind_a_fin_has_its_bound_and_no_more(closed: bool, bound_bytes: int) -> None:
    """That is one flow's share while the connection lasts, and the pool once it is over."""
    conversation = Conversation().handshake(wscale(14)).client(0, b"abcde").fin(5)
    if closed:
        conversation.server_fin().client_ack(1)
    conversation.server_ack(6)
    most = 0
    with started() as engine:
        for offset in range(5, 8 * MIB, 60_000):
            conversation.client(offset, bytes(60_000))
        for packet in conversation.packets:
            feed(engine, [packet])
            most = max(most, engine.statistics()["out_of_order_used_bytes"])
    assert bound_bytes - 60_000 - KIB < most <= bound_bytes
    outcome = run(conversation)
    assert outcome.statistics["dropped_window_bytes"] == 0
    assert outcome.files() == {NAME: b"abcde"}


def test_what_lies_behind_a_fin_is_forgotten_with_the_connection() -> None:
    with started() as engine:
        feed(engine, established().fin().server_fin().client_ack(1).server_ack(6).client(5, b"late"))
        assert engine.statistics()["out_of_order_used_bytes"] > 0
        engine.tick(engine.now_ns + REMEMBER_NS + 2 * SECOND_NS)
        assert engine.statistics()["out_of_order_used_bytes"] == 0
        assert engine.statistics()["dropped_after_fin_bytes"] == 4


@pytest.mark.parametrize("count", [1, 3])
def test_a_fin_one_way(count: int) -> None:
    """No peer tells; nobody sends segment after segment behind his own FIN."""
    conversation = Conversation().syn().client(0, b"abcde").fin(5)
    for index in range(count):
        conversation.client(5 + index, b"fgh"[index : index + 1])
    outcome = run(conversation.wait(0.1).other())
    assert outcome.before.files() == {NAME: b"abcdefgh"[: 5 if count == 1 else 8]}
    assert outcome.before.state(NAME) == ("fin" if count == 1 else "open")


# --- RST [L5] ----------------------------------------------------------------------------------------


def test_a_reset_and_what_is_out_of_order() -> None:
    conversation = established().rst(5).client(8, b"ijk").client(5, b"fgh").server_ack(11)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghijk"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["rst_forged"] == 1


def test_a_reset_and_a_loss_that_is_mended() -> None:
    """The segment behind the RST is lost on its way, and comes again."""
    conversation = established().rst(5).client(8, b"ijk").server_ack(5).client(11, b"lmn").server_ack(5)
    conversation.wait(0.2).client(5, b"fgh").server_ack(14).client(14, b"o").server_ack(15)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghijklmno"}
    assert outcome.gaps(NAME) == []
    assert outcome.before.state(NAME) == "open"


def test_a_reset_and_a_segment_that_the_capture_lacks() -> None:
    conversation = established().rst(5).client(8, b"ijk").server_ack(11).wait(0.3).client_ack(0)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcde\0\0\0ijk"}
    assert outcome.before.gaps(NAME) == [(5, 3, "ack")]
    assert outcome.before.state(NAME) == "open"


def test_a_reset_while_something_is_missing() -> None:
    """What is sent again must find its place: a hole is not given up for a RST that may be forged."""
    conversation = established().client(8, b"ijk").server_rst(0).server_ack(5).client(5, b"fgh")
    conversation.server_ack(11)
    outcome = run(conversation.client(11, b"l").server_ack(12))
    assert outcome.before.files() == {NAME: b"abcdefghijkl"}
    assert outcome.gaps(NAME) == []
    assert outcome.before.state(NAME) == "open"


def test_a_reset_while_something_is_missing_that_was_true() -> None:
    conversation = established().client(8, b"ijk").rst(11).wait(2.1).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcde\0\0\0ijk"}
    assert outcome.before.state(NAME) == "rst"


def test_a_reset_in_the_midst_of_a_lot() -> None:
    """More is under way than may wait in other flows: a window full, and then the peer's ACK."""
    stream = random.Random(5).randbytes(2 * MIB)
    conversation = Conversation().handshake(wscale(7)).server_ack(0).rst(0)
    for offset in range(0, len(stream), 16 * KIB):
        conversation.client(offset, stream[offset : offset + 16 * KIB])
    outcome = run(conversation.server_ack(len(stream)))
    assert outcome.before.files() == {NAME: stream}
    assert outcome.gaps(NAME) == []


def test_a_reset_one_way() -> None:
    """Who sends on did not reset it."""
    conversation = Conversation().syn().client(0, b"abcde").rst(5).client(5, b"f").client(6, b"g")
    assert run(conversation).before.state(NAME) == "rst"
    outcome = run(conversation.client(7, b"h").client(8, b"i"))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


def test_a_reset_by_the_peer_that_is_not_seen_otherwise() -> None:
    """What follows may have been under way for as long as a round trip, and no longer."""
    conversation = Conversation().syn().client(0, b"abcde").client_ack(0).server_rst(0)
    for index in range(4):
        conversation.client(5 + index, b"fghi"[index : index + 1])
    assert run(conversation).before.files() == {NAME: b"abcde"}
    assert run(conversation).before.state(NAME) == "rst"
    conversation.wait(2)
    for index in range(3):
        conversation.client(9 + index, b"jkl"[index : index + 1])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghijkl"}
    assert outcome.before.state(NAME) == "open"


def test_a_reset_and_a_minute_of_silence() -> None:
    """What goes on exactly where it stood, and is acknowledged, is the same connection [R8]."""
    conversation = established().rst(5).wait(61).client(5, b"fgh").server_ack(8).client(8, b"i")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


def test_a_reset_and_another_connection_a_minute_later() -> None:
    """One that is picked up midway, at another place [L9]."""
    conversation = established().rst(5).wait(61).again(1_005_000, 9_000_000).client(0, b"new").server_ack(3)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abcde", NAME + "c1": b"new"}


def test_a_reset_that_was_true_and_data_sent_again() -> None:
    """The peer is gone: nobody acknowledges, however often it is sent [L5]."""
    conversation = established().server_rst(0)
    for wait in (0.2, 0.4, 0.8, 30, 60):
        conversation.wait(wait).client(5, b"fgh").server_rst(0)
    outcome = run(conversation.wait(61).other())
    assert outcome.before.files() == {NAME: b"abcde"}
    assert outcome.before.state(NAME) == "rst"
    assert outcome.before.statistics["out_of_order_used_bytes"] == 0


def test_an_ack_ahead_and_a_reset() -> None:
    """What is acknowledged afterwards is less than what was said to be: two ACKs, each of more, show it."""
    conversation = established().server_ack(60_000).rst(5).client(5, b"fgh").server_ack(8)
    assert run(conversation).before.state(NAME) == "rst"
    outcome = run(conversation.client(8, b"i").server_ack(9))
    assert outcome.before.files() == {NAME: b"abcdefghi"}
    assert outcome.before.state(NAME) == "open"


@pytest.mark.parametrize("bare", [False, True])
def test_a_reset_before_the_end(bare: bool) -> None:
    """The last segment, or its FIN alone, comes after it: the peer acknowledges both at once."""
    conversation = established().server(0, b"xyz").rst(5)
    if bare:
        conversation.client(5, b"fgh").fin(8)
    else:
        conversation.fin(8, payload=b"fgh")
    conversation.server_ack(9).server_fin(3, ack=1010).client_ack(4, seq=1010)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefgh", SERVER_NAME: b"xyz"}
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "fin"


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
        numbers = engine.statistics()
        assert numbers["connections_tracked"] == 3
        assert numbers["out_of_order_used_bytes"] < 2000
        engine.tick(engine.now_ns + HALF_OPEN_NS + SECOND_NS)
        assert engine.statistics()["connections_tracked"] == 1
        assert engine.statistics()["out_of_order_used_bytes"] == 0


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


# --- ACK, and data far ahead [H1 H3 H4] ----------------------------------------------------------------


def test_an_ack_of_a_hole_that_the_peer_still_waits_for() -> None:
    """What the peer says last counts, and not the highest that anybody said."""
    conversation = established().client(8, b"ijk").server_ack(11)
    for _ in range(40):
        conversation.wait(0.01).server_ack(5)
    conversation.wait(1).other()
    assert run(conversation).before.files() == {NAME: b"abcde"}
    outcome = run(conversation.client(5, b"fgh").server_ack(11))
    assert outcome.before.files() == {NAME: b"abcdefghijk"}
    assert outcome.gaps(NAME) == []


def test_an_ack_once_lower_is_late_or_not_as_what_follows_says() -> None:
    """A capture reorders: with the next ACK the time begins anew [H1]."""
    conversation = established().client(8, b"ijk").server_ack(11).wait(0.2).server_ack(5).wait(0.2)
    assert run(conversation.other()).before.files() == {NAME: b"abcde"}
    conversation.server_ack(11).wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"abcde"}
    outcome = run(conversation.wait(0.1).other())
    assert outcome.before.gaps(NAME) == [(5, 3, "ack")]


@pytest.mark.parametrize("ahead", [2 * MIB, 1000 * MIB])
def test_data_far_ahead_and_its_ack(ahead: int) -> None:
    """Two packets must not make a file of zeros, nor drop what comes in its place."""
    conversation = Conversation().handshake(wscale(14)).server_ack(0).client(0, b"abcde").server_ack(5)
    conversation.client(ahead, b"x").server_ack(ahead + 1).wait(1).other()
    assert run(conversation).files() == {NAME: b"abcde"}
    for offset in range(5, 45):
        conversation.wait(0.01).client(offset, b"f").server_ack(offset + 1)
    outcome = run(conversation)
    assert outcome.before.files() == outcome.files() == {NAME: b"abcde" + b"f" * 40}
    assert outcome.statistics["lost_bytes"] == outcome.statistics["tail_missing_bytes"] == 0
    assert outcome.statistics["dropped_out_of_order_bytes"] == 1


def test_data_far_ahead_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abcde").client(15 * MIB, b"x").wait(4).client(5, b"fgh")
    outcome = run(conversation)
    assert outcome.before.files() == outcome.files() == {NAME: b"abcdefgh"}


def test_a_capture_that_lacks_a_lot() -> None:
    """Both sides go on behind a wide hole: it is one."""
    conversation = Conversation().handshake(wscale(10)).server_ack(0).client(0, b"abcde").server_ack(5)
    for index in range(3):
        conversation.wait(0.2).client(2 * MIB + index, b"x").server_ack(2 * MIB + index + 1)
    outcome = run(conversation)
    assert outcome.before.by_name[NAME].size == 2 * MIB + 3
    assert outcome.before.gaps(NAME) == [(5, 2 * MIB - 5, "ack")]


def test_a_fin_far_ahead() -> None:
    """Nobody has what lies before it [H5]."""
    conversation = established().fin(60_000).client(5, b"fgh").server_ack(8)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcdefgh"}
    assert outcome.statistics["tail_missing_bytes"] == 0


def test_a_fin_far_ahead_and_its_ack() -> None:
    """The direction seems to have ended; what its hosts say afterwards shows that it has not."""
    conversation = established().fin(60_000).server_ack(60_001).wait(0.3).other()
    assert run(conversation).before.state(NAME) == "fin"
    for offset in range(5, 45):
        conversation.wait(0.01).client(offset, b"f").server_ack(offset + 1)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcde" + b"f" * 40}
    assert outcome.before.state(NAME) == "open"


# --- windows and times [Q2 Q3] -------------------------------------------------------------------------


def with_times() -> Conversation:
    conversation = Conversation().syn(options=timestamps(100)).syn_ack(options=timestamps(900, 100))
    conversation.client_ack(0, options=timestamps(101, 900)).client(0, b"abcde", options=timestamps(102, 900))
    return conversation.server_ack(5, options=timestamps(901, 102))


def go_on(conversation: Conversation) -> Conversation:
    """Two segments each way, as the hosts send them."""
    conversation.client(5, b"fgh", options=timestamps(103, 901)).server_ack(8, options=timestamps(902, 103))
    conversation.client(8, b"ijk", options=timestamps(104, 902)).server_ack(11, options=timestamps(903, 104))
    return conversation.server(0, b"xyz", ack=1012, options=timestamps(904, 104))


BLIND = {"seq": 500_001 + 2**30}


@pytest.mark.parametrize("echo", [103, 5000, 2**30])
def test_an_ack_that_nobody_can_have_sent_and_its_time(echo: int) -> None:
    """Its number lies outside the window: the client drops it, and echoes nothing of it (RFC 7323, 4.3)."""
    conversation = go_on(with_times().server_ack(5, options=timestamps(901, echo), **BLIND))
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefghijk", SERVER_NAME: b"xyz"}
    assert outcome.statistics["old_timestamps"] == 0
    assert outcome.statistics["bad_acks"] == 1


def test_an_ack_of_a_time_that_was_never_said() -> None:
    outcome = run(go_on(with_times().server_ack(5, options=timestamps(901, 5000))))
    assert outcome.before.files() == {NAME: b"abcdefghijk", SERVER_NAME: b"xyz"}
    assert outcome.statistics["old_timestamps"] == 0


def test_a_time_that_was_forged_on_both_sides() -> None:
    """The peer says what it has: nothing is lost, and soon nothing looks old."""
    conversation = with_times().client_ack(0, options=timestamps(5000, 901))
    conversation.server_ack(5, options=timestamps(901, 5000))
    for offset in range(5, 15):
        conversation.client(offset, b"f", options=timestamps(100 + offset, 901))
        conversation.server_ack(offset + 1, options=timestamps(901 + offset, 100 + offset))
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abcde" + b"f" * 10}
    assert outcome.statistics["old_timestamps"] == 3


def test_a_window_that_nobody_can_have_said() -> None:
    conversation = Conversation().handshake(wscale(7)).server_ack(0).client(0, b"abcde")
    conversation.server_ack(5, window=0, **BLIND).client(5, b"f").server_ack(6).client(6, b"g")
    assert run(conversation).before.files() == {NAME: b"abcdefg"}
    conversation = Conversation(server_window=1000).handshake().client(0, b"abcde")
    conversation.server_ack(5, window=60_000, **BLIND).client(5000, b"out")
    assert run(conversation).statistics["dropped_window_bytes"] == 3


def test_a_capture_that_lacks_more_than_a_window_of_both_sides() -> None:
    """Every number lies outside the window, and both sides agree [Q2]."""
    conversation = established().server(0, b"xyz")
    for index in range(8):
        at = 2**26 + index
        conversation.client(at, b"c", ack=500_001 + at).server(at, b"s", ack=1002 + at)
    outcome = run(conversation)
    assert outcome.before.by_name[NAME].size > 2**26
    assert outcome.before.by_name[SERVER_NAME].size > 2**26


def go_on_by(conversation: Conversation, sides: str) -> None:
    """Both sides send and acknowledge, or some of them some of that, by letters; large ones send."""
    for side in sides:
        if side == "C":
            conversation.client(conversation.client_next, b"after")
        elif side == "S":
            conversation.server(conversation.server_next, b"AFTER")
        elif side == "c":
            conversation.client_ack(conversation.server_next)
        else:
            conversation.server_ack(conversation.client_next)


@pytest.mark.parametrize("ahead", [100_000, 8 * MIB, 20 * MIB])
@pytest.mark.parametrize("between", ["CsSc", "C", "S", "c", "s", "Cs", "Sc"])
@pytest.mark.parametrize("acked", [0, 1, 3])
def test_data_beyond_the_window_in_the_midst_of_what_is_in_it(ahead: int, between: str, acked: int) -> None:
    """Its ACK and three segments: a gap of the capture, had the hosts not gone on before it [Q2]."""
    conversation = established().server(0, b"xyz").client_ack(3)
    for index in range(3):
        at = 1001 + ahead + 10 * index
        if index < acked:
            conversation._send(False, b"", seq=500_001 + conversation.server_next, ack=at, flags="A")
            go_on_by(conversation, between)
        conversation._send(True, b"forged...!", seq=at, ack=500_004, flags="PA")
        go_on_by(conversation.wait(5), between)
    go_on_by(conversation, "CsScCs")
    outcome = run(conversation)
    assert outcome.before.files()[NAME] == b"abcde" + b"after" * (conversation.client_next // 5 - 1)
    assert outcome.before.files()[SERVER_NAME] == b"xyz" + b"AFTER" * (conversation.server_next // 5)
    assert outcome.before.gaps(NAME) == []
    assert outcome.statistics["resynchronised"] == 0


@pytest.mark.parametrize("who", ["Cs", "CCs", "Sc", "SSc", "CCcsSS"])
def test_a_capture_that_lacks_more_than_a_window(who: str) -> None:
    """Of one side or of both; all that comes is from behind the gap, bare ACKs as well."""
    conversation = established().server(0, b"xyz").client_ack(3)
    if "C" in who:
        conversation.client_next += 20 * MIB
    if "S" in who:
        conversation.server_next += 20 * MIB
    conversation.client_acked, conversation.server_acked = conversation.server_next, conversation.client_next
    go_on_by(conversation, who * 5)
    outcome = run(conversation)
    for letter, name in (("C", NAME), ("S", SERVER_NAME)):
        if letter in who:
            assert outcome.before.by_name[name].size == outcome.by_name[name].size > 20 * MIB
            assert [reason for _, _, reason in outcome.gaps(name)] == ["limit"]
    assert outcome.statistics["dropped_window_bytes"] <= 25


@pytest.mark.parametrize("apart", [False, True])
def test_a_gap_one_way(apart: bool) -> None:
    """Three in a row show it, where the peer is not seen; what comes from before it ends the row."""
    conversation = Conversation().syn().client(0, b"abcde")
    for index in range(3):
        conversation.client(20 * MIB + index, b"x")
        if apart:
            conversation.client(5 + index, b"f")
    outcome = run(conversation)
    assert outcome.before.files()[NAME][:8] == (b"abcdefff" if apart else b"abcde\0\0\0")
    assert outcome.statistics["resynchronised"] == (not apart)


# --- where a stream begins [L3] --------------------------------------------------------------------------


def midway(*, forged: int = 0, first: bool = False, acked: bool = True) -> Conversation:
    """Some segments of a connection that lasts, and one byte that is none of theirs."""
    conversation = Conversation()
    if first:
        conversation.client(forged, b"X")
    if acked:
        conversation.server_ack(20_000_000)
    conversation.client(20_000_000, b"abc")
    if not first:
        conversation.client(forged, b"X")
    conversation.client(20_000_003, b"def")
    if acked:
        conversation.server_ack(20_000_006)
    return conversation.client(20_000_006, b"ghi").client(20_000_009, b"jkl").wait(0.2).other()


@pytest.mark.parametrize("forged", [11_000_000, 20_000_000 - 70_000, 1000, 29_000_000, 60_000_000])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("acked", [False, True])
def test_a_byte_far_from_where_it_begins(forged: int, first: bool, acked: bool) -> None:
    outcome = run(midway(forged=forged, first=first, acked=acked))
    data = b"abcdefghijkl"
    if first and abs(forged - 20_000_000) > 16 * MIB:
        data = data[-3:] if acked else data[-6:]  # what was out of reach of the first that was seen
        assert outcome.before.files()[NAME].endswith(data)
    else:
        assert outcome.before.files() == {NAME: data}
    assert outcome.gaps(NAME) == []


def test_an_ack_far_before_where_it_begins() -> None:
    conversation = Conversation().server_ack(11_000_000).client(20_000_000, b"abc").client(20_000_003, b"def")
    outcome = run(conversation.server_ack(20_000_006).wait(0.2).other())
    assert outcome.files() == {NAME: b"abcdef"}


def test_acks_far_before_where_it_begins() -> None:
    """Who captures near the sender sees them come late: of what lies between it is known that it was sent."""
    conversation = Conversation().server_ack(19_900_000).client(20_000_000, b"abc").client(20_000_003, b"def")
    outcome = run(conversation.server_ack(19_910_000).wait(0.2).other())
    assert outcome.files() == {NAME: bytes(100_000) + b"abcdef"}


def test_a_fin_far_before_where_it_begins() -> None:
    conversation = Conversation().client(20_000_000, b"abc").fin(11_000_000).client(20_000_003, b"def")
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abcdef"}


@pytest.mark.parametrize("ahead", [10, 70_000, 15 * MIB])
def test_a_syn_ahead_of_what_was_picked_up(ahead: int) -> None:
    """It is another connection's, or nobody's: data lies before it."""
    conversation = Conversation().client(20_000_000, b"abc").server(0, b"xyz")
    conversation.syn(isn=20_001_000 + ahead).client(20_000_003, b"def").server_ack(20_000_006)
    conversation.wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"abcdef", SERVER_NAME: b"xyz"}


def test_another_connection_while_the_first_still_settles() -> None:
    conversation = Conversation().client(20_000_000, b"abc").server(0, b"xyz")
    conversation.again(20_071_000, 570_000).handshake().client(0, b"new").server_ack(3).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc", SERVER_NAME: b"xyz", NAME + "c1": b"new"}


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


@pytest.mark.parametrize("last", ["A", "PA", "FA", "R", "RA"])
@pytest.mark.parametrize("payload", [b"", b"evil"])
@pytest.mark.parametrize("ahead", [0, 5, 60_000])
@pytest.mark.parametrize("of_server", [False, True])
def test_a_reset_a_syn_ack_and_one_more(last: str, payload: bytes, ahead: int, of_server: bool) -> None:
    """Nobody asked for the SYN/ACK: one packet more of the side that it is sent to is not enough."""
    conversation = established().server(0, b"xyz").client_ack(3)
    numbers = [(1006, 500_004), (500_004, 1006)]
    seq, ack = numbers[of_server]
    send = conversation._send
    send(not of_server, b"", seq=seq, ack=ack, flags="RA")
    send(of_server, payload, seq=ack + 100, ack=seq, flags="SA")
    send(not of_server, b"more" if last != "A" else b"", seq=seq, ack=ack + 101 + ahead, flags=last)
    for index in range(5):
        conversation.client(5 + index, b"f", ack=500_004 + index).server_ack(6 + index)
        conversation.server(3 + index, b"w", ack=1007 + index).client_ack(4 + index)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdefffff", SERVER_NAME: b"xyzwwwww"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["connections"] == 1


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


# --- any few of them ---------------------------------------------------------------------------------------


def forge(conversation: Conversation, kind: str, sent: int) -> None:
    """One packet of somebody else, which changes nothing of what the hosts say next."""
    said = conversation.client_next, conversation.server_next, conversation.client_acked
    acked = conversation.server_acked
    if kind == "syn":
        conversation.syn(isn=7_000_000)
    elif kind == "syn_ack":
        conversation.syn_ack(isn=9_000_000, ack=7_000_001)
    elif kind == "data ahead":
        conversation.client(sent + 2 * MIB, b"x")
    elif kind.startswith("ack"):
        conversation.server_ack(sent + int(kind[3:]))
    elif kind.startswith("fin"):
        conversation.fin(sent + int(kind[3:]))
    else:
        getattr(conversation, kind)()
    conversation.client_next, conversation.server_next, conversation.client_acked = said
    conversation.server_acked = acked


KINDS = (
    "syn",
    "syn_ack",
    "data ahead",
    "ack1",
    "ack5001",
    "fin0",
    "fin5000",
    "rst",
    "server_rst",
    "server_fin",
)


@pytest.mark.parametrize("seed", range(60))
def test_any_few_packets(seed: int) -> None:
    """A client sends, a server acknowledges what it has, and somebody says up to five times what he likes."""
    chosen = random.Random(seed)
    text = chosen.randbytes(2000)
    conversation = Conversation(step_ns=chosen.choice([100_000, 1_000_000, 20_000_000])).handshake(wscale(7))
    sent = acked = forged = 0
    while acked < len(text):
        if forged < 5 and chosen.random() < 0.1:
            forged += 1
            forge(conversation, chosen.choice([*KINDS, "data ahead"]), sent)
        elif sent < len(text) and sent - acked < 600 and chosen.random() < 0.6:
            data = text[sent : sent + chosen.choice([1, 1, 10, 100])]
            conversation.client(sent, data)
            sent += len(data)
        elif sent > acked:
            acked = chosen.randint(acked + 1, sent)
            conversation.server_ack(acked)
    with started() as engine:
        feed(engine, conversation.wait(0.3).server_ack(acked).server_ack(acked))
        engine.finish()
        (flow,) = engine.list_after(0, 9)
        assert (flow.generation, engine.read(flow, 0, 1 << 20)) == (0, text)


@pytest.mark.parametrize("flags", ["S", "SA"])
@pytest.mark.parametrize("by", [1, 5000, 1_300_000_000, -1_000_000, -1_300_000_000])
def test_one_handshake_more_where_one_side_is_captured(flags: str, by: int) -> None:
    """The side's own ACK says that it had an answer: another ISN is none of this connection."""
    conversation = Conversation().syn().client_ack(0)
    conversation._send(False, b"", seq=1000 + by, ack=4000 if "A" in flags else 0, flags=flags)
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
        conversation._send(True, b"", seq=number * 10**9, ack=number * 10**9 + 77, flags="SA")
    conversation.client_ack(0).client(0, b"new").server_ack(3)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files()[NAME + "c1"] == b"new"

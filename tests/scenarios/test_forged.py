"""Forged packets: somebody sees the traffic and sends a few of his own, with the right addresses and ports.

He cannot stop what the hosts send. So what they say afterwards shows what was forged, and their files must be
whole in the end.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from craft import Conversation, timestamps, wscale
from engines import feed, run, started
from flowfs.core.limits import (
    FLOW_OUT_OF_ORDER_BYTES,
    FORGED_GAP_NS,
    KIB,
    MIB,
    REMEMBER_NS,
    SECOND_NS,
)

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()
GAP_S = FORGED_GAP_NS / SECOND_NS


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


FAR_ACKS = [20 * MIB, 500_000_000, 2**31, -20 * MIB, -500_000_000]


def with_ack(conversation: Conversation, by: int, payload: bytes, offset: int, **fields: Any) -> Conversation:
    """A segment of the client's with an ACK that is so far from all that the server sent."""
    acked = (conversation.server_isn + 1 + conversation.server_next + by) % 2**32
    return conversation.client(offset, payload, ack=acked, **fields)


@pytest.mark.parametrize("by", FAR_ACKS)
@pytest.mark.parametrize("count", [1, 2])
def test_data_with_an_ack_that_nobody_can_have_said(count: int, by: int) -> None:
    """Its receiver drops it (RFC 9293, 3.10.7.4): what the host sends there comes first [Q4 T1]."""
    conversation = Conversation().handshake().talk(b"abc", b"xyz")
    for index in range(count):
        with_ack(conversation, by, b"EVIL", 3 + 4 * index)
    conversation.wait(0.01).client(3, b"defghijk").server_ack(11).server(3, b"uvw").client_ack(6)
    outcome = run(conversation.wait(1).close())
    assert outcome.files() == {NAME: b"abcdefghijk", SERVER_NAME: b"xyzuvw"}
    assert outcome.statistics["conflicts"] == 0
    assert outcome.statistics["dropped_tentative_bytes"] == 4 * count


@pytest.mark.parametrize("by", FAR_ACKS)
def test_a_fin_with_an_ack_that_nobody_can_have_said(by: int) -> None:
    conversation = Conversation().handshake().talk(b"abc", b"xyz")
    with_ack(conversation, by, b"", 3, flags="FA")
    outcome = run(conversation.client(3, b"def").server_ack(6).wait(1).client(6, b"ghi").other())
    assert outcome.before.files()[NAME] == b"abcdefghi"
    assert outcome.before.state(NAME) == "open"


@pytest.mark.parametrize("by", FAR_ACKS)
def test_data_with_such_an_ack_that_its_peer_takes(by: int) -> None:
    """It is what the host said, of what the capture lacks: in time it counts, or at the end."""
    conversation = Conversation().handshake().talk(b"abc", b"xyz")
    with_ack(conversation, by, b"def", 3).server_ack(6)
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files()[NAME] == b"abcdef"
    assert outcome.gaps(NAME) == []


@pytest.mark.parametrize("silent", [False, True])
def test_a_capture_that_lacks_a_lot_of_one_side(silent: bool) -> None:
    """Nothing of the server comes any more, or from far behind: the client's bytes count all the same."""
    conversation = Conversation().handshake().talk(b"abc", b"xyz")
    for index in range(5):
        with_ack(conversation, 20 * MIB + 1000 * index, b"data", 3 + 4 * index)
    assert run(conversation.other()).before.files()[NAME] == b"abc" + b"data" * 5
    if not silent:
        conversation.server_next += 20 * MIB + 4000
        conversation.server_ack(23)
    outcome = run(conversation.wait(20).client(23, b"more").wait(1).other())
    assert outcome.before.files()[NAME] == b"abc" + b"data" * 5 + b"more"
    assert outcome.gaps(NAME) == []


@pytest.mark.parametrize("seen", ["neither", "client"])
def test_an_ack_of_a_side_whose_beginning_was_not_seen(seen: str) -> None:
    """What it sent is not known for certain."""
    conversation = Conversation()
    if seen == "client":
        conversation.syn()
    conversation.client(0, b"abc").server_ack(3).server(0, b"xyz").client_ack(3).wait(1)
    with_ack(conversation, 500_000_000, b"def", 3)
    assert run(conversation.other()).before.files()[NAME] == b"abcdef"


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
    outcome = run(conversation.wait(GAP_S).other())
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
            conversation.send(False, b"", seq=500_001 + conversation.server_next, ack=at, flags="A")
            go_on_by(conversation, between)
        conversation.send(True, b"forged...!", seq=at, ack=500_004, flags="PA")
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
    outcome = run(conversation.wait(GAP_S).other())
    for letter, name in (("C", NAME), ("S", SERVER_NAME)):
        if letter in who:
            assert outcome.before.by_name[name].size == outcome.by_name[name].size > 20 * MIB
            assert [reason for _, _, reason in outcome.gaps(name)] == ["limit"]
    assert outcome.statistics["dropped_window_bytes"] == 0


@pytest.mark.parametrize("apart", [False, True])
def test_a_gap_one_way(apart: bool) -> None:
    """Three show it, where the peer is not seen; what comes from before it ends that."""
    conversation = Conversation().syn().client(0, b"abcde")
    for index in range(3):
        conversation.client(20 * MIB + index, b"x")
        if apart:
            conversation.client(5 + index, b"f")
    outcome = run(conversation.wait(GAP_S).other())
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
    assert outcome.before.files() == {NAME: b"abcdefghijkl"}
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
    conversation = Conversation().client(20_000_000, b"abc").server(0, b"xyz", ack=20_001_004)
    conversation.syn(isn=20_001_000 + ahead).client(20_000_003, b"def").server_ack(20_000_006)
    conversation.wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"abcdef", SERVER_NAME: b"xyz"}


def test_another_connection_while_the_first_still_settles() -> None:
    conversation = Conversation().client(20_000_000, b"abc").server(0, b"xyz", ack=20_001_004)
    conversation.again(20_071_000, 570_000).handshake().client(0, b"new").server_ack(3).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc", SERVER_NAME: b"xyz", NAME + "c1": b"new"}


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

"""What comes from beyond any window: captures that lack more than that, and who forges it [Q2]."""

from __future__ import annotations

from typing import Any

import pytest

from craft import Conversation
from engines import run
from flowfs.core.limits import FLOW_OUT_OF_ORDER_BYTES, FORGED_GAP_NS, MIB, REMEMBER_NS, SECOND_NS

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()
WAIT_S = FORGED_GAP_NS / SECOND_NS
FAR = 20 * MIB


def talk() -> Conversation:
    conversation = Conversation().handshake().client(0, b"abcde").server_ack(5)
    return conversation.server(0, b"xyz").client_ack(3)


def forge(conversation: Conversation, far: int = FAR, count: int = 3) -> Conversation:
    """One ACK and some segments in a row, of nobody, while both hosts are silent."""
    conversation.send(False, b"", seq=500_001 + conversation.server_next, ack=1001 + far + 30, flags="A")
    for index in range(count):
        acked = 500_001 + conversation.server_next
        conversation.send(True, b"forged...!", seq=1001 + far + 10 * index, ack=acked, flags="PA")
    return conversation


def lack(conversation: Conversation, far: int = FAR) -> Conversation:
    """So much of the client's data is not captured; both hosts go on behind it."""
    conversation.client_next += far
    conversation.server_acked = conversation.client_next
    return conversation


def go_on(conversation: Conversation, count: int, data: bytes = b"after") -> Conversation:
    for _ in range(count):
        conversation.client(conversation.client_next, data).server_ack(conversation.client_next)
    return conversation


@pytest.mark.parametrize("far", [100_000, FAR])
@pytest.mark.parametrize("silence_s", [0, 1, WAIT_S - 0.1])
def test_forged_while_both_are_silent(far: int, silence_s: float) -> None:
    """The hosts go on, or answer what they cannot take, and nothing of them is lost."""
    conversation = go_on(forge(talk(), far).wait(silence_s), 4)
    conversation.server(3, b"XYZ").wait(60).other()
    outcome = run(conversation)
    assert outcome.before.by_name[NAME].size == 25
    assert outcome.before.files() == {NAME: b"abcde" + b"after" * 4, SERVER_NAME: b"xyzXYZ"}
    assert outcome.before.gaps(NAME) == []
    assert outcome.statistics["resynchronised"] == 0
    assert outcome.statistics["dropped_window_bytes"] == 30


@pytest.mark.parametrize("who", ["server", "client"])
def test_a_host_that_says_where_it_is(who: str) -> None:
    """Each alone is enough: a bare ACK, as a host answers what it cannot take (RFC 9293, 3.10.7.4)."""
    conversation = forge(talk(), count=8).wait(0.2)
    if who == "server":
        conversation.server_ack(5)
    else:
        conversation.client_ack(3)
    outcome = run(conversation.wait(600).other())
    assert outcome.before.by_name[NAME].size == 5
    assert outcome.before.files() == {NAME: b"abcde", SERVER_NAME: b"xyz"}


def test_forged_again_and_again() -> None:
    """Each time the hosts answer; what was held goes, and time begins anew."""
    conversation = talk()
    for _ in range(5):
        forge(conversation).wait(WAIT_S - 0.5).server_ack(5)
    conversation.wait(0.3).other()
    outcome = run(go_on(conversation, 2))
    assert outcome.by_name[NAME].size == 15
    assert outcome.files()[NAME] == b"abcde" + b"after" * 2
    assert outcome.statistics["dropped_window_bytes"] == 150


def test_what_is_held_is_let_go_of() -> None:
    """Soon after a host has spoken, though nothing comes from afar any more."""
    conversation = go_on(forge(talk()), 2).wait(WAIT_S + 0.1).other()
    outcome = run(conversation)
    assert outcome.before.statistics["out_of_order_used_bytes"] == 0


def test_a_gap_is_seen_in_time() -> None:
    """Nothing that was captured behind it is lost."""
    conversation = go_on(lack(talk()), 3)
    assert run(conversation).before.files()[NAME] == b"abcde"
    outcome = run(conversation.wait(WAIT_S).other())
    assert outcome.before.files()[NAME][FAR:] == bytes(5) + b"after" * 3
    assert outcome.before.gaps(NAME) == [(5, FAR, "limit")]
    assert outcome.statistics["dropped_window_bytes"] == 0


@pytest.mark.parametrize("at_end", [0, 1])
def test_a_gap_right_before_the_end(at_end: int) -> None:
    """Of the capture, or of all that is heard of the connection [H4 L9]."""
    outcome = run(go_on(lack(talk()), 3).wait(700 * at_end).other())
    assert outcome.files()[NAME][FAR:] == bytes(5) + b"after" * 3
    assert outcome.statistics["dropped_window_bytes"] == 0


def test_a_gap_in_what_is_fast() -> None:
    """More than may wait comes in no time [H2]."""
    conversation = lack(talk())
    count = FLOW_OUT_OF_ORDER_BYTES // 30_000 + 2
    outcome = run(go_on(conversation, count, bytes(30_000)))
    assert outcome.before.by_name[NAME].size == 5 + FAR + 30_000 * count
    assert outcome.statistics["dropped_window_bytes"] == 0


def test_a_close_behind_a_gap() -> None:
    conversation = go_on(lack(talk()), 3).fin().server_ack(conversation_end := FAR + 5 + 15 + 1)
    assert conversation.server_acked == conversation_end
    conversation.server_fin().send(True, b"", seq=1001 + conversation_end, ack=500_005, flags="A")
    outcome = run(conversation.wait(WAIT_S).other())
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "fin"
    assert outcome.before.by_name[NAME].size == FAR + 20


def test_holes_behind_a_gap() -> None:
    """What was lost there is a hole of its own; what comes in another order, is not."""
    conversation = lack(talk())
    at = conversation.client_next
    for by in (3, 0, 6, 12, 9, 18):
        conversation.client(at + by, b"%03d" % by).server_ack(at + 21)
    outcome = run(conversation.wait(WAIT_S + 1).other())
    assert outcome.before.files()[NAME][at:] == b"000003006009012" + bytes(3) + b"018"
    assert outcome.before.gaps(NAME) == [(5, FAR, "limit"), (at + 15, 3, "ack")]


def test_a_peer_that_is_silent_behind_the_gap() -> None:
    """Its next ACK decides [Q2]."""
    conversation = talk()
    conversation.client_next += FAR
    for _ in range(5):
        conversation.client(conversation.client_next, b"after")
    conversation.wait(10).other()
    assert run(conversation).before.files()[NAME] == b"abcde"
    conversation.server_ack(conversation.client_next).client(conversation.client_next, b"more")
    assert run(conversation).before.files()[NAME][FAR:] == bytes(5) + b"after" * 5 + b"more"


def test_a_gap_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abcde")
    for index in range(3):
        conversation.client(FAR + index, b"x")
    outcome = run(conversation.wait(WAIT_S).other())
    assert outcome.before.files()[NAME][FAR:] == b"xxx"


def test_what_waits_is_bounded() -> None:
    """Whatever is forged: what one direction may have wait, and no more."""
    conversation = talk()
    for index in range(60):
        conversation.send(True, bytes(60_000), seq=1001 + FAR + 60_000 * index, ack=500_004, flags="PA")
    outcome = run(conversation)
    assert MIB <= outcome.before.statistics["out_of_order_used_bytes"] < 1.2 * MIB
    outcome = run(go_on(conversation, 3).wait(WAIT_S).other())
    assert outcome.before.statistics["out_of_order_used_bytes"] == 0
    assert outcome.files()[NAME] == b"abcde" + b"after" * 3


@pytest.mark.parametrize("of_server", [False, True])
@pytest.mark.parametrize("far", [0, FAR])
@pytest.mark.parametrize("kind", ["checksum", "no ACK", "RST"])
def test_what_no_host_takes_says_nothing(of_server: bool, far: int, kind: str) -> None:
    """Sent between what comes from behind a gap, from there or not: that is not let go of."""
    conversation = lack(talk())
    for _ in range(3):
        go_on(conversation, 1)
        seq, ack = (500_004, 1006) if of_server else (1006 + far, 500_004)
        fields: dict[str, Any] = {"seq": seq + 1, "ack": ack, "flags": "PA"}
        changes: dict[str, dict[str, Any]] = {
            "checksum": {"checksum": 1},
            "no ACK": {"flags": "P"},
            "RST": {"flags": "R", "seq": seq + 2**29},
        }
        conversation.send(not of_server, b"evil", **fields | changes[kind])
    outcome = run(conversation.wait(WAIT_S).other())
    assert outcome.before.files()[NAME][FAR:] == bytes(5) + b"after" * 3
    dropped = 12 if far and kind == "checksum" and not of_server else 0
    assert outcome.statistics["dropped_window_bytes"] == dropped


@pytest.mark.parametrize("acked", [False, True])
@pytest.mark.parametrize("far", [1000, 60_000, FAR])
def test_a_probe_behind_a_gap(acked: bool, far: int) -> None:
    """Some put any byte in it, in the place of one that the peer has [L6]."""
    conversation = lack(talk(), far)
    at = conversation.client_next
    if acked or far < FAR:
        conversation.server_ack(at)
    conversation.client(at - 1, b"?", flags="A").server_ack(at)
    outcome = run(go_on(conversation, 3).wait(WAIT_S + 1).other())
    assert outcome.before.files()[NAME] == b"abcde" + bytes(far) + b"after" * 3
    assert [gap[:2] for gap in outcome.gaps(NAME)] == [(5, far)]
    assert outcome.statistics["keepalive_bytes"] == 1


@pytest.mark.parametrize("before", [b"", b"abcde"])
@pytest.mark.parametrize("probes", [1, 3])
def test_a_probe_in_the_place_of_one_byte_that_is_lacking(probes: int, before: bytes) -> None:
    """The peer has that byte, the capture has not: what the probe carries is none [L6 H1]."""
    at = len(before)
    conversation = Conversation().handshake()
    if before:
        conversation.client(0, before).server_ack(at)
    lack(conversation, 1).server_ack(at + 1).server(0, b"echo").client_ack(4)
    for _ in range(probes):
        conversation.wait(1).client(at, b"\0", flags="A").server_ack(at + 1)
    outcome = run(conversation.wait(1).client(at + 1, b"after").server_ack(at + 6).wait(0.3).other())
    assert outcome.before.files()[NAME] == before + b"\0after"
    assert [gap[:2] for gap in outcome.gaps(NAME)] == [(at, 1)]
    assert outcome.statistics["keepalive_bytes"] == probes


def test_a_probe_in_the_place_of_the_last_byte_that_is_lacking() -> None:
    conversation = lack(talk(), 1).server_ack(6).wait(30).client(5, b"\0", flags="A").server_ack(6)
    outcome = run(conversation.wait(1).close())
    assert outcome.files()[NAME] == b"abcde"
    assert outcome.statistics["tail_missing_bytes"] == 1


@pytest.mark.parametrize("flags", ["A", "PA"])
@pytest.mark.parametrize("late_s", [0.0001, 0.1])
def test_typing_that_its_ack_overtakes(late_s: float, flags: str) -> None:
    """One byte at a time, each captured behind the ACK of it [H1]."""
    conversation = talk()
    for index in range(5, 10):
        conversation.wait(1).server_ack(index + 1).server(index - 2, b"?")
        conversation.wait(late_s).client(index, b"f", flags=flags)
    outcome = run(conversation.wait(1).close())
    assert outcome.files()[NAME] == b"abcde" + b"f" * 5
    assert outcome.gaps(NAME) == []


def test_typing_that_another_ack_comes_before() -> None:
    """Data is pushed, and nobody has got what lies before an ACK that was forged."""
    conversation = talk().server_ack(6).wait(1).client(5, b"f").server_ack(6)
    assert run(conversation).before.files()[NAME] == b"abcdef"
    conversation = talk().server_ack(900).wait(1).client(5, b"f", flags="A").server_ack(6)
    assert run(conversation).before.files()[NAME] == b"abcdef"


def test_one_byte_behind_a_gap_that_is_data() -> None:
    """It is pushed."""
    conversation = lack(talk())
    outcome = run(go_on(conversation, 3, b"x").wait(WAIT_S).other())
    assert outcome.before.files()[NAME][5 + FAR :] == b"xxx"


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_not_shown_is_let_go_of_in_time(one_way: bool, count: int) -> None:
    """Nothing comes that tells, and it is not held for as long as the connection is known."""
    conversation = Conversation().syn().client(0, b"abcde").client_ack(0) if one_way else talk()
    for index in range(count):
        conversation.client(FAR + index, b"x")
    conversation.wait(REMEMBER_NS / SECOND_NS - 0.1).other()
    assert run(conversation).before.statistics["out_of_order_used_bytes"] > 0
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.statistics["out_of_order_used_bytes"] == 0
    assert outcome.before.statistics["dropped_window_bytes"] == count
    assert outcome.files()[NAME] == b"abcde"


# --- behind the FIN of a side, while the other one goes on [L4] --------------------------------------------


@pytest.mark.parametrize("far", [100_000, FAR])
@pytest.mark.parametrize("seconds", [0, WAIT_S + 1])
@pytest.mark.parametrize("of_server", [False, True])
def test_nothing_is_a_gap_behind_the_end(far: int, seconds: float, of_server: bool) -> None:
    """What both sides say beyond any window is of another connection, whose handshake was not captured: what
    has ended does not grow, not even as the capture ends [R7].
    """
    conversation = talk()
    if of_server:
        conversation.server_fin(3).client_ack(4)
        conversation.server_next += far
        for _ in range(4):
            conversation.server(conversation.server_next, b"after").client_ack(conversation.server_next)
    else:
        go_on(lack(conversation.fin(5).server_ack(6), far), 4)
    name = SERVER_NAME if of_server else NAME
    outcome = run(conversation.wait(seconds).other())
    assert outcome.files() == {NAME: b"abcde", SERVER_NAME: b"xyz", name + "c1": b"after" * 4}
    assert outcome.state(name) == "fin"
    assert outcome.statistics["fin_retracted"] == 0


@pytest.mark.parametrize("count", [1, 3, 8])
def test_forged_behind_the_end_while_the_other_side_goes_on(count: int) -> None:
    """Nobody acknowledges it: what is downloaded is whole."""
    conversation = talk().fin(5).server_ack(6)
    for index in range(count):
        conversation.client(FAR + index, b"E", ack=500_004)
        conversation.server(3 + 10 * index, b"downloaded", ack=1007)
    outcome = run(conversation.wait(31).other())
    assert outcome.before.files() == {NAME: b"abcde", SERVER_NAME: b"xyz" + b"downloaded" * count}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.statistics["dropped_tentative_bytes"] == count


def test_a_gap_in_what_the_other_side_goes_on_with() -> None:
    """It has not ended."""
    conversation = talk().fin(5).server_ack(6)
    for index in range(4):
        conversation.server(FAR + index, b"x", ack=1007)
        conversation.send(True, b"", seq=1007, ack=500_002 + FAR + index, flags="A")
    outcome = run(conversation.wait(WAIT_S + 1).other())
    assert outcome.before.gaps(SERVER_NAME) == [(3, FAR - 3, "limit")]
    assert outcome.before.files()[SERVER_NAME][FAR:] == b"xxxx"
    assert outcome.before.state(NAME) == "fin"


@pytest.mark.parametrize("seconds", [0.3, WAIT_S + 1])
def test_what_ends_while_something_is_held(seconds: float) -> None:
    """A hole before the FIN is lost in time, which ends this side; what came from afar is not of it [R7]."""
    conversation = talk().client(8, b"ijk").fin(11).server_ack(12)
    go_on(lack(conversation), 4)
    outcome = run(conversation.wait(seconds).other())
    assert outcome.before.state(NAME) == outcome.state(NAME) == "fin"
    assert outcome.files() == {NAME: b"abcde\0\0\0ijk", SERVER_NAME: b"xyz"}
    assert outcome.statistics["dropped_window_bytes"] == 20


# --- and a RST that is forged [L5] -------------------------------------------------------------------------


@pytest.mark.parametrize("of_server", [False, True])
@pytest.mark.parametrize("before", [0, 2, 4])
@pytest.mark.parametrize("step_s", [0.05, 1])
def test_a_reset_inside_the_window(of_server: bool, before: int, step_s: float) -> None:
    """So many segments from behind the gap are held when it comes; the hosts go on there. What was held stays
    of this connection; else the RST may be true, and they have the next name. Nothing is lost but the gap.
    """
    far = 100_000
    conversation = lack(talk(), far)
    go_on(conversation, before)
    if of_server:
        conversation.server_rst(500, ack=1006)
    else:
        conversation.rst(500, ack=500_004)
    for _ in range(20):
        go_on(conversation.wait(step_s), 1)
    outcome = run(conversation.wait(WAIT_S + 1).other())
    found = outcome.before.files()
    if before:
        assert found[NAME][far:] == bytes(5) + b"after" * (before + 20)
        assert outcome.before.gaps(NAME) == [(5, far, "limit")]
        assert outcome.before.state(NAME) == "open"
    else:
        assert found == {NAME: b"abcde", NAME + "c1": b"after" * 20, SERVER_NAME: b"xyz"}
    assert outcome.statistics["dropped_window_bytes"] == outcome.statistics["dropped_tentative_bytes"] == 0


@pytest.mark.parametrize("of_server", [False, True])
@pytest.mark.parametrize("before", [0, 2, 4])
def test_an_exact_reset(of_server: bool, before: int) -> None:
    """It closes the connection at once, and what is held then is data if several segments show it [Q2]."""
    far = 100_000
    conversation = go_on(lack(talk(), far), before)
    if of_server:
        conversation.server_rst(3, ack=1006)
    else:
        conversation.rst(5, ack=500_004)
    for _ in range(20):
        go_on(conversation.wait(0.1), 1)
    outcome = run(conversation.wait(WAIT_S + 1).other())
    found = outcome.before.files()
    if before >= 3:
        assert found[NAME][far:] == bytes(5) + b"after" * (before + 20)
    else:
        assert found == {NAME: b"abcde", NAME + "c1": b"after" * 20, SERVER_NAME: b"xyz"}
    assert outcome.statistics["dropped_window_bytes"] == (5 * before if before < 3 else 0)

"""Scenarios 26 to 33 and 42 to 47: how a connection begins, begins again, and what is sent before."""

from __future__ import annotations

import pytest

from craft import Conversation
from engines import feed, run, started

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()
AGAIN = Conversation().client_name(1)
SERVER_AGAIN = Conversation().server_name(1)


def test_26_midstream() -> None:
    outcome = run(Conversation().client(12345, b"abc").wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.gaps(NAME) == []


def test_26_midstream_says_partial() -> None:
    """Where the beginning was not seen, the flow says so; where it was, not."""
    with started() as engine:
        feed(engine, Conversation().client(12345, b"abc").wait(0.2).other())
        feed(engine, Conversation(client_port=5).handshake().client(0, b"abc"))
        picked_up, whole = engine.list_after(0, 3)
        assert getattr(picked_up, "partial", None) is True
        assert getattr(whole, "partial", None) is False


def test_26_midstream_with_the_peer() -> None:
    """The peer's ACK below the first segment is the base: there is a hole before it."""
    conversation = Conversation().server_ack(100).client(103, b"abc").server(0, b"xy").wait(0.2).other()
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"\0\0\0abc", SERVER_NAME: b"xy"}
    assert outcome.gaps(NAME) == [(0, 3, "close")]


def test_27_midstream_swap() -> None:
    outcome = run(Conversation().client(1003, b"def").wait(0.05).client(1000, b"abc").wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.gaps(NAME) == []


def test_27_midstream_swap_too_late() -> None:
    """What lies before the base once that is settled has no place [L3]; of one packet it is not certain."""
    conversation = Conversation().client(1003, b"def").wait(0.3).other().client(1000, b"abc")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"def"}
    assert outcome.statistics["dropped_tentative_bytes"] == 3
    conversation = Conversation().client(1003, b"d").client(1004, b"ef").wait(0.3).other()
    outcome = run(conversation.client(1000, b"abc"))
    assert outcome.files() == {NAME: b"def"}
    assert outcome.statistics["dropped_pre_start_bytes"] == 3


@pytest.mark.parametrize("isn", [1000, 2**31 + 5, 2**32 - 1])
def test_28_syn_retransmit(isn: int) -> None:
    conversation = Conversation(client_isn=isn).syn().wait(1).syn().syn_ack().client_ack(0).client(0, b"abc")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["connections"] == 1
    assert outcome.statistics["retransmitted_syns"] == 1


@pytest.mark.parametrize("isn", [9_000_000, 2**31 + 5, 2**32 - 1])
def test_29_syn_two_isn(isn: int) -> None:
    conversation = Conversation(client_isn=isn).syn(isn=77).syn().syn_ack()
    outcome = run(conversation.client_ack(0).client(0, b"abc").server_ack(3))
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["connections"] == 1


@pytest.mark.parametrize("isn", [77, 2**31 + 5, 2**32 - 1])
def test_29_syn_two_isn_first_chosen(isn: int) -> None:
    conversation = Conversation(client_isn=isn).syn().syn(isn=9_000_000).syn_ack()
    outcome = run(conversation.client_ack(0).client(0, b"abc").server_ack(3))
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.statistics["connections"] == 1


def test_30_syn_forged() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3)
    conversation.syn(isn=123_456_789).client(3, b"def").server_ack(6)
    outcome = run(conversation.close())
    assert outcome.files() == {NAME: b"abcdef"}
    assert outcome.state(NAME) == "fin"
    assert outcome.statistics["connections"] == 1


def test_30b_refused_then_open() -> None:
    conversation = Conversation().syn().server_rst(-1, ack=1001).wait(1)
    conversation.again(5_000_000, 6_000_000).handshake().client(0, b"abc")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}


def test_31_reuse_closed() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz").server_ack(3).close()
    conversation.again(5_000_000, 6_000_000).wait(1).handshake().client(0, b"DEF").server(0, b"UVW")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc", SERVER_NAME: b"xyz", AGAIN: b"DEF", SERVER_AGAIN: b"UVW"}
    assert outcome.state(NAME) == outcome.state(SERVER_NAME) == "fin"
    assert outcome.state(AGAIN) == "open"
    serials = [file.serial for file in outcome.by_name.values()]
    assert len(set(serials)) == 4


def test_31_reuse_closed_many_times() -> None:
    """The count is that of earlier connections that carried data."""
    conversation = Conversation()
    for number in range(4):
        conversation.again(5_000_000 * number, 77).handshake()
        if number != 1:
            conversation.client(0, b"%d" % number)
        conversation.close().wait(1)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"0", AGAIN: b"2", Conversation().client_name(2): b"3"}


@pytest.mark.parametrize("isn", [5_000_000, 2**31 + 5, 2**32 - 1])
def test_32_reuse_active(isn: int) -> None:
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz").server_ack(3)
    conversation.again(isn, isn).handshake().client(0, b"DEF").server(0, b"UVW")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc", SERVER_NAME: b"xyz", AGAIN: b"DEF", SERVER_AGAIN: b"UVW"}
    assert outcome.state(NAME) != "open"
    assert outcome.statistics["connections"] == 2


def test_32_reuse_active_midstream() -> None:
    """A connection whose SYNs were not seen gives way as well."""
    conversation = Conversation().client(0, b"abc").server(0, b"xy").wait(0.2).client_ack(2)
    outcome = run(conversation.again(71_000, 570_000).handshake().client(0, b"new").server_ack(3))
    name = conversation.client_name()
    assert outcome.files() == {name: b"abc", conversation.server_name(): b"xy", name + "c1": b"new"}
    assert outcome.state(name) == "idle"


def test_32_reuse_of_one_that_only_ended() -> None:
    """Of the server's direction nothing was seen but its FIN."""
    conversation = Conversation().syn().client_ack(0).server_fin().client_ack(1).wait(0.2)
    conversation.again(71_000, 570_000).handshake().server(0, b"new").client_ack(3)
    outcome = run(conversation)
    assert outcome.files() == {conversation.server_name(): b"new"}


def test_32b_reuse_one_way() -> None:
    conversation = Conversation().syn().client(0, b"abc").wait(1)
    conversation.again(5_000_000, 0).syn().client(0, b"DEF")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc", AGAIN: b"DEF"}


def test_33_late_after_close() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3).close().wait(5)
    outcome = run(conversation.client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["late_packets"] == 1
    assert outcome.statistics["dropped_after_close_bytes"] == 3
    assert outcome.statistics["connections"] == 1


def test_42_simultaneous_open() -> None:
    conversation = Conversation().syn().syn_ack(flags="S", ack=0)
    conversation.syn(flags="SA", ack=500_001).syn_ack()
    outcome = run(conversation.client(0, b"abc").server(0, b"xyz"))
    assert outcome.before.files() == {NAME: b"abc", SERVER_NAME: b"xyz"}
    assert outcome.statistics["connections"] == 1


def test_43_split_handshake() -> None:
    conversation = Conversation().syn().syn_ack(flags="S", ack=0)
    conversation.syn(flags="SA", ack=500_001).server_ack(0)
    outcome = run(conversation.client(0, b"abc").server(0, b"xyz"))
    assert outcome.before.files() == {NAME: b"abc", SERVER_NAME: b"xyz"}


def test_44_keepalive() -> None:
    outcome = run(Conversation().handshake().client(0, b"abc").server_ack(3).wait(60).client(2, b"Z"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["conflicts"] == 0
    assert outcome.statistics["keepalive_bytes"] == 1


def test_44_keepalive_first() -> None:
    """The probe is the first packet that is seen: its byte is no data."""
    conversation = Conversation().client(2, b"Z", flags="A").server_ack(3).client(3, b"def")
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"def"}
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["dropped_tentative_bytes"] == 1
    assert outcome.statistics["conflicts"] == 0


def test_44_one_byte_and_nothing_else() -> None:
    """Nothing came that says that it was a probe."""
    outcome = run(Conversation().client(2, b"Z", flags="A").wait(20).other())
    assert outcome.before.files() == {}
    assert outcome.files() == {NAME: b"Z"}


def test_44_keepalive_behind_the_peers_ack() -> None:
    conversation = Conversation().server_ack(3).client(2, b"Z").client(3, b"def").wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"def"}


def test_44_one_byte_that_is_data() -> None:
    """Typed into a terminal: pushed, or where the peer's ACK expects it."""
    conversation = Conversation().client(7, b"l").client(8, b"s").wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"ls"}
    conversation = Conversation().server_ack(7).client(7, b"l", flags="A").client(8, b"s").wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"ls"}


def test_45_zero_window_probe() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3, window=0).wait(1)
    conversation.client(3, b"X", flags="A").server_ack(3, window=0).wait(1).server_ack(3, window=999)
    outcome = run(conversation.client(3, b"def").server_ack(6))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.statistics["conflicts"] == 0
    assert outcome.statistics["dropped_tentative_bytes"] == 1


def test_45_zero_window_probe_that_was_taken() -> None:
    """The window had opened: the peer acknowledges the byte, and it is not sent again [T1]."""
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3, window=0).wait(1)
    conversation.client(3, b"d", flags="A").server_ack(4, window=999).client(4, b"ef").server_ack(6)
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.gaps(NAME) == []


def test_46_tfo_accepted() -> None:
    outcome = run(Conversation().syn(payload=b"abc").syn_ack(acked=3).client(3, b"def"))
    assert outcome.before.files() == {NAME: b"abcdef"}


def test_47_tfo_ignored() -> None:
    outcome = run(Conversation().syn(payload=b"xyz").syn_ack(acked=0).client(0, b"abc"))
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.statistics["conflicts"] == 0
    assert outcome.statistics["dropped_syn_bytes"] == 3


def test_47_tfo_taken_in_part() -> None:
    """The SYN/ACK says how much [L7]."""
    outcome = run(Conversation().syn(payload=b"abcdef").syn_ack(acked=3).client(3, b"DEF"))
    assert outcome.before.files() == {NAME: b"abcDEF"}
    assert outcome.statistics["dropped_syn_bytes"] == 3
    assert outcome.statistics["conflicts"] == 0


@pytest.mark.parametrize(("at", "files"), [(3, {NAME: b"abc"}), (0, {})])
def test_46_tfo_one_way_and_nothing_else(at: int, files: dict[str, bytes]) -> None:
    """[L7] The FIN is behind what the peer took."""
    conversation = Conversation().syn(payload=b"abc").wait(0.01).client_ack(0).wait(1)
    outcome = run(conversation.fin(at).wait(1).other())
    assert outcome.before.files() == files
    assert outcome.statistics["dropped_syn_bytes"] == 3 - at
    if files:
        assert outcome.before.state(NAME) == "fin"


def test_46_tfo_without_its_syn_ack() -> None:
    """[L7] What follows tells."""
    outcome = run(Conversation().syn(payload=b"abc").client(3, b"def"))
    assert outcome.before.files() == {NAME: b"abcdef"}


@pytest.mark.parametrize("payload", [b"x", b"evil"])
@pytest.mark.parametrize("waits", [0, 31])
def test_l10_data_in_a_syn_that_nobody_answers(payload: bytes, waits: float) -> None:
    """Its sender may be anyone: no file, whether the half-open one times out or the capture ends [L7 L9]."""
    conversation = Conversation().syn(payload=payload)
    if waits:
        conversation.wait(waits).other()
    outcome = run(conversation)
    assert outcome.files() == {}
    assert outcome.statistics["dropped_syn_bytes"] == len(payload)

"""What comes when a connection has ended, or seems to have: late, sent again, or a sign that it goes on."""

from __future__ import annotations

import time

import pytest

from craft import Conversation, timestamps
from engines import feed, run, started
from flowfs.core.limits import LEAP_PACKETS, MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def established() -> Conversation:
    return Conversation().handshake().client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3)


# --- what goes on after its end, and ends again ------------------------------------------------------------


def test_a_connection_that_goes_on_and_ends_again_at_once() -> None:
    """The segment that shows it has data, which comes too late for what it is of."""
    conversation = Conversation().fin(0, b"qk", seq=123_456_890, ack=500_014).wait(2.1)
    conversation.fin(0, bytes(1000), seq=123_456_793, ack=500_006).wait(0.2)
    conversation.server(0, b"wr", seq=500_010, ack=123_457_790, window=0)
    run(conversation)
    with started() as engine:
        feed(engine, conversation)
        engine.tick(engine.now_ns + 700 * 10**9)
        assert engine.statistics()["out_of_order_used_bytes"] == 0


def test_ends_by_turns_cost_no_more_where_much_waits_behind_them() -> None:
    """Each closes the connection, and each is shown to be forged."""

    def seconds(pieces: int) -> float:
        conversation = established()
        for index in range(pieces):
            conversation.client(3000 + 2 * index, b"z")
        with started(Limits(out_of_order_bytes=64 * MIB)) as engine:
            feed(engine, conversation)
            conversation.packets.clear()
            for offset in range(5, 405, 2):
                conversation.fin(offset, ack=500_004)
                conversation.server_fin(3, ack=1001 + offset + 1)
                conversation.client_ack(4, seq=1001 + offset + 1)
                conversation.client(offset, b"ab", ack=500_004)
                conversation.server_ack(offset + 2)
            began = time.perf_counter()
            feed(engine, conversation)
            elapsed = time.perf_counter() - began
            assert engine.statistics()["fin_retracted"] > 100
        return elapsed

    much, little = zip(*((seconds(2500), seconds(1)) for _ in range(5)), strict=True)
    assert min(much) < 8 * min(little)  # 1.6 on a quiet machine


# --- a RST while the first segments are gathered [L3 L5] ---------------------------------------------------


@pytest.mark.parametrize("of_server", [False, True])
def test_a_reset_right_after_the_pickup(of_server: bool) -> None:
    conversation = Conversation()
    for offset in range(0, 9, 3):
        conversation.client(offset, b"abc").server_ack(offset + 3)
    if of_server:
        conversation.server(0, b"xy").client_ack(2).server_rst(2)
    else:
        conversation.rst(9)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.state(NAME) == "rst"
    assert outcome.before.files()[NAME] == b"abcabcabc"


# --- a RST that the capture has before what was sent earlier [L5] ------------------------------------------


def aborted(of_server: bool = False) -> Conversation:
    """Data was under way, and acknowledged, when the RST that is captured first was sent."""
    conversation = established()
    if of_server:
        return conversation.server_rst(3).client(5, b"fgh").server_ack(8)
    return conversation.rst(5).server(3, b"uvw").client_ack(6)


@pytest.mark.parametrize("of_server", [False, True])
def test_an_ack_behind_the_reset_of_its_own_side(of_server: bool) -> None:
    """What it acknowledges is data, and the connection is over all the same."""
    conversation = aborted(of_server)
    name, data = (NAME, b"abcdefgh") if of_server else (SERVER_NAME, b"xyzuvw")
    assert run(conversation).before.files()[name] == data
    outcome = run(conversation.wait(2.1).other())
    assert outcome.before.files()[name] == data
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "rst"
    assert outcome.statistics["dropped_tentative_bytes"] == 0


def test_several_acks_behind_the_reset_of_their_own_side() -> None:
    conversation = aborted().server(6, b"123").client_ack(9).server(9, b"456").client_ack(12)
    outcome = run(conversation.wait(2.1).other())
    assert outcome.before.files()[SERVER_NAME] == b"xyzuvw123456"
    assert outcome.before.state(NAME) == "rst"
    assert outcome.statistics["rst_forged"] == 1


def test_acks_for_longer_than_a_capture_reorders() -> None:
    """Who has reset it says nothing any more: the RST was forged, though this side has no data to show it."""
    conversation = aborted()
    for offset in range(6, 66, 3):
        conversation.wait(0.3).server(offset, b"abc").client_ack(offset + 3)
    outcome = run(conversation.wait(2.1).other())
    assert outcome.before.files()[SERVER_NAME] == b"xyzuvw" + b"abc" * 20
    assert outcome.before.state(SERVER_NAME) == "open"
    assert outcome.statistics["rst_forged"] == 1


@pytest.mark.parametrize("at", [5, 6])
def test_data_behind_the_number_of_the_reset(at: int) -> None:
    """Its side goes on: that needs no time to be seen."""
    conversation = aborted().client(5, b"fgh"[: at - 4])
    outcome = run(conversation.server_ack(at + 1).wait(2.1).other())
    assert outcome.before.files() == {NAME: b"abcdefg"[: at + 1], SERVER_NAME: b"xyzuvw"}
    assert outcome.before.state(NAME) == "open"


def test_another_reset_later() -> None:
    """That the first came before what was sent earlier says nothing of the second."""
    conversation = established().rst(5).server(3, b"uvw").client_ack(6).client(5, b"fgh").server_ack(8)
    conversation.client(8, b"i").server_ack(9).wait(5)
    conversation.client(12, b"mno").rst(15).client(9, b"jkl").server_ack(15)
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == {NAME: b"abcdefghijklmno", SERVER_NAME: b"xyzuvw"}
    assert outcome.before.state(NAME) == "rst"


def test_what_comes_of_a_handshake_after_the_end_is_counted() -> None:
    conversation = established().close().syn_ack()
    assert run(conversation).statistics["retransmitted_syns"] == 1


def test_data_before_the_number_of_its_own_reset() -> None:
    """The capture has it late: it is data, and voids nothing."""
    conversation = established().rst(8).wait(2.1).other().client(5, b"fgh").server_ack(8)
    assert run(conversation).before.files()[NAME] == b"abcdefgh"
    outcome = run(conversation.wait(2.1).other())
    assert outcome.before.files()[NAME] == b"abcdefgh"
    assert outcome.before.state(NAME) == "rst"


# --- while the old connection is remembered for the last time [L9] ------------------------------------------


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("fast", [b"", b"fast"])
@pytest.mark.parametrize("before", ["SYN", "SYN/ACK", "data"])
def test_another_connection_as_the_old_one_is_forgotten(removed: bool, fast: bytes, before: str) -> None:
    """It has no files, or none any more; what the new one was sent before is as good as what follows."""
    conversation = established() if removed else Conversation().handshake()
    old = conversation.close().packets[:]
    conversation.packets.clear()
    conversation.wait(59.9).again(900_000, 7_000_000)
    conversation.syn(payload=fast).wait(0.3 if before == "SYN" else 0)
    conversation.syn_ack(acked=len(fast)).wait(0.3 if before == "SYN/ACK" else 0)
    conversation.client_next = len(fast)
    acked = 900_001 + len(fast)
    conversation.server(7, b"many", ack=acked).server(0, b"421 too", ack=acked)
    conversation.wait(0.3 if before == "data" else 0).client_ack(11).client(len(fast), b"open")
    with started() as engine:
        feed(engine, old)
        if removed:
            for flow in engine.list_after(0, 9):
                engine.remove(flow)
        feed(engine, conversation.server_ack(len(fast) + 4).wait(0.2).other())
        files = {(flow.key, engine.read(flow, 0, 99), flow.partial) for flow in engine.list_after(0, 9)}
        assert files == {
            (conversation.client_key(), fast + b"open", False),
            (conversation.server_key(), b"421 toomany", False),
        }
        assert engine.statistics()["connections_tracked"] == 2  # other() makes one, too


# --- a FIN before anything of the peer was seen [L4] -------------------------------------------------------


@pytest.mark.parametrize("syn", [False, True])
@pytest.mark.parametrize("seconds", [0.3, 5])
def test_an_answer_after_the_fin(syn: bool, seconds: float) -> None:
    """The SYN/ACK was not captured: the answer is of this connection, which is half-closed."""
    conversation = Conversation()
    if syn:
        conversation.syn()
    conversation.client(0, b"request").fin(7).wait(seconds)
    for offset in range(0, 30, 3):
        conversation.server(offset, b"abc", ack=1009)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"request", SERVER_NAME: b"abc" * 10}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.before.state(SERVER_NAME) == "open"
    conversation.server_fin(30, ack=1009).client_ack(31, seq=1009).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.state(SERVER_NAME) == "fin"
    assert outcome.statistics["connections"] == 2


# --- times of what is closed [Q3 L9] -----------------------------------------------------------------------

DAY = 86400


def timed(how: str) -> Conversation:
    """A connection with timestamps, of which the peer has echoed 102 and more; closed so, or by silence."""
    conversation = Conversation().syn(options=timestamps(100)).syn_ack(options=timestamps(900, 100))
    conversation.client_ack(0, options=timestamps(101, 900)).client(0, b"abcde", options=timestamps(102, 900))
    conversation.server_ack(5, options=timestamps(901, 102))
    if how == "FIN":
        conversation.fin(options=timestamps(103, 901)).server_fin(ack=1007, options=timestamps(902, 103))
        return conversation.client_ack(1, seq=1007, options=timestamps(104, 902))
    return conversation.rst() if how == "RST" else conversation.wait(700).other()


@pytest.mark.parametrize("how", ["FIN", "RST", "silence"])
@pytest.mark.parametrize("seconds", [5, 61, 3600])
def test_an_old_duplicate_after_the_end(how: str, seconds: float) -> None:
    conversation = timed(how).wait(seconds).client(0, b"abc", options=timestamps(99, 900))
    conversation.client(0, b"abcde", options=timestamps(100, 900)).client(
        3, b"de", options=timestamps(101, 900)
    )
    outcome = run(conversation.wait(0.2).other())
    assert outcome.files() == {NAME: b"abcde"}
    assert outcome.statistics["old_timestamps"] == 3
    assert outcome.statistics["dropped_after_close_bytes"] == 10


def test_old_duplicates_that_acknowledge_each_other() -> None:
    """Who takes neither of them acknowledges nothing: the connection is over as it was."""
    conversation = timed("FIN").wait(1)
    conversation.client(6, b"evil", ack=500_006, options=timestamps(99, 899))
    conversation.server(1, b"evil", ack=1011, options=timestamps(898, 98))
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abcde"}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.statistics["fin_retracted"] == 0


@pytest.mark.parametrize("how", ["FIN", "RST", "silence"])
@pytest.mark.parametrize("seconds, seq", [(25 * DAY, 1001), (61, 50_000_000)])
def test_a_time_that_says_nothing(how: str, seconds: float, seq: int) -> None:
    """It is too long ago, or the numbers are of another connection, whose clock need not go on."""
    conversation = timed(how).wait(seconds)
    for _ in range(LEAP_PACKETS):
        conversation.other()
    conversation.client(0, b"new", seq=seq, options=timestamps(50, 900)).wait(0.2).other()
    assert run(conversation).before.files() == {NAME: b"abcde", NAME + "c1": b"new"}


def test_old_duplicates_from_before_the_window() -> None:
    """However many follow each other: they are of what is over."""
    conversation = Conversation(server_window=1000)
    conversation.syn(options=timestamps(100)).syn_ack(options=timestamps(900, 100))
    for index in range(20):
        conversation.client(500 * index, bytes([65 + index]) * 500, options=timestamps(101 + index, 900))
        conversation.server_ack(500 * index + 500, options=timestamps(901, 101 + index))
    conversation.rst().wait(3)
    for index in range(5):
        conversation.client(500 * index, bytes([65 + index]) * 500, options=timestamps(101 + index, 900))
    outcome = run(conversation.wait(31).other())
    assert set(outcome.files()) == {NAME}
    assert outcome.statistics["dropped_after_close_bytes"] == 2500

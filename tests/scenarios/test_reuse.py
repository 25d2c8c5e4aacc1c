"""The same addresses and ports once more: what an old connection left behind must not cost the new one bytes.

Who reuses them honestly sends what a forger would, a SYN and its SYN/ACK; here, whose bytes must be there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from craft import Conversation
from engines import feed, run, started
from flowfs.core.limits import MIB, Limits

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

    assert min(seconds(2500) for _ in range(3)) < 5 * min(seconds(1) for _ in range(3))


# --- data in the SYN [L7] ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["FIN", "RST", ""])
def test_data_in_the_syn_of_another_connection(ended: str) -> None:
    """The SYN/ACK acknowledges it with the SYN, so its number is not the one behind the ISN."""
    conversation = established()
    if ended == "FIN":
        conversation.close()
    elif ended == "RST":
        conversation.rst()
    conversation.again(900_000, 7_000_000).syn(payload=b"fast").syn_ack(acked=4).server(0, b"R", ack=900_005)
    conversation.client_next = 4
    conversation.client_ack(1).client(4, b"open").server_ack(8).server(1, b"S").client_ack(2)
    outcome = run(conversation)
    assert outcome.before.files() == {
        NAME: b"abcde",
        SERVER_NAME: b"xyz",
        NAME + "c1": b"fastopen",
        SERVER_NAME + "c1": b"RS",
    }


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


# --- what is sent before its ISN is seen [L3] ---------------------------------------------------------------

ISNS = [900_000, 100_000_000, 2**31 - 100, 3_000_000_000, 2**32 - 2, 2**32 - 1, 0]


def closed() -> Conversation:
    return established().close().wait(1)


@pytest.mark.parametrize("isn", ISNS)
def test_a_banner_that_overtakes_its_syn_ack(isn: int) -> None:
    conversation = closed().again(7_000_000, isn).syn().server(8, b"ner\r\n").server(0, b"220 ban")
    conversation.server(7, b" ").syn_ack().client_ack(13).client(0, b"HELO\r\n").server_ack(6)
    outcome = run(conversation.server(13, b"250 ok\r\n").client_ack(21).close())
    assert outcome.before.files()[NAME + "c1"] == b"HELO\r\n"
    assert outcome.before.files()[SERVER_NAME + "c1"] == b"220 ban ner\r\n250 ok\r\n"
    assert outcome.before.state(SERVER_NAME + "c1") == "fin"
    assert outcome.gaps(SERVER_NAME + "c1") == []


@pytest.mark.parametrize("isn", ISNS)
@pytest.mark.parametrize("first", ["data", "ACK"])
def test_a_server_whose_syn_ack_was_not_captured(isn: int, first: str) -> None:
    """Numbers are counted from the first that is seen, wherever the space of them wraps."""
    conversation = closed().again(7_000_000, isn).syn()
    if first == "ACK":
        conversation.client_ack(0)
    conversation.server(150, b"b" * 150).server(0, b"a" * 150).client_ack(300).client(0, b"HELO\r\n")
    conversation.server_ack(6).server(300, b"c" * 100).client_ack(400).wait(0.2).close()
    outcome = run(conversation)
    assert outcome.before.files()[NAME + "c1"] == b"HELO\r\n"
    assert outcome.before.files()[SERVER_NAME + "c1"] == b"a" * 150 + b"b" * 150 + b"c" * 100
    assert outcome.before.state(SERVER_NAME + "c1") == "fin"
    assert outcome.statistics["bad_acks"] == 0


@pytest.mark.parametrize("isn", ISNS)
def test_a_fin_that_overtakes_the_syn_ack(isn: int) -> None:
    """Something of the old connection came late, so the place is not free at once."""
    conversation = established().again(7_000_000, isn).syn(payload=b"fast")
    conversation.client(5, b"f", seq=1006, ack=500_001)
    conversation.server_fin(payload=b"many", offset=12, ack=7_000_005)
    conversation.server(0, b"421 too ", ack=7_000_005).syn_ack(acked=4)
    conversation.client_next = 4
    outcome = run(conversation.client_ack(0).client_ack(8).client_ack(13).wait(0.2).other())
    assert outcome.before.files() == {
        NAME: b"abcdef",
        SERVER_NAME: b"xyz",
        NAME + "c1": b"fast",
        SERVER_NAME + "c1": b"421 too many",
    }
    assert outcome.before.state(SERVER_NAME + "c1") == "fin"


# --- a short connection, and what is late or lacking [L2 L9] -----------------------------------------------


def with_an_old_ack(conversation: Conversation) -> None:
    conversation.close().again(900_000, 7_000_000).syn().syn_ack().client_ack(4, seq=1007, ack=500_005)
    conversation.client(0, b"new", ack=7_000_001).server(0, b"hello", ack=900_004)
    conversation.server_fin(5, ack=900_004).fin(3, ack=7_000_007)


def with_old_data(conversation: Conversation) -> None:
    conversation.close().again(900_000, 7_000_000).syn().syn_ack()
    conversation.client(0, b"abcde", seq=1001, ack=500_001).client_ack(0).client(0, b"new")
    conversation.server(0, b"hello", ack=900_004)


SHORT = {
    "an old ACK": with_an_old_ack,
    "old data": with_old_data,
}


@pytest.mark.parametrize("late", SHORT)
def test_what_was_sent_before_the_end_contests_nothing(late: str) -> None:
    conversation = established()
    SHORT[late](conversation)
    outcome = run(conversation.wait(0.3).other())
    files = {NAME: b"abcde", SERVER_NAME: b"xyz", NAME + "c1": b"new", SERVER_NAME + "c1": b"hello"}
    assert outcome.before.files() == files


ENDS: dict[str, Callable[[Conversation], object]] = {
    "FIN": lambda conversation: conversation.server_fin(),
    "RST": lambda conversation: conversation.server_rst(),
    "31 s": lambda conversation: conversation.wait(31).other(),
}


@pytest.mark.parametrize("end", ENDS)
def test_only_the_server_of_another_connection_is_seen(end: str) -> None:
    conversation = established().rst().again(900_000, 7_000_000).syn().syn_ack()
    conversation.server(0, b"421 too").server(7, b" many")
    assert run(conversation).files() == {
        NAME: b"abcde",
        SERVER_NAME: b"xyz",
        SERVER_NAME + "c1": b"421 too many",
    }
    ENDS[end](conversation)
    outcome = run(conversation)
    assert outcome.before.files()[SERVER_NAME + "c1"] == b"421 too many"
    assert outcome.statistics["dropped_tentative_bytes"] == 0


@pytest.mark.parametrize("end", ENDS)
def test_a_forged_one_while_the_client_goes_on(end: str) -> None:
    conversation = established().syn(isn=900_000).syn_ack(isn=7_000_000, ack=900_001).client(5, b"f")
    conversation.server(0, b"evil", seq=7_000_001, ack=900_001)
    if end in ("FIN", "RST"):
        conversation.server(0, b"", seq=7_000_005, ack=900_001, flags=end[0] + "A")
    else:
        ENDS[end](conversation)
    outcome = run(conversation.client(6, b"g").server_ack(7))
    assert outcome.files() == {NAME: b"abcdefg", SERVER_NAME: b"xyz"}


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

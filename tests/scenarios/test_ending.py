"""Scenarios 34 to 41: FIN and RST, true and false."""

from __future__ import annotations

import random

from craft import Conversation
from engines import run
from flowfs.core.limits import MIB

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def test_34_half_close() -> None:
    stream = random.Random(34).randbytes(MIB)
    conversation = Conversation().handshake().client(0, b"GET /").server_ack(5).fin().server_ack(6)
    for offset in range(0, MIB, 8192):
        conversation.server(offset, stream[offset : offset + 8192]).client_ack(offset + 8192, seq=1007)
    halfway = run(conversation)
    assert (halfway.before.state(NAME), halfway.before.state(SERVER_NAME)) == ("fin", "open")
    conversation.server_fin(MIB).client_ack(MIB + 1, seq=1007)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"GET /", SERVER_NAME: stream}
    assert (outcome.before.state(NAME), outcome.before.state(SERVER_NAME)) == ("fin", "fin")


def test_35_after_fin() -> None:
    conversation = Conversation().handshake().client(0, b"abc").fin(3).server_ack(4).client(3, b"x")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["dropped_after_fin_bytes"] == 1
    assert outcome.before.state(NAME) == "fin"


def test_36_fake_fin() -> None:
    conversation = Conversation().handshake().client(0, b"abc").fin(3).client(3, b"def")
    assert run(conversation).before.files() == {NAME: b"abc"}
    outcome = run(conversation.server_ack(6))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"


def test_36_fake_fin_ack_first() -> None:
    """The ACK that tells is captured before the data that it is for [L4]; a capture reorders (see 16)."""
    conversation = Conversation().handshake().client(0, b"abc").fin(3).server_ack(6).client(3, b"def")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"


def test_37_fin_early() -> None:
    conversation = Conversation().handshake().fin(6).client(0, b"abc").client(3, b"def").server_ack(7)
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "fin"
    assert outcome.statistics["dropped_after_fin_bytes"] == 0


def test_38_rst_exact() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz").server_ack(3).rst(3)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc", SERVER_NAME: b"xyz"}
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "rst"


def test_39_rst_outside() -> None:
    conversation = Conversation().handshake().client(0, b"abc").rst(3 + 2**30).client(3, b"def")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcdef"}
    assert outcome.state(NAME) == "open"
    assert outcome.statistics["rst_ignored"] == 1


def test_40_rst_in_window() -> None:
    conversation = Conversation().handshake().client(0, b"abc").rst(12).client(3, b"def").server_ack(6)
    outcome = run(conversation.wait(3).other())
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.before.statistics["rst_ignored"] == 1


def test_40_rst_in_window_and_silence() -> None:
    """The capture lacks what lies before it: after 2 s without a word it is believed."""
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3).rst(12)
    assert run(conversation.wait(1.9).other()).before.state(NAME) == "open"
    assert run(conversation.wait(0.3).other()).before.state(NAME) == "rst"


def test_40_rst_in_window_and_what_came_before_it() -> None:
    """Captured late, the missing bytes make it exact."""
    conversation = Conversation().handshake().client(0, b"abc").rst(6).client(3, b"def")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "rst"


def test_40_rst_in_window_and_the_sender_goes_on() -> None:
    conversation = Conversation().handshake().client(0, b"abc").rst(12).wait(1).client_ack(0).wait(2).other()
    outcome = run(conversation)
    assert outcome.before.state(NAME) == "open"
    assert outcome.before.statistics["rst_ignored"] == 1


def test_40b_rst_forged() -> None:
    conversation = Conversation().handshake().client(0, b"abc").rst(3).client(3, b"def")
    assert run(conversation).files() == {NAME: b"abc"}
    outcome = run(conversation.server_ack(6))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["rst_forged"] == 1
    assert outcome.statistics["dropped_tentative_bytes"] == 0


def test_40b_rst_forged_and_more() -> None:
    """It goes on as if nothing had been, in both directions, and ends as it should."""
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz").server_rst(3)
    conversation.client(3, b"d").client(4, b"ef").server(3, b"uvw", ack=1007).client(6, b"ghi").server_ack(9)
    outcome = run(conversation.close())
    assert outcome.files() == {NAME: b"abcdefghi", SERVER_NAME: b"xyzuvw"}
    assert outcome.state(NAME) == outcome.state(SERVER_NAME) == "fin"
    assert outcome.statistics["connections"] == 1


def test_40b_rst_that_was_true() -> None:
    """What was under way is not acknowledged; nor does an ACK of what was never sent open it."""
    conversation = Conversation().handshake().client(0, b"abc").server_rst(0).client(3, b"def")
    outcome = run(conversation.server_ack(3).server_ack(9).wait(90).other())
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.before.state(NAME) == "rst"
    assert outcome.before.statistics["dropped_tentative_bytes"] == 3
    assert outcome.before.statistics["out_of_order_used_bytes"] == 0


def test_41_rst_payload() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3).rst(3, payload=b"bye")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.state(NAME) == "rst"
    assert outcome.statistics["dropped_rst_bytes"] == 3


def test_a_reset_of_an_offer_that_was_not_taken() -> None:
    """The SYN came again with another number: a RST in the window of the first means nothing [L1 L5]."""
    conversation = Conversation(client_isn=900_000)
    conversation.syn(isn=1000).rst(seq=1101).handshake().client(0, b"q" * 100).wait(3).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"q" * 100}
    assert outcome.before.state(NAME) == "open"

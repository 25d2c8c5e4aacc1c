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


def test_41_rst_payload() -> None:
    conversation = Conversation().handshake().client(0, b"abc").server_ack(3).rst(3, payload=b"bye")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.state(NAME) == "rst"
    assert outcome.statistics["dropped_rst_bytes"] == 3

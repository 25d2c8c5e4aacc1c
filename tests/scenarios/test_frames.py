"""Scenarios 61, 62, 64 and 65: where in a frame the payload is. (63 takes real sockets: tests/live.)"""

from __future__ import annotations

import random

import pytest

from craft import ETHERNET, RAW, SLL, SLL2, Conversation, Tag
from engines import run

NAME = Conversation().client_name()


def test_61_padding() -> None:
    conversation = Conversation().handshake().client(0, b"abcd")
    assert len(conversation.packets[-1].frame) == 60
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcd"}
    assert outcome.statistics["payload_bytes"] == 4


def test_61_padding_of_an_ack_is_no_data() -> None:
    assert run(Conversation().handshake().client_ack(0).server_ack(0)).statistics["payload_bytes"] == 0


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_62_length_zero(addresses: tuple[str, str]) -> None:
    stream = random.Random(62).randbytes(3000)
    length = "payload_length" if ":" in addresses[0] else "total_length"
    conversation = Conversation(*addresses).handshake()
    outcome = run(conversation.client(0, stream, **{length: 0}).client(3000, b"abc"))
    assert outcome.files() == {conversation.client_name(): stream + b"abc"}


@pytest.mark.parametrize("words", [0, 4, 7, 15])
def test_64_header_bounds(words: int) -> None:
    """Below 5 it ends within the header; 7 and 15 lie beyond the packet: 5 words and three bytes."""
    conversation = Conversation().handshake().client(0, b"xyz", data_offset=words).client(0, b"abc")
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["bad_headers"] == 1
    assert outcome.statistics["payload_bytes"] == 3


@pytest.mark.parametrize("link_type", [ETHERNET, SLL, SLL2])
@pytest.mark.parametrize("tag, suffix", [(Tag(42, pcp=5), "--42"), (Tag(0, pcp=5), "")])
def test_65_vlan_priority(tag: Tag, suffix: str, link_type: int) -> None:
    conversation = Conversation(tags=[tag], link_type=link_type).handshake().client(0, b"abc")
    assert run(conversation).files() == {NAME + suffix: b"abc"}


def test_65_vlans_are_apart() -> None:
    """The same connection on two VLANs and without one is three; the innermost tag counts."""
    tagged = [(), (Tag(1),), (Tag(9, tpid=0x88A8), Tag(2))]
    packets = []
    for number, tags in enumerate(tagged):
        packets += Conversation(tags=tags).handshake().client(0, b"%d" % number).packets
    assert run(packets).files() == {NAME: b"0", NAME + "--1": b"1", NAME + "--2": b"2"}


def test_raw_ip_has_no_padding_to_trim() -> None:
    assert run(Conversation(link_type=RAW).handshake().client(0, b"a")).files() == {NAME: b"a"}

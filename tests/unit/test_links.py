"""Ethernet addresses of connections, for names: from the frame that opened each, in whichever batch."""

from __future__ import annotations

from typing import Any

import pytest

from craft import RAW, SLL, Conversation, Packet, Tag, batches
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from flowfs.dissect import dissect
from flowfs.templates import Template
from flowfs.tree.letters import Spelling

ETHERNET = 1
CLIENT, SERVER = b"\x02\x00\x00\x00\x00", b"\xfe\xdc\xba\x98\x76"  # and a byte of the port
NOBODY = "00:00:00:00:00:00"


def addressed(conversation: Conversation, number: int) -> list[Packet]:
    """The same packets, in frames from and to the hosts of this number."""
    found = []
    client, server = CLIENT + bytes([number]), SERVER + bytes([number])
    for packet in conversation.packets:
        from_client = (
            conversation.client_key()[:4] in packet.frame.partition(conversation.server_key()[:4])[0]
        )
        source, destination = (client, server) if from_client else (server, client)
        found.append(packet._replace(frame=destination + source + packet.frame[12:]))
    return found


def names(packets: list[Packet], link_type: int = ETHERNET, size: int = 256, **limits: Any) -> dict[str, str]:
    """{port from which: "source destination session"} of each flow."""
    engine = Engine(Limits(**{"links": True, **limits}), dissect)
    for frames, meta in batches(packets, size):
        engine.feed(frames, meta, link_type)
    spell = Spelling(Template("%a %E %e %S"), engine.origin)
    engine.flows.lay_down_all()
    found = (spell(flow)[0].decode().split() for flow in engine.list_after(0, 1000))
    return {port: " ".join(rest) for port, *rest in found}


def expected(port: int, number: int, session: int) -> dict[str, str]:
    client, server = (CLIENT + bytes([number])).hex(":"), (SERVER + bytes([number])).hex(":")
    return {f"{port:05}": f"{client} {server} {session:020}"}


@pytest.mark.parametrize("size", [1, 3, 256])
def test_each_connection_has_those_of_its_frames(size: int) -> None:
    packets: list[Packet] = []
    wanted: dict[str, str] = {}
    for number in range(40):
        conversation = Conversation(client_port=1000 + number).handshake().client(0, b"abc")
        packets += addressed(conversation, number)
        wanted |= expected(1000 + number, number, number)
    assert names(packets, size=size) == wanted


@pytest.mark.parametrize("size", [1, 3, 256])
@pytest.mark.parametrize("first", ["client", "server"])
def test_both_directions_whoever_is_heard_first(size: int, first: str) -> None:
    conversation = Conversation(server_port=81)
    if first == "client":
        conversation.handshake().client(0, b"abc").server(0, b"def")
    else:
        conversation.server(0, b"def").client(0, b"abc").wait(1).server_ack(3)
    found = names(addressed(conversation, 7), size=size)
    client, server = (CLIENT + b"\7").hex(":"), (SERVER + b"\7").hex(":")
    assert found == {"40000": f"{client} {server} {0:020}", "00081": f"{server} {client} {0:020}"}


def test_another_connection_on_the_same_ports_may_have_others() -> None:
    first = Conversation().handshake().client(0, b"abc").server_ack(3).close()
    opening = addressed(first, 1)
    first.packets.clear()
    second = first.wait(5).again(77_000, 99_000).handshake().client(0, b"x")
    engine = Engine(Limits(links=True))
    for packets in (opening, addressed(second, 2)):
        for frames, meta in batches(packets):
            engine.feed(frames, meta, ETHERNET)
    spell = Spelling(Template("%e"), engine.origin)
    assert [spell(flow)[0].decode()[-2:] for flow in engine.list_after(0, 9)] == ["01", "02"]


@pytest.mark.parametrize("tags", [(), (Tag(42),), (Tag(7, 0, 0x88A8), Tag(42))])
def test_behind_tags_and_with_ipv6(tags: Any) -> None:
    for client, server in (("10.0.0.1", "10.0.0.2"), ("2001:db8::2", "2001:db8::1")):
        conversation = Conversation(client, server, tags=tags).handshake().client(0, b"abc")
        packets = [
            packet._replace(frame=SERVER + b"\1" + CLIENT + b"\1" + packet.frame[12:])
            for packet in conversation.packets[:1] + conversation.packets[2:]
        ]
        assert names(packets) == expected(40_000, 1, 0)


@pytest.mark.parametrize("link_type", [RAW, SLL])
def test_links_that_have_none(link_type: int) -> None:
    conversation = Conversation(link_type=link_type).handshake().client(0, b"abc")
    assert names(conversation.packets, link_type) == {"40000": f"{NOBODY} {NOBODY} {0:020}"}


def test_frames_that_go_the_long_way_have_those_outside() -> None:
    """MPLS: the packet is looked at elsewhere, and what comes next in the batch is not mistaken for it."""
    conversation = Conversation().handshake().client(0, b"abc")
    other = Conversation(client_port=40_001).handshake().client(0, b"x")
    labelled = [
        packet._replace(frame=packet.frame[:12] + b"\x88\x47\0\0\x11\x40" + packet.frame[14:])
        for packet in addressed(conversation, 1)
    ]
    assert names(labelled + addressed(other, 2)) == expected(40_000, 1, 0) | expected(40_001, 2, 1)


def test_without_being_asked_for_nothing_is_kept() -> None:
    packets = addressed(Conversation().handshake().client(0, b"abc"), 1)
    assert names(packets, links=False) == {"40000": f"{NOBODY} {NOBODY} {0:020}"}


def test_who_sent_nothing_has_no_number() -> None:
    silent = Conversation(client_port=1).handshake()
    speaking = Conversation(client_port=2).handshake().client(0, b"x")
    assert names(addressed(silent, 1) + addressed(speaking, 2)) == expected(2, 2, 0)


def test_a_batch_that_is_not_in_order() -> None:
    """What is not found is not known; nothing raises."""
    engine = Engine(Limits(links=True))
    frames, meta = next(batches(addressed(Conversation().handshake().client(0, b"abc"), 1)))
    rows = [meta[at : at + 16] for at in range(0, len(meta), 16)]
    engine.feed(frames, b"".join(reversed(rows)), ETHERNET)
    engine.finish()
    (flow,) = engine.list_after(0, 9)
    assert len(Spelling(Template("%E"), engine.origin)(flow)[0]) == len(NOBODY)

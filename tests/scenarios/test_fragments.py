"""Scenarios 57 to 60: IP fragments, as they should be and as an attacker makes them [G1 G2 G3]."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from craft import (
    Conversation,
    Extension,
    Packet,
    Tag,
    cut,
    destination_options,
    ethernet,
    fragment,
    fragment_header,
    fragments,
    hop_by_hop,
    ipv4,
    ipv6,
    merge,
    routing,
)
from engines import SMALL, feed, run, started
from flowfs.core.limits import MAX_DATAGRAMS, MIB, SECOND_NS, Limits

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")
both = pytest.mark.parametrize("ends", [V4, V6], ids=["v4", "v6"])
STREAM = random.Random(57).randbytes(3000)


def inside(packet: Packet, tags: Sequence[Tag] = ()) -> bytes:
    """The IP packet in a frame, without padding."""
    whole = packet.frame[14 + 4 * len(tags) :]
    own, at = (0, 2) if whole[0] >> 4 == 4 else (40, 4)
    return whole[: own + int.from_bytes(whole[at : at + 2], "big")]


def framed(pieces: Sequence[bytes], time_ns: int, tags: Sequence[Tag] = ()) -> list[Packet]:
    frames = [ethernet(piece, tags) for piece in pieces]
    return [Packet(time_ns, frame, len(frame)) for frame in frames]


def in_fragments(conversation: Conversation, size: int, first_ident: int = 1) -> list[list[Packet]]:
    """The fragments of each packet, of so many bytes; the ids count up."""
    tags = conversation.tags
    return [
        framed(fragments(inside(packet, tags), size, ident=ident), packet.time_ns, tags)
        for ident, packet in enumerate(conversation.packets, first_ident)
    ]


def talk(ends: tuple[str, str] = V4, **fields: Any) -> Conversation:
    """`STREAM` in segments of 1000 bytes, and the other direction's answer."""
    conversation = Conversation(*ends, **fields).handshake()
    for start in range(0, len(STREAM), 1000):
        conversation.client(start, STREAM[start : start + 1000])
    return conversation.server_ack(len(STREAM)).server(0, b"thanks")


def whole_talk(conversation: Conversation) -> dict[str, bytes]:
    return {conversation.client_name(): STREAM, conversation.server_name(): b"thanks"}


# --- 57 ------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("size", [24, 48, 256, 968])
@pytest.mark.parametrize("tags", [(), (Tag(42),)], ids=["", "vlan"])
def test_57_fragments(ends: tuple[str, str], size: int, tags: Sequence[Tag]) -> None:
    """Every packet of the connection shuffled, and some of the fragments twice."""
    draw = random.Random(size)
    conversation = talk(ends, tags=tags)
    packets: list[Packet] = []
    for pieces in in_fragments(conversation, size):
        draw.shuffle(pieces)
        packets += pieces[:-1] + draw.sample(pieces[:-1], len(pieces) // 2) + pieces[-1:]
    outcome = run(packets)
    assert outcome.files() == whole_talk(conversation)
    numbers = outcome.statistics
    assert (numbers["conflicts"], numbers["lost_bytes"]) == (0, 0)
    assert numbers["fragments_different"] == numbers["fragments_discarded"] == 0
    assert numbers["datagrams_reassembled"] + numbers["packets"] - numbers["fragments"] == 8
    assert numbers["fragments_duplicate"] > 0


def test_57_fragments_of_eight_bytes() -> None:
    """They split TCP's header; the fragments of all data segments are mixed."""
    conversation = talk()
    packets = conversation.packets[:3]
    mixed = [piece for pieces in in_fragments(conversation, 8)[3:6] for piece in pieces]
    assert len(mixed) == 3 * 128  # as many as a datagram may have
    random.Random(8).shuffle(mixed)
    packets += [piece._replace(time_ns=packets[2].time_ns) for piece in mixed]
    outcome = run(packets + conversation.packets[6:])
    assert outcome.files() == whole_talk(conversation)


def test_57_a_fragment_of_each_is_lost() -> None:
    """Nothing of such a datagram is data; the retransmission comes whole."""
    conversation = talk()
    packets = [piece for pieces in in_fragments(conversation, 256) for piece in pieces[1:] or pieces]
    sent_again = Conversation(clock_ns=conversation.clock_ns).client(0, STREAM).server_ack(len(STREAM))
    outcome = run(packets + sent_again.packets)
    assert outcome.files() == whole_talk(conversation)
    assert outcome.statistics["datagrams_reassembled"] == 0


# --- 58 ------------------------------------------------------------------------------------------

ATTACKS: dict[str, list[tuple[int, int, bool]]] = {
    "overlap": [(0, 48, True), (24, 72, True), (72, 120, False)],
    "overlap before": [(0, 24, True), (48, 96, True), (24, 56, True), (96, 120, False)],
    "over all": [(32, 48, True), (0, 120, True), (0, 32, True), (48, 120, False)],
    "last within": [(0, 96, True), (32, 40, False), (96, 120, False)],
    "two ends": [(0, 40, True), (96, 120, False), (40, 96, True), (96, 112, False)][::-1],
    "beyond the end": [(0, 40, True), (80, 120, False), (120, 128, True), (40, 80, True)],
    "beyond 65535": [(0, 40, True), (65528, 65568, False), (40, 120, False)],
}


@both
@pytest.mark.parametrize("attack", ATTACKS)
def test_58_teardrop(ends: tuple[str, str], attack: str) -> None:
    """The datagram is discarded, all its fragments are counted, and TCP sends it again with another id."""
    conversation = Conversation(*ends).handshake().client(0, b"a" * 100)
    whole = inside(conversation.packets[-1])
    pieces = [
        fragment(whole + bytes(8), start % 128, start % 128 + end - start, more=more, offset=start)
        for start, end, more in ATTACKS[attack]
    ]
    packets = conversation.packets[:-1] + framed(pieces, conversation.clock_ns)
    attacked = run(packets)
    assert attacked.files() == {}
    assert attacked.statistics["fragments_discarded"] == len(pieces)
    again = framed(fragments(whole, 48, ident=2), conversation.clock_ns)
    assert run(packets + again).files() == {conversation.client_name(): b"a" * 100}


@both
def test_58_other_bytes_at_the_same_place(ends: tuple[str, str]) -> None:
    """Which of them the receiver took cannot be known: the datagram is discarded, and flagged."""
    conversation = Conversation(*ends).handshake().client(0, b"a" * 100)
    whole = inside(conversation.packets[-1])
    first, last = fragments(whole, 80)
    other = fragment(whole[:-100] + b"x" * 100, 24, 72, more=True)
    outcome = run(conversation.packets[:-1] + framed([first, other, last], conversation.clock_ns))
    assert outcome.files() == {}
    numbers = outcome.statistics
    assert (numbers["fragments_discarded"], numbers["fragments_different"]) == (3, 1)


def test_58_a_wrong_header_checksum() -> None:
    """It is no fragment of anything."""
    conversation = Conversation().handshake().client(0, b"a" * 100)
    first, last = fragments(inside(conversation.packets[-1]), 80)
    broken = last[:10] + bytes([last[10] ^ 1]) + last[11:]
    outcome = run(conversation.packets[:-1] + framed([first, broken, last], conversation.clock_ns))
    assert outcome.files() == {conversation.client_name(): b"a" * 100}
    assert (outcome.statistics["bad_headers"], outcome.statistics["fragments"]) == (1, 2)


@both
def test_58_cut_short(ends: tuple[str, str]) -> None:
    """By the snapshot length: the datagram stays incomplete, and its hole is lost like others."""
    conversation = Conversation(*ends).handshake().client(0, b"a" * 100).client(100, b"b" * 100)
    conversation.server_ack(200).wait(1).other()
    pieces = framed(fragments(inside(conversation.packets[3]), 80), conversation.packets[3].time_ns)
    packets = [*conversation.packets[:3], pieces[0], cut(pieces[1], 60), *conversation.packets[4:]]
    outcome = run(packets)
    assert outcome.files() == {conversation.client_name(): bytes(100) + b"b" * 100}
    assert outcome.statistics["fragments_cut_short"] == outcome.statistics["fragments_expired"] == 1


# --- 59 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends, timeout_s", [(V4, 30), (V6, 60)], ids=["v4", "v6"])
@pytest.mark.parametrize("early_s, whole", [(1, True), (-1, False)])
def test_59_fragment_state_late(ends: tuple[str, str], timeout_s: int, early_s: int, whole: bool) -> None:
    conversation = Conversation(*ends).handshake().client(0, b"a" * 100)
    first, last = framed(fragments(inside(conversation.packets[-1]), 80), conversation.clock_ns)
    late = last._replace(time_ns=last.time_ns + (timeout_s - early_s) * SECOND_NS)
    outcome = run([*conversation.packets[:-1], first, late])
    assert outcome.files() == ({conversation.client_name(): b"a" * 100} if whole else {})
    assert outcome.before.statistics["fragments_expired"] == (not whole)
    assert outcome.before.statistics["fragments_waiting"] == (not whole)


def test_59_fragment_state_is_apart() -> None:
    """The same id for another protocol, on another VLAN, and between other addresses."""
    conversation = Conversation().handshake().client(0, b"a" * 100)
    first, last = fragments(inside(conversation.packets[-1]), 80)
    foreign = framed([fragment(ipv4(*V4, b"x" * 120, protocol=17), 80)], conversation.clock_ns)
    foreign += framed([fragment(ipv4("10.0.0.3", V4[1], b"x" * 120), 80)], conversation.clock_ns)
    foreign += framed([fragment(ipv4(V4[0], "10.0.0.3", b"x" * 120), 80)], conversation.clock_ns)
    foreign += framed([last], conversation.clock_ns, [Tag(42)])
    own = framed([first, last], conversation.clock_ns)
    outcome = run([*conversation.packets[:-1], own[0], *foreign, own[1]])
    assert outcome.files() == {conversation.client_name(): b"a" * 100}
    assert outcome.before.statistics["fragments_waiting"] == len(foreign)


def flood(count: int, forged: bool, time_ns: int) -> list[Packet]:
    """First fragments that no other will follow, of one sender or of as many as there are."""
    pieces = []
    for number in range(count):
        source = f"198.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" if forged else "198.0.0.1"
        pieces.append(fragment(ipv4(source, "10.0.0.2", bytes(1500)), 0, 1400, ident=number & 0xFFFF))
    return framed(pieces, time_ns)


@pytest.mark.parametrize("forged", [False, True])
def test_59_fragment_state_flood(forged: bool) -> None:
    """At most 4 MiB, and a connection whose packets are fragments goes on within it."""
    conversation = talk()
    honest = [piece for pieces in in_fragments(conversation, 512) for piece in pieces]
    waves = flood(6000, forged, conversation.clock_ns)
    packets = waves[: 6000 - 20 * len(honest)]
    for number, piece in enumerate(honest):  # 20 of the flood between any two
        packets += waves[len(waves) - 20 * (len(honest) - number) :][:20]
        packets.append(piece._replace(time_ns=conversation.clock_ns))
    outcome = run(packets, Limits(payload_bytes=4 * MIB))
    assert outcome.files() == whole_talk(conversation)
    numbers = outcome.before.statistics
    assert numbers["fragments_limit_bytes"] == 4 * MIB
    assert numbers["fragments_used_bytes"] <= (4 * MIB if forged else MIB // 2)
    assert numbers["fragments_evicted"] > 0


def test_59_fragment_state_never_exceeds_its_budget() -> None:
    """Looked at after each slice of a flood of datagrams of every size."""
    draw = random.Random(59)
    pieces = []
    for _ in range(9000):
        source = f"198.51.{draw.randrange(40)}.{draw.randrange(256)}"
        start = 8 * draw.randrange(4)
        pieces.append(
            fragment(ipv4(source, "10.0.0.2", bytes(1500)), start, start + 8 * draw.randrange(1, 150))
        )
    with started(SMALL) as engine:
        for begin in range(0, len(pieces), 100):
            feed(engine, framed(pieces[begin : begin + 100], SECOND_NS))
            numbers = engine.statistics()
            assert numbers["fragments_used_bytes"] <= 4 * MIB
            assert numbers["fragments_waiting"] <= MAX_DATAGRAMS
        engine.tick(100 * SECOND_NS)
        assert engine.statistics()["fragments_used_bytes"] == 0


# --- 60 ------------------------------------------------------------------------------------------

CHAIN = [hop_by_hop(), routing(), destination_options()]


def test_60_ipv6_chain_atomic() -> None:
    """An atomic fragment that has the id of a datagram of which a fragment waits: both are delivered."""
    conversation = Conversation(*V6).handshake().client(0, b"a" * 100).client(100, b"b" * 50)
    first, last = fragments(inside(conversation.packets[3]), 80, ident=7)
    atomic = fragment(inside(conversation.packets[4]), 0, ident=7)
    outcome = run(conversation.packets[:3] + framed([first, atomic, last], conversation.clock_ns))
    assert outcome.files() == {conversation.client_name(): b"a" * 100 + b"b" * 50}


@pytest.mark.parametrize("unfragmented", [40, 48, 56, 64])
def test_60_ipv6_chain(unfragmented: int) -> None:
    """Hop-by-hop, routing and destination options, with the fragment header anywhere among them."""
    conversation = Conversation(*V6).handshake()
    conversation.client(0, b"a" * 100, extensions=CHAIN).client(100, b"b" * 100, extensions=CHAIN)
    packets = list(conversation.packets[:3])
    for ident, packet in enumerate(conversation.packets[3:]):
        pieces = fragments(inside(packet), 56, ident=ident, unfragmented=unfragmented)
        packets += framed(pieces[::-1], packet.time_ns)
    outcome = run(packets)
    assert outcome.files() == {conversation.client_name(): b"a" * 100 + b"b" * 100}
    assert outcome.statistics["datagrams_reassembled"] == 2


@pytest.mark.parametrize("before", [0, 1, 8])
def test_60_ipv6_chain_of_nine(before: int) -> None:
    """The fragment header among them."""
    headers: list[Extension] = [destination_options()] * 8
    conversation = Conversation(*V6).handshake().client(0, b"a" * 100, extensions=headers)
    pieces = fragments(inside(conversation.packets[-1]), 96, unfragmented=40 + 8 * before)
    outcome = run(conversation.packets[:-1] + framed(pieces, conversation.clock_ns))
    assert outcome.files() == {}
    assert outcome.statistics["fragments_bad"] + outcome.statistics["unknown_frames"] >= 1


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("headers", [[], [destination_options()]])
def test_60_ipv6_chain_in_the_first_fragment(size: int, headers: list[Extension]) -> None:
    """RFC 7112: one that ends within TCP's header is dropped, whatever follows."""
    conversation = Conversation(*V6).handshake().client(0, b"a" * 50, extensions=headers)
    pieces = fragments(inside(conversation.packets[-1]), size)
    outcome = run(conversation.packets[:-1] + framed(pieces, conversation.clock_ns))
    assert outcome.files() == {}
    assert outcome.statistics["fragments_bad"] == 1
    assert outcome.statistics["fragments_expired"] == len(pieces) - 1


def test_60_fragments_of_something_else() -> None:
    """Put together they are no TCP, and say so."""
    ping = fragments(ipv6(*V6, b"\x80\0" + bytes(100), next_header=58), 56)
    datagram = fragments(ipv4(*V4, bytes(100), protocol=17), 56)
    whole = ipv6(*V6, b"x" * 30, extensions=[fragment_header(8)], next_header=58)
    outcome = run(merge(framed([*ping, *datagram, whole], SECOND_NS)))
    assert outcome.files() == {}
    assert outcome.statistics["not_tcp"] == outcome.statistics["datagrams_reassembled"] == 2

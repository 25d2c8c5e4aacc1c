"""One forged packet comes before a connection is picked up midway: no byte of the hosts is lost [L3].

Its numbers lie anywhere; what of it was shown stays, and nothing else comes of it: no hole, no other base.
"""

from __future__ import annotations

from itertools import product

import pytest

from craft import Conversation
from engines import Outcome, run
from flowfs.core.limits import CONNECTION_BYTES, FORGED_GAP_NS, HALF_OPEN_NS, MIB, SECOND_NS, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()

CLIENT = b"".join(b"c%05d" % index for index in range(8))
SERVER = b"".join(b"s%04d" % index for index in range(8))
FAR = [-600 * MIB, -50 * MIB, -5 * MIB, 5 * MIB, 50 * MIB, 600 * MIB]
NEAR = [-65_000, -1000, 1000, 65_000]
FORGED = ["SYN", "SYN/ACK", "data", "data of the server", "ACK", "FIN"]
EVIL = b"E" * 20


def forge(kind: str, by: int, peer_by: int) -> Conversation:
    """One packet with numbers that are off by so much on either side; then the hosts have their own."""
    conversation = Conversation(client_isn=(2**31 + by) % 2**32, server_isn=(2**30 + peer_by) % 2**32)
    if kind == "SYN":
        conversation.syn()
    elif kind == "SYN/ACK":
        conversation.syn_ack()
    elif kind == "data":
        conversation.client(0, EVIL)
    elif kind == "data of the server":
        conversation.server(0, EVIL)
    elif kind == "ACK":
        conversation.client_ack(0)
    else:
        conversation.fin()
    return conversation


def go_on(conversation: Conversation, one_way: bool = False) -> Conversation:
    """24 packets of both hosts, or 8 of the client, in the middle of their connection."""
    conversation.again(2**31, 2**30)
    for index in range(8):
        conversation.client(6 * index, CLIENT[6 * index : 6 * index + 6])
        if not one_way:
            conversation.server_ack(6 * index + 6)
            conversation.server(5 * index, SERVER[5 * index : 5 * index + 5])
            conversation.client_acked = 5 * index + 5
    return conversation


def check(outcome: Outcome, name: str, data: bytes) -> None:
    """All that a host sent is in one file, and in no other, without a hole."""
    files = {file: content for file, content in outcome.files().items() if file.startswith(name)}
    assert list(files.values()).count(data) == 1, {file: content[:40] for file, content in files.items()}
    assert [content for content in files.values() if content not in (data, EVIL)] == []
    assert all(outcome.gaps(file) == [] for file in files)
    assert outcome.statistics["dropped_window_bytes"] == 0


def can_be_told(kind: str, by: int, peer_sign: int) -> bool:
    return kind != "data of the server" or peer_sign != 0 or abs(by) >= 16 * MIB


@pytest.mark.parametrize(
    "kind, by, peer_sign", [case for case in product(FORGED, FAR, [1, 0, -1]) if can_be_told(*case)]
)
@pytest.mark.parametrize("seconds", [0.001, 0.2, 5])
def test_both_sides(kind: str, by: int, peer_sign: int, seconds: float) -> None:
    """All is there at once.

    Left out is data of the server with its right numbers, and an ACK that is less than 16 MiB off: it might
    be of the hosts, as nothing tells it from what they send.
    """
    conversation = go_on(forge(kind, by, peer_sign * by).wait(seconds))
    outcome = run(conversation.wait(0.2).other())
    check(outcome, NAME, CLIENT)
    check(outcome, SERVER_NAME, SERVER)
    assert len(outcome.before.by_name) == len(outcome.by_name)


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("by", FAR)
@pytest.mark.parametrize("seconds", [0.001, 0.2, 5])
def test_one_way(kind: str, by: int, seconds: float) -> None:
    """At once, or in time, where a SYN or a host that seems to be seen may yet have an answer."""
    conversation = go_on(forge(kind, by, by).wait(seconds), one_way=True)
    outcome = run(conversation.wait(HALF_OPEN_NS / SECOND_NS + 1).other())
    check(outcome, NAME, CLIENT)
    assert outcome.before.files() == outcome.files()


def is_at_their_place(kind: str, peer_sign: int) -> bool:
    """Its bytes are where the hosts' will be: of two the first wins, and the conflict is counted [O1]."""
    return kind == "data of the server" and peer_sign == 0


@pytest.mark.parametrize(
    "kind, by, peer_sign",
    [case for case in product(FORGED, NEAR, [1, 0, -1]) if not is_at_their_place(case[0], case[2])],
)
@pytest.mark.parametrize("seconds", [0.001, 0.2, 5])
@pytest.mark.parametrize("one_way", [False, True])
def test_near_by(kind: str, by: int, peer_sign: int, seconds: float, one_way: bool) -> None:
    """No byte of the hosts is lost. There may be a hole before them, as behind a segment that was captured
    before others were lost: the packets are the same.
    """
    conversation = go_on(forge(kind, by, peer_sign * by).wait(seconds), one_way)
    found = run(conversation.wait(HALF_OPEN_NS / SECOND_NS + 1).other()).files()
    for name, data in [(NAME, CLIENT)] if one_way else [(NAME, CLIENT), (SERVER_NAME, SERVER)]:
        assert sum(content.count(data) for file, content in found.items() if file.startswith(name)) == 1


SEGMENT_BYTES = 1460
STREAM = b"".join(b"%c" % (65 + index) * SEGMENT_BYTES for index in range(10))


def download(conversation: Conversation, way: str, stream: bytes = STREAM) -> Conversation:
    """Segments of the server; `way`: how often the client acknowledges, or sends data."""
    conversation.again(2**31, 2**30)
    for index, at in enumerate(range(0, len(stream), SEGMENT_BYTES)):
        conversation.server(at, stream[at : at + SEGMENT_BYTES])
        if way == "each" or (way == "every second" and index % 2):
            conversation.client_ack(min(at + SEGMENT_BYTES, len(stream)))
        elif way == "with data":
            conversation.client_acked = min(at + SEGMENT_BYTES, len(stream))
            conversation.client(3 * index, b"abc")
            conversation.server_acked = 3 * index + 3
    return conversation


@pytest.mark.parametrize("way", ["each", "every second", "with data", "one way"])
@pytest.mark.parametrize("by", [1, 1000, 2000, 12_000, 65_000])
@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize("seconds", [0.11, 5])
def test_ahead_of_segments_of_the_usual_size(way: str, by: int, size: int, seconds: float) -> None:
    """They pass over it. What was shown stays, and the hosts have all of their bytes under the next name."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30 + by).server(0, b"E" * size)
    outcome = run(download(conversation.wait(seconds).other(), way).wait(0.2).other())
    assert outcome.before.files()[SERVER_NAME] == b"E" * size
    assert outcome.before.files()[SERVER_NAME + "c1"] == STREAM
    assert outcome.before.gaps(SERVER_NAME + "c1") == []


@pytest.mark.parametrize("by, size", [(SEGMENT_BYTES - 20, 20), (1000, SEGMENT_BYTES)])
def test_what_ends_where_a_segment_does(by: int, size: int) -> None:
    """The next one, or its ACK, goes with both: the packets are those of a segment that comes too late, and
    what lies before the first is lost, and counted.
    """
    conversation = Conversation(client_isn=2**31, server_isn=2**30 + by).server(0, b"E" * size)
    outcome = run(download(conversation.wait(0.2).other(), "each"))
    assert set(outcome.files()) == {SERVER_NAME}
    assert outcome.statistics["dropped_tentative_bytes"] == SEGMENT_BYTES


@pytest.mark.parametrize("seconds", [0.11, 5])
@pytest.mark.parametrize("lacking", [1, 700, 65_000])
@pytest.mark.parametrize("answers", [False, True])
def test_an_earlier_segment_that_comes_too_late(seconds: float, lacking: int, answers: bool) -> None:
    """The first is true, the other, forged or not, from before the base: the connection goes on [L3]."""
    conversation = Conversation().client(100_000, b"first").wait(seconds).other()
    conversation.client(100_000 - lacking, b"l" * min(lacking, 50))
    for index in range(5):
        conversation.client(100_005 + index, b"%d" % index)
        if answers:
            conversation.server_ack(100_006 + index)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == outcome.files() == {NAME: b"first01234"}
    assert outcome.statistics["dropped_tentative_bytes"] == min(lacking, 50)


@pytest.mark.parametrize("way", ["each", "one way"])
def test_all_is_sent_again_from_before_the_first(way: str) -> None:
    """By who lost one, and goes back: it is there once, and whole."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30)
    conversation.server(2 * SEGMENT_BYTES, STREAM[2 * SEGMENT_BYTES :][:SEGMENT_BYTES]).wait(0.2).other()
    outcome = run(download(conversation, way).wait(0.2).other())
    assert outcome.before.files()[SERVER_NAME + "c1"] == STREAM
    assert outcome.before.gaps(SERVER_NAME + "c1") == []


@pytest.mark.parametrize("kind", ["SYN", "SYN/ACK"])
def test_a_syn_leaves_nothing(kind: str) -> None:
    """There is one connection, of which the beginning was not seen."""
    outcome = run(go_on(forge(kind, -600 * MIB, 600 * MIB)))
    assert outcome.files() == {NAME: CLIENT, SERVER_NAME: SERVER}


def test_data_that_was_not_shown_yet_leaves_nothing() -> None:
    """If one of its numbers is right, it is of no other connection; else it may be, and has a file [R9]."""
    outcome = run(go_on(forge("data", 600 * MIB, 0)))
    assert outcome.files() == {NAME: CLIENT, SERVER_NAME: SERVER}
    assert outcome.statistics["dropped_pre_start_bytes"] == len(EVIL)
    outcome = run(go_on(forge("data", 600 * MIB, 600 * MIB)))
    assert outcome.files() == {NAME: EVIL, NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}


def test_data_that_was_shown_stays() -> None:
    """What can be read does not change [R1]: the hosts have the next name [R8]."""
    outcome = run(go_on(forge("data", -600 * MIB, 0).wait(0.2).other()))
    assert outcome.files() == {NAME: EVIL, NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}


@pytest.mark.parametrize("kind", FORGED)
def test_of_a_connection_that_went_for_the_room(kind: str) -> None:
    """The table is full: it is forgotten, a packet is forged, and it goes on."""
    conversation = Conversation(client_isn=2**31 - 5, server_isn=2**30 - 3).handshake()
    conversation.client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3).wait(60)
    packets = [
        *conversation.packets,
        *Conversation(client_port=1, clock_ns=conversation.clock_ns).handshake().packets,
        *Conversation(client_port=2, clock_ns=conversation.clock_ns + SECOND_NS).handshake().packets,
    ]
    forged = forge(kind, 600 * MIB, -600 * MIB)
    forged.packets[0] = forged.packets[0]._replace(time_ns=conversation.clock_ns + 60 * SECOND_NS)
    forged.clock_ns = conversation.clock_ns + 61 * SECOND_NS
    limits = Limits(payload_bytes=4 * MIB, table_bytes=2 * CONNECTION_BYTES)
    outcome = run([*packets, *go_on(forged).packets], limits)
    check(outcome, NAME, CLIENT)
    check(outcome, SERVER_NAME, SERVER)


@pytest.mark.parametrize("seconds", [0, 0.05, FORGED_GAP_NS / SECOND_NS - 0.1])
@pytest.mark.parametrize("by", FAR)
def test_forged_data_behind_a_true_syn(seconds: float, by: int) -> None:
    """Its answer is on the way: some segments of one side, in a row, take no place."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30).syn()
    for index in range(3):
        conversation.client(index, b"E", seq=(2**31 + by + index) % 2**32)
    conversation.wait(seconds).syn_ack().client_ack(0)
    outcome = run(conversation.client(0, b"abc").server_ack(3).wait(0.2).other())
    assert outcome.before.files() == {NAME: b"abc"}
    assert outcome.files() == {NAME: b"abc"}


@pytest.mark.parametrize("lost", [1000, 60_000, MIB - 10])
def test_a_gap_behind_a_syn(lost: int) -> None:
    """One that is not wide may be, and is a hole as any other."""
    conversation = Conversation().syn()
    for index in range(3):
        conversation.client(lost + index, b"x").server_ack(lost + index + 1)
    outcome = run(conversation.wait(1).other())
    assert outcome.before.gaps(NAME) == [(0, lost, "ack")]
    assert outcome.before.files()[NAME][lost:] == b"xxx"


def test_a_probe_right_behind_a_syn() -> None:
    """It lies before the first byte, and shows the same connection."""
    conversation = Conversation().syn().client(-1, b"x").client(0, b"abc").server_ack(3)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["connections"] == 1


@pytest.mark.parametrize("flags", ["R", "S"])
@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("peer_by", [0, 600 * MIB])
@pytest.mark.parametrize("client", [True, False])
def test_what_stands_where_no_ack_is_says_nothing(kind: str, peer_by: int, client: bool, flags: str) -> None:
    """A RST or SYN without the flag has anything there (RFC 9293, 3.1)."""
    seen = []
    forged = (2**31 - 600 * MIB, 2**30 + peer_by)
    for ack in (0, *(isn + by for isn in (2**30, 2**31, *forged) for by in (1, 5))):
        conversation = forge(kind, -600 * MIB, peer_by).again(2**31, 2**30).client(0, b"abc")
        conversation.send(client, b"", flags=flags, seq=(2**31 if client else 2**30) + 4, ack=ack)
        conversation.again(2**31, 2**30).client(3, b"def")
        outcome = run(conversation.wait(5).other())
        seen.append((outcome.files(), outcome.statistics, outcome.before.statistics))
    assert all(one == seen[0] for one in seen)

"""The same addresses and ports once more, and nothing of the handshake was captured: numbers alone tell.

Where the old connection is closed that is soon enough; where it lasts, both sides must show it.
"""

from __future__ import annotations

import pytest

from craft import Conversation
from engines import check_two_rivals_at_most, feed, run, started
from flowfs.core.limits import CONNECTION_BYTES, MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()

FIRST = {NAME: b"abcde", SERVER_NAME: b"xyz"}
CLIENT = b"one two three"
SERVER = b"four five six seven"


def ended(how: str) -> Conversation:
    """By its name: FIN, RST; or not at all."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30).handshake()
    conversation.client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3)
    if how == "FIN":
        return conversation.close()
    return conversation.rst() if how == "RST" else conversation


def once_more(
    conversation: Conversation, client_isn: int = 900_000, server_isn: int = 7_000_000
) -> Conversation:
    return conversation.again(client_isn, server_isn)


def both(conversation: Conversation) -> Conversation:
    return conversation.talk(CLIENT, SERVER)


def alone(conversation: Conversation, segments: int = 4) -> Conversation:
    """Only the client is seen."""
    for index in range(segments):
        conversation.client(4 * index, CLIENT[4 * index : 4 * index + 4])
    return conversation


# --- the old connection is closed --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("seconds", [0.001, 1, 30])
@pytest.mark.parametrize("isns", [(900_000, 7_000_000), (2**31 + 10**6, 2**30 + 10**6)])
def test_both_sides(how: str, seconds: float, isns: tuple[int, int]) -> None:
    """Wherever the numbers are, no byte of it is lost."""
    conversation = both(once_more(ended(how).wait(seconds), *isns)).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}
    assert outcome.before.state(NAME + "c1") == "open"
    assert outcome.gaps(NAME + "c1") == outcome.gaps(SERVER_NAME + "c1") == []


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("seconds", [0.001, 3])
def test_one_side(how: str, seconds: float) -> None:
    """Several segments in a row; at once where a connection that goes on would have said so."""
    conversation = alone(once_more(ended(how).wait(seconds))).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.files() == FIRST | {NAME + "c1": CLIENT}
    assert (NAME + "c1" in outcome.before.files()) == (seconds == 3)
    assert run(conversation.wait(31).other()).before.files() == FIRST | {NAME + "c1": CLIENT}


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("segments", [1, 2])
def test_a_segment_or_two(how: str, segments: int) -> None:
    """Whatever that was, it shows no connection."""
    conversation = alone(once_more(ended(how).wait(3)), segments).wait(31).other()
    outcome = run(conversation)
    assert outcome.files() == FIRST
    assert outcome.before.statistics["dropped_tentative_bytes"] == 4 * segments
    assert outcome.before.statistics["connections_tracked"] == 2


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("first", ["client", "both", "server"])
@pytest.mark.parametrize("probes", [1, 3])
def test_a_probe_comes_first(probes: int, first: str, how: str) -> None:
    """Some put any byte in it, in the place of one that was never captured [L6]."""
    conversation = once_more(ended(how).wait(5))
    conversation.client_next = conversation.server_acked = 100
    conversation.server_next = conversation.client_acked = 200
    for _ in range(probes):
        if first != "server":
            conversation.client(99, b"\0", flags="A").server_ack(100)
        if first != "client":
            conversation.server(199, b"\0", flags="A").client_ack(200)
        conversation.wait(1)
    for at in range(0, 20, 4):
        conversation.client(100 + at, b"abcd").server_ack(104 + at)
        conversation.server(200 + at, b"ABCD").client_ack(204 + at)
    outcome = run(conversation.wait(3).close())
    assert outcome.files() == FIRST | {NAME + "c1": b"abcd" * 5, SERVER_NAME + "c1": b"ABCD" * 5}
    assert outcome.gaps(NAME + "c1") == outcome.gaps(SERVER_NAME + "c1") == []
    assert outcome.statistics["conflicts"] == 0


def test_typing_comes_first() -> None:
    """One byte that is pushed is data, and so is what the peer's ACK waits for."""
    conversation = once_more(ended("FIN").wait(5))
    for at in range(6):
        conversation.client(at, b"l").server_ack(at + 1).server(at, b"L").client_ack(at + 1)
    outcome = run(conversation.wait(3).close())
    assert outcome.files() == FIRST | {NAME + "c1": b"l" * 6, SERVER_NAME + "c1": b"L" * 6}
    conversation = once_more(ended("FIN").wait(5)).server(0, b"prompt").client_ack(6)
    for at in range(6):
        conversation.client(at, b"l", flags="A").server_ack(at + 1)
    outcome = run(conversation.wait(3).close())
    assert outcome.files() == FIRST | {NAME + "c1": b"l" * 6, SERVER_NAME + "c1": b"prompt"}


def test_a_reset_that_was_forged_and_others_far_away() -> None:
    """The true connection goes on, and is what it was."""
    conversation = alone(once_more(ended("RST")))
    conversation.again(2**31, 2**30).client(5, b"fgh", ack=2**30 + 4).server(3, b"uvw", ack=2**31 + 9)
    conversation.client(8, b"i", ack=2**30 + 7)
    outcome = run(conversation.wait(31).other())
    assert outcome.files() == {NAME: b"abcdefghi", SERVER_NAME: b"xyzuvw"}
    assert outcome.before.state(NAME) == "open"


def test_others_far_away_between_what_goes_on_after_a_forged_reset() -> None:
    conversation = ended("RST")
    for index in range(8):
        conversation.client(index, b"E", seq=900_001 + index, ack=7_000_001)
        conversation.client(5 + index, b"f", seq=2**31 + 6 + index, ack=2**30 + 4)
    conversation.wait(3).client(9, b"E", seq=900_009, ack=7_000_001).server_ack(13, ack=2**31 + 14)
    outcome = run(conversation.wait(31).other())
    assert outcome.files() == FIRST | {NAME: b"abcdeffffffff"}


def test_others_far_away_and_what_is_in_doubt_when_the_capture_ends() -> None:
    conversation = alone(once_more(ended("RST")))
    conversation.again(2**31, 2**30).client(5, b"fgh", ack=2**30 + 4)
    assert run(conversation).files() == FIRST


def test_syns_come_first() -> None:
    """What is shown by a SYN gives way to none without."""
    conversation = once_more(ended("FIN")).syn().syn(isn=50_000_000)
    for number in range(5):
        conversation.client(0, b"evil", seq=100_000_000 * (number + 1), ack=77)
    outcome = run(conversation.client(0, b"new"))
    assert outcome.before.files() == FIRST | {NAME + "c1": b"new"}


def test_data_sent_again_far_behind() -> None:
    """From before the window, as a capture may have it late: each segment alone."""
    conversation = Conversation(server_window=1000).handshake()
    for offset in range(0, 10_000, 500):
        conversation.client(offset, bytes([65 + offset // 500]) * 500).server_ack(offset + 500)
    conversation.close()
    for offset in (0, 2000, 4000, 500, 1500):
        conversation.client(offset, bytes([65 + offset // 500]) * 500)
    outcome = run(conversation.wait(31).other())
    assert set(outcome.files()) == {NAME}


# --- it was picked up midway, and reset [L3 L5] -------------------------------------------------------------


def reset_midway(at: int) -> Conversation:
    conversation = Conversation(client_isn=2**31).client(0, b"abc", ack=1).client(3, b"def", ack=1)
    return conversation.rst(at, ack=1)


@pytest.mark.parametrize("at", [6, 16])
@pytest.mark.parametrize("seconds", [0.001, 0.5, 10])
@pytest.mark.parametrize("isn", [900_000, 2**31 + 50 * MIB])
def test_another_one_way(at: int, seconds: float, isn: int) -> None:
    """The RST, exact or not, ends the gathering of first segments; what lies far away is of another."""
    conversation = alone(once_more(reset_midway(at).wait(seconds), isn)).wait(4).other()
    conversation.client(len(CLIENT), b"!").wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abcdef", NAME + "c1": CLIENT + b"!"}
    assert outcome.before.state(NAME) == "rst"
    assert outcome.before.state(NAME + "c1") == "open"
    assert outcome.statistics["lost_bytes"] == 0


# --- it was picked up midway, and lasts or settles yet [L3] -------------------------------------------------


def picked_up(who: str) -> tuple[Conversation, dict[str, bytes]]:
    """Few segments of one side or of both, and what there is of them."""
    conversation = Conversation(client_isn=2**31, server_isn=2**30)
    if who == "client":
        return conversation.client(0, b"abc"), {NAME: b"abc"}
    if who == "client, answered":
        return conversation.client(0, b"abc").server_ack(3), {NAME: b"abc"}
    if who == "server":
        return conversation.server(0, b"uvw").client_ack(3).server(3, b"xyz"), {SERVER_NAME: b"uvwxyz"}
    conversation.client(0, b"abc").client(3, b"d").client(4, b"e").client(5, b"f").server(
        0, b"xyz", ack=2**31 + 7
    )
    return conversation.client_ack(3), {NAME: b"abcdef", SERVER_NAME: b"xyz"}


WHO = ["client", "client, answered", "server", "both"]
BEHIND, AHEAD = -50 * MIB, 50 * MIB
# What was captured of the handshake, and how far from the old one's numbers its own are.
TOLD = [
    *(("SYN, SYN/ACK", by) for by in (BEHIND, -MIB, MIB, AHEAD)),
    *((handshake, by) for handshake in ("SYN", "SYN/ACK") for by in (BEHIND, AHEAD)),
    ("", BEHIND),
]


def seen_of(conversation: Conversation, handshake: str) -> Conversation:
    """As much of the handshake as was captured, and the ACK."""
    if handshake != "SYN/ACK" and handshake:
        conversation.syn()
    if "ACK" in handshake:
        conversation.syn_ack()
    return conversation.client_ack(0) if handshake else conversation


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("seconds", [0.001, 0.2])
@pytest.mark.parametrize(("handshake", "by"), TOLD)
def test_another_in_the_place_of_one_picked_up(who: str, seconds: float, handshake: str, by: int) -> None:
    """Wherever its numbers are, if they or its handshake tell: also while the first settles."""
    conversation, first = picked_up(who)
    conversation.wait(seconds).again(2**31 + by, 2**30 + by)
    outcome = run(both(seen_of(conversation, handshake)).wait(0.2).other())
    assert outcome.before.files() == first | {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}
    assert outcome.statistics["lost_bytes"] == outcome.statistics["dropped_window_bytes"] == 0


@pytest.mark.parametrize("seconds", [0.001, 0.2])
def test_another_that_asks_where_only_the_server_had_data(seconds: float) -> None:
    """Of the client nothing but its ACKs was seen, so it never had a base."""
    conversation, first = picked_up("server")
    conversation.wait(seconds).again(2**31 + BEHIND, 2**30 + BEHIND).client(0, CLIENT).server_ack(len(CLIENT))
    outcome = run(conversation.server(0, SERVER).client_ack(len(SERVER)).wait(0.2).other())
    assert outcome.before.files() == first | {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}


@pytest.mark.parametrize("seconds", [0.001, 0.2])
def test_another_one_way_while_the_old_one_seems_to_last(seconds: float) -> None:
    """Nobody is captured who could answer: several in a row tell."""
    conversation, first = picked_up("client")
    outcome = run(alone(once_more(conversation.wait(seconds))).wait(0.2).other())
    assert outcome.before.files() == first | {NAME + "c1": CLIENT}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("of_server", [False, True])
def test_others_far_away_while_it_settles(who: str, of_server: bool) -> None:
    """Who forges one side, and goes on between the packets of the hosts, gets neither a place nor a base."""
    conversation, _ = picked_up(who)
    for index in range(4):
        if of_server:
            conversation.server(index, b"E", seq=7_000_000 + index, ack=900_000)
        else:
            conversation.client(index, b"E", seq=900_000 + index, ack=7_000_000)
        conversation.client(6 + index, b"g", seq=2**31 + 7 + index, ack=2**30 + 7)
        conversation.server(6 + index, b"h", seq=2**30 + 7 + index, ack=2**31 + 8 + index)
    outcome = run(conversation.wait(31).other())
    assert set(outcome.files()) == {NAME, SERVER_NAME}
    assert outcome.files()[NAME].endswith(b"gggg")
    assert outcome.files()[SERVER_NAME].endswith(b"hhhh")
    assert not any(b"E" in content for content in outcome.files().values())


# --- the old connection lasts [Q2] -------------------------------------------------------------------------


def test_both_sides_while_the_old_one_seems_to_last() -> None:
    conversation = both(once_more(ended("").wait(100))).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}
    assert outcome.before.state(NAME) == "idle"


@pytest.mark.parametrize("of_server", [False, True])
def test_one_side_alone_while_the_connection_lasts(of_server: bool) -> None:
    """Who forges one side gets no answer."""
    conversation = once_more(ended(""))
    for index in range(20):
        if of_server:
            conversation.server(4 * index, b"evil")
        else:
            conversation.client(4 * index, b"evil")
    conversation.wait(31).other()
    conversation.again(2**31, 2**30).client(5, b"fgh", ack=2**30 + 4).server(3, b"uvw", ack=2**31 + 9)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abcdefgh", SERVER_NAME: b"xyzuvw"}
    assert outcome.statistics["dropped_tentative_bytes"] == 80


@pytest.mark.parametrize("of_server", [False, True])
def test_both_sides_forged_while_one_goes_on(of_server: bool) -> None:
    conversation = ended("")
    for index in range(20):
        conversation.client(index, b"E", seq=900_001 + index, ack=7_000_001)
        conversation.server(0, b"", seq=7_000_001, ack=900_002 + index, flags="A")
        if of_server:
            conversation.server(3 + index, b"f", ack=2**31 + 6)
        else:
            conversation.client(5 + index, b"f", ack=2**30 + 4)
    outcome = run(conversation.wait(31).other())
    more = {SERVER_NAME: b"xyz" + b"f" * 20} if of_server else {NAME: b"abcde" + b"f" * 20}
    assert outcome.files() == FIRST | more


def test_both_sides_while_a_reset_waits() -> None:
    """A RST that is not exact may be forged: the connection has ended, and nobody knows how."""
    conversation = both(once_more(ended("").rst(15))).wait(0.2).other()
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER}
    assert outcome.before.state(NAME) == "idle"


def test_one_number_far_away_begins_nothing() -> None:
    with started() as engine:
        feed(engine, ended("").client(0, b"x", seq=900_001).client(5, b"y", ack=7_000_001))
        assert engine.statistics()["connections_tracked"] == 1


def test_what_was_far_away_costs_no_more_than_two() -> None:
    with started() as engine:
        conversation = ended("")
        for number in range(100):
            conversation.client(0, b"w" * 100, seq=number * 2**25 + 2**24, ack=7_000_001)
        feed(engine, conversation)
        check_two_rivals_at_most(engine)


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
@pytest.mark.parametrize("count", [1, 2])
def test_where_the_table_is_full(how: str, count: int) -> None:
    """There may be no room, or only that of the connection itself."""
    limits = Limits(payload_bytes=MIB, table_bytes=count * CONNECTION_BYTES)
    outcome = run(both(once_more(ended(how))), limits)
    if count == 2:
        assert outcome.files() == {NAME + "c1": CLIENT, SERVER_NAME + "c1": SERVER} | FIRST
    elif how:  # the old one gives way, and the segment for which it did is refused
        assert outcome.files() == {NAME: CLIENT[4:], SERVER_NAME: SERVER}
        assert outcome.statistics["dropped_refused_bytes"] == 4
    else:
        assert outcome.files() == FIRST
        assert outcome.statistics["connections_refused"] > 0


def test_one_packet_that_comes_before_another_connection() -> None:
    """It fits nothing, and costs the other not its place when the old connection is forgotten."""
    conversation = Conversation().handshake().close().wait(59)
    conversation.client(0, b"stray!", seq=2**31 + 1, ack=2**30 + 1).wait(0.9)
    conversation = once_more(conversation).syn().syn_ack().server(0, b"421 too").wait(0.3).other()
    conversation.client_ack(7).client(0, b"open").server_ack(4)
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files() == {NAME: b"open", SERVER_NAME: b"421 too"}


@pytest.mark.parametrize("seconds", [0.05, 0.2, 3])
@pytest.mark.parametrize("answers", [False, True])
def test_the_end_is_seen_first(answers: bool, seconds: float) -> None:
    """A FIN alone closes nothing: what it follows may be sent again, and the peer go on [L3 L4]."""
    conversation = Conversation().fin(10).wait(seconds).client(0, b"0123456789")
    wanted = {NAME: b"0123456789"}
    if answers:
        conversation.server_ack(11).wait(seconds).server(0, b"answer").wait(seconds).server(6, b"more")
        wanted[conversation.server_name()] = b"answermore"
    outcome = run(conversation)
    assert outcome.files() == wanted

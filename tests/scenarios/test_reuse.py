"""The same addresses and ports once more: what an old connection left behind must not cost the new one bytes.

Who reuses them honestly sends what a forger would, a SYN and its SYN/ACK; here, whose bytes must be there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from craft import Conversation, timestamps, wscale
from engines import run

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()


def established() -> Conversation:
    return Conversation().handshake().client(0, b"abcde").server_ack(5).server(0, b"xyz").client_ack(3)


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


@pytest.mark.parametrize("old", [b"", b"x"])
@pytest.mark.parametrize("twice", ["", "whole", "bare"])
@pytest.mark.parametrize("server_ahead", [-100_000, 100_000])
@pytest.mark.parametrize("speaks", ["client", "server"])
def test_data_in_the_syn_behind_a_handshake_without_its_syn_ack(
    old: bytes, twice: str, server_ahead: int, speaks: str
) -> None:
    """Of the old connection nothing else was captured. The SYN/ACK is for the SYN with the data."""
    conversation = Conversation().syn(payload=old)
    conversation.client_next = len(old)
    conversation.client_ack(0).again(900_000, 500_000 + server_ahead).syn(payload=b"fast")
    if twice:
        conversation.syn(payload=b"fast" if twice == "whole" else b"")
    conversation.syn_ack(acked=4)
    if speaks == "server":
        conversation.server(0, b"RS", ack=900_005)
    conversation.client_next = 4
    conversation.client_ack(2 if speaks == "server" else 0)
    if speaks == "client":
        conversation.client(4, b"open").server_ack(8)
    outcome = run(conversation)
    told = {SERVER_NAME: b"RS"} if speaks == "server" else {}
    assert outcome.before.files() == {NAME: b"fast" if speaks == "server" else b"fastopen"} | told
    assert outcome.before.state(NAME) == "open"
    assert outcome.gaps(NAME) == []


# --- several SYNs [L2] -------------------------------------------------------------------------------------

FIRST = {NAME: b"abcde", SERVER_NAME: b"xyz"}


def ended(how: str) -> Conversation:
    conversation = established()
    if how == "FIN":
        return conversation.close()
    return conversation.rst() if how == "RST" else conversation


def answered(conversation: Conversation) -> Conversation:
    """SYN, SYN/ACK, and what the server says at once."""
    return conversation.again(900_000, 7_000_000).syn().syn_ack().server(0, b"hello")


def taken(conversation: Conversation) -> dict[str, bytes]:
    """The files once the client has taken what the server said."""
    outcome = run(conversation.client_ack(5).client(0, b"new").server_ack(3))
    return outcome.before.files()


SECOND = FIRST | {NAME + "c1": b"new", SERVER_NAME + "c1": b"hello"}


def forge_syn(conversation: Conversation, isn: int) -> None:
    conversation.syn(isn=isn)


def forge_both(conversation: Conversation, isn: int) -> None:
    conversation.syn(isn=isn).syn_ack(isn=isn + 7, ack=isn + 1)


def forge_answer(conversation: Conversation, isn: int) -> None:
    """To the SYN that an honest server answers, too."""
    conversation.syn_ack(isn=isn + 7)


FORGERIES = [forge_syn, forge_both, forge_answer]


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("isn", [900_100, 50_000_000])
def test_a_forged_one_right_behind_an_honest_one(
    how: str, forge: Callable[[Conversation, int], None], isn: int
) -> None:
    conversation = answered(ended(how))
    forge(conversation, isn)
    assert taken(conversation) == SECOND


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
@pytest.mark.parametrize("forge", [forge_syn, forge_both])
def test_a_forged_one_right_before_an_honest_one(
    how: str, forge: Callable[[Conversation, int], None]
) -> None:
    """Or an honest one, whose client came to try another ISN."""
    conversation = ended(how)
    forge(conversation, 50_000_000)
    assert taken(answered(conversation)) == SECOND


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
@pytest.mark.parametrize("count", [1, 5])
def test_syns_without_an_answer_cost_the_one_with_it_nothing(how: str, count: int) -> None:
    conversation = answered(ended(how))
    for number in range(count):
        conversation.syn(isn=50_000_000 + number * 1000)
    assert taken(conversation) == SECOND


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("first", ["client", "server", "both"])
@pytest.mark.parametrize("seen", ["SYN", "SYN/ACK"])
def test_syns_cost_none_its_place_that_has_bytes(how: str, count: int, first: str, seen: str) -> None:
    """Half of its handshake was captured, and what one side said; of the others there is a SYN each."""
    conversation = ended(how).again(900_000, 7_000_000)
    conversation = conversation.syn() if seen == "SYN" else conversation.syn_ack()
    if first != "server":
        conversation.client(0, b"new")
    if first != "client":
        conversation.server(0, b"hello")
    conversation.wait(0.01)
    for number in range(count):
        conversation.syn(isn=50_000_000 + number * 1000)
    if first == "server":
        conversation.client_ack(5).client(0, b"new")
    elif first == "client":
        conversation.server_ack(3).server(0, b"hello")
    for index in range(3):
        conversation.client_ack(5).client(3 + index, b"e").server_ack(4 + index)
    outcome = run(conversation.wait(0.3).other())
    assert outcome.before.files() == SECOND | {NAME + "c1": b"neweee"}


# When the old one is remembered no more, or has idled out, and the new one has begun.
FORGOTTEN = {"FIN": 59.9, "RST": 59.9, "": 599.9}


def begun_before_the_old_one_is_forgotten(how: str) -> Conversation:
    return answered(ended(how).wait(FORGOTTEN[how])).wait(0.5).other()


@pytest.mark.parametrize("how", FORGOTTEN)
@pytest.mark.parametrize("payload", [b"", b"fast"])
def test_a_syn_sent_again_once_the_old_one_is_forgotten(how: str, payload: bytes) -> None:
    """It has the same ISN: what came since the first is of the same connection [L1]."""
    conversation = ended(how).wait(FORGOTTEN[how]).again(900_000, 7_000_000).syn(payload=payload)
    conversation.syn_ack(acked=len(payload)).server(0, b"hello", ack=900_001 + len(payload))
    conversation.wait(0.5).other().syn(payload=payload)
    conversation.client_next = len(payload)
    conversation.client_ack(5).client(len(payload), b"new").server_ack(len(payload) + 3)
    outcome = run(conversation)
    assert outcome.before.files() == SECOND | {NAME + "c1": payload + b"new"}
    assert outcome.statistics["connections"] == 3  # with the one whose packet shows the time
    assert outcome.statistics["dropped_tentative_bytes"] == 0


@pytest.mark.parametrize("how", FORGOTTEN)
@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_one_once_the_old_one_is_forgotten(
    how: str, forge: Callable[[Conversation, int], None]
) -> None:
    conversation = begun_before_the_old_one_is_forgotten(how)
    forge(conversation, 50_000_000)
    assert taken(conversation) == SECOND


@pytest.mark.parametrize("how", FORGOTTEN)
def test_stray_data_once_the_old_one_is_forgotten(how: str) -> None:
    """Of neither: it begins none in the place of one whose handshake was seen."""
    conversation = begun_before_the_old_one_is_forgotten(how)
    conversation.client(0, b"evil", seq=2_000_000_000, ack=77)
    assert taken(conversation) == SECOND


def test_a_syn_between_another_and_its_answer() -> None:
    conversation = established().again(900_000, 7_000_000).syn().syn(isn=50_000_000).syn_ack()
    assert taken(conversation.server(0, b"hello")) == SECOND


def test_a_syn_and_data_without_an_answer_while_the_connection_lasts() -> None:
    """Anyone can send them [L2]."""
    conversation = established().again(900_000, 7_000_000).syn()
    for index in range(4):
        conversation.client(index, b"evil"[index : index + 1])
    conversation.wait(31).other()
    assert run(conversation).files() == FIRST


def test_a_syn_near_by_while_the_connection_has_a_hole() -> None:
    """What lies ahead in the window is of the connection that lasts."""
    conversation = established().syn(isn=1006).client(8, b"ijk").client(5, b"fgh").server_ack(11)
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME: b"abcdefghijk"}
    assert outcome.statistics["dropped_tentative_bytes"] == 0


def test_a_syn_ack_near_by_while_the_connection_has_a_hole() -> None:
    conversation = established().syn_ack(isn=500_004, ack=1007).client(8, b"ijk").client(5, b"fgh")
    outcome = run(conversation.server_ack(11))
    assert outcome.before.files() == FIRST | {NAME: b"abcdefghijk"}


# --- a handshake of which the capture has but a half, while the old connection lasts [L2] ------------------


def half_seen(lost: str) -> Conversation:
    conversation = established().wait(30).again(900_000, 7_000_000)
    return conversation.syn_ack() if lost == "SYN" else conversation.syn()


@pytest.mark.parametrize("lost", ["SYN", "SYN/ACK"])
@pytest.mark.parametrize("server_first", [False, True])
def test_another_connection_of_which_half_the_handshake_is_lost(lost: str, server_first: bool) -> None:
    conversation = half_seen(lost).client_ack(0)
    if server_first:
        conversation.server(0, b"hello").client_ack(5).client(0, b"new").server_ack(3)
    else:
        conversation.client(0, b"new").server_ack(3).server(0, b"hello").client_ack(5)
    outcome = run(conversation.wait(0.2).client(3, b"er").server_ack(5))
    assert outcome.before.files() == FIRST | {NAME + "c1": b"newer", SERVER_NAME + "c1": b"hello"}
    assert outcome.before.state(NAME) == "idle"


@pytest.mark.parametrize("lost", ["SYN", "SYN/ACK"])
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("silent", [False, True])
def test_half_a_handshake_and_one_side_alone(lost: str, side: str, silent: bool) -> None:
    """Nobody answers: who is there goes on, be it after a while."""
    conversation = half_seen(lost)
    for index in range(0, 12, 4):
        if side == "server":
            conversation.server(index, b"evil", ack=900_001)
        elif lost == "SYN/ACK":
            conversation.client(index, b"evil")
    if silent:
        conversation.wait(31).other()
    conversation.again(1000, 500_000).client(5, b"fgh", ack=500_004).server(3, b"uvw", ack=1009)
    outcome = run(conversation.wait(31).other())
    assert outcome.files() == {NAME: b"abcdefgh", SERVER_NAME: b"xyzuvw"}
    assert outcome.before.state(NAME) == "open"


def test_half_a_handshake_and_a_client_that_goes_on() -> None:
    """Of a forged SYN/ACK, a forged client does not make a connection as long as the true one speaks."""
    conversation = half_seen("SYN")
    for index in range(6):
        conversation.client(index, b"x", seq=900_001 + index, ack=7_000_001)
        conversation.client(5 + index, b"f", seq=1006 + index, ack=500_004)
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME: b"abcdeffffff"}


# --- what the SYNs of another connection say [Q2 Q3] -------------------------------------------------------


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
def test_the_times_of_another_connection(how: str) -> None:
    conversation = ended(how).again(900_000, 7_000_000)
    conversation.syn(options=timestamps(100)).syn_ack(options=timestamps(900, 100))
    conversation.client_ack(0, options=timestamps(101, 900)).client(0, b"ab", options=timestamps(102, 900))
    conversation.server_ack(2, options=timestamps(901, 102))
    conversation.client(2, b"evil", options=timestamps(99, 900))
    conversation.client(2, b"good", options=timestamps(103, 901))
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME + "c1": b"abgood"}
    assert outcome.statistics["old_timestamps"] == 1


@pytest.mark.parametrize("how", ["FIN", "RST", ""])
def test_the_window_of_another_connection(how: str) -> None:
    """It is scaled as its own SYNs say."""
    conversation = ended(how).again(900_000, 7_000_000, server_window=1000).handshake(wscale(2))
    conversation.client(0, b"ab").server_ack(2).client(4000, b"within").client(5000, b"out").server_ack(2)
    conversation.client(2, b"c" * 3998).server_ack(4006)
    outcome = run(conversation)
    assert outcome.before.files() == FIRST | {NAME + "c1": b"ab" + b"c" * 3998 + b"within"}
    assert outcome.statistics["dropped_window_bytes"] == 3


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


# --- a host that is connected to itself [R8] ----------------------------------------------------------------


@pytest.mark.parametrize("seen", ["SYN", "SYN/ACK", "SYN, SYN/ACK"])
@pytest.mark.parametrize("ended", ["FIN", "RST", ""])
def test_another_connection_of_a_host_to_itself(seen: str, ended: str) -> None:
    """All packets are of one direction, with one ISN: there is one file of a connection."""
    conversation = Conversation(server_address="10.0.0.1", client_port=80, client_isn=1000, server_isn=1000)
    conversation.syn().syn_ack().client(0, b"hello").client_ack(5)
    if ended == "FIN":
        conversation.fin().client_ack(6, seq=1007)
    elif ended == "RST":
        conversation.rst()
    conversation.wait(1).again(5_000_000, 5_000_000)
    if seen != "SYN/ACK":
        conversation.syn(payload=b"" if ended else b"abcd")
    if "ACK" in seen:
        conversation.syn_ack(payload=b"abcd")
    for offset in range(0, 21, 7):
        conversation.client(offset, b"newdata")
        conversation.client_ack(offset + 7)
    outcome = run(conversation.wait(0.2).other())
    name = conversation.client_name()
    assert outcome.before.files() == {name: b"hello", name + "c1": b"newdata" * 3}


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


@pytest.mark.parametrize("end", ["FIN", "RST", ""])
def test_numbers_behind_those_of_the_old_one_way(end: str) -> None:
    """Only one side is captured; the SYN was, so what follows it is of the new connection."""
    conversation = Conversation().syn().client_ack(0)
    for offset in range(0, 2_000_000, 50_000):
        conversation.client(offset, bytes(50_000))
    if end:
        conversation = conversation.fin() if end == "FIN" else conversation.rst()
    conversation = conversation.wait(4).again(1_001_000, 9_000_000).syn().client_ack(0)
    for offset in range(0, 70, 7):
        conversation.client(offset, b"7 bytes")
    outcome = run(conversation.wait(0.2).other())
    assert outcome.before.files()[NAME + "c1"] == b"7 bytes" * 10
    assert len(outcome.before.files()[NAME]) == 2_000_000

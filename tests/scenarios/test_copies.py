"""Packets that come again much later, by a second tap that lags or a replay: they begin nothing [L2 L9].

There are no timestamps here that would tell [Q3]; the numbers and the bytes do. A connection that has the
numbers of another, and other bytes, is another one all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from craft import Conversation, Packet
from engines import Outcome, run
from flowfs.core.limits import MIB, REMEMBER_NS, SECOND_NS, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()

COUNT, STEP = 20, 500
WINDOW = 1000  # what comes again lies out of it
CLIENT = b"".join(b"%c" % (65 + index) * STEP for index in range(COUNT))
SERVER = CLIENT.lower()
OLD = {NAME: CLIENT, SERVER_NAME: SERVER}

Exchange = Callable[[Conversation, int], object]


def upload(conversation: Conversation, at: int) -> None:
    conversation.client(at, CLIENT[at : at + STEP]).server_ack(at + STEP)


def both_ways(conversation: Conversation, at: int) -> None:
    upload(conversation, at)
    conversation.server(at, SERVER[at : at + STEP]).client_ack(at + STEP)


def one_way(conversation: Conversation, at: int) -> None:
    conversation.client(at, CLIENT[at : at + STEP])


def talk(exchange: Exchange = both_ways, step_ms: float = 0.1, handshake: bool = True) -> Conversation:
    conversation = Conversation(client_window=WINDOW, server_window=WINDOW, step_ns=round(step_ms * 10**6))
    if handshake and exchange is one_way:
        conversation.syn().client_ack(0)
    elif handshake:
        conversation.handshake()
    for index in range(COUNT):
        exchange(conversation, index * STEP)
    return conversation


def ended(conversation: Conversation, how: str, exchange: Exchange = both_ways) -> Conversation:
    if how == "FIN":
        return conversation.fin() if exchange is one_way else conversation.close()
    if how == "RST":
        return conversation.rst()
    return conversation.wait(700).other() if how == "silence" else conversation


def repeat(conversation: Conversation, packets: list[Packet], seconds: float) -> Conversation:
    """These once more, so long after the last one; later packets follow."""
    conversation.wait(seconds)
    by_ns = conversation.clock_ns - packets[0].time_ns
    conversation.packets += [packet._replace(time_ns=packet.time_ns + by_ns) for packet in packets]
    return conversation.wait((packets[-1].time_ns - packets[0].time_ns) / 10**9 + 0.001)


def delayed(packets: list[Packet], seconds: float) -> list[Packet]:
    """All of them twice, the second time so much later."""
    late = [packet._replace(time_ns=packet.time_ns + round(seconds * 10**9)) for packet in packets]
    return sorted([*packets, *late], key=lambda packet: packet.time_ns)


def check(outcome: Outcome, wanted: dict[str, bytes]) -> None:
    assert outcome.files() == wanted
    assert all(outcome.gaps(name) == [] for name in wanted)
    assert outcome.statistics["lost_bytes"] == outcome.statistics["conflicts"] == 0
    assert outcome.statistics["dropped_window_bytes"] == outcome.statistics["dropped_tentative_bytes"] == 0


@pytest.mark.parametrize("exchange", [upload, both_ways])
@pytest.mark.parametrize("seconds", [0.02, 0.11, 0.3, 3])
@pytest.mark.parametrize("step_ms", [0.1, 2])
def test_a_second_tap_that_lags(exchange: Exchange, seconds: float, step_ms: float) -> None:
    """While the connection lasts, and when it ends; the first copy may be over before the second begins."""
    conversation = talk(exchange, step_ms)
    wanted = OLD if exchange is both_ways else {NAME: CLIENT}
    lasting = run(delayed(conversation.packets, seconds))
    check(lasting, wanted)
    assert lasting.state(NAME) == "open"
    over = run(delayed(conversation.close().packets, seconds))
    check(over, wanted)
    assert over.before.state(NAME) == "fin"
    assert over.statistics["connections"] == 1


@pytest.mark.parametrize("how", ["FIN", "RST", "silence", ""])
@pytest.mark.parametrize("exchange", [one_way, upload, both_ways])
@pytest.mark.parametrize("seconds", [0.001, 5, 61, 3600])
@pytest.mark.parametrize("whole", [False, True])
def test_a_replay(how: str, exchange: Exchange, seconds: float, whole: bool) -> None:
    """From its SYN to its end, or without the handshake: a SYN with a known ISN is sent again [L1].

    What is over is remembered for a minute, and not after a timeout; then what comes is another's [L9 R8].
    """
    conversation = ended(talk(exchange), how, exchange)
    packets = conversation.packets[0 if whole else 2 if exchange is one_way else 3 :]
    outcome = run(repeat(conversation, packets, seconds).wait(40).other())
    wanted = OLD if exchange is both_ways else {NAME: CLIENT}
    known_s = {"FIN": REMEMBER_NS / SECOND_NS, "RST": REMEMBER_NS / SECOND_NS, "": 600, "silence": 0}[how]
    if seconds > known_s:
        wanted = wanted | {name + "c1": content for name, content in wanted.items()}
    check(outcome, wanted)
    assert outcome.before.files() == outcome.files()


@pytest.mark.parametrize("seconds", [0.001, 5])
def test_a_replay_of_one_that_was_picked_up(seconds: float) -> None:
    conversation = talk(handshake=False).wait(0.2).other()
    check(run(repeat(conversation, conversation.packets[:-1], seconds).wait(40).other()), OLD)


@pytest.mark.parametrize("seconds", [0.001, 5])
def test_the_hosts_go_on_between(seconds: float) -> None:
    """A few packets come again, as often as anything does."""
    conversation = talk()
    few = conversation.packets[3:15]
    for index in range(4):
        repeat(conversation, few, seconds)
        conversation.client(COUNT * STEP + index, b"z").server_ack(COUNT * STEP + index + 1)
    check(run(conversation), OLD | {NAME: CLIENT + b"zzzz"})


def test_a_second_tap_that_has_what_the_first_has_not() -> None:
    """Too late for the hole, which was given up: still no other connection's."""
    conversation = talk()
    packets = list(conversation.packets)
    lacking = [packet for packet in packets if STEP * b"E" not in packet.frame]
    conversation.packets = lacking
    outcome = run(repeat(conversation.wait(1).other(), packets, 1).wait(40).other())
    assert outcome.files() == OLD | {NAME: CLIENT.replace(b"E", b"\0")}
    assert outcome.gaps(NAME) == [(4 * STEP, STEP, "ack")]
    assert outcome.statistics["late_bytes"] == STEP


# --- other bytes, or what nobody knows any more ------------------------------------------------------------


@pytest.mark.parametrize("how", ["FIN", "RST", "silence", ""])
@pytest.mark.parametrize("ahead", [0, 1, 4 * STEP + 7])
@pytest.mark.parametrize("changed", [b"\0", b"\xff" * STEP])
def test_another_connection_with_the_same_numbers(how: str, ahead: int, changed: bytes) -> None:
    """Of its handshake nothing was captured; each of its segments has at least one other byte."""
    conversation = ended(talk(), how).wait(5)
    conversation.again(conversation.client_isn + ahead, conversation.server_isn + ahead)
    new = {NAME + "c1": b"", SERVER_NAME + "c1": b""}
    for at in range(0, 10 * STEP, STEP):
        asks = (changed + CLIENT[ahead + at + len(changed) :])[:STEP]
        answers = (changed + SERVER[ahead + at + len(changed) :])[:STEP]
        conversation.client(at, asks).server_ack(at + STEP).server(at, answers).client_ack(at + STEP)
        new[NAME + "c1"] += asks
        new[SERVER_NAME + "c1"] += answers
    check(run(conversation.wait(0.3).other()), OLD | new)


@pytest.mark.parametrize("of_server", [False, True])
def test_a_forged_segment_and_then_a_replay(of_server: bool) -> None:
    """The one has other bytes, and begins a rival; what comes again does not make it the connection."""
    conversation = talk()
    packets = conversation.packets[3:]
    conversation.wait(1)
    if of_server:
        conversation.server(0, b"E" * STEP, ack=1001)
    else:
        conversation.client(0, b"E" * STEP, ack=500_001)
    outcome = run(repeat(conversation, packets, 0.1).client(COUNT * STEP, b"z").server_ack(COUNT * STEP + 1))
    assert outcome.files() == OLD | {NAME: CLIENT + b"z"}
    assert outcome.statistics["dropped_tentative_bytes"] == STEP


def test_where_the_file_ends_early() -> None:
    """Only what is held can be seen to be the same."""
    limits = Limits(payload_bytes=4 * MIB, table_bytes=MIB, max_flow_bytes=2 * STEP)
    conversation = talk(upload).close()
    held = conversation.packets[3:7]
    outcome = run(repeat(conversation, held * 2, 3).wait(40).other(), limits)
    assert outcome.files() == {NAME: CLIENT[: 2 * STEP]}

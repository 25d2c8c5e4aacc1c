"""Scenarios 14 and 54 to 56 and their like: much of everything, in bounded memory; and clocks that leap."""

from __future__ import annotations

import random

import pytest

from craft import Conversation, Tag, merge
from engines import feed, run, started
from flowfs.core.limits import CONNECTION_BYTES, KIB, LEAP_PACKETS, MIB, Limits

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()
DAY_S = 86400


def test_14_over_4GiB() -> None:  # noqa: N802 - the unit is written so
    """Sparse: a byte in every 15 MiB that the peer acknowledged; offsets go on where the numbers wrap.

    That ranges which were freed refuse to be read, the other scenario 14 shows.
    """
    step, count = 15 * MIB, 309
    conversation = Conversation(client_isn=2**32 - 5).server_ack(0).client(0, b"0")
    for index in range(1, count):
        conversation.client(index * step, b"%d" % (index % 10), flags="PA").server_ack(index * step + 1)
        conversation.wait(0.3).other()
    size = (count - 1) * step + 1
    for _ in range(3):  # one ACK is not enough for a hole so wide [H1]
        conversation.server_ack(size).server_ack(size).wait(0.3).other()
    assert size > 4.5 * 2**30
    for batch in (1, 3, 256):
        with started(Limits(payload_bytes=MIB)) as engine:
            feed(engine, conversation, size=batch)
            (flow,) = engine.list_after(0, 9)
            assert flow.size == size
            assert engine.read(flow, size - 3, 99) == b"\0\x008"
            assert engine.read(flow, 300 * step - 1, 3) == b"\x000\0"
            assert flow.gaps()[-1] == (size - step, step - 1, "ack")
            assert engine.statistics()["conflicts"] == 0


def test_54_doubled() -> None:
    conversation = (
        Conversation().handshake().client(0, b"abc").server(0, b"xyz").client(5, b"f").client(3, b"de")
    )
    conversation.server_ack(6).client_ack(3).close()
    outcome = run([packet for packet in conversation.packets for _ in range(2)])
    assert outcome.files() == {NAME: b"abcdef", SERVER_NAME: b"xyz"}
    assert outcome.before.state(NAME) == outcome.before.state(SERVER_NAME) == "fin"
    assert outcome.statistics["connections"] == 1
    assert outcome.statistics["conflicts"] == outcome.statistics["lost_bytes"] == 0
    single = run(conversation).statistics
    assert outcome.statistics["duplicate_bytes"] + outcome.statistics["keepalive_bytes"] == 9
    assert single["duplicate_bytes"] == single["keepalive_bytes"] == 0


def test_54_doubled_on_two_vlans() -> None:
    both = [Conversation(tags=[Tag(vid)]).handshake().client(0, b"abc") for vid in (1, 2)]
    outcome = run(merge(*(conversation.packets for conversation in both)))
    assert outcome.files() == {NAME + "--1": b"abc", NAME + "--2": b"abc"}
    assert outcome.statistics["duplicate_bytes"] == 0
    assert outcome.statistics["connections"] == 2


def flooded(count: int, *, data: bytes) -> list[Conversation]:
    draw = random.Random(55)
    found = []
    for number in range(count):
        address = ".".join(str(byte) for byte in draw.randbytes(4))
        conversation = Conversation(client_address=address, client_port=draw.randrange(1, 65536), step_ns=10)
        conversation.clock_ns += 2_000_000 + number * 1000  # what is there already is established
        conversation.syn(isn=draw.randrange(2**32))
        found.append(conversation.client(0, data) if data else conversation)
    return found


@pytest.mark.parametrize("data", [b"", b"x"])
def test_55_syn_flood(data: bytes) -> None:
    """On a small scale; with a byte each as well, which makes files, but no connection active [M2]."""
    live = Conversation(step_ns=50_000).handshake()
    for offset in range(0, 600, 3):
        live.client(offset, b"abc").server_ack(offset + 3)
    ended = Conversation(client_port=7).handshake().client(0, b"kept").close()
    flood = [packet for conversation in flooded(6000, data=data) for packet in conversation.packets]
    limits = Limits(payload_bytes=4 * MIB, out_of_order_bytes=MIB, table_bytes=100 * CONNECTION_BYTES)
    outcome = run(merge(live.packets, ended.packets, flood), limits)
    assert outcome.files()[NAME] == b"abc" * 200
    assert outcome.files()[ended.client_name()] == b"kept"
    assert len(outcome.files()) <= (100 if data else 2)
    assert outcome.statistics["connections"] > 5900
    assert outcome.statistics["connections_refused"] == 0
    assert outcome.statistics["table_used_bytes"] <= limits.table_bytes


def test_56_hole_flood() -> None:
    """On a small scale: the pool is a tenth of what comes, and an honest reorder survives."""
    packets = []
    for number in range(100):
        attacker = Conversation(client_port=1000 + number, step_ns=0).handshake()
        for offset in range(1, 60_000, 6000):
            attacker.client(offset, bytes([1 + number]) * 5900)
        packets.append(attacker.packets)
    honest = Conversation(client_port=7, step_ns=0).handshake().client(3000, b"b" * 3000)
    stream = [packet for capture in packets[:60] for packet in capture] + honest.packets
    stream += [packet for capture in packets[60:] for packet in capture]
    honest.packets = []
    stream += honest.client(0, b"a" * 3000).packets
    limits = Limits(payload_bytes=16 * MIB, out_of_order_bytes=600 * KIB, table_bytes=MIB)
    outcome = run(stream, limits)
    assert outcome.before.statistics["out_of_order_used_bytes"] <= 600 * KIB
    assert outcome.before.statistics["out_of_order_used_bytes"] > 300 * KIB
    assert outcome.before.files()[honest.client_name()] == b"a" * 3000 + b"b" * 3000
    assert outcome.gaps(honest.client_name()) == []


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packets", range(1, LEAP_PACKETS))
def test_a_time_far_ahead_stops_nothing(packets: int) -> None:
    """A damaged record, or a clock that was wrong for a moment: timeouts go on working."""
    conversation = Conversation().handshake().client(0, b"abc").client(6, b"ghi")
    begin_ns = conversation.clock_ns
    conversation.wait(1000 * DAY_S)
    for _ in range(packets):
        conversation.server_ack(9)
    conversation.clock_ns = begin_ns
    conversation.wait(0.1).server_ack(9).wait(0.3).other()
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc\0\0\0ghi"}
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["doubted_times"] == packets
    assert outcome.statistics["now_ns"] == conversation.clock_ns - conversation.step_ns


def test_a_time_far_ahead_that_others_confirm() -> None:
    """Two captures in one file, or a mount that nobody used for days."""
    conversation = Conversation().handshake().client(0, b"abc").wait(3 * DAY_S)
    for _ in range(LEAP_PACKETS + 1):
        conversation.other()
    outcome = run(conversation)
    assert outcome.before.state(NAME) == "idle"
    assert outcome.statistics["doubted_times"] == LEAP_PACKETS - 1


def test_times_far_ahead_that_do_not_agree() -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    begin_ns = conversation.clock_ns
    for days in (1000, 20, 3000, 500):
        conversation.clock_ns = begin_ns + days * DAY_S * 10**9
        conversation.other()
    outcome = run(conversation)
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["doubted_times"] == 4


def test_the_next_generation_is_found_in_no_time() -> None:
    """[R8] Thousands of one address and port are there, and the connection itself is forgotten."""
    with started(Limits(payload_bytes=16 * MIB, table_bytes=16 * MIB)) as engine:
        for number in range(600):
            feed(engine, Conversation(client_isn=number * 100_000).syn().client(0, b"x"))
        engine.tick(engine.now_ns + 700 * 10**9)
        generations = [flow.generation for flow in engine.list_after(0, 999)]
        assert generations == list(range(600))
        for flow in engine.list_after(0, 999)[590:]:
            engine.remove(flow)
        engine.tick(engine.now_ns + 700 * 10**9)
        again = Conversation(client_isn=7).syn().client(0, b"y")
        feed(engine, again)
        assert engine.list_after(0, 999)[-1].generation == 590


def test_times_far_ahead_that_are_not_in_a_row() -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    begin_ns = conversation.clock_ns
    for _ in range(2 * LEAP_PACKETS):
        conversation.clock_ns = begin_ns + 1000 * DAY_S * 10**9
        conversation.other()
        conversation.clock_ns = begin_ns
        conversation.other()
    outcome = run(conversation)
    assert outcome.before.state(NAME) == "open"
    assert outcome.statistics["doubted_times"] == 2 * LEAP_PACKETS


def test_deadlines_that_are_set_again_and_again() -> None:
    """A hole, a RST beside its place, an ACK behind the hole: three times to look, and two that are none."""
    conversations = [Conversation(client_address=f"10.0.1.{number}").handshake() for number in range(40)]
    for conversation in conversations:
        for offset in range(0, 400, 2):
            conversation.client(offset + 1, b"x").rst(offset + 9).server_ack(offset + 2).wait(0.3)
    with started() as engine:
        feed(engine, merge(*(conversation.packets for conversation in conversations)))
        assert engine.statistics()["lost_bytes"] > 40 * 150

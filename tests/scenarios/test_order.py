"""Scenarios 1 to 14: segments in any order, again, and over each other."""

from __future__ import annotations

import itertools
import random

import pytest

from craft import Conversation, Packet
from engines import feed, run, started
from flowfs.core.flow import Evicted
from flowfs.core.limits import KIB, MIB, Limits

NAME = Conversation().client_name()


def established(client_isn: int = 1000) -> Conversation:
    return Conversation(client_isn=client_isn).handshake()


def test_01_basic() -> None:
    outcome = run(established().client(0, b"abc").client(3, b"def").server_ack(6).fin())
    assert outcome.files() == {"010.000.000.001.40000-010.000.000.002.00080": b"abcdef"}
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["stored_bytes"] == outcome.statistics["payload_bytes"] == 6


def test_02_empty() -> None:
    outcome = run(established().close())
    assert outcome.files() == {}
    assert outcome.statistics["connections"] == 1
    assert outcome.statistics["flows_total"] == 0


def test_03_reorder() -> None:
    outcome = run(established().client(3, b"def").client(0, b"abc"))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.gaps(NAME) == []


def test_04_reverse() -> None:
    stream = random.Random(4).randbytes(283)
    conversation = established()
    for offset in reversed(range(283)):
        conversation.client(offset, stream[offset : offset + 1])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: stream}
    assert outcome.gaps(NAME) == []
    assert outcome.statistics["duplicate_bytes"] == 0


def test_05_duplicate() -> None:
    outcome = run(established().client(0, b"abc").client(0, b"abc"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.statistics["duplicate_bytes"] == 3
    assert outcome.statistics["conflicts"] == 0


def test_06_conflict_read() -> None:
    outcome = run(established().client(0, b"abc").client(0, b"xyz"))
    assert outcome.files() == {NAME: b"abc"}
    assert outcome.conflicts == {NAME: [(0, 3)]}
    assert outcome.statistics["conflict_bytes"] == 3


def test_07_conflict_buffered() -> None:
    outcome = run(established().client(3, b"DEF").client(3, b"xyz").client(0, b"abc"))
    assert outcome.files() == {NAME: b"abcDEF"}
    assert outcome.conflicts == {NAME: [(3, 3)]}
    assert outcome.statistics["conflict_bytes"] == 3


def test_08_left_overlap() -> None:
    outcome = run(established().client(4, b"BBBB").client(2, b"aaaa").client(0, b"zz"))
    assert outcome.files() == {NAME: b"zzaaBBBB"}
    assert outcome.conflicts == {NAME: [(4, 2)]}


def test_09_swallow() -> None:
    outcome = run(established().client(4, b"BB").client(2, b"aaaaaa").client(0, b"zz"))
    assert outcome.files() == {NAME: b"zzaaBBaa"}
    assert outcome.conflicts == {NAME: [(4, 2)]}


def test_10_same_start() -> None:
    outcome = run(established().client(4, b"BB").client(4, b"aaaa").client(0, b"zzzz"))
    assert outcome.files() == {NAME: b"zzzzBBaa"}
    assert outcome.conflicts == {NAME: [(4, 2)]}


@pytest.mark.parametrize("seed", range(8))
def test_11_any_order(seed: int) -> None:
    """tests/property draws these at will; here are a few that stay."""
    draw = random.Random(seed)
    stream = draw.randbytes(draw.randrange(1, 5000))
    cuts = sorted({0, len(stream), *(draw.randrange(len(stream)) for _ in range(20))})
    pieces = list(itertools.pairwise(cuts)) * draw.randrange(1, 4)
    draw.shuffle(pieces)
    conversation = established(client_isn=draw.randrange(1 << 32))
    for start, end in pieces:
        conversation.client(start, stream[start:end])
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: stream}
    assert outcome.statistics["conflicts"] == 0


def test_12_wrap() -> None:
    outcome = run(established(client_isn=2**32 - 3).client(0, b"abcdef").server_ack(6))
    assert outcome.files() == {NAME: b"abcdef"}
    assert outcome.statistics["bad_acks"] == 0


def test_13_wrap_reorder() -> None:
    outcome = run(established(client_isn=2**32 - 3).client(3, b"def").client(0, b"abc").server_ack(6))
    assert outcome.before.files() == {NAME: b"abcdef"}
    assert outcome.gaps(NAME) == []


def test_14_longer_than_the_budget() -> None:
    """What 4.5 GiB show, on a small scale: exact size, freed ranges refuse, the tail reads right."""
    size, step = 4 * MIB, 16 * KIB
    stream = random.Random(14).randbytes(size)
    conversation = established(client_isn=2**32 - 3 * MIB)
    for offset in range(0, size, step):
        conversation.client(offset, stream[offset : offset + step])
    limits = Limits(payload_bytes=MIB, out_of_order_bytes=MIB, table_bytes=MIB)
    outcome = run(conversation, limits)
    file = outcome.by_name[NAME]
    assert file.size == size
    assert size - MIB <= file.start <= size - MIB // 2
    assert file.content == stream[file.start :]
    assert outcome.statistics["trimmed_bytes"] == file.start
    with started(limits) as engine:
        feed(engine, conversation)
        flow = engine.list_after(0, 2)[0]
        for offset in (0, flow.start - 1):
            with pytest.raises(Evicted):
                engine.read(flow, offset, 2)
        assert engine.read(flow, flow.start, 2) == stream[flow.start : flow.start + 2]
        assert engine.read(flow, size, 2) == b""


def test_a_capture_may_be_empty() -> None:
    nothing: list[Packet] = []
    assert run(nothing).files() == {}

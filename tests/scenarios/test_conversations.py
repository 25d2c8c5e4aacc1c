"""Who spoke when: disorder, holes, lost directions, reused ports, trims and evictions, in any batches."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from conversing import Reader, Said, conversation, parsed
from craft import Conversation, batches
from engines import BATCHES, SMALL, Capture, feed, packets_of, started
from flowfs.core.engine import Engine
from flowfs.core.limits import KIB, MAX_TURNS, MIB, Limits
from flowfs.tree import Tree
from flowfs.tree.names import name_of

CLIENT, SERVER = "010.000.000.001.40000", "010.000.000.002.00080"
NAME = Conversation().client_name()


def turns(capture: Capture, name: str = NAME, limits: Limits = SMALL, *, finish: bool = True) -> list[Said]:
    """The turns in the end; the same in any batches, and whoever watches packet by packet sees it grow."""
    packets = packets_of(capture)
    found = []
    for size in BATCHES:
        with started(limits) as engine:
            feed(engine, packets, size=size)
            if finish:
                engine.finish()
            found.append(conversation(engine, name))
    assert found[0] == found[1] == found[2]
    if len(packets) < 300 and limits.keep == "head":
        watch(packets, name, limits)
    return parsed(found[0])


def watch(packets: Capture, name: str, limits: Limits) -> None:
    with started(limits) as engine:
        tree = Tree(engine)
        reader = None
        for frames, meta in batches(packets_of(packets), 1):
            engine.feed(frames, meta, 1)
            if reader is None and name in names(engine):
                reader = Reader(tree, name)
            if reader is not None:
                parsed(reader.go_on())
        engine.finish()
        if reader is not None:
            parsed(reader.go_on())
            reader.close()


def names(engine: Engine) -> list[str]:
    return [name_of(flow.key, flow.generation).decode() for flow in engine.list_after(0, 99)]


def said(turns: list[Said]) -> list[tuple[str, bytes]]:
    """Who said what."""
    return [("client" if turn.sender == CLIENT else "server", turn.data) for turn in turns]


def of(turns: list[Said], sender: str) -> bytes:
    return b"".join(turn.data for turn in turns if turn.sender == sender)


def test_question_and_answer() -> None:
    capture = Conversation().handshake().client(0, b"GET").client(3, b" /\n").server(0, b"OK").client(6, b"!")
    found = turns(capture.close())
    assert said(found) == [("client", b"GET /\n"), ("server", b"OK"), ("client", b"!")]
    assert [turn.time[19:] for turn in found] == [".000300000Z", ".000500000Z", ".000600000Z"]
    assert [(turn.sender, turn.receiver) for turn in found[:2]] == [(CLIENT, SERVER), (SERVER, CLIENT)]
    assert found == turns(capture, capture.server_name())


def test_a_second_of_silence_ends_a_turn() -> None:
    capture = Conversation(step_ns=0).handshake().client(0, b"a").wait(0.999999999).client(1, b"b")
    found = turns(capture.wait(1).client(2, b"c"))
    assert said(found) == [("client", b"ab"), ("client", b"c")]


def test_a_turn_is_shown_when_it_is_over() -> None:
    capture = Conversation(step_ns=0).handshake().client(0, b"a")
    assert turns(capture, finish=False) == []
    assert turns(capture.wait(0.9).other(), finish=False) == []
    assert said(turns(capture.wait(0.1).other(), finish=False)) == [("client", b"a")]
    again = Conversation().handshake().client(0, b"a").server(0, b"b")
    assert said(turns(again, finish=False)) == [("client", b"a")]
    assert said(turns(again.close(), finish=False)) == [("client", b"a"), ("server", b"b")]
    assert said(turns(Conversation().handshake().client(0, b"a").rst(), finish=False)) == [("client", b"a")]


def test_what_waits_speaks_when_the_hole_is_filled() -> None:
    capture = Conversation().handshake().client(0, b"a").client(2, b"c").server(0, b"x").client(1, b"b")
    assert said(turns(capture)) == [("client", b"a"), ("server", b"x"), ("client", b"bc")]


def test_a_lost_hole_speaks_when_it_is_given_up() -> None:
    capture = Conversation().handshake().client(0, b"a").client(4, b"e").server(0, b"x").server_ack(5)
    found = turns(capture.wait(1).server_ack(5).client(5, b"f").close())
    assert said(found) == [("client", b"a"), ("server", b"x"), ("client", b"\0\0\0ef")]
    assert [turn.notes for turn in found] == [{}, {}, {"lost": 3}]


def test_overlaps_and_duplicates_say_nothing_twice() -> None:
    capture = Conversation().handshake().client(0, b"abc").server(0, b"x").client(0, b"abc").client(1, b"bcd")
    found = turns(capture.server(0, b"x").client(0, b"zzzzz").close())
    assert said(found) == [("client", b"abc"), ("server", b"x"), ("client", b"dz")]


@pytest.mark.parametrize("server", [False, True])
def test_only_one_direction_is_captured(server: bool) -> None:
    capture = Conversation().handshake().client(0, b"abc").server(0, b"x").client(3, b"def").close()
    kept = [packet for packet in capture.packets if (packet.frame[26:30] == b"\x0a\0\0\x02") == server]
    name = capture.server_name() if server else NAME
    assert said(turns(kept, name)) == ([("server", b"x")] if server else [("client", b"abcdef")])


def test_ports_that_are_used_again_have_a_conversation_of_their_own() -> None:
    capture = Conversation().handshake().client(0, b"one").server(0, b"uno").close().wait(1)
    capture.again(5_000_000, 6_000_000).handshake().client(0, b"two").server(0, b"due").close()
    assert said(turns(capture)) == [("client", b"one"), ("server", b"uno")]
    assert said(turns(capture, NAME + "c1")) == [("client", b"two"), ("server", b"due")]


def test_clocks_that_run_backward() -> None:
    capture = Conversation().handshake().client(0, b"a").wait(-100).server(0, b"b").wait(50).client(1, b"c")
    found = turns(capture.wait(3).client(2, b"d").close())
    assert said(found)[:3] == [("client", b"a"), ("server", b"b"), ("client", b"cd")]
    assert [turn.time for turn in found] == sorted(turn.time for turn in found)


def test_picked_up_midway() -> None:
    """What was gathered before the base was known is said when it is."""
    capture = Conversation().client(3, b"def").server(0, b"x").client(0, b"abc").server(1, b"y")
    found = turns(capture.wait(1).client(6, b"!").server(2, b"?"))
    assert (of(found, CLIENT), of(found, SERVER)) == (b"abcdef!", b"xy?")
    assert found[0].data in (b"abcdef", b"xy")


def long_talk(count: int, size: int = 1) -> Conversation:
    capture = Conversation().handshake()
    for index in range(count):
        capture.client(index * size, b"q" * size).server(index * size, b"a" * size)
    return capture


def test_more_turns_than_are_kept() -> None:
    count = MAX_TURNS // 2 + 1  # of each side
    found = turns(long_talk(count), limits=replace(SMALL, table_bytes=2 * MIB))
    assert len(found) == MAX_TURNS // 2 + 2
    assert found[0].notes == {"earlier": MAX_TURNS // 4, "turns earlier": MAX_TURNS // 2}
    assert found[1].notes == {"earlier": MAX_TURNS // 4}
    assert not any(turn.notes for turn in found[2:])
    assert sum(len(turn.data) for turn in found) == 2 * count - MAX_TURNS // 2


def test_who_reads_from_the_start_has_all_turns() -> None:
    with started() as engine:
        tree, capture = Tree(engine), long_talk(MAX_TURNS + 10)
        feed(engine, capture.packets[:100])
        reader = Reader(tree, NAME)
        for at in range(100, len(capture.packets), 1000):
            feed(engine, capture.packets[at : at + 1000])
            reader.go_on()
        engine.finish()
        found = parsed(reader.go_on())
        reader.close()
        assert len(found) == 2 * (MAX_TURNS + 10)
        assert not any(turn.notes for turn in found)
        assert engine.statistics()["turns_forgotten"] > 0


def test_there_is_no_room_for_turns() -> None:
    """Of the table's 1/8 no more than half goes to those that have some: others get their first ones."""
    limits = replace(SMALL, table_bytes=512 * KIB)
    with started(limits) as engine:
        for port in range(200):
            capture = Conversation(client_port=1000 + port).handshake()
            for index in range(40):
                capture.client(index, b"q").server(index, b"a")
            feed(engine, capture)
        engine.finish()
        numbers = engine.statistics()
        assert numbers["turns_used_bytes"] <= numbers["turns_limit_bytes"] == 64 * KIB
        assert numbers["turns_forgotten"] > 1000
        found = parsed(conversation(engine, Conversation(client_port=1199).client_name()))
        assert found[-1].data == b"a"
        assert found[0].notes["turns earlier"] > 70
        assert sum(turn.notes.get("earlier", 0) + len(turn.data) for turn in found) == 80
    assert engine.statistics()["turns_used_bytes"] == 0


@pytest.mark.parametrize("keep", ["head", "tail"])
def test_trims(keep: str) -> None:
    limits = replace(SMALL, max_flow_bytes=3000, keep=keep)
    found = turns(long_talk(20, 1000), limits=limits)
    if keep == "head":
        assert len(found) == 6
        assert (of(found, CLIENT), of(found, SERVER)) == (b"q" * 3000, b"a" * 3000)
    else:
        assert len(found) == 40
        for turn in found:
            assert len(turn.data) + turn.notes.get("not held", 0) == 1000
        assert 3000 <= len(of(found, CLIENT)) < 20_000
        assert found[0].notes == {"not held": 1000}


def test_a_turn_that_crosses_the_limit_ends_there() -> None:
    limits = replace(SMALL, max_flow_bytes=10, keep="head")
    capture = Conversation().handshake().client(0, b"a" * 7).client(7, b"b" * 7).server(0, b"x")
    found = turns(capture.client(14, b"cc").server(1, b"y").close(), limits=limits)
    assert said(found) == [("client", b"aaaaaaabbb"), ("server", b"x"), ("server", b"y")]


def test_one_side_is_removed() -> None:
    """The other's conversation goes on; what went is told, and a new file has what comes."""
    with started() as engine:
        capture = Conversation().handshake().client(0, b"abc").server(0, b"xyz").client(3, b"def")
        feed(engine, capture)
        flow = engine.find(capture.client_key(), 0)
        assert flow is not None
        engine.remove(flow)
        capture.packets.clear()
        feed(engine, capture.client(6, b"g").server(3, b"!").client(7, b"hi").close())
        for name in (capture.server_name(), NAME):
            found = parsed(conversation(engine, name))
            assert said(found) == [
                *(("client", b""), ("server", b"xyz"), ("client", b"g")),
                *(("server", b"!"), ("client", b"hi")),
            ]
            assert [turn.notes for turn in found] == [{"not held": 3}, {}, {"not held": 3}, {}, {}]


def test_evicted_in_the_middle() -> None:
    """Memory for half of it: what went is told of each turn, and what is there is right."""
    data = random.Random(1).randbytes(300_000)
    capture = Conversation().handshake()
    for at in range(0, 300_000, 1000):
        capture.client(at, data[at : at + 1000])
        if at % 5000 == 0:
            capture.server(at // 5000, b"x").client_ack(at // 5000 + 1)
    found = turns(capture.close(), limits=Limits(payload_bytes=128 * KIB, table_bytes=MIB))
    position = 0
    for turn in found:
        if turn.sender == CLIENT:
            position += turn.notes.get("not held", 0)
            assert turn.data == data[position : position + len(turn.data)]
            position += len(turn.data)
    assert position == 300_000
    assert 0 < len(of(found, CLIENT)) < 200_000


def test_reordered_as_captures_are() -> None:
    chance = random.Random(2)
    capture = long_talk(60, 100)
    packets = [(at + chance.random() * 3, packet) for at, packet in enumerate(capture.packets[3:])]
    shuffled = capture.packets[:3] + [packet for _, packet in sorted(packets, key=lambda pair: pair[0])]
    found = turns(shuffled)
    assert (of(found, CLIENT), of(found, SERVER)) == (b"q" * 6000, b"a" * 6000)
    assert [turn.time for turn in found] == sorted(turn.time for turn in found)


def test_a_turn_is_over_though_the_other_side_goes_on_beyond_what_is_kept() -> None:
    """What is said behind the limit is no turn, but it ends the one before."""
    limits = replace(SMALL, max_flow_bytes=10, keep="head")
    capture = Conversation().handshake().client(0, b"a" * 12).server(0, b"x")
    assert said(turns(capture, limits=limits, finish=False)) == [("client", b"a" * 10)]
    capture.client(12, b"b")
    expected = [("client", b"a" * 10), ("server", b"x")]
    assert said(turns(capture, limits=limits, finish=False)) == expected
    full = Conversation().handshake().client(0, b"a" * 4).client(4, b"b" * 8).client(12, b"c")
    assert said(turns(full, limits=limits, finish=False)) == [("client", b"aaaabbbbbb")]

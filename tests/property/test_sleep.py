"""Nothing but memory depends on who sleeps: the same packets give the same tree [R10]."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import hypothesis
from hypothesis import strategies as st

from craft import ETHERNET, Packet
from flowfs.core.engine import Engine
from flowfs.core.limits import CONNECTION_BYTES, MIB, SECOND_NS, Limits
from flowfs.core.unsaved import Unsaved
from property import cores
from property.collected import LIMITS
from property.cuttings import Sent, captures_of_streams
from property.effort import examples
from property.hostile import TINY_LIMITS, Action, Script, scripts
from property.playing import check_closed, check_counters, parts
from property.readers import Reader

NEVER_NS = 1 << 62
OF_SLEEP = ("connections_asleep", "flows_free", "table_used_bytes")  # what tells of it

Rest = Callable[[Engine], None]
Look = tuple[cores.Tree, list[object]]


def look(engine: Engine) -> Look:
    """All that can be seen."""
    numbers = engine.statistics()
    assert numbers["connections_asleep"] <= numbers["connections_tracked"]
    abouts: list[object] = [tuple(engine.about(flow)) for flow in engine.list_after(0, cores.ALL)]
    seen = cores.tree(engine)
    for name in OF_SLEEP:
        del seen.statistics[name]
    for file in seen.files:
        found = engine.find(file.key, file.generation)
        assert found is not None
        assert found.serial == file.serial
    engine.changes()  # from here on nobody has a file in hand
    return seen, abouts


def awake(engine: Engine) -> None:
    """Nobody sleeps."""
    engine.flows.drowsy_ns = NEVER_NS


def as_it_comes(engine: Engine) -> None:
    """Who was silent for a while sleeps."""


def at_once(engine: Engine) -> None:
    """Everybody sleeps who can, after each step."""
    engine.flows.drowsy_ns = 1
    engine.flows.lay_down_all()


def played(limits: Limits, script: Script, rest: Rest) -> list[Look]:
    """What is to be seen after each action and each packet before a pause, and in the end."""
    engine = cores.under_test().start(limits)
    reader = Reader(cores.under_test(), engine, limits, zeros_are_gaps=False)
    seen = []
    for part in parts(script, ETHERNET):
        rest(engine)
        if isinstance(part, Action):
            reader.act(part)
            continue
        for packet in part:
            cores.feed(engine, [packet])
            rest(engine)
        seen.append(look(engine))
    engine.tick(engine.statistics()["now_ns"] + 62 * SECOND_NS)
    rest(engine)
    seen.append(look(engine))
    engine.finish()
    seen.append(look(engine))
    check_counters(engine)
    reader.release_all()
    engine.close()
    check_closed(engine)
    return seen


@examples(250)
@hypothesis.given(TINY_LIMITS, scripts())
def test_hostile_packets(limits: Limits, script: Script) -> None:
    # The table is not to be what is short: how many have room is just what sleep is for.
    limits = dataclasses.replace(limits, table_bytes=200 * CONNECTION_BYTES)
    expected = played(limits, script, awake)
    assert played(limits, script, at_once) == expected
    assert played(limits, script, as_it_comes) == expected


def saved_by_turns(limits: Limits, script: Script, often: int, rest: Rest) -> list[object]:
    """All errands of an archive that takes some after each packet or action, and all in the end."""
    engine = cores.under_test().start(limits)
    unsaved = Unsaved(engine)
    reader = Reader(cores.under_test(), engine, limits, zeros_are_gaps=False)
    done: list[object] = []
    for number, part in enumerate(parts(script, ETHERNET)):
        if isinstance(part, Action):
            reader.act(part)
        for packet in part if isinstance(part, list) else []:
            cores.feed(engine, [packet])
            rest(engine)
        if number % often == 0:
            done.extend(errands(unsaved, engine, often, rest))
        done.append(unsaved.left())
    engine.finish()
    reader.release_all()
    for _ in range(20):
        unsaved.resume()
        done.extend(errands(unsaved, engine, 1000, rest))
    numbers = engine.statistics()
    done.extend(numbers[name] for name in sorted(numbers) if name.startswith("archive_"))
    assert unsaved.left() == (0, 0)
    engine.close()
    return done


def errands(unsaved: Unsaved, engine: Engine, most: int, rest: Rest) -> list[object]:
    """So many, each done at once but for every fifth, which fails first."""
    done: list[object] = []
    while len(done) < most and (errand := unsaved.next()) is not None:
        flow, start, end, final = errand
        rest(engine)
        done.append((flow.serial, start, end, final, engine.read(flow, start, end - start)))
        if start == end:
            unsaved.settled(flow, end)
        elif not unsaved.took(flow, start, end):
            done.append("gone")
        elif len(done) % 5 == 4:
            unsaved.failed(flow, start, end)
            if len(done) % 2:
                unsaved.postpone(flow)
        elif final:
            unsaved.handed_over(flow, end)
            rest(engine)
            unsaved.completed(flow, start, end)
        else:
            unsaved.wrote(flow, end)
        rest(engine)
        for gone, _ in unsaved.gone():
            unsaved.settled(gone, gone.size)
    return done


@examples(150)
@hypothesis.given(TINY_LIMITS, scripts(), st.integers(1, 5))
def test_what_is_saved(limits: Limits, script: Script, often: int) -> None:
    """An archive has the same, whoever sleeps."""
    # In a larger table, since also in a hurry is only who has little room.
    limits = dataclasses.replace(limits, table_bytes=100_000 * CONNECTION_BYTES, archives=True)
    expected = saved_by_turns(limits, script, often, awake)
    assert saved_by_turns(limits, script, often, at_once) == expected


@examples(100)
@hypothesis.given(
    captures_of_streams(conflicting=True), st.lists(st.sampled_from((0, 0, 1, 6, 31, 61)), min_size=1)
)
def test_hosts(sent: Sent, pauses_s: list[int]) -> None:
    """Conversations of honest hosts, with pauses."""
    steps = []
    later_ns = 0
    for number, packets in enumerate(sent.steps()):
        later_ns += pauses_s[number % len(pauses_s)] * SECOND_NS
        steps.append([Packet(packet.time_ns + later_ns, *packet[1:]) for packet in packets])
    expected = stepped(steps, awake)
    assert stepped(steps, at_once) == expected
    assert stepped(steps, as_it_comes) == expected


def stepped(steps: list[list[Packet]], rest: Rest) -> list[Look]:
    engine = cores.under_test().start(dataclasses.replace(LIMITS, table_bytes=MIB))
    seen = []
    rest(engine)
    for packets in steps:
        cores.feed(engine, packets)
        rest(engine)
        seen.append(look(engine))
    engine.finish()
    seen.append(look(engine))
    engine.close()
    check_closed(engine)
    return seen

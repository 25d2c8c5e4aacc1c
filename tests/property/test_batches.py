"""Whatever comes in: the batches make no difference, nothing is raised, and every promise to readers holds."""

from __future__ import annotations

import hypothesis
from craft import ETHERNET, LOOP, NULL, RAW, SLL, SLL2, Packet
from hypothesis import strategies as st
from property import cores
from property.effort import examples
from property.hostile import TINY_LIMITS, Action, Script, scripts
from property.readers import Reader

from flowfs.core.counters import PAYLOAD_FATES
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits

LINK_TYPES = (ETHERNET, ETHERNET, ETHERNET, SLL, SLL2, RAW, NULL, LOOP, 228, 229, 101, 9)
SIZES = (1, 2, 3, 7, 1000)


def check_counters(engine: Engine) -> None:
    """[R9], when nothing waits any more."""
    numbers = engine.statistics()
    assert numbers["payload_bytes"] == sum(numbers[name] for name in PAYLOAD_FATES)
    assert numbers["out_of_order_used_bytes"] == 0
    assert min(numbers.values()) >= 0


def parts(script: Script) -> list[list[Packet] | Action]:
    """The packets between actions, and the actions."""
    found: list[list[Packet] | Action] = [[]]
    for item in script:
        if isinstance(item, Action):
            found += [item, []]
        else:
            last = found[-1]
            assert isinstance(last, list)
            last.append(item.packet())
    return found


def played(core: cores.Core, limits: Limits, script: Script, size: int, link_type: int) -> list[cores.Tree]:
    """What is to be seen before the end of the capture and after it, with batches of one size."""
    engine = core.start(limits)
    reader = Reader(core, engine, limits, zeros_are_gaps=False)
    for part in parts(script):
        if isinstance(part, Action):
            reader.act(part)
            continue
        for begin in range(0, len(part), size):
            cores.feed(engine, part[begin : begin + size], link_type)
    before = cores.tree(engine)
    engine.finish()
    check_counters(engine)
    after = cores.tree(engine)
    reader.release_all()
    engine.close()
    return [before, after]


@examples(250)
@hypothesis.given(TINY_LIMITS, scripts(), st.sampled_from(LINK_TYPES))
def test_batches(limits: Limits, script: Script, link_type: int) -> None:
    core = cores.under_test()
    one, *others = (played(core, limits, script, size, link_type) for size in SIZES)
    for other in others:
        assert other == one


@examples(250)
@hypothesis.given(TINY_LIMITS, scripts(with_broken=False))
def test_promises(limits: Limits, script: Script) -> None:
    watch(limits, script, ETHERNET, zeros_are_gaps=True)


@examples(150)
@hypothesis.given(TINY_LIMITS, scripts(), st.sampled_from(LINK_TYPES))
def test_promises_with_broken_frames(limits: Limits, script: Script, link_type: int) -> None:
    watch(limits, script, link_type, zeros_are_gaps=False)


def watch(limits: Limits, script: Script, link_type: int, *, zeros_are_gaps: bool) -> None:
    """Look at everything after each packet and each action."""
    core = cores.under_test()
    engine = core.start(limits)
    reader = Reader(core, engine, limits, zeros_are_gaps)
    for item in script:
        if isinstance(item, Action):
            reader.act(item)
        else:
            cores.feed(engine, [item.packet()], link_type)
        reader.look()
    engine.tick(engine.statistics()["now_ns"] + 1000 * 10**9)
    reader.look()
    engine.finish()
    reader.look()
    check_counters(engine)
    reader.release_all()
    engine.close()
    left = engine.statistics()
    assert left["payload_used_bytes"] == left["table_used_bytes"] == left["flows"] == 0

"""Plays a script to a core: packets in batches, actions between them. Adds up what became of the bytes."""

from __future__ import annotations

from craft import Packet
from flowfs.core.counters import FRAGMENT_FATES, PAYLOAD_FATES
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from property import cores
from property.hostile import Action, Script
from property.readers import POOLS, Reader


def check_counters(engine: Engine) -> None:
    """[R9], when nothing waits any more."""
    numbers = engine.statistics()
    assert numbers["payload_bytes"] == sum(numbers[name] for name in PAYLOAD_FATES)
    assert numbers["fragments"] == sum(numbers[name] for name in FRAGMENT_FATES)
    assert numbers["out_of_order_used_bytes"] == numbers["fragments_used_bytes"] == 0
    assert min(numbers.values()) >= 0


def check_closed(engine: Engine) -> None:
    """Nothing is left of a closed engine."""
    left = engine.statistics()
    assert left["flows"] == 0
    assert not any(left[f"{pool}_used_bytes"] for pool in POOLS)


def parts(script: Script, link_type: int) -> list[list[Packet] | Action]:
    """The packets between actions, and the actions."""
    found: list[list[Packet] | Action] = [[]]
    for item in script:
        if isinstance(item, Action):
            found += [item, []]
        else:
            last = found[-1]
            assert isinstance(last, list)
            last.append(item.packet(link_type))
    return found


def played(core: cores.Core, limits: Limits, script: Script, size: int, link_type: int) -> list[cores.Tree]:
    """What is to be seen before the end of the capture and after it, with batches of one size."""
    engine = core.start(limits)
    reader = Reader(core, engine, limits, zeros_are_gaps=False)
    for part in parts(script, link_type):
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

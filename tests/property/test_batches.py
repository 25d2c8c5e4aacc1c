"""Whatever comes in: batches make no difference, nothing is raised, and each promise to readers is kept."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from craft import ETHERNET
from flowfs.core.limits import Limits
from property import cores
from property.collected import loaded, packets_of
from property.effort import examples
from property.hostile import LINK_TYPES, TINY_LIMITS, Action, Script, scripts
from property.playing import check_closed, check_counters, played
from property.readers import Reader

SIZES = (1, 2, 3, 7, 1000)


@examples(250)
@hypothesis.given(TINY_LIMITS, scripts(), st.sampled_from(LINK_TYPES))
def test_batches(limits: Limits, script: Script, link_type: int) -> None:
    core = cores.under_test()
    one, *others = (played(core, limits, script, size, link_type) for size in SIZES)
    for other in others:
        assert other == one


@pytest.mark.needs("captures")
def test_batches_of_captures(captures: Path) -> None:
    for path in sorted(captures.iterdir()):
        packets = packets_of(path)
        first, *others = (loaded(cores.under_test(), packets, size) for size in (1, 10, 1000))
        for other in others:
            assert other == first, path.name


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
            cores.feed(engine, [item.packet(link_type)], link_type)
        reader.look()
    engine.tick(engine.statistics()["now_ns"] + 1000 * 10**9)
    reader.look()
    engine.finish()
    reader.look()
    check_counters(engine)
    reader.release_all()
    engine.close()
    check_closed(engine)

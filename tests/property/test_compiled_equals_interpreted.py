"""The compiled core and the same sources interpreted show the same tree and count the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from flowfs.core.limits import Limits
from property import cores
from property.collected import LIMITS, loaded, packets_of
from property.cuttings import Sent, captures_of_streams
from property.effort import examples
from property.hostile import LINK_TYPES, TINY_LIMITS, Script, scripts
from property.playing import played

BothCores = tuple[cores.Core, cores.Core]


def test_two_cores(both_cores: BothCores) -> None:
    """Else nothing would be compared here."""
    compiled, interpreted = both_cores
    assert not str(compiled.engine.__file__).endswith(".py")
    assert str(interpreted.engine.__file__).endswith(".py")
    modules = [core.start(LIMITS).flows.__class__.__module__ for core in both_cores]
    assert modules[0] != modules[1]


@examples(150)
@hypothesis.given(limits=TINY_LIMITS, script=scripts(), link_type=st.sampled_from(LINK_TYPES))
def test_compiled_equals_interpreted(
    both_cores: BothCores, limits: Limits, script: Script, link_type: int
) -> None:
    compiled, interpreted = (played(core, limits, script, 5, link_type) for core in both_cores)
    assert compiled == interpreted


@examples(60)
@hypothesis.given(sent=captures_of_streams(conflicting=True))
def test_streams_are_the_same(both_cores: BothCores, sent: Sent) -> None:
    compiled, interpreted = (list(steps(core, sent)) for core in both_cores)
    assert compiled == interpreted


def steps(core: cores.Core, sent: Sent) -> Iterator[cores.Tree]:
    """What is to be seen after each step."""
    engine = core.start(LIMITS)
    for packets in sent.steps():
        cores.feed(engine, packets)
        yield cores.tree(engine)
    engine.finish()
    yield cores.tree(engine)
    engine.close()


@pytest.mark.needs("captures")
def test_captures_are_the_same(both_cores: BothCores, captures: Path) -> None:
    for path in sorted(captures.iterdir()):
        packets = packets_of(path)
        compiled, interpreted = (loaded(core, packets, 100) for core in both_cores)
        assert compiled == interpreted, path.name

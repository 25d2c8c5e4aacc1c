"""Whether time goes on in one leap or in steps makes no difference: what is due has a time of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import hypothesis
from hypothesis import strategies as st

from craft import Packet
from flowfs.core.limits import Limits
from property import cores
from property.effort import examples
from property.hostile import TINY_LIMITS, Script, Shot, scripts
from property.playing import check_counters

MOST = 60  # steps of one silence
END_NS = 1000 * 10**9  # all is over by then

# About as long as each rule waits, and far shorter, and in between.
STEPS_NS = st.lists(
    st.one_of(
        st.sampled_from([1, 10**7, 10**8 - 1, 10**8, 25 * 10**7, 10**9, 2 * 10**9, 3 * 10**9, 30 * 10**9]),
        st.integers(1, 10**10),
    ),
    min_size=1,
    max_size=20,
)


def in_steps(begin_ns: int, end_ns: int, steps_ns: Iterator[int]) -> Iterator[int]:
    """Times from one to the other, by such steps."""
    for _ in range(MOST):
        begin_ns += next(steps_ns)
        if begin_ns >= end_ns:
            break
        yield begin_ns


def played(limits: Limits, packets: list[Packet], size: int, steps_ns: list[int]) -> list[cores.Tree]:
    """What is there when the capture ends, after a silence, and when it is closed. No steps: it leaps."""
    core = cores.under_test()
    engine = core.start(limits)
    steps = cycle(steps_ns)
    for begin in range(0, len(packets), size):
        batch = packets[begin : begin + size]
        if begin and steps_ns:
            for time_ns in in_steps(engine.statistics()["now_ns"], batch[0].time_ns, steps):
                engine.tick(time_ns)
        cores.feed(engine, batch)
    last_ns = engine.statistics()["now_ns"]
    trees = [cores.tree(engine)]
    for time_ns in in_steps(last_ns, last_ns + END_NS, steps) if steps_ns else ():
        engine.tick(time_ns)
    engine.tick(last_ns + END_NS)
    trees.append(cores.tree(engine))
    engine.finish()
    trees.append(cores.tree(engine))
    check_counters(engine)
    engine.close()
    return trees


@examples(300)
@hypothesis.given(TINY_LIMITS, scripts(with_actions=False), STEPS_NS)
def test_steps(limits: Limits, script: Script, steps_ns: list[int]) -> None:
    packets = [item.packet(1) for item in script if isinstance(item, Shot)]
    leap = played(limits, packets, 1000, [])
    assert played(limits, packets, 1, steps_ns) == leap
    assert played(limits, packets, 3, steps_ns) == leap

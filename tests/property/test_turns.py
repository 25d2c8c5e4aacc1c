"""Any interleaving of two streams, in any cutting and order, watched or not: its turns are the flows."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from conversing import Reader, conversation, parsed
from craft import Conversation, batches
from engines import SMALL, feed, started
from flowfs.core.engine import Engine
from flowfs.tree import Tree

STREAM = bytes(range(256)) * 8


class Step(NamedTuple):
    """What one side sends: so many bytes from some before its end on, after a while."""

    client: bool
    back: int
    size: int
    wait_s: float
    ahead: int


STEPS = st.lists(
    st.builds(
        Step,
        st.booleans(),
        st.integers(0, 3),
        st.integers(1, 30),
        st.sampled_from([0, 0, 0, 0.2, 0.999, 1, 1.5, -1]),
        st.sampled_from([0, 0, 0, 1, 20]),
    ),
    max_size=25,
)


def capture_of(steps: list[Step], close: bool) -> Conversation:
    capture = Conversation().handshake()
    ends = {True: 0, False: 0}
    for step in steps:
        start = max(0, ends[step.client] - step.back) + step.ahead
        end = start + step.size
        (capture.client if step.client else capture.server)(start, STREAM[start:end])
        ends[step.client] = max(ends[step.client], end)
        capture.wait(step.wait_s)
    return capture.close() if close else capture


@given(STEPS, st.booleans(), st.sampled_from([1, 3, 256]))
def test_the_turns_of_a_side_are_its_flow(steps: list[Step], close: bool, size: int) -> None:
    capture = capture_of(steps, close)
    with started(SMALL) as engine:
        tree, readers = Tree(engine), {}
        for frames, meta in batches(capture.packets, size):
            engine.feed(frames, meta, 1)
            for name in (capture.client_name(), capture.server_name()):
                if is_there(engine, capture, name) and name not in readers:
                    readers[name] = Reader(tree, name)
            for reader in readers.values():
                reader.go_on()
        engine.finish()
        texts = {reader.go_on() for reader in readers.values()}
        for reader in readers.values():
            reader.close()
        if readers:
            texts.add(conversation(engine, next(iter(readers))))
            assert len(texts) == 1, "who watched has what others read in the end"
            check(engine, capture, texts.pop())


def is_there(engine: Engine, capture: Conversation, name: str) -> bool:
    key = capture.client_key() if name == capture.client_name() else capture.server_key()
    return engine.find(key, 0) is not None


def check(engine: Engine, capture: Conversation, text: bytes) -> None:
    found = parsed(text)
    for key, sender in (
        (capture.client_key(), "010.000.000.001.40000"),
        (capture.server_key(), "010.000.000.002.00080"),
    ):
        flow = engine.find(key, 0)
        whole = b"" if flow is None else engine.read(flow, 0, 1 << 20)
        mine = [turn for turn in found if turn.sender == sender]
        assert b"".join(turn.data for turn in mine) == whole
        lost = 0 if flow is None else sum(gap[1] for gap in flow.gaps())
        assert sum(turn.notes.get("lost", 0) for turn in mine) == lost
        assert all(turn.data and set(turn.notes) <= {"lost"} for turn in mine)
    assert [turn.time for turn in found] == sorted(turn.time for turn in found)


def test_as_it_was_fed() -> None:
    """In order, without silence: a turn for each change of who speaks."""
    capture = capture_of([Step(at % 4 < 2, 0, 3, 0, 0) for at in range(12)], close=True)
    with started(SMALL) as engine:
        feed(engine, capture)
        assert [turn.data for turn in parsed(conversation(engine, capture.client_name()))] == [
            STREAM[at : at + 6] for at in (0, 0, 6, 6, 12, 12)
        ]

"""core/parcel.py: what is unpacked is what was packed, whatever field it is in.

Most fields of a Flow are C's alone where it is compiled. So the same sources are asked interpreted, whichever
core is under test: there all fields are Python's. What is compiled is held against it in `property`.
"""

from __future__ import annotations

import importlib
from array import array
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from craft import Conversation
from engines import SMALL, feed, started
from flowfs.core.limits import PACKED_EXTENTS
from property import cores

# The key and what was lost are told otherwise, as are its owner and its places.
ELSEWHERE = {"key", "lost", "owner", "row", "queue", "older", "newer", "touched_ns", "extents"}
NARROW = {"state": 3, "tail_class": 8, "place": 5, "source": 1 << 20, "opens": 1, "first_extent": 1}
FAR = {"tail_position": 256 * 77}


def sources(module: str) -> Any:
    """A module of the core, interpreted."""
    core = cores.interpreted()
    return importlib.import_module(f"{core.flow.__name__.rpartition('.')[0]}.{module}")


flow_py, parcel, bundle_py = sources("flow"), sources("parcel"), sources("bundle")


def fields() -> list[str]:
    found = {name for one in flow_py.Flow.__mro__ for name in getattr(one, "__slots__", ())}
    return sorted(found - ELSEWHERE)


def a_flow() -> Any:
    flow = flow_py.Flow(7, b"key", 0, None)
    flow.touched_ns = 1 << 60
    return flow


def copied(flow: Any, known: Any = None) -> Any:
    bundle = bundle_py.Bundle()
    parcel.pass_file(bundle, flow, 1 << 60, 0, 5, known)
    bundle.open(bundle.packed())
    copy = a_flow()
    parcel.pass_file(bundle, copy, 1 << 60, 0, 5, known)
    return copy


def everything(flow: Any) -> dict[str, Any]:
    return {name: getattr(flow, name) for name in fields()}


def test_slots_are_told() -> None:
    """Else the test below looks at nothing."""
    assert {"size", "held_bytes", "serial", "tail_position", "saved", "opens"} <= set(fields())
    assert len(fields()) >= 29


@pytest.mark.parametrize("name", fields())
def test_each_field(name: str) -> None:
    """It survives, or a file that has another value there than usual is not packed."""
    flow = a_flow()
    assert parcel.may_pack(flow)
    before = getattr(flow, name)
    other = not before if isinstance(before, bool) else NARROW.get(name, FAR.get(name, 3 + before // 2))
    setattr(flow, name, other)
    if name in ("opens", "freed"):
        assert parcel.is_in_hand(flow)
    elif name in ("named", "watched", "saved", "grows_held"):
        pass  # see `dormant`, and `evict`: nobody has it open
    elif name in ("evicted", "is_large", "first_extent"):
        assert not parcel.may_pack(flow)
    else:
        for known in (None, a_flow(), flow):
            assert everything(copied(flow, known)) == everything(flow)


@hypothesis.given(st.lists(st.tuples(st.integers(1, 1 << 40), st.integers(0, 1 << 20), st.integers(0, 9))))
def test_blocks(blocks: list[tuple[int, int, int]]) -> None:
    flow = a_flow()
    start = 0
    if blocks:
        flow.extents = array("q")
    for length, unit, level in blocks:
        flow.extents.extend((start, unit * 256 | level))
        start += length
    flow.tail_start = flow.size = start
    assert parcel.may_pack(flow) == (len(blocks) <= PACKED_EXTENTS)
    if parcel.may_pack(flow):
        copy = copied(flow)
        assert [flow_py.extent(copy, index) for index in range(flow_py.extent_count(copy) + 1)] == [
            flow_py.extent(flow, index) for index in range(len(blocks) + 1)
        ]


def test_bytes_of_who_slept_can_be_read() -> None:
    """Across blocks and gaps, and by name, by number and in a listing."""
    with started(SMALL) as engine:
        conversation = Conversation().handshake()
        expected = b""
        for number in range(6):
            data = bytes([number]) * (300 << number)
            conversation.client(len(expected), data).server_ack(len(expected) + len(data))
            expected += data
        conversation.server_ack(len(expected) + 10)
        conversation.client(len(expected) + 10, b"behind a gap").server_ack(len(expected) + 22).wait(
            1
        ).client_ack(0)
        expected += bytes(10) + b"behind a gap"
        feed(engine, conversation)
        for _ in range(3):
            engine.flows.lay_down_all()
            assert engine.statistics()["connections_asleep"] == 1
            (flow,) = engine.list_after(0, 9)
            for other in (engine.find(flow.key, flow.generation), engine.get(flow.serial)):
                assert other is not None
                assert engine.read(other, 0, 1 << 20) == engine.read(flow, 0, 1 << 20) == expected
            assert flow.gaps() == [(len(expected) - 22, 10, "ack")]
            assert engine.about(flow).holes == flow.gaps()
            engine.changes()


def test_what_is_open_is_not_put_away() -> None:
    with started(SMALL) as engine:
        feed(engine, Conversation().handshake().client(0, b"abc"))
        (flow,) = engine.list_after(0, 9)
        assert engine.open(flow) is flow
        engine.tick(engine.now_ns + 20 * 10**9)
        assert engine.get(flow.serial) is flow
        engine.release(flow)
        again = engine.get(flow.serial)
        assert again is not None
        assert again is not flow
        assert engine.read(again, 0, 9) == b"abc"

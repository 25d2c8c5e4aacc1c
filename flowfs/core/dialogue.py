"""The turns of a connection as a reader sees them: who spoke when, and where the bytes of it are.

Takes the engine's turn once a call, as each of its methods does, for at most PAGE_TURNS turns. Knows what of
a turn a file still holds; no text. Always true: a turn is given once nothing can be added to it, so what was
given of it holds for good, but for bytes that are freed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .engine import Engine
from .flow import OPEN, Flow
from .stream import Connection, Stream

PAGE_TURNS = 64  # given at once: some 0.2 ms


class Turn(NamedTuple):
    """What one side said without a break; [start, end) of `flow`, if there is one, has its last bytes."""

    time_ns: int
    key: bytes  # of the direction
    offset: int  # in the direction's stream, from its first byte on
    length: int
    flow: Flow | None
    start: int
    end: int
    lost: int  # of these bytes, which are zeros


class Page(NamedTuple):
    """Turns in a row, the first of them being that of this number; those before it were forgotten."""

    first: int
    turns: list[Turn]


def turns_of(engine: Engine, flow: Flow, number: int) -> Page | None:
    """Some of the turns from that number on (0: the first) of the flow's connection that are over.

    No turns if there are no more now; None if no connection knows the flow any more.
    """
    with _connection_of(engine, flow) as connection:
        return None if connection is None else _page(engine, connection, number)


def may_go_on(engine: Engine, flow: Flow) -> bool:
    """Whether a side of the flow's connection may still speak."""
    with _connection_of(engine, flow) as connection:
        return connection is not None and connection.state == OPEN and not engine.finished


@contextmanager
def _connection_of(engine: Engine, flow: Flow) -> Iterator[Connection | None]:
    """The connection that knows the flow, if one does, in the engine's turn."""
    with engine.turn:
        connection, is_copy = engine.flows.connection_of(flow)
        try:
            yield connection
        finally:
            if connection is not None and is_copy:
                engine.flows.drop(connection)


def _page(engine: Engine, connection: Connection, number: int) -> Page:
    first, places = connection.turns_from(number)
    sides = [_Side(connection.one, engine), _Side(connection.other, engine)]
    offered = min(PAGE_TURNS, len(places) // 2 - _may_grow(engine, connection, places, sides))
    ends = _ends(places[1::2], offered, [side.end for side in sides])
    turns = [
        sides[places[2 * at + 1] & 1].turn(places[2 * at], places[2 * at + 1] >> 1, end)
        for at, end in enumerate(ends)
    ]
    return Page(first, turns)


def _may_grow(engine: Engine, connection: Connection, places: array[int], sides: list[_Side]) -> bool:
    """Whether something can be added to the last turn: its side speaks on, and is not at its limit."""
    until_ns = min(engine.now_ns, engine.flows.due_ns)  # before that nothing will happen any more
    if not places or not connection.is_speaking(until_ns):
        return False
    side = places[-1] & 1
    return connection.speaker == side and sides[side].end < engine.store.head_bytes


def _ends(places: array[int], count: int, ends: list[int]) -> list[int]:
    """Where the first `count` turns end: where the next of its side begins, the last ones at `ends`."""
    for side in (0, 1):
        for place in places[max(count, 0) :]:
            if place & 1 == side:
                ends[side] = place >> 1
                break
    found = []
    for place in reversed(places[: max(count, 0)]):
        found.append(ends[place & 1])
        ends[place & 1] = place >> 1
    return found[::-1]


class _Side:
    """A direction, and what it has of its bytes at this moment."""

    def __init__(self, stream: Stream, engine: Engine) -> None:
        self.key: bytes = stream.key
        self.end = min(stream.rcv_nxt, engine.store.head_bytes)  # behind that nothing was stored
        self.flow: Flow | None = stream.flow
        self.origin: int = stream.origin

    def turn(self, time_ns: int, offset: int, end: int) -> Turn:
        """The turn [offset, end) of the stream."""
        flow = self.flow
        stop = end - self.origin
        if flow is None or flow.evicted or stop <= flow.start:
            return Turn(time_ns, self.key, offset, end - offset, None, 0, 0, 0)
        start = max(offset - self.origin, flow.start)
        lost = flow.lost.count(start, stop) if flow.lost is not None else 0
        return Turn(time_ns, self.key, offset, end - offset, flow, start, stop, lost)

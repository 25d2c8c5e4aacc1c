"""A core that took a capture, and what a reader sees of it by the names of files.

Owns the way every scenario is run: three times, in batches of 1, 3 and 256 packets, which must give the same
tree [R10] and counters that add up [R9]; a short one once more, packet by packet, to see that no byte that
could be read ever changes [R1 R2 R4 R7]; and once more with everybody asleep between two packets who can be,
which nobody must be able to tell. Every engine is closed, since a core breaks its circles by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from craft import ETHERNET, Conversation, Packet, batches
from flowfs.core.bundle import Bundle
from flowfs.core.counters import FRAGMENT_FATES, PAYLOAD_FATES
from flowfs.core.dormant import Dormant, take_apart, wake
from flowfs.core.engine import Engine
from flowfs.core.flow import IDLE, OPEN, STATE_NAMES, Flow
from flowfs.core.limits import CONNECTION_BYTES, HALF_OPEN_NS, MIB, SECOND_NS, Limits
from flowfs.core.stream import Connection, Stream
from flowfs.core.uncommon import Beyond, OddAcks, OddEnd
from flowfs.dissect import dissect
from flowfs.tree.names import name_of

BATCHES = (1, 3, 256)
SMALL = Limits(payload_bytes=4 * MIB, out_of_order_bytes=4 * MIB, table_bytes=MIB)
WATCHED_PACKETS = 300  # captures up to this are watched packet by packet
OF_SLEEP = ("connections_asleep", "flows_free", "table_used_bytes")  # what tells of it
UNCOMMON: Mapping[str, Any] = {"odd_end": OddEnd, "odd_acks": OddAcks, "beyond": Beyond}

ALL = 1 << 30  # files and bytes

Capture = Conversation | Iterable[Packet]
Gap = tuple[int, int, str]  # offset, length, reason


class File(NamedTuple):
    """All that a reader can know of a flow."""

    name: str
    serial: int
    state: int
    source: int
    size: int
    start: int
    held_bytes: int
    first_ns: int
    last_ns: int
    changed_ns: int
    gaps: list[Gap]
    content: bytes  # from `start` on


class Tree(NamedTuple):
    """What is there at one moment."""

    files: list[File]
    statistics: dict[str, int]


def tree_of(engine: Engine) -> Tree:
    return Tree([file_of(engine, flow) for flow in engine.list_after(0, ALL)], engine.statistics())


def file_of(engine: Engine, flow: Flow) -> File:
    return File(
        name_of(flow.key, flow.generation).decode(),
        *(flow.serial, flow.state, flow.source, flow.size, flow.start, flow.held_bytes),
        *(flow.first_ns, flow.last_ns, flow.changed_ns, flow.gaps()),
        engine.read(flow, flow.start, ALL),
    )


class View:
    """The files by name, and the counters, at one moment."""

    def __init__(self, tree: Tree) -> None:
        self.statistics = tree.statistics
        self.by_name = {file.name: file for file in tree.files}
        assert len(self.by_name) == len(tree.files), "two files of one name"

    def files(self) -> dict[str, bytes]:
        """Content by name, from the first byte that is still held."""
        return {name: file.content for name, file in self.by_name.items()}

    def gaps(self, name: str) -> list[Gap]:
        return self.by_name[name].gaps

    def state(self, name: str) -> str:
        return STATE_NAMES[self.by_name[name].state]


class Outcome(View):
    """The view when the capture has ended; `before` is the one just before that."""

    def __init__(self, before: Tree, after: Tree, conflicts: dict[str, list[tuple[int, int]]]) -> None:
        super().__init__(after)
        self.before = View(before)
        self.conflicts = conflicts  # (offset, length) by name, of the directions that have any


def run(capture: Capture, limits: Limits = SMALL, link_type: int | None = None) -> Outcome:
    """What is there of a capture in the end, whatever the batches."""
    packets = packets_of(capture)
    if link_type is None:
        link_type = capture.link_type if isinstance(capture, Conversation) else ETHERNET
    outcomes = [_run_in_batches(packets, size, limits, link_type) for size in BATCHES]
    for size, outcome in zip(BATCHES, outcomes, strict=True):
        assert outcome == outcomes[0], f"batches of {size} give another tree [R10]"
    if len(packets) <= WATCHED_PACKETS:
        watch(packets, limits, link_type)
        if has_room_for_all(outcomes[0][1].statistics, limits):
            asleep = _run_in_batches(packets, 1, limits, link_type, sleeps=True)
            assert but_for_sleep(asleep) == but_for_sleep(outcomes[0]), "asleep between packets"
    return Outcome(*outcomes[0])


def has_room_for_all(numbers: dict[str, int], limits: Limits) -> bool:
    """Whether the table was never short, with two rivals each: who has room is just what sleep is for."""
    return 3 * numbers["connections"] * CONNECTION_BYTES <= limits.table_bytes


def but_for_sleep(
    outcome: tuple[Tree, Tree, dict[str, list[tuple[int, int]]]],
) -> tuple[list[Tree], dict[str, list[tuple[int, int]]]]:
    trees = [
        Tree(tree.files, {name: count for name, count in tree.statistics.items() if name not in OF_SLEEP})
        for tree in outcome[:2]
    ]
    return trees, outcome[2]


def packets_of(capture: Capture) -> list[Packet]:
    return list(capture.packets if isinstance(capture, Conversation) else capture)


def _run_in_batches(
    packets: list[Packet], size: int, limits: Limits, link_type: int, sleeps: bool = False
) -> tuple[Tree, Tree, dict[str, list[tuple[int, int]]]]:
    with started(limits) as engine:
        for frames, meta in batches(packets, size):
            engine.feed(frames, meta, link_type)
            if sleeps:
                engine.flows.lay_down_all()
        before, conflicts = tree_of(engine), conflicts_of(engine)
        engine.finish()
        after = tree_of(engine)
    check_counters(after.statistics)
    return before, after, conflicts


@contextmanager
def started(limits: Limits = SMALL) -> Iterator[Engine]:
    """An engine, closed in the end; that must leave nothing behind."""
    engine = Engine(limits, dissect)
    try:
        yield engine
    finally:
        engine.close()
    left = engine.statistics()
    for name in (
        "flows",
        "connections_tracked",
        "table_used_bytes",
        "fragments_used_bytes",
        "out_of_order_used_bytes",
    ):
        assert left[name] == 0, f"{name} after close()"
    assert left["payload_used_bytes"] == left["pinned_bytes"]
    _check_what_is_shared(engine)


def _check_what_is_shared(engine: Engine) -> None:
    """Nobody has changed what all streams share."""
    stream = Stream(bytes(12), Connection(0, 0, 0), engine.flows.room)
    for part, kind in UNCOMMON.items():
        shared, new = getattr(stream, part), kind()
        for name in kind.__slots__:
            assert getattr(shared, name) == getattr(new, name), f"{name} of {part}, which is shared"


def feed(engine: Engine, capture: Capture, link_type: int = ETHERNET, size: int = 256) -> None:
    for frames, meta in batches(packets_of(capture), size):
        engine.feed(frames, meta, link_type)


def evict(engine: Engine, key: bytes, generation: int = 0) -> None:
    """As for want of memory: no reader has asked for it."""
    with engine.turn:
        engine.store.evict(engine.flows.file(engine.flows.find(key, generation)))
        engine.flows.collect()


def conflicts_of(engine: Engine) -> dict[str, list[tuple[int, int]]]:
    """What is recorded of conflicts [O1]."""
    found = {}
    for entry in engine.flows.entries.values():
        asleep = isinstance(entry, Dormant)
        connection = wake(entry, engine.flows.room, Bundle()) if asleep else entry
        for stream in (connection.one, connection.other):
            if stream.notes is not None and stream.notes.conflicts:
                places = [(conflict.offset, conflict.length) for conflict in stream.notes.conflicts]
                found[name_of(stream.key, connection.generation).decode()] = places
        if asleep:
            take_apart(connection)
    return found


def check_two_rivals_at_most(engine: Engine) -> None:
    """However many others there seemed to be: two places of the table, and those for half a minute."""
    numbers = engine.statistics()
    assert numbers["connections_tracked"] == 3
    assert numbers["out_of_order_used_bytes"] < 2000
    engine.tick(engine.now_ns + HALF_OPEN_NS + SECOND_NS)
    assert engine.statistics()["connections_tracked"] == 1
    assert engine.statistics()["out_of_order_used_bytes"] == 0


def check_counters(numbers: dict[str, int]) -> None:
    """Every payload byte and every fragment has exactly one fate, once nothing waits [R9]."""
    assert numbers["out_of_order_used_bytes"] == numbers["fragments_used_bytes"] == 0
    assert sum(numbers[name] for name in FRAGMENT_FATES) == numbers["fragments"]
    fates = {name: numbers[name] for name in PAYLOAD_FATES if numbers[name]}
    assert sum(fates.values()) == numbers["payload_bytes"], fates
    assert min(numbers.values()) >= 0


def watch(packets: list[Packet], limits: Limits, link_type: int) -> None:
    """Look at every file after every packet: what could be read stays as it was."""
    with started(limits) as engine:
        known: dict[int, File] = {}
        for packet in packets:
            before = ends_retracted(engine.statistics())
            feed(engine, [packet], link_type)
            known = _look(engine, known, ends_retracted(engine.statistics()) - before)
        engine.finish()
        _look(engine, known, 0)


def ends_retracted(numbers: dict[str, int]) -> int:
    """How many FINs and RSTs turned out to be none [L4 L5]."""
    return numbers["fin_retracted"] + numbers["rst_forged"]


def _look(engine: Engine, known: dict[int, File], retracted: int) -> dict[int, File]:
    """What is there is compared with what was `known`; so many ends were retracted since."""
    files = {file.serial: file for file in tree_of(engine).files}
    changed = 0
    for serial in files.keys() & known.keys():
        _compare(known[serial], files[serial])
        changed += _has_changed_its_end(known[serial], files[serial])
    assert changed <= 2 * retracted  # R7, but for the two directions of each such end
    assert engine.statistics()["payload_used_bytes"] <= engine.statistics()["payload_limit_bytes"]
    return files


def _compare(old: File, new: File) -> None:
    freed = new.start - old.start
    assert new.size >= old.size  # R2
    assert new.content.startswith(old.content[freed:])  # R1
    assert [gap for gap in old.gaps if gap[0] >= new.start] == [
        gap for gap in _until(new.gaps, old.size) if gap[0] >= new.start
    ]  # R4
    assert old.state != IDLE or not _has_changed_its_end(old, new)  # R7


def _has_changed_its_end(old: File, new: File) -> bool:
    return old.state != OPEN and (new.state, new.size) != (old.state, old.size)


def _until(gaps: list[Gap], end: int) -> list[Gap]:
    """The gaps as far as they lie before `end`."""
    return [(at, min(length, end - at), reason) for at, length, reason in gaps if at < end]

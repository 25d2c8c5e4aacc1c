"""archive: what is saved of flows that go, that stay, and that go on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiving import (
    Archived,
    archived,
    by_turns,
    check,
    hanging,
    hanging_sync,
    has_records,
    is_written,
    joined,
    records,
    some,
    talk,
)
from craft import Conversation
from flowfs.archive import ArchiveError, part
from flowfs.core.limits import KIB, SECOND_NS
from flowfs.tree import Flat
from flowfs.tree.meta import meta_json
from waiting import eventually

# --- what is saved -------------------------------------------------------------------------------


def test_all_that_is_there_in_the_end(place: Path) -> None:
    with archived(place) as one:
        one.feed(talk(b"abc", 1))
        one.feed(talk(b"de", 2, close=False))
        one.end()
        assert one.numbers() == (5, 0)
        assert one.archive.missing() == ""
    assert sorted(joined(place).values()) == [b"abc", b"de"]
    first = {line["size"]: line for line in records(place)}[3]
    assert (first["state"], first["origin"], first["source"]) == ("fin", 0, "here")
    assert first["first_ns"] <= first["last_ns"]
    assert first["file"] == first["name"] == Conversation(client_port=1).client_name()
    assert {line["state"] for line in records(place)} == {"fin", "open"}
    assert (place / str(first["file"])).stat().st_mtime_ns == first["last_ns"]
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_flow_that_may_lack_packets_says_so_and_so_does_one_at_its_limit(place: Path) -> None:
    with archived(place, max_flow_bytes=4) as one:
        one.feed(talk(b"abc", 1))
        one.feed(talk(b"defghi", 2, close=False))
        now_ns = one.engine.now_ns
        one.engine.drop(0, now_ns, now_ns, 7)
        one.end()
    lines = {line["size"]: (line["dropped_packets"], line["beyond_bytes"]) for line in records(place)}
    assert lines == {3: (0, 0), 4: (7, 2)}, "the first was over"


def test_what_is_known_of_a_flow_is_said_in_the_words_of_the_mount(place: Path) -> None:
    """A file is a part of the flow, so what is of the file alone differs: its beginning and its holes."""
    conversation = Conversation().handshake().client(0, b"abc").client(0, b"abd").client(9, b"x")
    with archived(place) as one:
        one.feed(conversation.server_ack(10).wait(1).client(10, b"y").close())
        one.end()
        (flow,) = one.engine.list_after(0, 9)
        called = Flat(one.engine).called(flow)
        known = json.loads(meta_json(flow, one.engine.about(flow), ["here"], called))
    (line,) = check(place)
    assert known["holes"]
    assert known["conflicts"]
    assert known.pop("freed_bytes") == 0
    assert line == {**known, "file": known["name"], "sha256": line["sha256"]}


def test_a_closed_flow_is_saved_ahead_of_need_and_stays(place: Path) -> None:
    conversation = talk(b"abc")
    with archived(place) as one:
        one.feed(conversation)
        (flow,) = one.engine.list_after(0, 9)
        assert not eventually(lambda: flow.saved, 0.3)  # its end may have been forged
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: has_records(place))
        assert flow.saved
        assert one.engine.read(flow, 0, 9) == b"abc"


def test_more_than_the_memory_is_saved_and_nothing_is_lost(place: Path) -> None:
    datas = [some(random.Random(port).randrange(1, 90_000), port) for port in range(120)]
    with archived(place) as one:
        for port, data in enumerate(datas):
            one.feed(talk(data, 1000 + port))
        one.end()
        assert one.engine.counters.flows_evicted > 50
        assert one.numbers() == (sum(map(len, datas)), 0)
    names = [Conversation(client_port=1000 + port).client_name() for port in range(120)]
    assert joined(place) == dict(zip(names, datas, strict=True))


def test_one_flow_that_is_larger_than_the_memory_is_one_file(place: Path) -> None:
    data = some(5_000_000)
    with archived(place) as one:
        one.feed(talk(data, close=False))
        one.end()
        assert one.engine.counters.trimmed_bytes > 3_000_000
        assert one.numbers() == (len(data), 0)
    assert [line["size"] for line in check(place)] == [len(data)]
    assert list(joined(place).values()) == [data]


def test_a_flow_of_which_the_tail_is_wanted_loses_nothing_and_has_its_end(place: Path) -> None:
    """It is trimmed all the time, before it is saved as well as after that."""
    data = some(3_000_000)
    with archived(place, max_flow_bytes=100_000, keep="tail") as one:
        one.feed(talk(data))
        one.end()
        assert one.engine.counters.trimmed_beyond_bytes > 2_000_000
        assert one.numbers()[1] == 0
        assert one.archive.missing() == ""
    (stream,) = joined(place).values()
    assert len(stream) == len(data)
    assert stream[-100_000:] == data[-100_000:]


def test_open_flows_by_turns_that_are_evicted_go_on_in_further_parts(place: Path) -> None:
    """100 flows of 60 KB in a memory of 1 MiB, all open all the time."""
    datas = [some(60_000, seed) for seed in range(100)]
    talks = [Conversation(client_port=1000 + port).handshake() for port in range(100)]
    with archived(place) as one:
        by_turns(one, talks, datas)
        one.end()
        assert one.numbers() == (100 * 60_000, 0)
    streams = joined(place)
    assert [streams[talk.client_name()] for talk in talks] == datas
    lines = check(place)
    assert any("+0001" in line["file"] for line in lines)
    order = sorted(line["file"] for line in lines if line["name"] == talks[0].client_name())
    offsets = {line["file"]: line["origin"] for line in lines}
    assert [offsets[name] for name in order] == sorted(offsets[name] for name in order)


def test_a_closed_flow_that_goes_on_after_it_was_saved(place: Path) -> None:
    """The FIN was forged; see scenario 36."""
    conversation = Conversation().handshake().client(0, b"abc").fin().server_ack(4)
    with archived(place) as one:
        one.feed(conversation)
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.engine.counters.archive_saved_bytes == 3)
        conversation.packets.clear()
        for number in range(8):
            conversation.client(3 + number, b"d").server_ack(4 + number)
        one.feed(conversation)
        (flow,) = one.engine.list_after(0, 9)
        grown = flow.size
        one.end()
    assert grown > 3
    assert [(line["origin"], line["size"]) for line in check(place)] == [(0, 3), (3, grown - 3)]
    assert next(iter(joined(place).values())) == b"abc" + b"d" * (grown - 3)


def test_holes_are_sparse_and_listed(place: Path) -> None:
    conversation = Conversation().handshake().client(0, b"abc" * 1000)
    conversation.client(60_000, b"xyz").server_ack(60_003).wait(1).client(60_003, b"!")
    with archived(place) as one:
        one.feed(conversation)
        one.end()
    (line,) = check(place)
    assert line["holes"] == [{"offset": 3000, "length": 57_000, "reason": "ack"}]
    file = place / line["file"]
    assert file.stat().st_size == 60_004
    assert file.stat().st_blocks * 512 < 20_000
    assert file.read_bytes() == b"abc" * 1000 + bytes(57_000) + b"xyz!"


def test_what_a_reader_removes_is_not_wanted(place: Path) -> None:
    with archived(place) as one:
        one.feed(talk(b"abc", 1))
        one.feed(talk(b"de", 2))
        one.engine.remove(one.engine.list_after(0, 1)[0])
        one.end()
        assert one.numbers() == (2, 0)
    assert list(joined(place).values()) == [b"de"]


def test_a_draft_of_what_a_reader_removes_is_discarded(place: Path) -> None:
    with archived(place) as one:
        one.feed(talk(some(700_000), close=False))
        (flow,) = one.engine.list_after(0, 9)
        assert eventually(lambda: is_written(one))
        one.engine.remove(flow)
        one.end()
        assert one.numbers() == (0, 0)
    assert check(place) == []


@pytest.mark.parametrize("kind", ["flows", "table"])
def test_flows_that_go_for_the_sake_of_others_are_saved_as_well(place: Path, kind: str) -> None:
    limits: dict[str, Any] = {"flows": {"max_flows": 20}, "table": {"table_bytes": 64 * KIB}}[kind]
    with archived(place, **limits) as one:
        for port in range(300):
            one.feed(talk(b"%d" % port, 1000 + port))
        one.end()
        assert one.engine.counters.flows_evicted > 200
        assert one.numbers()[1] == 0
    assert sorted(joined(place).values()) == sorted(b"%d" % port for port in range(300))


# --- the dead and the living ---------------------------------------------------------------------


def test_what_the_dead_left_is_removed_and_the_living_are_left_alone(place: Path) -> None:
    place.mkdir()
    dead = place / ".flowfs-dead"
    dead.mkdir()
    (dead / "1").write_bytes(b"half")
    (place / ".flowfs-file").write_bytes(b"of somebody else")
    with archived(place) as living:
        assert not dead.exists()
        living.feed(talk(some(700_000), 1, close=False))
        assert eventually(lambda: is_written(living))
        (scratch,) = (path for path in place.glob(".flowfs-*") if path.is_dir())
        with pytest.raises(ArchiveError, match="another mount saves its flows there"):
            Archived(place)
        assert scratch.exists()
        living.end()
    (place / ".flowfs-file").unlink()
    assert sorted(map(len, joined(place).values())) == [700_000]
    assert not list(place.glob(".*"))


def test_where_there_are_no_locks_two_can_be_in_one_directory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS has none on directories: still no file replaces another, and nobody clears up after the living."""

    def none(file: int, how: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(fcntl, "flock", none)
    with archived(place) as one:
        one.feed(talk(some(700_000)))
        assert eventually(lambda: is_written(one))
        with archived(place) as other:
            other.feed(talk(b"1"))
            other.end()
        one.end()
    assert sorted(line["size"] for line in check(place)) == [1, 700_000]


# --- what goes before it is saved, or meanwhile --------------------------------------------------


def test_what_goes_before_it_was_saved_is_lost_and_never_called_saved(place: Path) -> None:
    """As with an interface, which does not wait; the worker does not run."""
    one = Archived(place)
    for port in range(30):
        one.feed(talk(some(100_000, port), 1000 + port), patient=False)
    counters = one.engine.counters
    evicted = counters.flows_evicted
    assert (counters.archive_lost_flows, counters.archive_lost_bytes) == (evicted, evicted * 100_000)
    one.archive.start()
    one.end()
    assert one.numbers() == ((30 - evicted) * 100_000, evicted * 100_000)
    assert len(check(place)) == 30 - evicted
    one.engine.close()


def test_the_lost_head_of_a_flow_separates_two_parts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = some(4_000_000)
    conversation = talk(data, close=False)
    packets = list(conversation.packets)
    with archived(place) as one:
        one.feed(packets[:800])
        (flow,) = one.engine.list_after(0, 9)
        assert eventually(lambda: is_written(one))
        assert flow.start == 0
        goes_on, _ = hanging(monkeypatch)
        one.feed(packets[800:], patient=False)
        goes_on.set()
        one.end()
        saved, lost = one.numbers()
        assert lost > 0
    lines = check(place)
    assert lines[0]["origin"] == 0
    assert len(lines) > 1
    for line in lines:
        assert (place / line["file"]).read_bytes() == data[line["origin"] : line["origin"] + line["size"]]
    assert saved == sum(line["size"] for line in lines) >= len(data) - lost
    assert one.engine.counters.archive_lost_flows == 1


def test_breaking_off_says_what_is_not_saved(place: Path) -> None:
    one = Archived(place)
    one.feed(talk(b"abc", 1))
    one.feed(talk(b"de" * 500_000, 2), patient=False)
    one.archive.break_off()
    one.archive.start()
    assert one.archive.wait(10)
    assert one.archive.missing().startswith(f"--archive {place}: ")
    assert one.archive.missing().endswith("were not saved")
    assert list(place.iterdir()) == [place / "flows.jsonl"]
    one.engine.close()


@pytest.mark.parametrize("hangs", [hanging, hanging_sync])
@pytest.mark.parametrize("removed", [False, True])
def test_a_flow_that_goes_while_it_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, hangs: Callable[..., Any], removed: bool
) -> None:
    """For want of memory, it is saved, and no loss; by a reader's rm, it is not wanted."""
    goes_on, stands = hangs(monkeypatch)
    with archived(place) as one:
        try:
            one.feed(talk(b"abc"))
            (flow,) = one.engine.list_after(0, 9)
            one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
            assert stands.wait(10)
            one.engine.remove(flow) if removed else one.engine.store.evict(flow)
        finally:
            goes_on.set()
        one.end()
        assert one.numbers() == ((0, 0) if removed else (3, 0))
        assert one.archive.missing() == ""
        assert one.engine.store.saving is not None
        assert not one.engine.store.saving.leaving
    assert list(joined(place).values()) == ([] if removed else [b"abc"])


def test_what_goes_while_it_cannot_be_written_is_lost_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, data: bytes, offset: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(part, "_write", refuse)
    goes_on, stands = hanging(monkeypatch)
    with archived(place) as one:
        try:
            one.feed(talk(b"abc"))
            one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
            assert stands.wait(10)
            one.engine.store.evict(one.engine.list_after(0, 9)[0])
        finally:
            goes_on.set()
        one.end()
        assert one.numbers() == (0, 3)
        assert one.archive.missing().endswith(": 1 flow, 3 bytes, was not saved (Input/output error)")
        assert one.engine.store.saving is not None
        assert not one.engine.store.saving.leaving

"""archive: what is saved of flows that go, that stay, and that go on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiving import Archived, archived, check, joined, records
from craft import Conversation
from flowfs.archive import ArchiveError, part, trouble, worker
from flowfs.archive.part import Part
from flowfs.archive.place import Place
from flowfs.core.limits import KIB, MIB, SECOND_NS
from flowfs.tree.meta import meta_json
from waiting import eventually

STEP = 1000


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def talk(data: bytes, port: int = 40_000, close: bool = True) -> Conversation:
    conversation = Conversation(client_port=port).handshake()
    for at in range(0, len(data), STEP):
        conversation.client(at, data[at : at + STEP])
    conversation.server_ack(len(data))
    return conversation.close() if close else conversation


def is_written(one: Archived) -> bool:
    """Whether memory of the flow that is there can be freed without a loss, though it is open."""
    saving = one.engine.store.saving
    return saving is not None and saving.clean_bytes > 0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept"


# --- what is saved -----------------------------------------------------------------------------


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
        known = json.loads(meta_json(flow, one.engine.about(flow), ["here"]))
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
        assert eventually(lambda: check_quietly(place))
        assert flow.saved
        assert one.engine.read(flow, 0, 9) == b"abc"


def check_quietly(place: Path) -> bool:
    return (place / "flows.jsonl").exists() and bool(records(place))


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
        for at in range(0, 60_000, 6000):
            for data, conversation in zip(datas, talks, strict=True):
                conversation.packets.clear()
                conversation.wait(0.01).client(at, data[at : at + 6000])
                one.feed(conversation)
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


# --- names --------------------------------------------------------------------------------------


def test_nothing_that_is_there_is_overwritten(place: Path) -> None:
    name = Conversation().client_name()
    for mount in range(4):
        with archived(place) as one:
            one.feed(talk(b"%d" % mount))
            one.end()
    assert [line["file"] for line in records(place)] == [name, *(f"{name}+000{n}" for n in (1, 2, 3))]
    assert [(place / line["file"]).read_bytes() for line in records(place)] == [b"0", b"1", b"2", b"3"]


def test_a_link_in_the_place_of_a_name_is_left_alone(place: Path, tmp_path: Path) -> None:
    place.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (place / Conversation().client_name()).symlink_to(precious)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.end()
    assert precious.read_bytes() == b"mine"
    assert (place / (Conversation().client_name() + "+0001")).read_bytes() == b"abc"


def test_a_journal_whose_last_line_is_torn(place: Path) -> None:
    for mount in range(2):
        with archived(place) as one:
            one.feed(talk(b"%d" % mount, 1 + mount))
            one.end()
        journal = place / "flows.jsonl"
        if mount == 0:
            os.truncate(journal, journal.stat().st_size - 20)
    lines = journal.read_text().split("\n")
    assert len(lines) == 3
    assert [line["name"] for line in records(place)] == [Conversation(client_port=2).client_name()]


# --- the dead and the living --------------------------------------------------------------------


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


# --- what goes wrong ----------------------------------------------------------------------------


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


def test_a_directory_that_goes_and_comes_again(place: Path) -> None:
    with archived(place) as one:
        one.feed(talk(some(700_000), 1, close=False))
        assert eventually(lambda: is_written(one))
        aside = place.with_name("removed")
        place.rename(aside)
        for path in sorted(aside.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        aside.rmdir()
        one.feed(talk(b"abc", 2))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.archive.trouble.what)
        assert one.archive.trouble.what == "No such file or directory"
        assert one.numbers() == (0, 0)
        assert not place.exists()
        place.mkdir()
        assert eventually(lambda: one.engine.counters.archive_saved_bytes >= 3)
        assert eventually(lambda: not one.archive.trouble.what)
        one.end()
        assert one.numbers() == (700_003, 0)
        assert len(one.archive.trouble.news) == 1
    assert sorted(map(len, joined(place).values())) == [3, 700_000]


def test_a_journal_that_is_removed_begins_anew(place: Path) -> None:
    with archived(place) as one:
        one.feed(talk(b"abc", 1))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: check_quietly(place))
        for path in place.iterdir():
            if path.is_file():
                path.unlink()
        one.feed(talk(b"de", 2))
        one.end()
    assert list(joined(place).values()) == [b"de"]


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


@pytest.mark.parametrize("kind", ["flows", "table"])
def test_flows_that_go_for_the_sake_of_others_are_saved_as_well(place: Path, kind: str) -> None:
    limits = {"flows": {"max_flows": 20}, "table": {"table_bytes": 64 * KIB}}[kind]
    with archived(place, **limits) as one:
        for port in range(300):
            one.feed(talk(b"%d" % port, 1000 + port))
        one.end()
        assert one.engine.counters.flows_evicted > 200
        assert one.numbers()[1] == 0
    assert sorted(joined(place).values()) == sorted(b"%d" % port for port in range(300))


def hanging(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """From here on the disk hangs until the first event is set; the second says that somebody waits."""
    goes_on, stands = threading.Event(), threading.Event()
    write = part._write

    def hang(file: int, data: bytes, offset: int) -> None:
        stands.set()
        assert goes_on.wait(60)
        write(file, data, offset)

    monkeypatch.setattr(part, "_write", hang)
    return goes_on, stands


def test_a_disk_that_hangs_holds_nobody_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stands still in a write; all packets are taken, and what had to go is counted."""
    goes_on, stands = hanging(monkeypatch)
    with archived(place) as one:
        try:
            for port in range(40):
                one.feed(talk(some(60_000, port), 1000 + port), patient=False)
                assert port < 20 or stands.wait(10)
            assert one.engine.counters.stored_bytes == 40 * 60_000
            assert one.engine.counters.archive_lost_flows > 20
            assert one.numbers()[0] == 0
        finally:
            goes_on.set()
        one.end()
        saved, lost = one.numbers()
        assert saved == sum(line["size"] for line in check(place))
        assert saved + lost == 40 * 60_000  # that which went while it was written is saved, too


def test_what_a_disk_could_not_make_safe_is_written_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops what it cannot write, and says so but once: the next sync would succeed."""
    sync = part.Part.sync
    failed: list[part.Part] = []

    def fail_once(self: part.Part) -> None:
        if not failed:
            failed.append(self)
            (scratch,) = place.glob(".flowfs-*/*")
            scratch.write_bytes(bytes(scratch.stat().st_size))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(self)

    monkeypatch.setattr(part.Part, "sync", fail_once)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.end()
        assert one.numbers() == (3, 0)
        assert len(one.archive.trouble.news) == 1
    assert failed
    assert list(joined(place).values()) == [b"abc"]


def test_a_disk_that_hangs_in_the_end_has_not_saved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was handed over is not safe yet, whether its flow is there or has gone."""
    sync = part.Part.sync
    goes_on, stands = threading.Event(), threading.Event()

    def hang(self: part.Part) -> None:
        stands.set()
        assert goes_on.wait(60)
        sync(self)

    monkeypatch.setattr(part.Part, "sync", hang)
    with archived(place) as one:
        try:
            one.feed(talk(b"abc"))
            one.engine.finish()
            one.archive.stop()
            assert stands.wait(10)
            one.archive.break_off()
            assert not one.archive.wait(0.05)
            assert "1 flows" in one.archive.missing()
            (flow,) = one.engine.list_after(0, 9)
            one.engine.store.evict(flow)
            assert "1 flows" in one.archive.missing()
        finally:
            goes_on.set()
        assert one.archive.wait(10)
    assert list(joined(place).values()) == [b"abc"]


def test_a_file_in_the_place_of_the_directory(place: Path) -> None:
    """Names that were just given are not safe, and cannot be made so: it ends, and says what is not saved."""
    with archived(place) as one:
        one.feed(talk(b"abc", 1))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.numbers()[0] == 3)
        shutil.rmtree(place)
        place.write_bytes(b"")
        one.feed(talk(b"de", 2))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.archive.trouble.what)
        one.archive.break_off()
        assert one.archive.wait(10)
        assert "1 flows" in one.archive.missing()


def test_a_journal_that_is_a_pipe(place: Path) -> None:
    """It is refused, and stays so."""
    place.mkdir()
    os.mkfifo(place / "flows.jsonl")
    with pytest.raises(ArchiveError):
        Archived(place)


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


# --- what goes while it is written ----------------------------------------------------------------


def hanging_sync(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """As `hanging`, in the making safe of a part that is written."""
    goes_on, stands = threading.Event(), threading.Event()
    sync = part.Part.sync

    def hang(self: part.Part) -> None:
        stands.set()
        assert goes_on.wait(60)
        sync(self)

    monkeypatch.setattr(part.Part, "sync", hang)
    return goes_on, stands


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
    goes_on, stands = threading.Event(), threading.Event()

    def hang(file: int, data: bytes, offset: int) -> None:
        stands.set()
        assert goes_on.wait(60)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(part, "_write", hang)
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
        assert one.archive.missing().endswith(": 1 flows, 0.0 MB, were not saved (Input/output error)")
        assert one.engine.store.saving is not None
        assert not one.engine.store.saving.leaving


# --- a disk that is full --------------------------------------------------------------------------


class SmallDisk:
    """It has room for so many bytes of all files together, and `file_bytes` of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room_bytes: int, file_bytes: int = 1 << 60) -> None:
        self.room_bytes = room_bytes
        self.file_bytes = file_bytes
        self._write = part._write
        monkeypatch.setattr(part, "_write", self.write)
        monkeypatch.setattr(worker, "PATIENCE_S", 1.0)
        monkeypatch.setattr(worker, "RETRY_S", 0.05)

    def write(self, file: int, data: bytes, offset: int) -> None:
        directory = Path(os.readlink(f"/proc/self/fd/{file}")).parent.parent
        if offset + len(data) > self.file_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        used_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.name != "flows.jsonl")
        if used_bytes + len(data) > self.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._write(file, data, offset)


def test_smaller_flows_go_before_those_for_which_there_is_no_room(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one came first, and is open; then it gets what room is left, in a part."""
    SmallDisk(monkeypatch, 5_000_000)
    large, small = some(6_000_000), [some(100_000, port) for port in range(2, 12)]
    with archived(place, payload_bytes=16 * MIB) as one:
        one.feed(talk(large, 1, close=False))
        for port, data in enumerate(small, 2):
            one.feed(talk(data, port, close=port % 2 == 0))
        one.end(60)
        saved, lost = one.numbers()
        assert lost == 0
        missing = one.archive.missing()
    (head,) = [data for data in joined(place).values() if len(data) > 100_000]
    assert large.startswith(head)
    assert 2_500_000 < len(head) < 4_000_000
    assert saved == len(head) + 1_000_000
    assert sorted(data for data in joined(place).values() if data != head) == sorted(small)
    left = (len(large) - len(head)) / 1e6
    assert missing == f"--archive {place}: 1 flows, {left:,.1f} MB, were not saved (No space left on device)"


def test_a_closed_flow_that_does_not_fit_waits_and_others_are_saved_meanwhile(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is saved once there is room, which is told once, as well as that there was none."""
    disk = SmallDisk(monkeypatch, 500_000)
    monkeypatch.setattr(trouble, "SETTLE_S", 0.2)
    with archived(place, payload_bytes=16 * MIB) as one:
        one.feed(talk(some(600_000), 1))
        for port in range(2, 8):
            one.feed(talk(some(1000, port), port))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.numbers() == (6_000, 0))
        assert one.archive.trouble.what == "No space left on device"
        assert len(one.archive.trouble.standing()) == 1
        disk.room_bytes = 10_000_000
        assert eventually(lambda: one.numbers() == (606_000, 0))
        assert eventually(lambda: len(one.archive.trouble.news) == 2)
        assert one.archive.trouble.news[1] == f"--archive {place}: it works again, and flows are saved"
        assert one.archive.trouble.standing() == []
        one.end()
    assert len(check(place)) == 7


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_disk_that_takes_nothing_for_a_while(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Read-only, broken, or a quota is used up: nothing is lost that is still there, and it is told once."""
    create = Place.create
    fails = [True]

    def refused(*arguments: Any) -> Any:
        if fails:
            raise OSError(number, os.strerror(number))
        return create(*arguments)

    monkeypatch.setattr(Place, "create", refused)
    monkeypatch.setattr(worker, "RETRY_S", 0.05)
    monkeypatch.setattr(trouble, "SETTLE_S", 0.2)
    with archived(place) as one:
        for port in range(1, 5):
            one.feed(talk(b"abc", port))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.archive.trouble.what == os.strerror(number))
        time.sleep(0.3)  # time to say it again
        assert len(one.archive.trouble.news) == 1
        assert one.archive.about()["unsaved_flows"] == 4
        fails.clear()
        assert eventually(lambda: len(one.archive.trouble.news) == 2)
        one.end()
        assert one.numbers() == (12, 0)
        assert one.archive.missing() == ""
    assert len(check(place)) == 4


def test_a_flow_larger_than_a_file_can_be_goes_on_in_another(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EFBIG: a file system's limit, or a process's."""
    SmallDisk(monkeypatch, 1 << 60, 2 * MIB)
    data = some(5_000_000)
    with archived(place, payload_bytes=16 * MIB) as one:
        one.feed(talk(data))
        one.end()
        assert one.numbers() == (len(data), 0)
        assert one.archive.trouble.news == []
    assert [line["size"] for line in check(place)] == [2 * MIB, 2 * MIB, len(data) - 4 * MIB]
    assert list(joined(place).values()) == [data]


def test_one_of_many_that_the_disk_could_not_make_safe(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its batch are saved as they are; this one is written again."""
    sync, sync_all, written = part.Part.sync, Place.sync_all, part.Part.write
    bad, count = [some(1000, 3)], [0]

    def fail_one(self: part.Part) -> None:
        if bad and (next(place.glob(f".flowfs-*/{self.name}"))).read_bytes() == bad[0]:
            bad.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(self)

    def fail_all(self: Place) -> None:
        if bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync_all(self)

    def counted(self: part.Part, *arguments: Any) -> None:
        count[0] += 1
        written(self, *arguments)

    monkeypatch.setattr(part.Part, "sync", fail_one)
    monkeypatch.setattr(part.Part, "write", counted)
    monkeypatch.setattr(Place, "sync_all", fail_all)
    with archived(place) as one:
        for port in range(8):
            one.feed(talk(some(1000, port), 1 + port))
        one.end()
        assert one.numbers() == (8_000, 0)
        assert count == [9]
    assert len(check(place)) == 8


# --- names ----------------------------------------------------------------------------------------


def test_what_has_a_name_that_is_not_safe_is_not_called_saved(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making names safe is tried again; what the kernel may have dropped of the journal is written again."""
    fdatasync, pwrite = os.fdatasync, os.pwrite
    journal: list[Path] = [place / "flows.jsonl"]
    again: list[bytes] = []

    def is_journal(file: int) -> bool:
        return Path(os.readlink(f"/proc/self/fd/{file}")) in journal

    def fail(file: int) -> None:
        if is_journal(file):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fdatasync(file)

    def noted(file: int, data: bytes, offset: int) -> int:
        if is_journal(file):
            again.append(bytes(data))
        return pwrite(file, data, offset)

    monkeypatch.setattr(os, "fdatasync", fail)
    monkeypatch.setattr(os, "pwrite", noted)
    monkeypatch.setattr(worker, "RETRY_S", 0.05)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.engine.finish()
        one.archive.stop()
        assert eventually(lambda: one.archive.trouble.what == "Input/output error")
        assert len(check_named(place)) == 1
        assert one.numbers() == (0, 0)
        assert one.archive.missing().endswith(": 1 flows, 0.0 MB, were not saved (Input/output error)")
        again.clear()
        journal.clear()
        assert one.archive.wait(10)
        assert one.numbers() == (3, 0)
        assert one.archive.missing() == ""
    assert len(check(place)) == 1
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.engine.finish()
        journal.append(place / "flows.jsonl")
        one.archive.stop()
        assert eventually(lambda: again)
        one.archive.break_off()
        assert one.archive.wait(10)
        assert "1 flows" in one.archive.missing()
    lines = (place / "flows.jsonl").read_bytes().splitlines(keepends=True)
    assert set(again) == {lines[1]}


def check_named(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.name[0] != "." and path.name != "flows.jsonl"]


# --- faults of ours -------------------------------------------------------------------------------


def test_a_fault_of_the_thread_is_not_silent(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "__init__", lambda *_: 1 // 0)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.end()
        assert isinstance(one.archive.fault, ZeroDivisionError)
        assert "1 flows" in one.archive.missing()
    assert check(place) == []

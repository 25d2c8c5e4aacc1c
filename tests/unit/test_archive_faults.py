"""archive: a disk that is full, hangs or fails, names that are taken or lost, and faults of ours."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from archiving import (
    Archived,
    archived,
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
from flowfs.archive import ArchiveError, part, trouble, worker
from flowfs.archive.part import Part
from flowfs.archive.place import Place
from flowfs.core.limits import MIB, SECOND_NS
from waiting import eventually

# --- names ---------------------------------------------------------------------------------------


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


class UnsafeJournal:
    """The disk does not make the journal safe while it `fails`; what is written to it again is `written`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        self.path = place / "flows.jsonl"
        self.fails = True
        self.written: list[bytes] = []
        self._fdatasync, self._pwrite = os.fdatasync, os.pwrite
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(worker, "RETRY_S", 0.05)

    def is_open_as(self, file: int) -> bool:
        return Path(os.readlink(f"/proc/self/fd/{file}")) == self.path

    def fdatasync(self, file: int) -> None:
        if self.fails and self.is_open_as(file):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fdatasync(file)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        if self.is_open_as(file):
            self.written.append(bytes(data))
        return self._pwrite(file, data, offset)


def test_what_has_a_name_that_is_not_safe_is_not_called_saved(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making names safe is tried again."""
    journal = UnsafeJournal(monkeypatch, place)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.engine.finish()
        one.archive.stop()
        assert eventually(lambda: one.archive.trouble.what == "Input/output error")
        assert len(check_named(place)) == 1
        assert one.numbers() == (0, 0)
        assert one.archive.missing().endswith(": 1 flow, 3 bytes, was not saved (Input/output error)")
        journal.fails = False
        assert one.archive.wait(10)
        assert one.numbers() == (3, 0)
        assert one.archive.missing() == ""
    assert len(check(place)) == 1


def test_what_the_kernel_may_have_dropped_of_the_journal_is_written_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more than that: a line that is safe stays as it is."""
    with archived(place) as one:
        one.feed(talk(b"abc", 1))
        one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)
        assert eventually(lambda: one.numbers() == (3, 0))
        journal = UnsafeJournal(monkeypatch, place)
        one.feed(talk(b"de", 2))
        one.engine.finish()
        one.archive.stop()
        assert eventually(lambda: journal.written)
        one.archive.break_off()
        assert one.archive.wait(10)
        assert "1 flow, " in one.archive.missing()
    lines = journal.path.read_bytes().splitlines(keepends=True)
    assert set(journal.written) == {lines[1]}


def check_named(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.name[0] != "." and path.name != "flows.jsonl"]


# --- the directory and its journal ---------------------------------------------------------------


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
        assert eventually(lambda: has_records(place))
        for path in place.iterdir():
            if path.is_file():
                path.unlink()
        one.feed(talk(b"de", 2))
        one.end()
    assert list(joined(place).values()) == [b"de"]


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
        assert "1 flow, " in one.archive.missing()


def test_a_journal_that_is_a_pipe(place: Path) -> None:
    """It is refused, and stays so."""
    place.mkdir()
    os.mkfifo(place / "flows.jsonl")
    with pytest.raises(ArchiveError):
        Archived(place)


# --- a disk that hangs or fails ------------------------------------------------------------------


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
    sync = Part.sync
    failed: list[Part] = []

    def fail_once(self: Part) -> None:
        if not failed:
            failed.append(self)
            (scratch,) = place.glob(".flowfs-*/*")
            scratch.write_bytes(bytes(scratch.stat().st_size))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(self)

    monkeypatch.setattr(Part, "sync", fail_once)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.end()
        assert one.numbers() == (3, 0)
        assert len(one.archive.trouble.news) == 1
    assert failed
    assert list(joined(place).values()) == [b"abc"]


def test_a_disk_that_hangs_in_the_end_has_not_saved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was handed over is not safe yet, whether its flow is there or has gone."""
    goes_on, stands = hanging_sync(monkeypatch)
    with archived(place) as one:
        try:
            one.feed(talk(b"abc"))
            one.engine.finish()
            one.archive.stop()
            assert stands.wait(10)
            one.archive.break_off()
            assert not one.archive.wait(0.05)
            assert "1 flow, " in one.archive.missing()
            (flow,) = one.engine.list_after(0, 9)
            one.engine.store.evict(flow)
            assert "1 flow, " in one.archive.missing()
        finally:
            goes_on.set()
        assert one.archive.wait(10)
    assert list(joined(place).values()) == [b"abc"]


# --- a disk that is full -------------------------------------------------------------------------


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
    assert missing == f"--archive {place}: 1 flow, {left:,.1f} MB, was not saved (No space left on device)"


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
    sync, sync_all, written = Part.sync, Place.sync_all, Part.write
    bad, count = [some(1000, 3)], [0]

    def fail_one(self: Part) -> None:
        if bad and (next(place.glob(f".flowfs-*/{self.name}"))).read_bytes() == bad[0]:
            bad.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(self)

    def fail_all(self: Place) -> None:
        if bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync_all(self)

    def counted(self: Part, *arguments: Any) -> None:
        count[0] += 1
        written(self, *arguments)

    monkeypatch.setattr(Part, "sync", fail_one)
    monkeypatch.setattr(Part, "write", counted)
    monkeypatch.setattr(Place, "sync_all", fail_all)
    with archived(place) as one:
        for port in range(8):
            one.feed(talk(some(1000, port), 1 + port))
        one.end()
        assert one.numbers() == (8_000, 0)
        assert count == [9]
    assert len(check(place)) == 8


# --- faults of ours ------------------------------------------------------------------------------


def test_a_fault_of_the_thread_is_not_silent(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "__init__", lambda *_: 1 // 0)
    with archived(place) as one:
        one.feed(talk(b"abc"))
        one.end()
        assert isinstance(one.archive.fault, ZeroDivisionError)
        assert "1 flow, " in one.archive.missing()
    assert check(place) == []

"""archive: flows whose names come by a template, in directories, and what may stand in their way."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from archiving import Archived, archived, by_turns, check, hanging, joined, records, some, talk
from craft import Conversation
from flowfs.core.limits import KIB, SECOND_NS
from waiting import eventually

TEMPLATE = "%A/%B/%a"
ABOVE = "010.000.000.001/010.000.000.002/"


def settle(one: Archived, conversation: Conversation) -> None:
    """It is over for so long that it is saved."""
    one.feed(conversation)
    one.engine.tick(one.engine.now_ns + 3 * SECOND_NS)


def files(place: Path) -> set[str]:
    return {str(line["file"]) for line in check(place)}


def test_flows_are_saved_by_their_paths(place: Path) -> None:
    with archived(place, TEMPLATE) as one:
        one.feed(talk(b"abc", 1))
        one.feed(talk(b"de", 2))
        one.end()
    lines = {line["size"]: line for line in check(place)}
    assert lines[3]["file"] == lines[3]["name"] == ABOVE + "00001"
    assert lines[3]["canonical"] == Conversation(client_port=1).client_name()
    assert lines[2]["file"] == ABOVE + "00002"
    assert (place / ABOVE / "00001").read_bytes() == b"abc"
    for folder in (place / ABOVE, (place / ABOVE).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_flows_of_one_name_have_a_file_each(place: Path) -> None:
    with archived(place, "%A/%B") as one:
        for port in range(1, 6):
            one.feed(talk(some(port), port))
        one.end()
    lines = check(place)
    assert {line["size"]: line["file"] for line in lines} == {
        1: ABOVE[:-1],
        **{number: f"{ABOVE[:-1]}~{number}" for number in range(2, 6)},
    }


def test_the_names_are_those_of_the_mount_also_when_flows_go_before_they_are_saved(place: Path) -> None:
    """All along, whoever looks at the mount sees one name for a flow, and the archive has it by that."""
    seen: dict[str, str] = {}
    with archived(place, "x/%B", payload_bytes=1024 * KIB) as one:
        for port in range(1, 60):
            one.feed(talk(some(50 * KIB, port), port))
            for flow in one.engine.list_after(0, 100):
                called = one.directories.called(flow)
                if called.name:
                    assert called.canonical is not None
                    assert seen.setdefault(called.canonical, called.name) == called.name
            one.directories.took_away(one.engine.changes().gone)
        one.end()
        assert one.numbers() == (59 * 50 * KIB, 0)
    lines = check(place)
    assert len(lines) == 59
    for line in lines:
        assert line["name"] == seen.get(str(line["canonical"]), line["name"])
        assert line["file"].partition("+")[0] == line["name"]


def test_parts_of_flows_that_are_evicted_and_go_on(place: Path) -> None:
    """50 flows of 60 KB in a memory of 1 MiB, all open all the time: what follows has its number."""
    datas = [some(60_000, seed) for seed in range(50)]
    talks = [Conversation(client_port=1000 + port).handshake() for port in range(50)]
    with archived(place, TEMPLATE) as one:
        by_turns(one, talks, datas)
        one.end()
        assert one.numbers() == (50 * 60_000, 0)
    streams = joined(place)
    assert [streams[f"{ABOVE}{1000 + port:05}"] for port in range(50)] == datas
    assert any("+0001" in file for file in files(place))


def test_an_archive_that_has_such_names_already(place: Path) -> None:
    for size in (3, 4):
        with archived(place, TEMPLATE) as one:
            one.feed(talk(some(size), 1))
            one.end()
    assert {line["size"]: line["file"] for line in check(place)} == {
        3: ABOVE + "00001",
        4: ABOVE + "00001+0001",
    }


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_stands_where_a_directory_should_be(place: Path, kind: str, tmp_path: Path) -> None:
    """Not even a link is followed: what is saved would be elsewhere."""
    place.mkdir()
    (tmp_path / "elsewhere").mkdir()
    in_the_way = place / "010.000.000.001"
    if kind == "file":
        in_the_way.write_bytes(b"mine")
    else:
        in_the_way.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    with archived(place, TEMPLATE) as one:
        one.feed(talk(b"abc", 1))
        one.feed(talk(b"de", 2))
        one.end()
        assert one.archive.missing() == ""
    assert {line["file"] for line in records(place)} == {
        "010.000.000.001+0001/010.000.000.002/00001",
        "010.000.000.001+0001/010.000.000.002/00002",
    }
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert kind != "file" or in_the_way.read_bytes() == b"mine"


def test_a_template_that_is_the_journals_name(place: Path) -> None:
    with archived(place, "flows.jsonl") as one:
        one.feed(talk(b"abc", 1))
        one.end()
    (line,) = records(place)
    assert line["file"] == "flows.jsonl+0001"
    assert (place / "flows.jsonl+0001").read_bytes() == b"abc"
    with archived(place, "flows.jsonl/%a") as one:
        one.feed(talk(b"defg", 1))
        one.end()
    assert records(place)[1]["file"] == "flows.jsonl+0002/00001"


def test_a_template_that_looks_like_a_scratch_directory(place: Path) -> None:
    """Those of the dead are cleared by whoever comes next."""
    with archived(place, "%C%c.flowfs-%A/%a") as one:
        one.feed(talk(b"abc", 1))
        one.end()
    with archived(place, TEMPLATE) as one:
        one.end()
    assert files(place) == {"_.flowfs-010.000.000.001/00001"}


def test_directories_cannot_be_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full of inodes: nothing is lost when there are some again."""
    full = [True]
    make = os.mkdir

    def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if full[0] and path.startswith("010."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        make(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with archived(place, TEMPLATE) as one:
        settle(one, talk(b"abc", 1))
        assert eventually(lambda: bool(one.archive.trouble.what), 10)
        assert list(place.rglob("00001")) == []
        full[0] = False
        one.end()
        assert one.numbers() == (3, 0)
    assert files(place) == {ABOVE + "00001"}


def test_directories_that_somebody_removes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between the making of one and its opening."""
    make, once = os.mkdir, [True]

    def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        if path.startswith("010.") and once.pop():
            once.append(False)
            os.rmdir(path, dir_fd=dir_fd)

    with archived(place, TEMPLATE) as one:
        settle(one, talk(b"abc", 1))
        assert eventually((place / ABOVE / "00001").exists, 10)
        (place / ABOVE / "00001").unlink()
        (place / ABOVE).rmdir()
        monkeypatch.setattr(os, "mkdir", mkdir)
        one.feed(talk(b"de", 2))
        one.end()
    assert (place / ABOVE / "00002").read_bytes() == b"de"


def test_who_is_killed_leaves_no_part_of_a_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not complete is in the scratch directory alone, however deep its name would be."""
    goes_on, stands = hanging(monkeypatch)
    one = Archived(place, TEMPLATE)
    one.archive.start()
    settle(one, talk(some(5000), 1))
    assert stands.wait(10)
    assert [path for path in place.rglob("*") if path.is_file() and path.parent.name[:8] != ".flowfs-"] == [
        place / "flows.jsonl"
    ]
    goes_on.set()
    one.end()
    one.engine.close()
    assert files(place) == {ABOVE + "00001"}

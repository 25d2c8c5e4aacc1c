"""Flows are removed by their names; nothing else can be written, however it is tried."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tree.doors import Door, refused


def test_unlink_evicts(door: Door) -> None:
    first, second = (door.flow(port=port).client_name() for port in (1, 2))
    assert door.stat(first).size == 3
    door.unlink(first)
    assert door.names() == [second]
    for ask in (door.stat, door.open, door.unlink):
        with refused(errno.ENOENT):
            ask(first)
    statistics = door.statistics()
    assert [statistics[name] for name in ("flows_removed", "flows", "flows_evicted")] == [1, 1, 0]
    door.unlink(second)
    assert (door.names(), door.space().used_bytes) == ([], 0)


def test_what_comes_after_a_removal_is_another_file(door: Door) -> None:
    conversation = door.flow()
    name = conversation.client_name()
    inode = door.stat(name).inode
    door.unlink(name)
    door.feed(conversation.client(3, b"later"))
    (entry,) = door.entries()
    assert entry.inode != inode
    assert door.read(entry.name).endswith(b"later")
    assert not door.read(entry.name).startswith(b"abc")


def test_one_that_is_open_is_removed_once(door: Door) -> None:
    name = door.flow().client_name()
    with door.open(name) as file:
        door.unlink(name)
        with refused(errno.ENOENT):
            door.unlink(name)
        assert file.pread(0, 9) == b"abc"
    assert door.statistics()["flows_removed"] == 1


def test_nothing_else_can_be_unlinked(door: Door) -> None:
    name = door.flow().client_name()
    files = ["README", "status.json", "metrics", "flows.jsonl", "events.jsonl"]
    files += [f"meta/{name}.json", f"conversations/{name}", f"follow/{name}"]
    files += [f"{index}/{name}" for index in ("by-port/80", "by-host/10.0.0.2", "by-state/open")]
    for file in files:
        with refused(errno.EROFS):
            door.unlink(f".flowfs/{file}")
        door.stat(f".flowfs/{file}")
    for missing in ("other", "meta/x.json", "by-port/80/x", "conversations/x", "follow/x"):
        with refused(errno.ENOENT):
            door.unlink(f".flowfs/{missing}")
    assert door.names() == [name]


def test_no_directory_of_the_mounts_own_can_be_removed(door: Door) -> None:
    door.flow()
    for folder in (".flowfs", *(f".flowfs/{name}" for name in ("meta", "by-port", "by-port/80", "follow"))):
        with refused(errno.EROFS):
            door.rmdir(folder)
    for missing in ("x", ".flowfs/x", ".flowfs/by-port/81"):
        with refused(errno.ENOENT):
            door.rmdir(missing)


# --- directories of flows ----------------------------------------------------------------------------


def test_removing_as_rm_does(opens: Callable[..., Door]) -> None:
    door = opens(names="%A/%B/%a-%b%C%c")
    door.flow()
    door.flow(40_001)
    outer = "010.000.000.001"
    inner = f"{outer}/010.000.000.002"
    first, second = f"{inner}/40000-00080", f"{inner}/40001-00080"
    for folder in (outer, inner):
        with refused(errno.ENOTEMPTY):
            door.rmdir(folder)
        with refused(errno.EISDIR):
            door.unlink(folder)
    with refused(errno.ENOTDIR):
        door.rmdir(first)
    with refused(errno.ENOENT):
        door.rmdir("x")
    for own in (".flowfs", ".flowfs/meta"):
        with refused(errno.EROFS):
            door.rmdir(own)
    for path in (first, second):
        door.unlink(path)
    with refused(errno.ENOTEMPTY):
        door.rmdir(outer)
    door.rmdir(inner)
    door.rmdir(outer)
    assert list(door.walk()) == []
    assert door.statistics()["flows"] == 0
    for folder in (outer, inner):
        with refused(errno.ENOENT):
            door.rmdir(folder)

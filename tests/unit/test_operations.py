"""Requests answered without a kernel: errnos, flags, and faults that stay with one request."""

from __future__ import annotations

import errno
import logging
import os
import select
from collections.abc import Coroutine
from typing import Any, cast

import pyfuse3
import pytest
import trio

from craft import Conversation, batch
from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, Limits
from flowfs.mount.modes import Modes
from flowfs.mount.operations import Operations
from flowfs.mount.streams import Streams
from flowfs.mount.waiters import Waiters
from flowfs.tree import ROOT, Reason, Tree, TreeError

CONTEXT = cast(pyfuse3.RequestContext, None)
NAME = Conversation().client_name().encode()


class Mounted:
    """Operations above a flow of three bytes."""

    def __init__(self, modes: Modes | None = None) -> None:
        self.settled: list[int] = []
        self.engine = Engine(Limits())
        frames, meta = batch(Conversation().handshake().client(0, b"abc").packets)
        self.engine.feed(frames, meta, 1)
        self.engine.tick(self.engine.now_ns + HOT_NS)
        self.tree = Tree(self.engine)
        self.waiters = Waiters()
        streams = Streams(self.tree, self.waiters, self.settled.append, "/nowhere")
        self.operations = Operations(self.tree, self._settle, self.waiters, streams, int, 1000, 100, modes)

    def _settle(self, *inodes: int) -> None:
        self.settled += inodes


@pytest.fixture
def mounted() -> Mounted:
    return Mounted()


def answer(request: Coroutine[Any, Any, Any]) -> Any:
    """What a handler says; that it says so without waiting."""
    try:
        request.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the handler waited")


def error(request: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(pyfuse3.FUSEError) as refused:
        answer(request)
    return errno.errorcode[refused.value.errno]


def test_attributes(mounted: Mounted) -> None:
    entry = answer(mounted.operations.lookup(ROOT, NAME, CONTEXT))
    assert (entry.st_ino, entry.st_size, entry.st_mode, entry.st_nlink) == (1025, 3, 0o100400, 1)
    assert (entry.st_uid, entry.st_gid, entry.st_blksize) == (1000, 100, 131072)
    assert (entry.attr_timeout, entry.entry_timeout) == (300, 300)
    assert entry.st_mtime_ns == mounted.tree.attributes(1025).mtime_ns
    assert mounted.settled == [1025]
    answer(mounted.operations.getattr(1025, CONTEXT))
    assert mounted.settled == [1025, 1025]


def test_a_listing_has_of_each_entry_what_a_look_at_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories and flows by turns, of which those that fit are settled before the answer is sent."""
    listed: list[tuple[bytes, int, tuple[Any, ...]]] = []

    def reply(token: object, name: bytes, entry: pyfuse3.EntryAttributes, cookie: int) -> bool:
        listed.append((name, cookie, fields(entry)))
        return len(listed) < 5

    mounted = Mounted()
    for port in (7, 8, 9):
        packets = Conversation(client_port=port).handshake().client(0, bytes(port)).packets
        mounted.engine.feed(*batch(packets), 1)
    mounted.engine.tick(mounted.engine.now_ns + 2 * HOT_NS)
    tree = Tree(mounted.engine, visible=True)
    settled: list[object] = []
    streams = Streams(tree, mounted.waiters, settled.append, "/nowhere")
    operations = Operations(
        tree,
        lambda *inodes: settled.append(inodes),
        mounted.waiters,
        streams,
        int,
        1000,
        100,
    )
    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    answer(operations.readdir(ROOT, 0, cast(pyfuse3.ReaddirToken, None)))
    assert [name for name, _, _ in listed][:4] == [b".", b"..", b".flowfs", NAME]
    for name, _, seen in listed[2:]:
        assert seen == fields(answer(operations.lookup(ROOT, name, CONTEXT)))
    assert settled[0] == (ROOT, ROOT, 2, 1025), "the fifth did not fit"
    cookie, listed[:] = listed[3][1], []
    answer(operations.readdir(ROOT, cookie, cast(pyfuse3.ReaddirToken, None)))
    assert [seen[0] for _, _, seen in listed] == [1026, 1027, 1028]


def test_what_is_removed_while_a_listing_goes_on_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel, which has just forgotten the name, would take it in again."""
    listed: list[bytes] = []

    def reply(token: object, name: bytes, entry: object, cookie: int) -> bool:
        listed.append(name)
        return len(listed) != 4

    mounted = Mounted()
    talks = [Conversation(client_port=port).handshake().client(0, b"abc") for port in (7, 8, 9)]
    for talk in talks:
        mounted.engine.feed(*batch(talk.packets), 1)
    names = [talk.client_name().encode() for talk in talks]
    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    answer(mounted.operations.readdir(ROOT, 0, cast(pyfuse3.ReaddirToken, None)))
    assert listed == [b".", b"..", NAME, names[0]], "of which the last did not fit"
    mounted.operations.foresight.make()
    answer(mounted.operations.unlink(ROOT, names[1], CONTEXT))
    answer(mounted.operations.readdir(ROOT, 1025, cast(pyfuse3.ReaddirToken, None)))
    assert listed[4:] == [names[0], names[2]]


def fields(entry: pyfuse3.EntryAttributes) -> tuple[Any, ...]:
    return (
        *(entry.st_ino, entry.st_mode, entry.st_nlink, entry.st_uid, entry.st_gid, entry.st_size),
        *(entry.st_blocks, entry.st_blksize, entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns),
        *(entry.attr_timeout, entry.entry_timeout),
    )


def test_timeouts_of_what_changes_by_itself(mounted: Mounted) -> None:
    assert answer(mounted.operations.getattr(ROOT, CONTEXT)).attr_timeout >= 1
    control = answer(mounted.operations.lookup(ROOT, b".flowfs", CONTEXT))
    assert answer(mounted.operations.lookup(control.st_ino, b"status.json", CONTEXT)).attr_timeout == 0


def test_a_flow_that_may_grow_is_read_past_the_cache(mounted: Mounted) -> None:
    live = answer(mounted.operations.open(1025, os.O_RDONLY, CONTEXT))
    assert (live.direct_io, live.keep_cache) == (True, False)
    mounted.engine.finish()
    final = answer(mounted.operations.open(1025, os.O_RDONLY | os.O_NOFOLLOW, CONTEXT))
    assert (final.direct_io, final.keep_cache) == (False, True)
    assert final.fh != live.fh
    assert mounted.settled == [1025, 1025]
    assert answer(mounted.operations.read(live.fh, 1, 10)) == b"bc"
    assert answer(mounted.operations.release(live.fh)) is None


class Poller:
    """Stands for a PollHandle."""

    def __init__(self, fault: OSError | None = None) -> None:
        self.told = 0
        self.fault = fault

    def notify(self) -> None:
        self.told += 1
        if self.fault is not None:
            raise self.fault


def poll(mounted: Mounted, handle: int, poller: Poller | None = None) -> int:
    events: int = answer(
        mounted.operations.poll(1025, handle, cast("pyfuse3.PollHandle | None", poller), CONTEXT)
    )
    return events


def test_polling(mounted: Mounted) -> None:
    handle, poller = answer(mounted.operations.open(1025, os.O_RDONLY, CONTEXT)).fh, Poller()
    assert poll(mounted, handle) == select.POLLIN | select.POLLRDNORM
    assert len(mounted.waiters) == 0  # nobody waits
    assert answer(mounted.operations.read(handle, 0, 100)) == b"abc"
    assert poll(mounted, handle, poller) == 0
    mounted.waiters.wake(1026)
    assert poller.told == 0
    mounted.waiters.wake(1025)
    mounted.waiters.wake(1025)
    assert poller.told == 1
    mounted.engine.finish()
    assert poll(mounted, handle, poller) == select.POLLIN | select.POLLRDNORM | select.POLLHUP
    assert error(mounted.operations.poll(1025, handle + 1, cast(Any, poller), CONTEXT)) == "EBADF"


def test_one_waits_for_each_open_file_and_goes_with_it(mounted: Mounted) -> None:
    handles = [answer(mounted.operations.open(1025, os.O_RDONLY, CONTEXT)).fh for _ in range(2)]
    first, second, third = Poller(), Poller(), Poller()
    poll(mounted, handles[0], first)
    poll(mounted, handles[0], second)
    poll(mounted, handles[1], third)
    assert len(mounted.waiters) == 2
    answer(mounted.operations.release(handles[1]))
    assert len(mounted.waiters) == 1
    mounted.waiters.wake(1025)
    assert (first.told, second.told, third.told) == (0, 1, 0)
    assert len(mounted.waiters) == 0
    answer(mounted.operations.release(handles[0]))


def test_who_cannot_be_told_keeps_nobody_from_it(mounted: Mounted) -> None:
    handles = [answer(mounted.operations.open(1025, os.O_RDONLY, CONTEXT)).fh for _ in range(2)]
    pollers = [Poller(OSError(errno.ENOTCONN, "gone")), Poller()]
    for handle, poller in zip(handles, pollers, strict=True):
        poll(mounted, handle, poller)
    mounted.waiters.wake(1025)
    assert [poller.told for poller in pollers] == [1, 1]


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_opening_to_write(mounted: Mounted, flags: int) -> None:
    assert error(mounted.operations.open(1025, flags, CONTEXT)) == "EROFS"


def test_errors(mounted: Mounted) -> None:
    operations = mounted.operations
    assert error(operations.lookup(ROOT, b"none", CONTEXT)) == "ENOENT"
    assert error(operations.lookup(1025, b"none", CONTEXT)) == "ENOTDIR"
    assert error(operations.getattr(1026, CONTEXT)) == "ESTALE"
    assert error(operations.open(1026, os.O_RDONLY, CONTEXT)) == "ESTALE"
    assert error(operations.open(ROOT, os.O_RDONLY, CONTEXT)) == "EISDIR"
    assert error(operations.read(7, 0, 1)) == "EBADF"
    assert error(operations.unlink(ROOT, b".flowfs", CONTEXT)) == "EROFS"
    assert error(operations.flush(1)) == "ENOSYS"
    assert error(operations.getxattr(1025, b"security.selinux", CONTEXT)) == "ENOTSUP"
    assert error(operations.getxattr(1025, b"user.x", CONTEXT)) == "ENODATA"
    assert error(operations.readlink(1025, CONTEXT)) == "EINVAL"
    assert error(operations.opendir(1025, CONTEXT)) == "ENOTDIR"


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_of_the_tree_has_its_errno(mounted: Mounted, reason: Reason) -> None:
    def refuse(*_: object) -> None:
        raise TreeError(reason)

    vars(mounted.tree)["read_page"] = refuse
    assert error(mounted.operations.read(1, 0, 1)) not in ("EIO", "ENOSYS") or reason is Reason.FREED


def test_a_fault_is_logged_and_answered(mounted: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    vars(mounted.tree)["read_page"] = fail
    with caplog.at_level(logging.ERROR):
        assert error(mounted.operations.read(1, 0, 1)) == "EIO"
    (record,) = caplog.records
    assert record.getMessage() == "read: a fault in flowfs; answered EIO"
    assert record.exc_info is not None


@pytest.mark.parametrize("end", [KeyboardInterrupt, trio.Cancelled])
def test_what_ends_the_program_is_no_fault(mounted: Mounted, end: type[BaseException]) -> None:
    def interrupt(*_: object) -> None:
        raise end.__new__(end)

    vars(mounted.tree)["read_page"] = interrupt
    with pytest.raises(end):
        answer(mounted.operations.read(1, 0, 1))


class Caller:
    def __init__(self, uid: int) -> None:
        self.uid = uid


@pytest.mark.parametrize(
    ("uid", "allowed"),
    [(0, {os.F_OK, os.R_OK, os.W_OK}), (1000, {os.F_OK, os.R_OK})],
)
def test_access_to_a_flow(mounted: Mounted, uid: int, allowed: set[int]) -> None:
    for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK):
        caller = cast(pyfuse3.RequestContext, Caller(uid))
        assert answer(mounted.operations.access(1025, mode, caller)) == (mode in allowed)
        assert answer(mounted.operations.access(ROOT, mode, caller))


def test_space(mounted: Mounted) -> None:
    space = answer(mounted.operations.statfs(CONTEXT))
    statistics = mounted.engine.statistics()
    assert space.f_blocks * space.f_frsize == statistics["payload_limit_bytes"]
    assert (space.f_blocks - space.f_bfree) * space.f_frsize >= 3
    assert space.f_files - space.f_ffree == statistics["flows"] == 1
    assert space.f_ffree == space.f_favail == statistics["flows_free"] > 100_000
    assert space.f_namemax == 255


def test_everything_that_pyfuse3_can_ask_is_answered_or_refused() -> None:
    ours = {name for name in vars(Operations) if not name.startswith("_")}
    theirs = {name for name, value in vars(pyfuse3.Operations).items() if callable(value) and name[0] != "_"}
    left = theirs - ours
    assert left == {
        "flush", "forget", "fsync", "fsyncdir", "stacktrace",
    }  # fmt: skip


@pytest.mark.parametrize(("umask", "file", "root"), [(0o027, 0o440, 0o750), (0o477, 0o000, 0o300)])
def test_modes_are_shown_under_the_umask(umask: int, file: int, root: int) -> None:
    operations = Mounted(Modes(umask)).operations
    assert answer(operations.lookup(ROOT, NAME, CONTEXT)).st_mode == 0o100000 | file
    assert answer(operations.getattr(1025, CONTEXT)).st_mode == 0o100000 | file
    assert answer(operations.getattr(ROOT, CONTEXT)).st_mode == 0o40000 | root
    owner = cast(pyfuse3.RequestContext, Caller(1000))
    assert answer(operations.access(1025, os.R_OK, owner)) == bool(file)

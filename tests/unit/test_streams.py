"""Readers of FIFOs, found out and written for: with FIFOs of the system, and a tree without a kernel."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from craft import Conversation, batch
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits
from flowfs.mount import streams as module
from flowfs.mount.streams import MAX_VISITORS, PATIENCE_S, Streams
from flowfs.mount.waiters import Waiters
from flowfs.tree import FOLLOW, Attributes, Tree
from flowfs.tree.numbers import Fixed
from waiting import come_true, eventually

OWN = os.getpid()


class House:
    """Streams over a flow, with FIFOs in a folder where a mount would have them."""

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(Limits())
        self.conversation = Conversation().handshake().client(0, b"abc")
        self.feed()
        self.tree = Tree(self.engine)
        self.settled: list[int] = []
        self.waiters = Waiters()
        self.streams = Streams(self.tree, self.waiters, self.settled.append, str(folder))
        self.name = self.conversation.client_name().encode()
        self.flow = self.tree.followed(self.tree.lookup(Fixed.FOLLOW, self.name).inode)
        vars(self.tree)["followed"] = lambda inode: self.flow
        self.place = folder / os.fsdecode(FOLLOW)
        self.place.mkdir(parents=True)
        self.tried = 0

    def feed(self) -> None:
        self.engine.feed(*batch(self.conversation.packets), 1)
        self.conversation.packets.clear()

    def fifo(self, name: str) -> Path:
        path = self.place / name
        if not path.exists():
            os.mkfifo(path)
        return path

    def visit(self, name: str, pid: int) -> None:
        inode = self.fifo(name).stat().st_ino
        attributes = self.tree.lookup(Fixed.FOLLOW, self.name)._replace(inode=inode)
        self.streams.visit(attributes, name.encode(), pid)

    async def changed(self) -> None:
        for inode in self.tree.changes()[0]:
            self.waiters.wake(inode)
        await trio.testing.wait_all_tasks_blocked()


Script = Callable[[House], Awaitable[None]]


def played(folder: Path, script: Script) -> None:
    async def main() -> None:
        house = House(folder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.streams.run)
            await script(house)
            nursery.cancel_scope.cancel()

    trio.run(main)


def opened(path: Path) -> int:
    """A reader who does not wait: for the streams as one who does."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


async def heard(reader: int) -> bytes:
    """What comes next, b"" at the end: a feeder that has opened the FIFO writes when it has its turn."""
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(reader)
    return os.read(reader, 100)


def test_a_reader_gets_the_flow_as_it_grows_and_its_end(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        reader = opened(house.fifo("a"))
        house.visit("a", OWN)
        await come_true(lambda: house.streams.feeders == 1)
        assert await heard(reader) == b"abc"
        assert len(house.streams) == 0
        house.conversation.client(3, b"def")
        house.feed()
        await house.changed()
        assert await heard(reader) == b"def"
        house.conversation.client(6, b"ghi").server_ack(9).close()
        house.feed()
        await house.changed()
        assert await heard(reader) == b"ghi"
        assert await heard(reader) == b""
        assert (house.streams.feeders, len(house.waiters)) == (0, 0)
        assert house.engine.find(house.conversation.client_key(), 0).opens == 0  # type: ignore[union-attr]
        os.close(reader)

    played(tmp_path, script)


def test_a_reader_who_goes(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        reader = opened(house.fifo("a"))
        house.visit("a", OWN)
        await come_true(lambda: house.streams.feeders == 1)
        os.close(reader)
        await come_true(lambda: house.streams.feeders == 0)
        assert len(house.waiters) == 0

    played(tmp_path, script)


def test_who_does_not_open_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)

    async def script(house: House) -> None:
        house.visit("a", OWN)
        house.visit("b", 0)
        assert len(house.streams) == 2
        await come_true(lambda: len(house.streams) == 0)
        assert house.streams.feeders == 0

    played(tmp_path, script)
    assert PATIENCE_S > 1


def test_who_has_ended_is_forgotten_at_once(tmp_path: Path) -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id

    async def script(house: House) -> None:
        house.visit("a", thread.native_id or 0)
        await come_true(lambda: len(house.streams) == 0, PATIENCE_S / 2)

    played(tmp_path, script)


def test_of_a_thread_the_last_visit_counts(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        for number in range(1000):
            house.visit(f"{number % 7}", OWN)
            house.visit(f"{number % 7}", 1)
        assert len(house.streams) == 2
        for number in range(MAX_VISITORS * 2):
            house.visit(f"{number % 7}", 0)  # of whom nothing is known
        assert len(house.streams) == MAX_VISITORS

    played(tmp_path, script)


def test_who_is_found_when_the_mount_has_ended_sees_the_end(tmp_path: Path) -> None:
    is_looking, has_ended = threading.Event(), threading.Event()
    readers, pipes = [], []

    async def script(house: House) -> None:
        look = house.streams._open

        def look_for_long(visit: module._Visit) -> int | None:
            is_looking.set()
            assert has_ended.wait(5)
            pipes.append(look(visit))
            return pipes[0]

        vars(house.streams)["_open"] = look_for_long
        readers.append(opened(house.fifo("a")))
        house.visit("a", OWN)
        await come_true(is_looking.is_set)

    played(tmp_path, script)
    has_ended.set()
    assert eventually(lambda: pipes and is_closed(pipes[0]), 2)
    assert os.read(readers[0], 100) == b""
    os.close(readers[0])


def is_closed(pipe: int | None) -> bool:
    assert pipe is not None
    try:
        os.fstat(pipe)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def test_what_is_no_fifo_of_ours_is_not_written_to(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        house.visit("a", OWN)
        path = house.fifo("a")
        path.rename(path.with_name("kept"))  # so that its inode number is not used again
        other = house.fifo("a")
        reader = opened(other)
        (house.place / "file").touch()
        await come_true(lambda: len(house.streams) == 0)
        assert house.streams.feeders == 0
        assert await heard(reader) == b""
        os.close(reader)

    played(tmp_path, script)


def test_our_own_looking_is_no_visit(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        asked: Attributes = house.tree.lookup(Fixed.FOLLOW, house.name)
        house.streams._sought = asked.inode, 12345
        for pid in (12345, OWN):
            other = house.tree.lookup(Fixed.FOLLOW, house.name)
            assert house.streams.visit(other, house.name, pid) == asked
        assert len(house.streams) == 0

    played(tmp_path, script)


def test_a_slow_reader_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        for number in range(10):
            house.conversation.client(3 + number * 30_000, b"x" * 30_000)
        house.feed()
        slow, quick = opened(house.fifo("a")), opened(house.fifo("b"))
        house.visit("a", OWN)
        house.visit("b", 0)
        await come_true(lambda: house.streams.feeders == 2)
        got = 0
        with trio.fail_after(5):
            while got < 300_003:
                await trio.lowlevel.wait_readable(quick)
                got += len(os.read(quick, 65536))
        assert house.streams.feeders == 2
        os.close(slow)
        os.close(quick)
        await come_true(lambda: house.streams.feeders == 0)

    played(tmp_path, script)


def test_a_fault_ends_one_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def script(house: House) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EBADF, "a fault")

        vars(house.tree)["read"] = fail
        reader = opened(house.fifo("a"))
        house.visit("a", OWN)
        await come_true(lambda: bool(caplog.records) and house.streams.feeders == 0)
        os.close(reader)

    played(tmp_path, script)
    assert "a stream ended by a fault" in caplog.text

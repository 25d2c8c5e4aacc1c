"""The bytes of flows: at any place, while they grow, and once they have gone."""

from __future__ import annotations

import errno
import random
import stat
from collections.abc import Callable

import pytest

from craft import Conversation
from flowfs.core.limits import KIB, MIB
from tree.doors import ALL, Door, refused
from waiting import eventually

PATTERN = b"".join(b"%07d\n" % line for line in range(40_000))


def send(conversation: Conversation, end: int, begin: int = 0) -> Conversation:
    """The client sends these bytes of PATTERN, which the server acknowledges."""
    for at in range(begin, end, 1460):
        conversation.client(at, PATTERN[at : min(end, at + 1460)])
    return conversation.server_ack(end)


def grow_up(door: Door, how: str) -> str:
    """A flow of PATTERN that goes on, has ended, or sleeps; its name."""
    conversation = send(Conversation().handshake(), len(PATTERN))
    door.feed(conversation.close() if how == "closed" else conversation)
    if how == "finished":
        door.finish()
    if how == "asleep":
        door.lay_down_all()
        assert door.statistics()["connections_asleep"] == 1
    return conversation.client_name()


@pytest.mark.parametrize("how", ["live", "closed", "finished", "asleep"])
def test_any_part_of_it(door: Door, how: str) -> None:
    name, chance = grow_up(door, how), random.Random(1)
    assert door.read(name) == PATTERN
    with door.open(name) as file:
        parts = [(0, 1), (1, 2), (4095, 2), (4096, 4096), (131_071, 131_074), (len(PATTERN) - 1, 2), (3, ALL)]
        parts += [(chance.randrange(len(PATTERN)), chance.randrange(1, 200_000)) for _ in range(60)]
        for offset, size in parts:
            assert file.pread(offset, size) == PATTERN[offset : offset + size]
        for offset in (len(PATTERN), len(PATTERN) + 1, 1 << 40, (1 << 63) - 4096):
            assert file.pread(offset, 10) == b"", "nothing, and no zeros"


def test_a_reader_at_the_end_reads_on(door: Door) -> None:
    conversation = door.flow(data=b"abcdef")
    with door.open(conversation.client_name()) as file:
        assert file.pread(0, 100) == b"abcdef"
        assert file.pread(2, 3) == b"cde"
        assert file.pread(6, 3) == b""
        door.feed(conversation.client(6, b"ghi"))
        assert (file.pread(6, 3), file.stat().size) == (b"ghi", 9)
        assert file.pread(4, 100) == b"efghi"
        door.feed(conversation.client(9, b"jkl").close())
        assert (file.pread(9, 100), file.stat().size) == (b"jkl", 12)
        assert file.pread(12, 100) == b""


@pytest.mark.parametrize("rests", [False, True])
def test_each_read_of_a_growing_flow_is_a_beginning(door: Door, rests: bool) -> None:
    """By one who opened it long ago, and by one who comes now; and no shorter than its size was before."""
    chance, conversation, sent = random.Random(2), Conversation().handshake(), 0
    name = conversation.client_name()
    door.feed(send(conversation, 100))
    with door.open(name) as file:
        for _ in range(40):
            size = door.stat(name).size
            for found in (door.read(name), file.pread(0, ALL)):
                assert len(found) == size
                assert PATTERN.startswith(found)
            offset = chance.randrange(size)
            assert file.pread(offset, 5000) == PATTERN[offset : min(size, offset + 5000)]
            if rests:
                door.rest()
            sent = size + chance.choice((1, 1000, 4096, 10_000))
            door.feed(send(conversation, sent, size))
        assert file.stat().size == sent


def test_nothing_behind_a_hole_can_be_read(door: Door) -> None:
    conversation = door.flow()
    name = conversation.client_name()
    door.feed(conversation.client(6, b"ghi"))
    with door.open(name) as file:
        assert (file.pread(0, 100), file.stat().size) == (b"abc", 3)
        door.feed(conversation.client(3, b"def"))
        assert (file.pread(0, 100), file.stat().size) == (b"abcdefghi", 9)


# --- flows that go -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rm", "evict"])
def test_an_evicted_flow_reads_on_while_it_is_open(door: Door, how: str) -> None:
    name = grow_up(door, "live")
    assert door.names() == [name]
    assert door.stat(name).size == len(PATTERN)
    with door.hold(name) as held, door.open(name) as first:
        with door.open(name) as second:
            assert first.pread(0, 7) == b"0000000"
            if how == "rm":
                door.unlink(name)
            else:
                door.evict(Conversation())
            for ask in (door.stat, door.open):
                with refused(errno.ENOENT):
                    ask(name)
            assert door.names() == []
            with refused(errno.ESTALE):
                held.open()
            assert second.pread(0, ALL) == PATTERN
        assert first.pread(319_990, ALL) == PATTERN[319_990:]
        found = first.stat()
        assert (found.size, found.links, stat.S_IFMT(found.mode)) == (len(PATTERN), 0, stat.S_IFREG)
        assert door.statistics()["pinned_bytes"] >= len(PATTERN)
    assert eventually(lambda: door.statistics()["pinned_bytes"] == 0)  # close(2) waits for nobody


def test_what_was_read_before_is_read_again(door: Door) -> None:
    """A flow that has ended, whose pages the kernel keeps."""
    name = grow_up(door, "closed")
    assert door.read(name) == PATTERN
    with door.open(name) as file:
        door.unlink(name)
        assert file.pread(0, ALL) == PATTERN
        assert file.stat().links == 0


def test_bytes_that_were_freed_are_an_error(opens: Callable[..., Door]) -> None:
    """Beyond the pin limit, for whoever has it open."""
    door = opens(payload_bytes=4 * MIB)
    conversation = Conversation().handshake()
    for at in range(0, 2 * MIB, 1024):
        conversation.client(at, b"x" * 1024)
    door.feed(conversation)
    with door.open(conversation.client_name()) as file:
        assert file.pread(0, 1) == b"x"
        door.evict(conversation)
        for offset in (0, 1, 2 * MIB - 1):
            with refused(errno.EIO):
                file.pread(offset, 10)
        assert file.pread(2 * MIB, 1) == b""
        assert file.stat().size == 2 * MIB
    assert door.space().used_bytes == 0


@pytest.mark.parametrize("closed", [False, True])
def test_a_head_that_was_freed(opens: Callable[..., Door], closed: bool) -> None:
    """An error, never zeros; what is behind it is read to the byte."""
    door = opens(max_flow_bytes=64 * KIB, keep="tail")
    conversation = send(Conversation().handshake(), len(PATTERN))
    door.feed(conversation.close() if closed else conversation)
    name = conversation.client_name()
    freed = int(door.getxattr(name, "user.flowfs.freed"))
    assert 0 < freed <= len(PATTERN) - 64 * KIB
    assert door.stat(name).size == len(PATTERN)
    assert 64 * KIB <= door.stat(name).blocks * 512 < len(PATTERN) // 2
    with door.open(name) as file:
        for offset in (0, 4096, freed - 1):
            with refused(errno.EIO):
                file.pread(offset, 10)
        assert file.pread(freed, ALL) == PATTERN[freed:]
        assert file.pread(len(PATTERN) - 5, ALL) == PATTERN[-5:]
        assert file.pread(len(PATTERN), ALL) == b""


def test_memory_is_short(opens: Callable[..., Door]) -> None:
    """The oldest closed flows go; those that stay are whole."""
    door = opens(payload_bytes=4 * MIB)
    names = []
    for port in range(40_000, 40_030):
        conversation = send(Conversation(client_port=port).handshake(), len(PATTERN)).close()
        names.append(door.feed(conversation).client_name())
        assert door.stat(names[-1]).size == len(PATTERN)
    left = door.names()
    assert 6 < len(left) < 14
    assert left == names[-len(left) :]
    for name in names[: -len(left)]:
        with refused(errno.ENOENT):
            door.stat(name)
    assert {door.read(name) for name in left} == {PATTERN}
    assert door.space().used_bytes <= door.space().total_bytes


def test_what_sleeps_is_looked_up_read_and_removed(door: Door) -> None:
    first, second = (door.flow(port=port).client_name() for port in (1, 2))
    door.lay_down_all()
    for _ in range(2):
        found = door.stat(first)
        with door.open(first) as file:
            door.lay_down_all()
            assert file.pread(0, 9) == b"abc"
            assert file.stat() == found
    assert door.stat(f".flowfs/meta/{first}.json").size > 0
    assert len(door.names(".flowfs/meta")) == 2
    door.unlink(first)
    assert door.names() == [second]
    assert door.read(second) == b"abc"


# --- waiting -----------------------------------------------------------------------------------------


def test_what_is_behind_the_last_read_can_be_read(door: Door) -> None:
    conversation = door.flow()
    name = conversation.client_name()
    with door.open(name) as first, door.open(name) as second:
        assert first.poll() == (True, False)
        assert first.pread(0, 2) == b"ab"
        assert first.poll() == (True, False)
        assert first.pread(2, 10) == b"c"
        assert first.poll() == (False, False)
        assert second.poll() == (True, False)
        assert first.pread(0, 1) == b"a"
        assert first.poll() == (True, False)
        assert first.pread(100, 1) == b""
        assert first.poll() == (False, False)
        door.feed(conversation.client(3, b"d"))
        assert first.pread(3, 9) == b"d"
        assert first.poll() == (False, False)
        door.feed(conversation.server_ack(4).close())
        assert first.poll() == second.poll() == (True, True)


@pytest.mark.parametrize("end", ["evict", "unlink", "finish", "rst"])
def test_each_end_can_be_read(door: Door, end: str) -> None:
    conversation = door.flow()
    with door.open(conversation.client_name()) as file:
        assert file.pread(0, 9) == b"abc"
        assert file.poll() == (False, False)
        if end == "evict":
            door.evict(conversation)
        elif end == "unlink":
            door.unlink(conversation.client_name())
        elif end == "finish":
            door.finish()
        else:
            door.feed(conversation.server_ack(3).rst())
        assert file.poll() == (True, True)
        assert file.pread(3, 9) == b""


def test_a_generated_file_never_has_anybody_wait(door: Door) -> None:
    with door.open(".flowfs/status.json") as file:
        assert file.poll() == (True, False)
        file.pread(0, ALL)
        assert file.poll() == (True, False)

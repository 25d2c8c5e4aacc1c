"""What the kernel holds of a flow in its page cache goes with the flow, also where somebody has it open."""

from __future__ import annotations

import errno
import faulthandler
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, served
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

MIB = 1 << 20
SIZE = 2 * MIB  # twice the pin limit of a mount of 4 MiB
STEP = 32_768


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "flows", payload_bytes=4 * MIB) as mounted:
        yield mounted


def flow(mount: Served, port: int = 40_000, size: int = SIZE, closed: bool = True) -> Conversation:
    conversation = Conversation(client_port=port).handshake()
    for at in range(0, size, STEP):
        conversation.client(at, b"s" * STEP)
    if closed:
        conversation.server_ack(size).close()
    mount.feed(conversation)
    return conversation


def refused(file: int, offset: int) -> bool:
    """Whether a read gives EIO; other errors are raised."""
    try:
        return not os.pread(file, 4096, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return True


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor, after all was read through it."""
    file = os.open(path, os.O_RDONLY)
    try:
        assert len(os.pread(file, SIZE, 0)) == SIZE
        yield file
    finally:
        os.close(file)


@pytest.mark.parametrize("how", ["rm", "evict"])
def test_what_was_cached_gives_eio_beyond_the_pin_limit(mount: Served, how: str) -> None:
    conversation = flow(mount)
    with opened(mount.client(conversation)) as file:
        if how == "rm":
            mount.client(conversation).unlink()
        else:
            mount.evict(conversation)
        assert eventually(lambda: refused(file, 0) and refused(file, SIZE - 4096))
        assert os.fstat(file).st_size == SIZE
        assert refused(file, MIB)


def test_a_flow_that_nobody_listed_or_looked_at(mount: Served) -> None:
    """Only its name was looked up to open it."""
    conversation = flow(mount)
    directory = os.open(mount.path, os.O_RDONLY)
    file = os.open(conversation.client_name(), os.O_RDONLY, dir_fd=directory)
    assert os.pread(file, 10, 0) == b"s" * 10
    mount.evict(conversation)
    assert eventually(lambda: refused(file, 0))
    os.close(file)
    os.close(directory)


def test_a_head_that_was_trimmed_while_it_was_open(mount: Served) -> None:
    """Further traffic takes the beginning of what is open beyond the pin limit; its end stays."""
    conversation = flow(mount)
    with opened(mount.client(conversation)) as file:
        flow(mount, 40_001, 3 * MIB, closed=False)
        assert eventually(lambda: refused(file, 0))
        assert mount.statistics()["trimmed_bytes"] > 0
        assert os.pread(file, 4096, SIZE - 4096) == b"s" * 4096
        assert os.fstat(file).st_size == SIZE


def test_within_the_pin_limit_it_is_read_on(mount: Served) -> None:
    conversation = flow(mount, size=MIB // 2)
    file = os.open(mount.client(conversation), os.O_RDONLY)
    assert os.pread(file, 10, 0) == b"s" * 10
    mount.evict(conversation)
    assert not eventually(lambda: refused(file, 0), within_s=0.3)
    os.close(file)


@contextmanager
def child(work: Callable[[], None]) -> Iterator[int]:
    """A process that does `work`; whoever is not done in the end is killed."""
    process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def ended(process: int) -> bool:
    """Whether a child has ended; its status can still be asked for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def looks_twice(path: Path, flags: int, again: int, ready: int) -> None:
    """Maps a file, looks at it, and once more when told to."""
    faulthandler.disable()  # the end is what is wanted
    file = os.open(path, os.O_RDONLY)
    view = mmap.mmap(file, SIZE, flags=flags, prot=mmap.PROT_READ)
    os.write(ready, view[:1] + view[SIZE - 1 :])
    os.read(again, 1)
    os.write(ready, view[:1])


@pytest.mark.parametrize(
    ("how", "closed"), [(mmap.MAP_SHARED, True), (mmap.MAP_PRIVATE, True), (mmap.MAP_PRIVATE, False)]
)
def test_a_mapping_shows_nothing_afterwards(mount: Served, how: int, closed: bool) -> None:
    """The kernel takes the pages out of it, and what it reads anew it is refused: SIGBUS.

    One that may still grow it does not let anyone map as shared.
    """
    conversation = flow(mount, closed=closed)
    shown, ready = os.pipe()
    again, tell = os.pipe()
    path = mount.client(conversation)
    with child(lambda: looks_twice(path, how, again, ready)) as process:
        assert os.read(shown, 2) == b"ss"
        with path.open("rb", buffering=0) as file:
            mount.evict(conversation)
            assert eventually(lambda: refused(file.fileno(), 0))
            assert eventually(lambda: os.fstat(file.fileno()).st_nlink == 0)
        os.write(tell, b"x")
        assert eventually(lambda: ended(process))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGBUS
    for descriptor in (shown, ready, again, tell):
        os.close(descriptor)


def test_a_reader_while_it_goes(mount: Served) -> None:
    """Reading and forgetting wait for each other's pages, and never for ever; what is read is what was."""
    conversation = flow(mount)
    with opened(mount.client(conversation)) as file, child(lambda: reads_on(file)) as process:
        mount.evict(conversation)
        assert eventually(lambda: refused(file, 0))
        assert eventually(lambda: ended(process))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == errno.EIO


def reads_on(file: int) -> None:
    """Reads until that fails, and ends with the errno; wrong bytes are 254, none 253."""
    try:
        while data := os.pread(file, MIB, 0):
            if set(data) != {ord("s")}:
                os._exit(254)
        os._exit(253)
    except OSError as error:
        os._exit(error.errno or 255)

"""Very many files at once: a hundred thousand to remove, ten thousand that are open when their flows go."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from craft import Conversation, Packet
from mounted.served import Served, run, served
from waiting import eventually

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.slow]

MIB = 1 << 20
FILES = 100_000
OPEN_FILES = 10_000
BATCH = 10_000  # connections that are fed at once
PATIENCE_S = 400
REMOVED_WITHIN_S = 240  # with ten other processes on two cores it took 20 to 65 s
FLOW_BYTES = 1000
HELD_BYTES = 1024


def content(number: int) -> bytes:
    return b"%010d" % number * (FLOW_BYTES // 10)


def packets(number: int, both: bool) -> Iterator[Packet]:
    """A SYN and data of one connection, of both sides if so."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    conversation = Conversation(client_address=address, step_ns=0).syn()
    if both:
        conversation.syn_ack().client(0, b"x").server(0, b"y")
    else:
        conversation.client(0, content(number))
    yield from conversation.packets


def feed(mount: Served, connections: int, both: bool) -> None:
    for first in range(0, connections, BATCH):
        numbers = range(first, min(first + BATCH, connections))
        mount.feed_packets([packet for number in numbers for packet in packets(number, both)])


@pytest.mark.parametrize(
    "command, files",
    [
        # As many names need more room for arguments than a shell has unless it asks for it.
        ("ulimit -s unlimited && cd {place} && rm -f *", FILES),
        ("find {place} -type f -delete", FILES // 4),
    ],
    ids=["rm", "find"],
)
def test_many_are_removed_in_time(tmp_path: Path, command: str, files: int) -> None:
    with served(tmp_path / "flows", patience_s=PATIENCE_S, table_bytes=256 * MIB) as mount:
        feed(mount, files // 2, both=True)
        assert mount.statistics()["flows"] == files
        begin = time.monotonic()
        done = run("sh", "-c", command.format(place=mount.path), timeout=PATIENCE_S)
        took_s = time.monotonic() - begin
        assert (done.returncode, done.stderr) == (0, "")
        assert mount.names() == []
        numbers = mount.statistics()
        assert (numbers["flows_removed"], numbers["flows"], numbers["payload_used_bytes"]) == (files, 0, 0)
        assert numbers["flows_evicted"] == 0
        assert took_s < REMOVED_WITHIN_S


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < OPEN_FILES + 500:
        pytest.skip(f"a process may open {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES + 500, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def readable(descriptors: list[int]) -> list[int]:
    """Which of them read what they were; all others must give EIO."""
    found = []
    for number, descriptor in enumerate(descriptors):
        try:
            data = os.pread(descriptor, 2 * FLOW_BYTES, 0)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        else:
            assert data == content(number)
            found.append(number)
    return found


def opened(mount: Served) -> list[int]:
    """Descriptors by number of the connection."""
    names = sorted(mount.names())  # addresses ascend with the numbers
    assert len(names) == OPEN_FILES
    return [os.open(mount.path / name, os.O_RDONLY) for name in names]


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("payload_mib", [64, 32])
def test_ten_thousand_are_open_when_their_flows_go(tmp_path: Path, payload_mib: int) -> None:
    """A quarter of the budget is pinned, whichever that is; what is let go of is free."""
    limits = {"payload_bytes": payload_mib * MIB, "table_bytes": 64 * MIB}
    pinned = min(OPEN_FILES, payload_mib * MIB // 4 // HELD_BYTES)
    with served(tmp_path / "flows", patience_s=PATIENCE_S, **limits) as mount:
        feed(mount, OPEN_FILES, both=False)
        descriptors = opened(mount)
        assert mount.statistics()["pinned_bytes"] == 0
        assert run("find", mount.path, "-type", "f", "-delete", timeout=PATIENCE_S).stderr == ""
        numbers = mount.statistics()
        assert (numbers["flows"], numbers["flows_removed"]) == (0, OPEN_FILES)
        assert numbers["pinned_bytes"] == numbers["payload_used_bytes"] == pinned * HELD_BYTES
        found = readable(descriptors)
        assert len(found) == pinned
        for number in found[::2]:
            os.close(descriptors[number])
        half = (pinned - len(found[::2])) * HELD_BYTES
        assert eventually(lambda: mount.statistics()["pinned_bytes"] == half, within_s=30)
        for number in set(range(OPEN_FILES)) - set(found[::2]):
            os.close(descriptors[number])
        assert eventually(lambda: mount.statistics()["payload_used_bytes"] == 0, within_s=30)
        assert mount.statistics()["pinned_bytes"] == 0


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_are_open_when_memory_is_short(tmp_path: Path) -> None:
    """They go last, but as they hold more than their share, some go all the same; newcomers find room."""
    limits = {"payload_bytes": 12 * MIB, "table_bytes": 64 * MIB}
    with served(tmp_path / "flows", patience_s=PATIENCE_S, **limits) as mount:
        feed(mount, OPEN_FILES, both=False)
        descriptors = opened(mount)
        newcomer = Conversation(client_port=5).handshake()
        for offset in range(0, 10 * MIB, 1 << 15):
            newcomer.client(offset, bytes(1 << 15))
        mount.feed(newcomer)
        numbers = mount.statistics()
        assert numbers["payload_used_bytes"] <= numbers["payload_limit_bytes"]
        assert numbers["pinned_bytes"] <= numbers["payload_limit_bytes"] // 4
        assert mount.client(newcomer).stat().st_size == 10 * MIB
        found = readable(descriptors)
        assert 3 * MIB // HELD_BYTES - 100 <= len(found) < OPEN_FILES
        for descriptor in descriptors:
            os.close(descriptor)
        assert eventually(lambda: mount.statistics()["pinned_bytes"] == 0, within_s=30)

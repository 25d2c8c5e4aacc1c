"""A soak: more traffic than memory, readers that are killed, files that are removed; no byte is lost.

Twenty seconds of it; `FLOWFS_SOAK_SECONDS=600` (4 to 1800) in the environment makes it ten minutes.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archiving import digest, joined
from live import reader
from live.mounting import Mount, daemons, mounted
from live.network import Namespace
from live.traffic import Talk, connect
from resident import resident_bytes
from waiting import eventually

pytestmark = pytest.mark.needs("netns", "fuse")

KIB, MIB = 1 << 10, 1 << 20
SECONDS = float(os.environ.get("FLOWFS_SOAK_SECONDS", "12"))
SHORTEST_S = 4  # resident memory is read once a second: before half of the time, then, and after it
LONGEST_S = 1800  # each short connection has a port of its own, some 34 a second: they last for 31 minutes
if not SHORTEST_S <= SECONDS <= LONGEST_S:
    pytest.fail(f"FLOWFS_SOAK_SECONDS={SECONDS:g}: it must be {SHORTEST_S} to {LONGEST_S}", pytrace=False)
RATE_BYTES = 2 * MIB  # a second: a slow disk, on a busy machine
READERS = 3
FIRST_PORT = 2000
MAY_GROW = 1.1  # of resident memory, from half of the time on


class Readers:
    """Processes that open, hold and map what is there; one after another is killed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.count = 0
        self.running: list[subprocess.Popen[bytes]] = []

    def renew(self) -> None:
        """Kills the oldest one and starts another; one that has found wrong bytes fails the test."""
        if len(self.running) == READERS:
            self.kill(self.running.pop(0))
        self.count += 1
        command = [sys.executable, reader.__file__, str(self.place), str(self.count)]
        self.running.append(subprocess.Popen(command, stderr=subprocess.PIPE))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        _, said = process.communicate(timeout=20)
        # A page of a mapping whose flow has gone is no memory any more.
        assert process.returncode in (-signal.SIGKILL, -signal.SIGBUS), said.decode()


@contextmanager
def readers(place: Path) -> Iterator[Readers]:
    made = Readers(place)
    try:
        yield made
    finally:
        for process in made.running:
            made.kill(process)


class Sent:
    """What was sent so far: the size of each flow."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def exchange(self, talk: Talk, up: int, down: int) -> None:
        """So many bytes more, both ways."""
        sizes = [self.sizes.get(name, 0) for name in (talk.up, talk.down)]
        mark = reader.mark(talk.up)
        talk.exchange(reader.sent(mark, sizes[0], up), reader.sent(mark, sizes[1], down))
        self.sizes |= {talk.up: sizes[0] + up, talk.down: sizes[1] + down}

    def total(self) -> int:
        return sum(self.sizes.values())

    def stream(self, name: str) -> bytes:
        mark, size = reader.mark(name), self.sizes[name]
        return b"".join(reader.sent(mark, at, min(KIB, size - at)) for at in range(0, size, KIB))


@dataclass
class Soak:
    """What happens while it lasts: traffic at a steady rate, and now and then something bad."""

    mount: Mount
    client: Namespace
    listener: socket.socket
    sent: Sent = field(default_factory=Sent)
    removed: set[str] = field(default_factory=set)
    resident: list[int] = field(default_factory=list)  # bytes, once a second

    def run(self, long: Talk, some: Readers) -> None:
        begin, turn, rng = time.monotonic(), 0, random.Random(1)
        while (now := time.monotonic() - begin) < SECONDS:
            turn += 1
            size = rng.randrange(1, 100 * KIB)
            self.sent.exchange(long, size // 5, 100)
            self.short(size)
            if turn % 10 == 0:
                self.remove(rng)
            if now > len(self.resident):
                self.resident.append(resident_bytes(self.mount.status()["pid"]))
                some.renew()
            early_s = begin + self.sent.total() / RATE_BYTES - time.monotonic()
            time.sleep(max(0.0, early_s))  # no faster than RATE_BYTES

    def short(self, size: int) -> None:
        # In order, so that none is used again, which would be another file.
        with connect(self.client, self.listener, own_port=FIRST_PORT + len(self.sent.sizes) // 2) as talk:
            for part in range(0, size, 50 * KIB):
                self.sent.exchange(talk, min(50 * KIB, size - part), 100)

    def remove(self, rng: random.Random) -> None:
        """One file that nothing more comes for, if it is there still."""
        *short, _ = [name for name in self.sent.sizes if name not in self.removed][2:-2]
        name = rng.choice(short[-20:])
        with contextlib.suppress(FileNotFoundError):
            (self.mount.path / name).unlink()
            self.removed.add(name)


@pytest.mark.slow
def test_no_byte_is_lost(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """Short connections, and a long one that stays open, in a memory for two seconds of them."""
    place, kept = tmp_path / "mnt", tmp_path / "kept"
    limits = ("--max-memory", "4M", "-B", "65536", "--archive", str(kept))
    with pair[1].listen("10.9.0.2") as listener, mounted(pair[1], place, "-i", "eth0", *limits) as mount:
        soak = Soak(mount, pair[0], listener)
        with connect(pair[0], listener, own_port=FIRST_PORT - 1) as long, readers(place) as some:
            soak.run(long, some)
        assert eventually(lambda: mount.status()["statistics"]["stored_bytes"] == soak.sent.total())
        status = mount.status()
    assert eventually(lambda: not daemons(place), 30)
    assert (status["dropped_by_kernel"], status["statistics"]["archive_lost_flows"]) == (0, 0)
    assert status["statistics"]["flows_evicted"] > 50
    assert status["statistics"]["flows_removed"] == len(soak.removed) > 5
    settled, *later = soak.resident[len(soak.resident) // 2 :]
    assert max(later) < settled * MAY_GROW, soak.resident
    saved = joined(kept)
    for name in soak.removed:  # what was saved before it was removed is there
        assert soak.sent.stream(name).startswith(saved.pop(name, b"")), name
    assert {name: digest(data) for name, data in saved.items()} == {
        name: digest(soak.sent.stream(name)) for name in soak.sent.sizes.keys() - soak.removed
    }

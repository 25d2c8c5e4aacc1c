"""Stands in for the engine, and packets, pipes and a main task for tests of the capture."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import trio

import craft
import flowfs
from flowfs.capture import Capture, CaptureError, Source
from flowfs.core.engine import Engine

SRC, DST = "10.0.0.1", "10.0.0.2"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(flowfs.__file__).parent.parent)}


class Recorder:
    """Stands in for the engine: remembers what it is told, and by which thread."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.times_ns: list[int] = []
        self.arrived: list[float] = []
        self.batches: list[int] = []
        self.sources: list[int] = []
        self.link_types: set[int] = set()
        self.ticks = 0
        self.finished = False
        self.busy = threading.Lock()
        self.on_visit: Callable[[], bool] | None = None

    def feed(
        self,
        frames: bytes,
        meta: bytes | memoryview,
        link_type: int,
        source: int = 0,
        fraction_ns: int = 1000,
        packet: int = 0,
        patient: bool = False,
    ) -> int:
        assert self.busy.acquire(blocking=False), "fed by two threads at once"
        rows = list(struct.iter_unpack("=4I", meta))
        self.times_ns += [sec * 10**9 + fraction * fraction_ns for sec, fraction, _, _ in rows]
        self.frames += [frames[offset : offset + length] for _, _, offset, length in rows]
        assert all(offset + length <= len(frames) for _, _, offset, length in rows)
        self.arrived += [time.monotonic()] * len(rows)
        self.batches.append(len(rows))
        self.sources += [source] * len(rows)
        self.link_types.add(link_type)
        self.busy.release()
        return len(rows)

    def tick(self, now_ns: int) -> None:
        assert 20_000_000 <= time.time_ns() - now_ns < 3 * 10**9, "a packet may come that is older"
        self.ticks += 1

    def finish(self, patient: bool = False) -> bool:
        self.finished = True
        return True

    def is_urgent(self) -> bool:
        return True


def packets(count: int, size: int = 10) -> list[craft.Packet]:
    made = []
    for number in range(count):
        segment = craft.tcp(SRC, DST, 1025, 80, seq=number, payload=bytes([number % 256]) * size)
        frame = craft.ethernet(craft.ipv4(SRC, DST, segment))
        made.append(craft.Packet(10**18 + number * 1000, frame, len(frame)))
    return made


def frames(count: int, size: int = 10) -> list[bytes]:
    return [packet.frame for packet in packets(count, size)]


def write(path: Path, count: int, size: int = 10) -> Path:
    return craft.write_pcap(path, packets(count, size))


def run(
    sources: Sequence[Source],
    during: Callable[[Capture, Recorder], Any] | None = None,
    *,
    on_change: Callable[[], None] = lambda: None,
    follow: bool = False,
    on_short: Callable[[], None] | None = None,
) -> tuple[Recorder, Capture]:
    """Runs a capture to its end, or until `during` (an async function) returns."""
    recorder = Recorder()

    async def main() -> Capture:
        capture = Capture(sources, cast(Engine, recorder), on_change, follow=follow, on_short=on_short)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(capture.run)
                if during is not None:
                    await during(capture, recorder)
                    capture.stop()
        return capture

    return recorder, trio.run(main)


def refused_without_rights(attempt: Callable[[], Any]) -> str:
    """What a process that is not root is told when it tries."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        try:
            attempt()
        except CaptureError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


@contextlib.contextmanager
def pipe() -> Iterator[tuple[str, int]]:
    """The path of a pipe's reading end, and its writing end."""
    reading, writing = os.pipe()
    try:
        yield f"/dev/fd/{reading}", writing
    finally:
        for descriptor in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(descriptor)

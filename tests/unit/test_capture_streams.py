"""Pipes and standard input: packets are fed as they come, and a read that waits can be stopped."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio

import craft
from flowfs.capture import Capture, CaptureError, Drops, FilterError, open_file, opening
from flowfs.core.engine import Engine
from recording import (
    ENVIRONMENT,
    Recorder,
    frames,
    packets,
    pipe,
    run,
    write,
)
from waiting import come_true


@pytest.mark.parametrize("count", [1, 256, 1000])
def test_a_pipe_is_fed_whole(count: int) -> None:
    with pipe() as (path, writing):
        data = craft.pcap(packets(count))
        os.write(writing, data[:24])  # opening waits for the header, and lets no other thread run

        def fill() -> None:
            with os.fdopen(writing, "wb") as file:
                file.write(data[24:])

        source = open_file(path, 0)
        thread = threading.Thread(target=fill)
        thread.start()
        recorder, capture = run([source])
        thread.join()
    assert recorder.frames == frames(count)
    assert recorder.times_ns == [packet.time_ns for packet in packets(count)]
    assert recorder.finished
    assert [source.drops() for source in capture.sources] == [Drops(count, 0, 0)]
    assert capture.progress == (0, 0)


def test_a_packet_of_a_pipe_is_shown_as_it_arrives() -> None:
    with pipe() as (path, writing):
        data = craft.pcap(packets(3))
        record = (len(data) - 24) // 3
        os.write(writing, data[:24])
        waits: list[float] = []

        async def send(capture: Capture, recorder: Recorder) -> None:
            for number in range(3):
                await trio.sleep(0.02)
                sent = time.monotonic()
                os.write(writing, data[24 + number * record :][:record])
                await come_true(lambda: len(recorder.frames) > number)  # noqa: B023  called within the loop
                waits.append(recorder.arrived[number] - sent)

        recorder, _ = run([open_file(path, 0)], send)
    assert recorder.frames == frames(3)
    assert not recorder.finished  # the pipe is still open
    assert min(waits) < 0.05


def test_a_capture_that_waits_for_a_pipe_can_be_stopped() -> None:
    with pipe() as (path, writing):
        os.write(writing, craft.pcap(packets(2))[:-3])

        async def wait(capture: Capture, recorder: Recorder) -> None:
            await come_true(lambda: len(recorder.frames) == 1)

        started = time.monotonic()
        recorder, capture = run([open_file(path, 0)], wait)
        assert time.monotonic() - started < 5
    assert recorder.frames == frames(1)
    assert capture.warnings == []


def test_a_cancelled_capture_ends_its_thread() -> None:
    with pipe() as (path, writing):
        os.write(writing, craft.pcap([]))

        async def main() -> bool:
            capture = Capture([open_file(path, 0)], cast(Engine, Recorder()))
            with trio.move_on_after(0.1) as scope:
                await capture.run()
            return scope.cancelled_caught

        before = threading.active_count()
        assert trio.run(main)
        assert threading.active_count() <= before + 1  # trio keeps a thread for the next time


@pytest.mark.parametrize("current", [True, False])
def test_the_clock_ticks_for_a_pipe_whose_packets_are_of_now(current: bool) -> None:
    with pipe() as (path, writing):
        (packet,) = packets(1)
        os.write(writing, craft.pcap([packet._replace(time_ns=time.time_ns()) if current else packet]))

        async def wait(capture: Capture, recorder: Recorder) -> None:
            await come_true(lambda: bool(recorder.frames))
            await trio.sleep(0.3)

        recorder, _ = run([open_file(path, 0)], wait)
    assert (recorder.ticks >= 2) == current


@pytest.mark.parametrize("complete", [0, 1, 300])
def test_all_before_a_cut_in_a_pipe_is_fed(complete: int) -> None:
    with pipe() as (path, writing):
        os.write(writing, craft.pcap(packets(complete + 1))[:-5])
        os.close(writing)
        recorder, capture = run([open_file(path, 0)])
    assert recorder.frames == frames(complete)
    assert capture.warnings == [f"{path}: cut short in the middle of a packet; everything before it is shown"]


def test_a_fifo_whose_writer_is_quick(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    content = write(tmp_path / "a.pcap", 100)
    with subprocess.Popen(["sh", "-c", f"cat {content} > {path}"]):
        recorder, _ = run([open_file(str(path), 0)])
    assert recorder.frames == frames(100)


def test_what_is_waited_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for a FIFO without a writer, and once for a writer who keeps all to himself."""
    monkeypatch.setattr(opening, "PATIENCE_S", 0.01)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    said: list[str] = []
    writing = -1

    def write_then(line: str) -> None:
        nonlocal writing
        said.append(line)
        writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writing, craft.pcap(packets(3)))

    source = open_file(str(fifo), 0, say=write_then)
    os.close(writing)
    recorder, _ = run([source])
    assert recorder.frames == frames(3)
    assert said == [f"{fifo}: waiting for somebody to write a capture to it (tcpdump -U writes at once)"]
    with pipe() as (path, writing):

        def write_at_last(line: str) -> None:
            said.append(line)
            os.write(writing, craft.pcap([]))

        open_file(path, 0, say=write_at_last).close()
    assert len(said) == 2


def test_nothing_is_said_of_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "PATIENCE_S", 0)
    said: list[str] = []
    open_file(str(write(tmp_path / "a.pcap", 1)), 0, say=said.append).close()
    with pipe() as (path, writing):
        os.write(writing, craft.pcap([]))
        open_file(path, 0, say=said.append).close()
    assert said == []


# --- without waiting ---------------------------------------------------------------------------

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("packer", PACKED)
@pytest.mark.parametrize("at_first", [0, 1, 5, 23, 30])
@pytest.mark.parametrize("step", [1, 10_000])
def test_a_pipe_that_is_not_waited_for_is_read_as_it_comes(packer: str, at_first: int, step: int) -> None:
    data = PACKED[packer](craft.pcap(packets(3)))
    with pipe() as (path, writing):
        os.write(writing, data[:at_first])

        def fill() -> None:
            with os.fdopen(writing, "wb", buffering=0) as file:
                for start in range(at_first, len(data), step):
                    time.sleep(0.0005)  # so that each piece is read by itself
                    file.write(data[start : start + step])

        source = open_file(path, 0, wait=False)
        thread = threading.Thread(target=fill)
        thread.start()
        recorder, capture = run([source])
        thread.join()
    assert recorder.frames == frames(3)
    assert recorder.finished
    assert capture.warnings == []


@pytest.mark.parametrize("came", [b"", craft.pcap([])[:3], craft.pcap([])[:20], gzip.compress(b"x" * 99)[:9]])
def test_a_pipe_of_which_little_has_come_can_be_stopped(came: bytes) -> None:
    with pipe() as (path, writing):
        if came:
            os.write(writing, came)
        source = open_file(path, 0, wait=False)

        async def wait(capture: Capture, recorder: Recorder) -> None:
            await trio.sleep(0.1)  # until it waits for more

        started = time.monotonic()
        recorder, capture = run([source], wait)
        assert time.monotonic() - started < 5
    assert recorder.frames == []
    assert not recorder.finished
    assert capture.warnings == []


def test_a_fifo_without_a_writer_is_begun_before_what_is_later(tmp_path: Path) -> None:
    """Its packets are in order with those of a file, as if it had been waited for."""
    fifo, file = tmp_path / "fifo", write(tmp_path / "a.pcap", 5)
    os.mkfifo(fifo)
    early = [packet._replace(time_ns=packet.time_ns - 10**9) for packet in packets(3)]
    sources = [open_file(str(file), 0, wait=False), open_file(str(fifo), 1, wait=False)]

    async def fill(capture: Capture, recorder: Recorder) -> None:
        await trio.sleep(0.1)  # time to give what is later, which it must not
        assert recorder.frames == []
        fifo.write_bytes(craft.pcap(early))
        await come_true(lambda: recorder.finished)

    recorder, _ = run(sources, fill)
    assert recorder.sources == [1] * 3 + [0] * 5


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "{} is empty, not a capture"),
        (b"Hello, this is some text", "{} is not a capture file (pcap or pcapng)"),
        (craft.pcap([])[:20], "{} is cut short in its very header: no packets in it"),
        (craft.pcap(packets(1), 189), "{}: frames of USB (link type 189) are left out"),
        (b"\x1f\x8b" + bytes(20), "{}: cannot be read further ("),
    ],
)
def test_what_is_found_out_later_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    """Of a pipe that is opened before anything comes, though it turns out to be no capture."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    source = open_file(str(fifo), 0, filter="tcp", wait=False)
    fifo.write_bytes(content)
    recorder, capture = run([source])
    assert recorder.frames == []
    assert recorder.finished
    assert [line[: len(why.format(fifo))] for line in capture.warnings] == [why.format(fifo)]


def test_what_has_come_already_is_judged_at_once(tmp_path: Path) -> None:
    with pipe() as (path, writing):
        os.write(writing, b"Hello")
        with pytest.raises(CaptureError, match="is not a capture file"):
            open_file(path, 0, wait=False)
    with pipe() as (path, _), pytest.raises(FilterError, match="bad filter"):
        open_file(path, 0, filter="tcp prt 25", wait=False)


def test_a_writer_who_goes_without_a_word(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["sh", "-c", f": > {fifo}"]), pytest.raises(CaptureError, match="is empty"):
        open_file(str(fifo), 0)


STANDARD_INPUT = """
import sys, trio
from flowfs.capture import Capture, CaptureError, open_file
class Counter:
    packets = 0
    def feed(self, frames, meta, link_type, source, fraction_ns): self.packets += len(meta) // 16
    def finish(self): pass
    def is_urgent(self): return False
try:
    capture = Capture([open_file("-", 0)], Counter())
except CaptureError as error:
    sys.exit(str(error))
trio.run(capture.run)
print(capture.sources[0].drops().received, *capture.warnings)
"""


def read_standard_input(stdin: Any, unbuffered: str = "") -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", STANDARD_INPUT],
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **stdin,
    )
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_input(tmp_path: Path, unbuffered: str) -> None:
    path = write(tmp_path / "a.pcap", 500)
    with path.open("rb") as file:
        assert read_standard_input({"stdin": file}, unbuffered) == ("500", "")
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat:
        assert read_standard_input({"stdin": cat.stdout}, unbuffered) == ("500", "")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["sh", "-c", f"cat {path} > {fifo}"]), fifo.open("rb") as file:
        assert read_standard_input({"stdin": file}, unbuffered) == ("500", "")


def test_standard_input_that_is_no_capture(tmp_path: Path) -> None:
    assert read_standard_input({"stdin": subprocess.DEVNULL})[1] == "standard input is empty, not a capture"
    terminal, other = os.openpty()
    try:
        assert "standard input is a terminal: pipe a capture in" in read_standard_input({"stdin": other})[1]
    finally:
        os.close(terminal)
        os.close(other)

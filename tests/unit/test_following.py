"""Files that are still written: begun late, cut short, begun anew, renamed; nothing is lost in silence."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import craft
from craft import pcapng as ng
from flowfs.capture import Capture, CaptureError, open_file
from flowfs.capture.following import MAX_LINES, START_BYTES, Following
from flowfs.capture.inputs import Plain
from recording import Recorder, frames, packets, run
from waiting import come_true

RECORD_BYTES = len(craft.pcap(packets(1))) - 24


def record(number: int) -> bytes:
    return craft.pcap(packets(number + 1))[24 + number * RECORD_BYTES :]


def later(count: int) -> list[craft.Packet]:
    """Packets of another capture, some seconds on."""
    return [packet._replace(time_ns=packet.time_ns + 10**10) for packet in packets(count)]


def follow(path: Path, *steps: Callable[[], object]) -> tuple[Recorder, Capture]:
    """Follow a file; each step is taken when nothing more comes, and its result is what is waited for."""

    def is_there(wanted: object, capture: Capture, recorder: Recorder) -> bool:
        if isinstance(wanted, int):
            return len(recorder.frames) >= wanted
        return any(str(wanted) in line for line in capture.warnings)

    async def main(capture: Capture, recorder: Recorder) -> None:
        for step in steps:
            await come_true(partial(is_there, step(), capture, recorder))

    return run([open_file(str(path), 0, follow=True)], main, follow=True)


def test_a_file_that_has_nothing_in_it_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.touch()
    data = craft.pcap(packets(3))
    _, capture = follow(
        path,
        lambda: "no capture in it yet, which is waited for (tcpdump -U writes at once)",
        lambda: append(path, data[:2], 0),
        lambda: append(path, data[2:20], 0),
        lambda: append(path, data[20:30], 0),
        lambda: append(path, data[30:], 3),
    )
    assert len(capture.warnings) == 1


def test_it_is_the_last_of_several(tmp_path: Path) -> None:
    empty, earlier = tmp_path / "empty", craft.write_pcap(tmp_path / "a.pcap", packets(2))
    empty.touch()
    sources = [open_file(str(path), number, follow=True) for number, path in enumerate((empty, earlier))]

    async def fill(capture: Capture, recorder: Recorder) -> None:
        await come_true(lambda: len(recorder.frames) == 2)
        empty.write_bytes(craft.pcap(later(1)))
        await come_true(lambda: len(recorder.frames) == 3)

    run(sources, fill, follow=True)


def test_nothing_is_waited_for_that_can_be_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"Hello", b"Hello, this is some text."):
        path.write_bytes(content)
        with pytest.raises(CaptureError, match="is not a capture file"):
            open_file(str(path), 0, follow=True)
    path.write_bytes(b"")
    recorder, capture = run([open_file(str(path), 0, follow=True)])  # opened so, but not followed
    assert recorder.finished
    assert any("is empty, not a capture" in line for line in capture.warnings)


def append(path: Path, data: bytes, wanted: object) -> object:
    with path.open("ab") as file:
        file.write(data)
    return wanted


def put(path: Path, at: int, data: bytes, wanted: object) -> object:
    """As a writer does who goes on where it was."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return wanted


def truncate(path: Path, size: int, wanted: object) -> object:
    os.truncate(path, size)
    return wanted


@pytest.mark.parametrize("same_header", [True, False])
def test_a_capture_that_begins_anew(tmp_path: Path, same_header: bool) -> None:
    """Emptied, then its header, then its packets; or all at once, and as long as before."""
    path = craft.write_pcap(tmp_path / "a.pcap", packets(5))
    other = craft.pcap(later(5), byte_order="<" if same_header else ">")
    recorder, capture = follow(
        path,
        lambda: 5,
        lambda: truncate(path, 0, "was cut short, at 0 bytes"),
        lambda: append(path, other[:24], "began anew: it is read from its beginning again"),
        lambda: append(path, other[24:], 10),
        lambda: put(path, 0, craft.pcap(packets(5)), 15),
    )
    assert recorder.frames == 3 * frames(5)
    assert len(capture.warnings) == 3


def test_a_pcapng_capture_that_begins_anew_with_another_packet(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(ng.pcapng([(packet.time_ns, packet.frame) for packet in packets(5)]))
    new = ng.pcapng([(packet.time_ns, packet.frame) for packet in later(7)])
    recorder, capture = follow(path, lambda: 5, lambda: put(path, 0, new, 12))
    assert recorder.frames == frames(5) + frames(7)
    assert len(capture.warnings) == 1


@pytest.mark.parametrize("left", [0, 24 + RECORD_BYTES + 3])
def test_a_file_that_is_cut_under_its_writer(tmp_path: Path, left: int) -> None:
    """As copytruncate does: the writer goes on where it was, and before that is a hole."""
    path = craft.write_pcap(tmp_path / "a.pcap", packets(3))
    end = path.stat().st_size
    recorder, capture = follow(
        path,
        lambda: 3,
        lambda: truncate(path, left, f"was cut short, at {left} bytes"),
        lambda: put(path, end, record(3), 4),
        lambda: append(path, record(4), 5),
    )
    assert recorder.frames == frames(5)
    assert len(capture.warnings) == 1


@pytest.mark.parametrize("count", [3, 30])
def test_a_file_that_is_cut_and_written_on_from_there(tmp_path: Path, count: int) -> None:
    """If little was left of it, a few packets come twice rather than not at all."""
    path = craft.write_pcap(tmp_path / "a.pcap", packets(count))
    left = 24 + (count - 2) * RECORD_BYTES
    short = left < START_BYTES
    recorder, capture = follow(
        path,
        lambda: count,
        lambda: truncate(path, left, "was cut short"),
        lambda: append(path, record(5), count + 2 if short else f"at {left} bytes and is written on"),
    )
    assert recorder.frames == frames(count) + (frames(1) + frames(6)[-1:] if short else [])
    assert len(capture.warnings) == 2
    assert short or "everything before that is shown" in capture.warnings[-1]


def test_a_file_that_becomes_something_else(tmp_path: Path) -> None:
    path = craft.write_pcap(tmp_path / "a.pcap", packets(3))
    recorder, _ = follow(path, lambda: 3, lambda: put(path, 0, b"Hello" * 99, "is not a capture file"))
    assert recorder.frames == frames(3)
    assert recorder.finished


@pytest.mark.parametrize("other", [True, False])
def test_a_file_that_is_renamed_is_read_on(tmp_path: Path, other: bool) -> None:
    path, moved = craft.write_pcap(tmp_path / "a.pcap", packets(3)), tmp_path / "b.pcap"

    def rename() -> object:
        path.rename(moved)
        if other:
            craft.write_pcap(path, later(3))
        return "is not the file any more that was opened"

    recorder, capture = follow(path, lambda: 3, rename, lambda: append(moved, record(3), 4))
    assert recorder.frames == frames(4)
    assert len(capture.warnings) == 1


def test_a_file_without_end_of_changes_is_not_a_list_without_end(tmp_path: Path) -> None:
    path = craft.write_pcap(tmp_path / "a.pcap", packets(3))
    plain = Plain(os.open(path, os.O_RDONLY))
    following = Following(str(path), plain)
    end = path.stat().st_size
    for number in range(2 * MAX_LINES):
        craft.write_pcap(path, later(3) if number % 2 else packets(3))
        following.look(end)
    plain.close()
    assert len(following.lines) == MAX_LINES
    assert following.lines[-1].endswith("(said for the last time)")

"""Several captures as one: in the order of time, without waiting or memory that is not needed."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from pathlib import Path

import pytest

import craft
from craft import pcapng as ng
from flowfs.capture import Capture, CaptureError, FilterError, merge, open_file
from recording import Recorder, frames, packets, pipe, run, write
from waiting import come_true


def split_up(tmp_path: Path, shares: list[list[craft.Packet]]) -> list[str]:
    """Each share in a file of its own, of another format each."""
    paths = []
    for number, share in enumerate(shares):
        path = tmp_path / f"{number}.pcap"
        if number % 3 == 0:
            path.write_bytes(craft.pcap(share, nanoseconds=True))
        elif number % 3 == 1:
            path.write_bytes(ng.pcapng([(packet.time_ns, packet.frame) for packet in share]))
        else:
            path.write_bytes(gzip.compress(craft.pcap(share, byte_order=">")))
        paths.append(str(path))
    return paths


@pytest.mark.parametrize("count", [1, 2, 7])
def test_packets_of_all_files_come_in_the_order_of_time(tmp_path: Path, count: int) -> None:
    chooser = random.Random(count)
    shares: list[list[craft.Packet]] = [[] for _ in range(count)]
    for packet in packets(3000):
        shares[chooser.randrange(count)].append(packet)
    paths = split_up(tmp_path, shares)
    recorder, _ = run([open_file(path, number) for number, path in enumerate(paths)])
    assert recorder.frames == frames(3000)
    assert recorder.times_ns == [packet.time_ns for packet in packets(3000)]


def test_rotated_files_are_one_capture_whatever_their_order(tmp_path: Path) -> None:
    shares = [packets(1000)[start : start + 100] for start in range(0, 1000, 100)]
    paths = split_up(tmp_path, shares)
    recorder, _ = run([open_file(path, number) for number, path in reversed(list(enumerate(paths)))])
    assert recorder.frames == frames(1000)
    assert recorder.sources == [number for number in range(10) for _ in range(100)]


def test_of_equal_times_the_file_named_first_comes_first(tmp_path: Path) -> None:
    same = [packet._replace(time_ns=10**18) for packet in packets(300)]
    paths = split_up(tmp_path, [same, same])
    recorder, _ = run([open_file(path, number) for number, path in enumerate(paths)])
    assert recorder.sources == [0] * 300 + [1] * 300


def test_a_file_whose_time_goes_back_keeps_its_order(tmp_path: Path) -> None:
    backwards = packets(300)[::-1]
    paths = split_up(tmp_path, [backwards, packets(300)])
    recorder, _ = run([open_file(path, number) for number, path in enumerate(paths)])
    ours = [frame for frame, source in zip(recorder.frames, recorder.sources, strict=True) if source == 0]
    assert ours == frames(300)[::-1]
    assert len(recorder.frames) == 600


def test_empty_files_among_others(tmp_path: Path) -> None:
    paths = split_up(tmp_path, [[], packets(5), []])
    recorder, _ = run([open_file(path, number) for number, path in enumerate(paths)])
    assert recorder.frames == frames(5)


def test_many_rotated_files_take_little_memory(tmp_path: Path) -> None:
    everything = packets(400, 1000)
    paths = [
        str(craft.write_pcap(tmp_path / f"{number}.pcap", everything[number * 2 :][:2]))
        for number in range(200)
    ]
    tracemalloc.start()
    sources = [open_file(path, number) for number, path in enumerate(paths)]
    opened = tracemalloc.get_traced_memory()[0]
    recorder, _ = run(sources)
    tracemalloc.stop()
    assert recorder.frames == frames(400, 1000)
    assert opened < 200 * 10_000


@pytest.mark.parametrize("apart_ns", [0, 1000])
def test_the_work_for_a_packet_hardly_grows_with_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart_ns: int
) -> None:
    """Two packets a file, each behind those of all others; or all at the same time."""
    count, asked = 300, 0
    frame = packets(1)[0].frame
    paths = []
    for number in range(count):
        times_ns = (10**18 + (row * count + number) * apart_ns for row in range(2))
        share = [craft.Packet(time_ns, frame, len(frame)) for time_ns in times_ns]
        paths.append(str(craft.write_pcap(tmp_path / f"{number}.pcap", share)))
    time_ns = merge._Head.time_ns

    def counted(head: merge._Head) -> int:
        nonlocal asked
        asked += 1
        return time_ns(head)

    monkeypatch.setattr(merge._Head, "time_ns", counted)
    recorder, _ = run([open_file(path, number) for number, path in enumerate(paths)])
    each = list(range(count))
    assert recorder.sources == (each + each if apart_ns else sorted(each + each))
    assert asked <= 2 * 2 * count


def test_a_file_and_a_pipe(tmp_path: Path) -> None:
    """The file's later packets wait for what the pipe may still bring."""
    everything = packets(20)
    path = craft.write_pcap(tmp_path / "a.pcap", everything[::2])
    with pipe() as (name, writing):
        os.write(writing, craft.pcap(everything[1:10:2]))

        async def send(capture: Capture, recorder: Recorder) -> None:
            await come_true(lambda: len(recorder.frames) == 10)
            assert recorder.frames == frames(10)
            os.write(writing, craft.pcap(everything[11::2])[24:])
            os.close(writing)
            await come_true(lambda: recorder.finished)

        recorder, _ = run([open_file(str(path), 0), open_file(name, 1)], send)
    assert recorder.frames == frames(20)


def test_a_damaged_file_among_others(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(craft.pcap(packets(10))[:-1])
    recorder, capture = run([open_file(str(cut), 0), open_file(str(write(tmp_path / "b.pcap", 20)), 1)])
    assert [recorder.sources.count(number) for number in (0, 1)] == [9, 20]
    assert capture.warnings == [f"{cut}: cut short in the middle of a packet; everything before it is shown"]


def several_interfaces() -> bytes:
    frame = packets(1)[0].frame
    return b"".join(
        (
            ng.section(),
            ng.interface(1),
            ng.interface(189),  # USB
            ng.interface(101),
            ng.enhanced(frame, 1, 0),
            ng.enhanced(b"usb", 2, 1),
            ng.enhanced(frame[14:], 3, 2),
            ng.enhanced(b"usb", 4, 1),
        )
    )


def test_interfaces_that_cannot_be_read_are_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(several_interfaces())
    source = open_file(str(path), 0)
    recorder, capture = run([source])
    assert recorder.frames == [packets(1)[0].frame, packets(1)[0].frame[14:]]
    assert recorder.link_types == {1, 12}
    assert capture.warnings == [f"{path}: frames of USB (link type 189) are left out"]
    assert (source.packets, source.left_out) == (2, 2)


def test_a_filter_is_compiled_for_every_link_type(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(several_interfaces())
    for expression, count in (("tcp dst port 80", 2), ("tcp dst port 81", 0)):
        recorder, _ = run([open_file(str(path), 0, filter=expression)])
        assert len(recorder.frames) == count
    with pytest.raises(FilterError, match="bad filter"):
        open_file(str(path), 0, filter="tcp prt 80")
    with pytest.raises(FilterError, match=r"^bad filter 'root:x:0:0:.{189}\.\.\.': ") as refused:
        open_file(str(path), 0, filter="root:x:0:0:" + "z" * 5000)  # `-F /etc/passwd`
    assert len(str(refused.value)) < 400


def test_a_filter_that_cannot_work_on_a_later_interface(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(several_interfaces())
    recorder, capture = run([open_file(str(path), 0, filter="ether[0] & 1 = 0")])
    assert len(recorder.frames) in (1, 2)  # libpcap may take it for raw IP as well
    recorder, capture = run([open_file(str(path), 0, filter="ether host 02:00:00:00:00:01")])
    assert recorder.frames == [packets(1)[0].frame]
    assert any("frames of" in line and "bad filter" in line for line in capture.warnings)


def test_a_pcapng_file_of_one_unknown_link_type(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(ng.section() + ng.interface(189) + ng.enhanced(b"usb", 1))
    with pytest.raises(CaptureError, match=r"frames of USB \(link type 189\)"):
        open_file(str(path), 0)


def test_a_file_that_is_still_written(tmp_path: Path) -> None:
    """Also where a packet is there in half; the last of the files, in time, is the one that goes on."""
    everything = craft.pcap(packets(10))
    earlier, path = write(tmp_path / "0.pcap", 3), tmp_path / "1.pcap"
    record = (len(everything) - 24) // 10
    path.write_bytes(everything[: 24 + 5 * record + 7])
    sources = [open_file(str(path), 1, follow=True), open_file(str(earlier), 0)]

    async def go_on(capture: Capture, recorder: Recorder) -> None:
        await come_true(lambda: len(recorder.frames) == 8)
        with path.open("ab") as file:
            file.write(everything[24 + 5 * record + 7 :])
        await come_true(lambda: len(recorder.frames) == 13)
        assert not recorder.finished

    _, capture = run(sources, go_on, follow=True)
    assert capture.warnings == []


def test_what_cannot_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(craft.pcap(packets(1))))
    with pytest.raises(CaptureError, match="is compressed, or a pipe"):
        open_file(str(path), 0, follow=True)


@pytest.mark.parametrize("size", [48, 70_000, 600_000])
@pytest.mark.parametrize("before", [0, 65_400, 524_200])
def test_a_block_without_packets_across_the_end_of_a_piece(tmp_path: Path, before: int, size: int) -> None:
    path = tmp_path / "a.pcapng"
    frame = packets(1)[0].frame
    start = ng.section() + ng.interface()
    filling = ng.block(ng.STATISTICS, bytes(before))
    path.write_bytes(start + filling + ng.block(ng.STATISTICS, bytes(size)) + ng.enhanced(frame, 1))
    recorder, capture = run([open_file(str(path), 0)])
    assert recorder.frames == [frame]
    path.write_bytes((start + ng.enhanced(frame, 1) + ng.block(ng.STATISTICS, bytes(size)))[:-20])
    recorder, capture = run([open_file(str(path), 0)])
    assert recorder.frames == [frame]
    assert capture.warnings == [f"{path}: cut short in the middle of a packet; everything before it is shown"]


def test_a_block_without_packets_that_comes_in_parts() -> None:
    data = several_interfaces()
    with pipe() as (name, writing):
        os.write(writing, data[:40])
        source = open_file(name, 0)

        async def send(capture: Capture, recorder: Recorder) -> None:
            await come_true(lambda: source.waits_for >= 0)
            os.write(writing, data[40:])
            await come_true(lambda: len(recorder.frames) == 2)

        run([source], send)


def test_what_gives_nothing_can_be_stopped(tmp_path: Path) -> None:
    """Padding without end behind a compressed file."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(craft.pcap(packets(1))))
    os.truncate(path, 1 << 40)  # a hole of the file system, which takes no room

    async def wait(capture: Capture, recorder: Recorder) -> None:
        await come_true(lambda: len(recorder.frames) == 1)

    recorder, _ = run([open_file(str(path), 0)], wait)
    assert not recorder.finished

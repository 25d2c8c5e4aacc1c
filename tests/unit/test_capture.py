"""Capture files: everything before the end is fed, and every refusal says what to do."""

from __future__ import annotations

import gzip
import os
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

import craft
from craft import monitors, pcapng, tunnels
from flowfs.capture import Capture, CaptureError, Drops, FilterError, open_file
from flowfs.capture.savefile import Savefile
from flowfs.capture.thread import READERS_S, WORK_S
from flowfs.core.engine import Engine
from recording import (
    DST,
    SRC,
    Recorder,
    frames,
    packets,
    refused_without_rights,
    run,
    write,
)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_a_file_is_fed_whole(tmp_path: Path, count: int) -> None:
    recorder, capture = run([open_file(str(write(tmp_path / "a.pcap", count)), 3)])
    assert recorder.frames == frames(count)
    assert recorder.times_ns == [packet.time_ns for packet in packets(count)]
    assert recorder.finished
    assert set(recorder.sources) <= {3}
    assert recorder.link_types <= {1}
    assert recorder.ticks == 0
    assert [source.drops() for source in capture.sources] == [Drops(count, 0, 0)]
    assert capture.warnings == []
    assert capture.progress[0] == capture.progress[1] == (tmp_path / "a.pcap").stat().st_size


@pytest.mark.parametrize("size", [60_000, 260_000])
def test_large_packets_are_fed_whole(tmp_path: Path, size: int) -> None:
    recorder, _ = run([open_file(str(craft.write_pcap(tmp_path / "a.pcap", large(40, size))), 0)])
    assert recorder.frames == [packet.frame for packet in large(40, size)]


def large(count: int, size: int) -> list[craft.Packet]:
    return [craft.Packet(10**18 + number, bytes([number]) * size, size) for number in range(count)]


@pytest.mark.parametrize("complete", [0, 1, 255, 256, 257, 600])
@pytest.mark.parametrize("lost", [1, 8, 20])
def test_all_before_a_cut_is_fed(tmp_path: Path, complete: int, lost: int) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(craft.pcap(packets(complete + 1))[:-lost])
    recorder, capture = run([open_file(str(path), 0)])
    assert recorder.frames == frames(complete)
    assert recorder.finished
    assert capture.warnings == [f"{path}: cut short in the middle of a packet; everything before it is shown"]


def test_all_before_a_cut_is_fed_through_a_filter(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(craft.pcap(packets(700))[:-1])
    recorder, _ = run([open_file(str(path), 0, filter="tcp[4:4] & 1 = 1")])
    assert recorder.frames == frames(699)[1::2]


def test_all_before_damage_is_fed(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pcap"
    path.write_bytes(craft.pcap(packets(300)) + b"\xff" * 500)
    recorder, capture = run([open_file(str(path), 0)])
    assert recorder.frames == frames(300)
    assert len(capture.warnings) == 1
    assert "cannot be read further" in capture.warnings[0]


def test_the_files_after_a_cut_one_are_read(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(craft.pcap(packets(10))[:-1])
    recorder, capture = run([open_file(str(cut), 0), open_file(str(write(tmp_path / "b.pcap", 5)), 1)])
    assert [recorder.sources.count(number) for number in (0, 1)] == [9, 5]
    assert len(capture.warnings) == 1


def test_what_a_filter_keeps_back_was_not_received(tmp_path: Path) -> None:
    """As of interfaces, where the kernel filters."""
    path = str(write(tmp_path / "a.pcap", 700))
    recorder, capture = run([open_file(path, 0, filter="tcp[4:4] & 1 = 1")])
    assert [source.drops() for source in capture.sources] == [Drops(350, 0, 0)]
    assert len(recorder.frames) == 350


def test_a_change_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    run([open_file(str(write(tmp_path / "a.pcap", 10)), 0)], on_change=lambda: told.append(1))
    assert len(told) == 2  # the batch, and the end


ENOUGH_S = 1.01 * WORK_S


class Clock:
    """What the capture's thread worked, and what time it is; what is slept passes at once, and is noted."""

    def __init__(self) -> None:
        self.now_s = self.worked_s = 0.0
        self.pauses_s: list[float] = []

    def work(self, seconds: float) -> None:
        self.now_s += seconds
        self.worked_s += seconds

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses_s.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now_s)
    monkeypatch.setattr(time, "thread_time", lambda: clock.worked_s)
    return clock


@pytest.fixture
def visit(tmp_path: Path, clock: Clock) -> Callable[[], bool]:
    """Of a reader, after a slice of a file that is loaded; there was one before."""
    recorder, _ = run([open_file(str(write(tmp_path / "a.pcap", 10)), 0)])
    clock.work(ENOUGH_S)
    clock.now_s += 1000 * READERS_S
    assert recorder.on_visit is not None
    assert recorder.on_visit()
    assert clock.pauses_s == []
    return recorder.on_visit


def test_a_file_waits_while_somebody_reads(clock: Clock, visit: Callable[[], bool]) -> None:
    for _ in range(4):
        clock.work(ENOUGH_S)
        assert visit()
    pauses = [round(pause_s / READERS_S, 1) for pause_s in clock.pauses_s if pause_s > READERS_S / 10]
    assert pauses == [1, 1]  # each counts for the work behind it, too


@pytest.mark.parametrize("share", [0.3, 1.0, 9.0])
def test_what_readers_had_already_is_taken_off(clock: Clock, visit: Callable[[], bool], share: float) -> None:
    """They read while this thread waited for its turn."""
    clock.work(ENOUGH_S)
    clock.now_s += share * READERS_S
    assert visit()
    assert sum(clock.pauses_s) == pytest.approx(max(0, 1 - share) * READERS_S, abs=READERS_S / 50)


def test_much_work_makes_no_longer_pause(clock: Clock, visit: Callable[[], bool]) -> None:
    clock.work(1000 * WORK_S)
    assert visit()
    assert clock.pauses_s == [READERS_S]


def test_a_file_works_on_beside_readers_however_short_its_slices(
    clock: Clock, visit: Callable[[], bool]
) -> None:
    """Of a pipe it may have one packet, and a pause takes as long as some two hundred."""
    let_read = 0
    for _ in range(1000):
        clock.work(WORK_S / 50)
        let_read += visit()
    assert 15 < let_read < 25
    assert sum(clock.pauses_s) < 15 * READERS_S


def test_who_has_no_time_does_not_wait_for_readers(tmp_path: Path, clock: Clock) -> None:
    """A pipe of this moment, which others fill; and a file whose flows are saved, which is to read always."""
    path = str(write(tmp_path / "a.pcap", 10))
    recorder, capture = run([open_file(path, 0)])
    cast(Savefile, capture.sources[0]).is_current = True
    assert recorder.on_visit is not None
    for _ in range(3):
        clock.work(ENOUGH_S)
        assert recorder.on_visit()
    assert clock.pauses_s == []
    saved, _ = run([open_file(path, 0)], on_short=lambda: None)
    assert saved.on_visit is None


def test_a_change_that_nobody_waits_for_wakes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "is_urgent", lambda recorder: False)
    told: list[int] = []
    run([open_file(str(write(tmp_path / "a.pcap", 10)), 0)], on_change=lambda: told.append(1))
    assert told == []


@pytest.mark.parametrize("link_type", [0, 1, 12, 108, 113, 276])
def test_link_types_and_their_filters(tmp_path: Path, link_type: int) -> None:
    packet = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 25))
    other = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 26))
    captured = [craft.Packet(10**18, craft.link(link_type, inner), 100) for inner in (other, packet, other)]
    path = craft.write_pcap(tmp_path / "a.pcap", captured, link_type)
    recorder, _ = run([open_file(str(path), 0, filter="tcp port 25")])
    assert recorder.link_types == {link_type}
    assert recorder.frames == [captured[1].frame]


@pytest.mark.parametrize(
    ("link_type", "link"),
    [
        (9, lambda packet: tunnels.ppp_ip(packet, address=True)),
        (50, lambda packet: tunnels.ppp_ip(packet, address=True)),
        (51, lambda packet: tunnels.pppoe(tunnels.ppp_ip(packet))),
        (104, lambda packet: monitors.cisco_hdlc(0x0800, packet)),
        (105, monitors.wifi),
        (119, lambda packet: monitors.prism(monitors.wifi(packet))),
        (127, lambda packet: monitors.radiotap(monitors.wifi(packet), flags=0)),
        (163, lambda packet: monitors.avs(monitors.wifi(packet))),
        (192, lambda packet: monitors.ppi(105, monitors.wifi(packet))),
    ],
)
def test_filters_of_the_rarer_link_types(
    tmp_path: Path, link_type: int, link: Callable[[bytes], bytes]
) -> None:
    captured = [
        craft.Packet(10**18, link(craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, port))), 100)
        for port in (25, 26)
    ]
    path = craft.write_pcap(tmp_path / "a.pcap", captured, link_type)
    recorder, _ = run([open_file(str(path), 0, filter="tcp port 25")])
    assert recorder.frames == [captured[0].frame]


def test_a_link_type_that_libpcap_cannot_filter(tmp_path: Path) -> None:
    path = str(craft.write_pcap(tmp_path / "a.pcap", [], 239))
    open_file(path, 0).close()
    with pytest.raises(FilterError, match="NFLOG"):
        open_file(path, 0, filter="tcp port 25")


def test_a_link_type_that_libpcap_filters_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(craft.write_pcap(tmp_path / "a.pcap", [], craft.SLL2))
    open_file(path, 0, filter="tcp").close()
    monkeypatch.setattr("pcapy.compile", lambda *arguments: types.SimpleNamespace(filter=lambda frame: 0))
    with pytest.raises(FilterError, match="this libpcap is too old"):
        open_file(path, 0, filter="tcp")
    open_file(path, 0).close()


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = os.fsdecode(bytes(tmp_path) + b"/\xff.pcap")
    Path(path).write_bytes(craft.pcap(packets(1)))
    recorder, _ = run([open_file(path, 0)])
    assert recorder.frames == frames(1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "is empty, not a capture"),
        ("byte", craft.pcap([])[:1], "is not a capture file (pcap or pcapng)"),
        ("magic", craft.pcap([])[:4], "is cut short in its very header"),
        ("header", craft.pcap([])[:23], "is cut short in its very header"),
        ("section", pcapng.section()[:11], "is cut short in its very header"),
        ("word", b"oops", "is not a capture file (pcap or pcapng)"),
        ("line", b"Hello\n", "is not a capture file (pcap or pcapng)"),
        ("line.gz", gzip.compress(b"Hello\n"), "is not a capture file (pcap or pcapng)"),
        ("text", b"Hello, this is some text.\n" * 10, "is not a capture file (pcap or pcapng)"),
        ("x.gz", b"\x1f\x8b\x08\0" + bytes(20), "what is compressed in it is damaged"),
        ("x.zst", b"\x28\xb5\x2f\xfd" + bytes(20), "what is compressed in it is damaged"),
        ("old", craft.pcap([])[:4] + b"\2\0\3\0" + bytes(16), "pcap of version 2.3; editcap converts it"),
        ("usb", craft.pcap([], 189), "has frames of USB (link type 189); flowfs reads Ethernet, 802.11, "),
        ("odd", craft.pcap([], 147), "an unknown link layer (link type 147)"),
        ("missing", None, "No such file or directory"),
    ],
)
def test_what_is_no_capture(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        open_file(str(path), 0)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no capture", craft.pcap([], 189), b"\x1f\x8b" + bytes(20)])
def test_what_is_refused_is_closed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CaptureError):
        open_file(str(path), 0)
    assert os.listdir("/proc/self/fd") == before


def test_a_directory_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is a directory"):
        open_file(str(tmp_path), 0)


def test_an_unreadable_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = write(Path(folder) / "a.pcap", 1)
        path.chmod(0)
        assert (
            refused_without_rights(lambda: open_file(str(path), 0))
            == f"cannot read {path}: Permission denied"
        )


@pytest.mark.parametrize(
    "expression", ["tcp prt 25", "tcp and", "port 99999", "tcp \udcff", "ether[1:3] = 1"]
)
def test_a_bad_filter_is_shown(tmp_path: Path, expression: str) -> None:
    with pytest.raises(FilterError) as caught:
        open_file(str(write(tmp_path / "a.pcap", 1)), 0, filter=expression)
    assert str(caught.value).startswith(f"bad filter '{expression}': ")
    assert str(caught.value).endswith("; see pcap-filter(7)")
    assert "\n" not in str(caught.value)


def test_interfaces_and_files_do_not_mix(tmp_path: Path) -> None:
    live = open_file(str(write(tmp_path / "a.pcap", 1)), 0)
    live.live = True
    with pytest.raises(ValueError, match="not both"):
        Capture([live, open_file(str(write(tmp_path / "b.pcap", 1)), 1)], cast(Engine, Recorder()))


@pytest.mark.needs("captures")
def test_real_captures_are_fed_as_tcpdump_counts_them(captures: Path) -> None:
    path = captures / "file-cut.dev.pcap"
    recorder, capture = run([open_file(str(path), 0)])
    assert len(recorder.frames) == 8
    assert len(capture.warnings) == 1

"""The whole program from its start to its end: what it leaves behind, which is nothing, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import craft
from craft import tunnels
from flowfs.app import _Waker
from flowfs.core.register import MAX_EVENTS
from live.mounting import daemons
from running import ENVIRONMENT, MODULE, to_its_end
from waiting import until

NAME = "010.000.000.001.01025-010.000.000.002.00080"

INTERRUPTED = "flowfs: interrupted while loading, nothing is left mounted\n"

needs_fuse = pytest.mark.needs("fuse")


# --- waking trio -------------------------------------------------------------------------------


def test_any_number_of_calls_wakes_once() -> None:
    async def main() -> int:
        waker = _Waker()
        waker.token = trio.lowlevel.current_trio_token()
        woken = 0

        async def count() -> None:
            nonlocal woken
            while True:
                await waker.asked()
                woken += 1
                await trio.sleep(0.02)

        def call() -> None:
            for _ in range(1000):
                waker.wake()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            for _ in range(3):
                await trio.to_thread.run_sync(call)
            await trio.sleep(0.1)
            first = woken
            waker.wake()
            await trio.sleep(0.05)
            assert woken == first + 1
            nursery.cancel_scope.cancel()
        return first

    assert 1 <= trio.run(main) <= 4


# --- a life ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """All tests may run under nohup; what is started here does not, unless it is told."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty directory; it fails the test that leaves something mounted or running there."""
    path = tmp_path / "flows"
    path.mkdir()
    yield path
    stays_mounted = is_mounted(path)
    running = daemons(path)
    for number in running:
        os.kill(number, signal.SIGKILL)
    subprocess.run(["fusermount3", "-uzq", str(path)], check=False)
    assert not stays_mounted
    assert not running


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    addresses = "10.0.0.1", "10.0.0.2"
    syn = craft.tcp(*addresses, 1025, 80, seq=0, flags="S")
    data = craft.tcp(*addresses, 1025, 80, seq=1, payload=b"hello")
    frames = [craft.ethernet(craft.ipv4(*addresses, segment)) for segment in (syn, data)]
    return craft.write_pcap(
        tmp_path / "a.pcap", [craft.Packet(10**18, frame, len(frame)) for frame in frames]
    )


def is_mounted(place: Path) -> bool:
    return any(
        line.split()[4] == str(place) for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )


def flowfs_(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return to_its_end([*MODULE, *arguments], ENVIRONMENT)


def start(*arguments: str | Path, **how: Any) -> subprocess.Popen[str]:
    command = [*MODULE, *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, **how)


def status(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / ".flowfs" / "status.json").read_text())
    return found


@needs_fuse
def test_a_file_is_there_when_the_command_returns(place: Path, capture: Path) -> None:
    done = flowfs_("mount", place, "-r", capture, "tcp port 80")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (place / NAME).read_bytes() == b"hello"
    told = status(place)
    assert told["sources"] == [str(capture)]
    assert told["filter"] == "tcp port 80"
    assert "started" not in told
    assert 0 < time.time_ns() - told["started_ns"] < 60 * 10**9
    assert told["received_packets"] == told["statistics"]["packets"] == 2
    assert told["read_bytes"] == told["total_bytes"] == capture.stat().st_size
    assert told["finished"]
    assert not told["live"]
    done = flowfs_("umount", place)
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not daemons(place))


@needs_fuse
@pytest.mark.parametrize("keep", ["head", "tail"])
def test_files_that_are_not_meant_to_be_whole(place: Path, tmp_path: Path, keep: str) -> None:
    """What they hold, and what status.json says of it."""
    conversation = craft.Conversation().handshake()
    for offset in range(0, 10_000, 1000):
        conversation.client(offset, b"%08d" % offset * 125)
    capture = craft.write_pcap(tmp_path / "large.pcap", conversation.packets)
    done = flowfs_("mount", place, "-r", capture, "-b", "1000", "--keep", keep, "--evict", "oldest")
    assert (done.returncode, done.stderr) == (0, "")
    told, path = status(place), place / conversation.client_name()
    assert (told["evict"], told["max_flow_bytes"], told["keep"]) == ("oldest", 1000, keep)
    if keep == "head":
        assert path.read_bytes() == b"00000000" * 125
        assert told["statistics"]["dropped_beyond_bytes"] == 9000
    else:
        assert path.stat().st_size == 10_000
        with path.open("rb") as file:
            assert os.pread(file.fileno(), 5000, 9000) == b"00009000" * 125
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(file.fileno(), 10, 0)
        assert 7000 < told["statistics"]["trimmed_beyond_bytes"] <= 9000
    flowfs_("umount", place)


def tunnelled(tmp_path: Path) -> Path:
    """A capture of one connection in GRE."""
    conversation = craft.Conversation().handshake().client(0, b"hello")
    frames = [tunnels.outer(47, tunnels.gre(0x0800, frame[14:])) for _, frame, _ in conversation.packets]
    return craft.write_pcap(tmp_path / "gre.pcap", [craft.Packet(10**18, frame, 0) for frame in frames])


@needs_fuse
@pytest.mark.parametrize(("option", "files"), [((), ["hello"]), (("--no-tunnels",), [])])
def test_tunnels_can_be_left_alone(place: Path, tmp_path: Path, option: tuple[str], files: list[str]) -> None:
    done = flowfs_("mount", place, "-r", tunnelled(tmp_path), *option)
    assert (done.returncode, done.stderr) == (
        0,
        "" if files else "flowfs: there is no flow to be shown: none of the packets is TCP\n",
    )
    assert [file.read_text() for file in place.iterdir()] == files
    counted = status(place)["statistics"]
    assert (counted["dissected"], counted["unknown_frames"]) == (4, 0 if files else 4)
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_a_cut_file_is_mounted_with_a_warning(place: Path, capture: Path) -> None:
    with capture.open("ab") as file:
        file.write(bytes(10))
    done = flowfs_("mount", place, "-r", capture)
    assert done.returncode == 0
    assert (
        done.stderr
        == f"flowfs: {capture}: cut short in the middle of a packet; everything before it is shown\n"
    )
    assert (place / NAME).exists()
    assert len(status(place)["warnings"]) == 1
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_packets_that_are_cut_are_warned_of_once(place: Path, tmp_path: Path) -> None:
    conversation = craft.Conversation().handshake()
    for number in range(9):
        conversation.client(1000 * number, bytes(1000))
    path = craft.write_pcap(tmp_path / "cut.pcap", [craft.cut(packet, 96) for packet in conversation.packets])
    done = flowfs_("mount", place, "-r", path)
    assert done.returncode == 0
    assert done.stderr == (
        "flowfs: packets are cut at 96 bytes by the capture's snapshot length: flows have holes;"
        " capture with -s 0\n"
    )
    assert len(status(place)["warnings"]) == 1
    assert status(place)["statistics"]["cut_bytes"] == 9 * (14 + 40 + 1000 - 96)
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_a_packet_that_lies_about_its_length_was_not_cut(place: Path, tmp_path: Path) -> None:
    """Longer ones are whole."""
    conversation = (
        craft.Conversation().handshake().client(0, bytes(100)).client(100, b"abc", total_length=1500)
    )
    done = flowfs_("mount", place, "-r", craft.write_pcap(tmp_path / "lie.pcap", conversation.packets))
    assert (done.returncode, done.stderr) == (0, "")
    assert status(place)["statistics"]["cut_at_bytes"] == 60
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unmounts_and_counts(place: Path, capture: Path, number: signal.Signals) -> None:
    with start("mount", place, "-f", "-r", capture) as process:
        until((place / NAME).exists)
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        counts = "flowfs: 2 packets captured, 0 dropped, 1 flow, 0 evicted\n"
        assert process.stderr.readline() == counts
        process.send_signal(number)
        assert process.stderr.read() == counts
        assert process.wait(10) == 0
    assert not is_mounted(place)


@needs_fuse
def test_nohup_is_respected(place: Path, capture: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start("mount", place, "-f", "-r", capture)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        until((place / NAME).exists)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)  # time to end, which it must not
        assert (place / NAME).exists()
        process.terminate()
        assert process.wait(10) == 0


@needs_fuse
def test_a_daemon_ends_by_a_signal(place: Path, capture: Path) -> None:
    assert flowfs_("mount", place, "-r", capture).returncode == 0
    (daemon,) = daemons(place)
    os.kill(daemon, signal.SIGTERM)
    until(lambda: not daemons(place))


@needs_fuse
def test_unmounting_by_other_means_ends_the_daemon(place: Path, capture: Path) -> None:
    assert flowfs_("mount", place, "-r", capture).returncode == 0
    subprocess.run(["fusermount3", "-u", str(place)], check=True)
    until(lambda: not daemons(place))


@needs_fuse
def test_a_killed_daemon_can_be_followed_by_another(place: Path, capture: Path) -> None:
    assert flowfs_("mount", place, "-r", capture).returncode == 0
    os.kill(daemons(place)[0], signal.SIGKILL)
    until(lambda: not daemons(place))
    done = flowfs_("mount", place, "-r", capture)
    assert done.returncode == 0
    assert "took away a dead flowfs mount" in done.stderr
    assert (place / NAME).read_bytes() == b"hello"
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_two_mounts_on_one_place(place: Path, capture: Path) -> None:
    assert flowfs_("mount", place, "-r", capture).returncode == 0
    done = flowfs_("mount", place, "-r", capture)
    assert done.returncode == 4
    assert "mounted there already" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (place / NAME).exists()
    flowfs_("umount", place)
    until(lambda: not daemons(place))


# --- while files are loaded --------------------------------------------------------------------


@needs_fuse
def test_what_a_file_that_is_still_written_has_is_loaded_first(place: Path, tmp_path: Path) -> None:
    said = [craft.Conversation(client_address=f"10.7.{n >> 8}.{n & 255}") for n in range(5000)]
    packets = [packet for one in said for packet in one.handshake().client(0, b"hello").packets]
    path = craft.write_pcap(tmp_path / "grows.pcap", packets)
    assert flowfs_("mount", place, "--follow", "-r", path).returncode == 0
    assert len(os.listdir(place)) == 5000
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_a_file_that_has_nothing_yet_is_not_waited_for(place: Path, tmp_path: Path) -> None:
    (tmp_path / "grows.pcap").touch()
    assert flowfs_("mount", place, "--follow", "-r", tmp_path / "grows.pcap").returncode == 0
    assert os.listdir(place) == []
    flowfs_("umount", place)
    until(lambda: not daemons(place))


@contextlib.contextmanager
def loading(place: Path, capture: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A mount that is being loaded from a pipe that does not end, and the pipe's writing end."""
    reading, writing = os.pipe()
    os.write(writing, capture.read_bytes())
    try:
        with start("mount", place, "-r", "-", *options, stdin=reading) as process:
            os.close(reading)
            try:
                until((place / NAME).exists)
                yield process, writing
            finally:
                process.kill()
    finally:
        with contextlib.suppress(OSError):
            os.close(writing)


@needs_fuse
def test_loading_from_a_pipe_shows_what_has_come(place: Path, capture: Path) -> None:
    with loading(place, capture) as (process, writing):
        assert (place / NAME).read_bytes() == b"hello"
        assert process.poll() is None
        os.close(writing)
        assert process.wait(10) == 0
    assert status(place)["finished"]
    flowfs_("umount", place)
    until(lambda: not daemons(place))


def many_flows(port: int, count: int) -> bytes:
    """Packets of a capture, three a flow, which differ by addresses that add up to the same checksum.

    It begins, has a byte, and is reset: that makes two events.
    """
    ends, ports, packets = ("10.0.0.0", "10.1.255.255"), (port, 80), []
    contents: list[Any] = [{"seq": 0, "flags": "S"}, {"seq": 1, "payload": b"x"}, {"seq": 2, "flags": "R"}]
    segments = [craft.tcp(*ends, *ports, **content) for content in contents]
    templates = [craft.ethernet(craft.ipv4(*ends, segment)) for segment in segments]
    for number in range(count):
        for one in templates:
            packets.append(struct.pack("=4I", 10**9, 0, len(one), len(one)) + one[:28])
            packets.append(number.to_bytes(2, "big") + one[30:32])
            packets.append((0xFFFF - number).to_bytes(2, "big") + one[34:])
    return b"".join(packets)


def unread_bytes(pipe: int) -> int:
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@needs_fuse
def test_events_are_taken_in_though_nobody_looks(place: Path, capture: Path) -> None:
    """More of them than wait to be taken, and nothing that anybody was waiting for."""
    half = MAX_EVENTS // 3  # in flows
    with loading(place, capture, "--no-wait") as (_, writing):
        log = place / ".flowfs" / "events.jsonl"
        log.read_bytes()  # from here on they are recorded
        for port in (1, 2):
            with open(writing, "wb", closefd=False) as pipe:
                pipe.write(many_flows(port, half))
            until(lambda: not unread_bytes(writing), 60)
            time.sleep(0.5)  # to ask the mount would take events in
        until(lambda: status(place)["statistics"]["flows_total"] == 1 + 2 * half, 60)
        assert '"event":"lost"' not in log.read_text()
        flowfs_("umount", place)
    until(lambda: not daemons(place))


@needs_fuse
def test_not_to_wait(place: Path, capture: Path) -> None:
    with loading(place, capture, "--no-wait") as (process, _):
        assert process.wait(10) == 0
        assert not status(place)["finished"]
        assert flowfs_("umount", place).returncode == 0
        until(lambda: not daemons(place))


@needs_fuse
def test_not_to_wait_for_a_writer(place: Path, tmp_path: Path, capture: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = flowfs_("mount", place, "-r", fifo, "--no-wait", "tcp port 80")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(place.iterdir()) == []
    assert not status(place)["finished"]
    fifo.write_bytes(capture.read_bytes())
    until((place / NAME).exists)
    assert (place / NAME).read_bytes() == b"hello"
    until(lambda: status(place)["finished"])
    assert flowfs_("umount", place).returncode == 0
    until(lambda: not daemons(place))


def mounted_without_a_writer(place: Path, tmp_path: Path) -> Path:
    """A FIFO that is mounted, though nobody writes to it yet."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert flowfs_("mount", place, "-r", fifo, "--no-wait").returncode == 0
    return fifo


@needs_fuse
def test_nobody_has_to_write_for_a_mount_to_be_taken_away(place: Path, tmp_path: Path) -> None:
    mounted_without_a_writer(place, tmp_path)
    assert flowfs_("umount", place).returncode == 0
    until(lambda: not daemons(place))


@needs_fuse
def test_a_writer_of_something_else_is_in_the_warnings(place: Path, tmp_path: Path) -> None:
    fifo = mounted_without_a_writer(place, tmp_path)
    fifo.write_bytes(b"Hello, this is some text")
    until(lambda: status(place)["finished"])
    assert until(lambda: status(place)["warnings"])[0] == f"{fifo} is not a capture file (pcap or pcapng)"
    assert flowfs_("umount", place).returncode == 0
    until(lambda: not daemons(place))


@needs_fuse
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_does_not_wait_any_longer_has_no_mount(
    place: Path, capture: Path, number: signal.Signals
) -> None:
    with loading(place, capture) as (process, _):
        process.send_signal(number)
        killed = number == signal.SIGKILL
        assert process.wait(10) == (-number if killed else 128 + number)
        assert is_mounted(place) in (killed, False)
        assert process.stderr is not None
        assert process.stderr.read() == ("" if killed else INTERRUPTED)
        until(lambda: not daemons(place))
    assert not is_mounted(place)


@needs_fuse
def test_who_takes_a_mount_away_while_it_is_loaded_is_no_success(place: Path, capture: Path) -> None:
    with loading(place, capture) as (process, _):
        assert flowfs_("umount", place).returncode == 0
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[1:] == ["flowfs: ended before it was ready"]


@pytest.mark.parametrize("foreground", [("-f",), ()], ids=["foreground", "background"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_for_a_writer_says_so_and_can_be_ended(
    place: Path, tmp_path: Path, number: signal.Signals, foreground: tuple[str, ...]
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start("mount", place, "-r", fifo, *foreground) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"flowfs: {fifo}: waiting for somebody to write")
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert process.stderr.read() == INTERRUPTED


@needs_fuse
def test_a_child_that_is_killed_leaves_nothing(place: Path, capture: Path) -> None:
    with loading(place, capture) as (process, _):
        (child,) = set(daemons(place)) - {process.pid}
        os.kill(child, signal.SIGKILL)
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "flowfs: ended by SIGKILL before it was ready\n"
    assert not is_mounted(place)


@needs_fuse
def test_a_signal_at_any_moment_leaves_nothing(place: Path, capture: Path) -> None:
    for pause in (0.02, 0.1, 0.2, 0.25, 0.3, 0.4):
        with start("mount", place, "-f", "-r", capture) as process:
            time.sleep(pause)  # any moment is to be met
            process.terminate()
            assert process.wait(10) in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        assert not is_mounted(place)


# --- rights ------------------------------------------------------------------------------------


@needs_fuse
@pytest.mark.needs("root")
def test_the_mount_is_the_callers_of_sudo(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        place = Path(folder)
        for variable, value in (("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "nobody")):
            monkeypatch.setitem(ENVIRONMENT, variable, value)
        capture.chmod(0o600)
        assert flowfs_("mount", place, "-r", capture).returncode == 0
        try:
            (daemon,) = daemons(place)
            text = Path(f"/proc/{daemon}/status").read_text()
            assert "Uid:\t65534\t65534\t65534\t65534" in text
            assert "CapEff:\t0000000000000000" in text
            with pytest.raises(PermissionError):
                list(place.iterdir())
            listed = subprocess.check_output(["ls", folder], user=65534, group=65534, text=True)
            assert listed == NAME + "\n"
            os.kill(daemon, signal.SIGKILL)
            until(lambda: not daemons(place))
            again = flowfs_("mount", place, "-r", capture)
            assert again.returncode == 0
            assert "took away a dead mount" in again.stderr
        finally:
            flowfs_("umount", place)
        until(lambda: not daemons(place))


# --- live --------------------------------------------------------------------------------------

OTHER_NAME = """
ip link add v0 type veth peer name v1
ip link property add dev v0 altname other0
"$@"
"""


@pytest.mark.needs("netns")
def test_one_interface_by_two_names(place: Path) -> None:
    names = [f"-i{name}" for name in ("lo", "v0", "v1", "other0")]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", OTHER_NAME, "sh", *MODULE, "mount", str(place), *names],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = "flowfs: -i v0 and -i other0 are two names of one interface\n"
    assert (done.returncode, done.stderr) == (2, said)


@needs_fuse
@pytest.mark.needs("netns")
def test_a_live_mount(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert flowfs_("mount", place, "-i", "lo", "tcp", "port", str(port)).returncode == 0
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            with peer:
                client.sendall(b"one")
                (file,) = until(lambda: list(place.iterdir()))
                until(lambda: file.read_bytes() == b"one")
                client.sendall(b"two")
                until(lambda: file.read_bytes() == b"onetwo")
    told = status(place)
    assert told["live"]
    assert told["dropped_by_kernel"] == 0
    assert flowfs_("umount", place).returncode == 0
    until(lambda: not daemons(place))

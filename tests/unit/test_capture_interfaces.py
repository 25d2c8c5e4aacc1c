"""Interfaces: the loopback one with a filter, one that is silent, down, gone or not there."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import trio

from flowfs.capture import Capture, CaptureError, Drops, FilterError, open_interface
from recording import (
    ENVIRONMENT,
    Recorder,
    refused_without_rights,
    run,
)
from waiting import come_true


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(CaptureError) as caught:
        open_interface("nosuch0", 0)
    message = str(caught.value)
    assert "\n" not in message
    assert "there is no interface nosuch0; there are: " in message or "sudo" in message


def test_no_right_to_capture() -> None:
    message = refused_without_rights(lambda: open_interface("lo", 0))
    assert message == "no right to capture on lo: run flowfs with sudo (the mount will still be yours)"


@contextlib.contextmanager
def echo() -> Iterator[socket.socket]:
    """A connection to ourselves on the loopback interface; ours is given, the other's is its `peer`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def talk(server: socket.socket, data: bytes) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 20):
                pass


@pytest.mark.needs("netns")
@pytest.mark.parametrize("interface", ["lo", "any"])
def test_loopback_with_a_filter(interface: str) -> None:
    with echo() as server:
        port = server.getsockname()[1]
        source = open_interface(interface, 5, filter=f"tcp port {port}")

        async def converse(capture: Capture, recorder: Recorder) -> None:
            await trio.to_thread.run_sync(talk, server, b"needle" * 1000)
            await come_true(lambda: b"needle" in b"".join(recorder.frames))
            await trio.sleep(0.25)

        recorder, capture = run([source], converse)
    assert len(recorder.frames) >= 6
    assert all(struct.pack("!H", port) in frame for frame in recorder.frames)
    assert set(recorder.sources) == {5}
    assert recorder.link_types == {1 if interface == "lo" else 113}
    assert recorder.ticks >= 2
    assert [source.drops() for source in capture.sources] == [Drops(len(recorder.frames), 0, 0)]
    assert not recorder.finished


@pytest.mark.needs("netns")
def test_a_packet_of_an_interface_is_shown_soon() -> None:
    with echo() as server:
        source = open_interface("lo", 0, filter=f"tcp port {server.getsockname()[1]}")
        waits: list[float] = []

        async def converse(capture: Capture, recorder: Recorder) -> None:
            for _ in range(5):
                seen, sent = len(recorder.frames), time.monotonic()
                await trio.to_thread.run_sync(talk, server, b"x")
                await come_true(lambda: len(recorder.frames) > seen)  # noqa: B023  called within the loop
                waits.append(recorder.arrived[seen] - sent)

        run([source], converse)
    assert min(waits) < 0.05


@pytest.mark.needs("netns")
def test_a_silent_interface_can_be_stopped() -> None:
    source = open_interface("lo", 0, filter="udp port 9 and host 192.0.2.1")

    async def wait(capture: Capture, recorder: Recorder) -> None:
        await come_true(lambda: recorder.ticks >= 3)

    started = time.monotonic()
    recorder, _ = run([source], wait)
    assert time.monotonic() - started < 5
    assert recorder.frames == []


@pytest.mark.needs("netns")
def test_a_bad_filter_on_an_interface() -> None:
    with pytest.raises(FilterError, match="bad filter 'tcp prt 25'"):
        open_interface("lo", 0, filter="tcp prt 25")


@pytest.mark.needs("netns")
def test_an_interface_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfs.capture.opening.LINK_TYPES", frozenset())
    with pytest.raises(CaptureError, match=r"lo has frames of an unknown link layer \(link type 1\)"):
        open_interface("lo", 0)


@pytest.mark.needs("netns")
def test_the_packets_that_netfilter_logs() -> None:
    with contextlib.closing(open_interface("nflog", 0)) as source:
        assert source.link_type == 239


ENGINE = """
import socket, subprocess, trio
from flowfs.capture import Capture, CaptureError, open_interface
class Engine:
    packets = ticks = 0
    def feed(self, frames, meta, link_type, source, fraction_ns): self.packets += len(meta) // 16
    def tick(self, now_ns): self.ticks += 1
    def is_urgent(self): return False
def ip(*words): subprocess.run(["ip", *words], check=True)
ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
try:
    open_interface("v0", 0)
except CaptureError as error:
    print(error)
ip("link", "set", "v0", "up")
ip("link", "set", "v1", "up")
ip("link", "set", "lo", "up")
engine = Engine()
capture = Capture([open_interface("v0", 0), open_interface("lo", 1)], engine)
async def until(come_true):
    with trio.fail_after(20):
        while not come_true():
            await trio.sleep(0.02)
async def looked_at(times):
    wanted = engine.ticks + times
    await until(lambda: engine.ticks >= wanted)
"""

VANISHING = """
async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capture.run)
        await until(lambda: engine.ticks)
        ip("link", "set", "v0", "down")
        await until(lambda: capture.warnings)
        ip("link", "del", "v0")
        await until(lambda: capture.sources[0].gone)
        before = engine.ticks
        await until(lambda: engine.ticks > before)
        capture.stop()
trio.run(main)
print(*capture.warnings, sep="\\n")
"""


SLEEPING = """
async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capture.run)
        await until(lambda: engine.ticks)
        for name, other in ("v0", "v2"), ("v2", b"v\\xff"), (b"v\\xff", "v2"):  # it keeps capturing
            ip("link", "set", name, "down")
            await looked_at(2)
            ip("link", "set", name, "name", other)
            await looked_at(2)
            before = engine.packets
            ip("link", "set", other, "up")
            await looked_at(2)
            await until(lambda: frames.send(bytes(60)) and engine.packets > before)
        ip("link", "del", "v2")
        await until(lambda: capture.sources[0].gone)
        capture.stop()
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
frames.bind(("v1", 0))
trio.run(main)
print(*capture.warnings, sep="\\n")
"""


def _in_a_network_of_its_own(script: str) -> list[str]:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-P", "-c", ENGINE + script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


IS_DOWN = "interface v0 is down: nothing comes before it is up again"
HAS_GONE = "interface v0 has gone: what was captured stays"


@pytest.mark.needs("netns")
def test_an_interface_that_is_down_and_one_that_vanishes() -> None:
    told = _in_a_network_of_its_own(VANISHING)
    assert told == ["interface v0 is down: sudo ip link set v0 up", IS_DOWN, HAS_GONE]


@pytest.mark.needs("netns")
def test_an_interface_that_goes_down_and_comes_again_by_another_name() -> None:
    assert _in_a_network_of_its_own(SLEEPING)[1:] == [IS_DOWN, HAS_GONE]

"""flowfs and its peers at an interface, while a sender replays a capture: what of it they lost.

Owns one trial of each, from its start until nothing of it is left. Every one has the same buffer in the
kernel. What was lost is counted twice: by what the program says that was dropped, and by what came out.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contrib.bench import captures, talker, wire
from contrib.bench.programs import (
    Failed,
    eventually,
    find_daemon,
    remove,
    settled,
    tcpflow_folder,
    unmount,
    wait_for_end,
)

SETTLED_S = 0.4  # a mount that sees no packets for so long has seen all
IDLE_S = 1.5  # what tcpdump and tcpflow are at: the kernel may keep packets for a second from them
PATIENCE_S = 30
TAIL_S = 5  # it looks once a second
CHECKED = 300  # connections that are compared with what was sent


class Plan(NamedTuple):
    """What all trials have in common. `buffer_kib`: in the kernel; `readers`: flows that tail(1) follows."""

    shape: captures.Shape
    seconds: float
    buffer_kib: int
    readers: int
    flowfs: list[str]
    work: Path


class Trial(NamedTuple):
    """How fast it was sent, and which share was lost: of the packets, or of the bytes with tcpflow."""

    rate: float
    bytes_per_s: float
    lost: float


Wire = tuple[wire.Side, wire.Side]
Try = Callable[[Wire, Plan, float], Trial]


def send(sends: wire.Side, plan: Plan, rate: float) -> wire.Sent:
    return wire.replay(sends, captures.cached(plan.shape), rate, plan.seconds)


def trial(sent: wire.Sent, lost: float) -> Trial:
    return Trial(sent.packets / sent.seconds, sent.payload_bytes / sent.seconds, lost)


def idle(process: int) -> None:
    """Until a program has done what there was to do."""
    settled(lambda: ticks(process), IDLE_S, PATIENCE_S)


def ticks(process: int) -> int:
    """The time of the processor that it has used (proc_pid_stat(5))."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def told(said: Path) -> str:
    return said.read_text(errors="replace")


@contextmanager
def started(
    command: list[str], said: Path, ready: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that captures, once it says that it does; ended as by ^C. Raises Failed."""
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        eventually(lambda: ready in told(said) or process.poll() is not None, PATIENCE_S)
        if ready not in told(said) or process.poll() is not None:
            raise Failed(f"{command[3]} does not capture: {told(said)[-300:]}")
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


# --- the peers ---------------------------------------------------------------------------------


def try_tcpdump(cable: Wire, plan: Plan, rate: float) -> Trial:
    sends, captures_ = cable
    command = captures_.command("tcpdump", "-i", "eth0", "-B", str(plan.buffer_kib), "-w", "/dev/null", "tcp")
    said = plan.work / "tcpdump.log"
    with started(command, said, "listening on") as process:
        sent = send(sends, plan, rate)
        idle(process.pid)
    found = re.findall(r"(\d+) packets? (captured|dropped by kernel)", said.read_text())
    counts = {what: int(count) for count, what in found}
    return trial(sent, max(1 - counts["captured"] / sent.packets, counts["dropped by kernel"] / sent.packets))


def try_tcpflow(cable: Wire, plan: Plan, rate: float) -> Trial:
    """It has no option for its buffer."""
    sends, captures_ = cable
    folder = tcpflow_folder(2 * plan.shape.connections, plan.work)
    preload = wire.compiled("big_buffer.c", "-shared", "-fPIC", "-lpcap")
    environment = {"LD_PRELOAD": str(preload), "BUFFER_KIB": str(plan.buffer_kib)}
    command = captures_.command("tcpflow", "-i", "eth0", "-o", folder, "tcp")
    try:
        with started(command, plan.work / "tcpflow.log", "listening on", **environment) as process:
            sent = send(sends, plan, rate)
            idle(process.pid)
        with os.scandir(folder) as files:
            held = sum(file.stat().st_size for file in files if file.name != "report.xml")
    finally:
        remove(folder)
    return trial(sent, 1 - held / sent.payload_bytes)


# --- flowfs ------------------------------------------------------------------------------------


@contextmanager
def mounted(side: wire.Side, plan: Plan) -> Iterator[Path]:
    """A mount that captures eth0."""
    mountpoint = plan.work / "mnt"
    mountpoint.mkdir()
    options = ["-q", "-i", "eth0", "-B", str(plan.buffer_kib), str(mountpoint), "tcp"]
    daemon = 0
    try:
        done = subprocess.run(
            side.command(*plan.flowfs, "mount", *options), stdin=subprocess.DEVNULL, timeout=60, check=False
        )
        if done.returncode:
            raise Failed(f"flowfs ended with {done.returncode}")
        daemon = find_daemon(mountpoint)
        yield mountpoint
    finally:
        unmount(plan.flowfs, mountpoint)
        if daemon:
            wait_for_end(daemon)
        mountpoint.rmdir()


def status(mountpoint: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((mountpoint / ".flowfs/status.json").read_text())
    return known


def last_status(mountpoint: Path) -> dict[str, Any]:
    """The status, once no packets come any more."""
    settled(lambda: int(status(mountpoint)["statistics"]["packets"]), SETTLED_S, PATIENCE_S)
    return status(mountpoint)


def try_flowfs(cable: Wire, plan: Plan, rate: float) -> Trial:
    """Raises Failed where flows are not what was sent although nothing was dropped."""
    sends, captures_ = cable
    with mounted(captures_, plan) as mountpoint, followed(sends, mountpoint, plan) as markers:
        sent = send(sends, plan, rate)
        told = markers()
        known = last_status(mountpoint)
        packets = sent.packets + told.packets
        lost = max(known["dropped_by_kernel"], packets - known["statistics"]["packets"]) / packets
        if not lost:
            payload = sent.payload_bytes + told.payload_bytes
            if known["statistics"]["stored_bytes"] != payload:
                lost = 1 - known["statistics"]["stored_bytes"] / payload
            if known["statistics"]["bad_checksums"]:
                raise Failed("checksums were wrong")
            if told.unseen_bytes:
                raise Failed(f"tail did not show {told.unseen_bytes} bytes, and no packet was dropped")
            verify(mountpoint, plan.shape, sent.passes)
    return trial(sent, lost)


def verify(mountpoint: Path, shape: captures.Shape, passes: int) -> None:
    """Compares flows all over the passes that ended, as far as they are held. Raises Failed."""
    last = -1  # the pass of the latest one that is held
    for number in range(0, shape.connections * (passes - 1), max(1, shape.connections * passes // CHECKED)):
        connection, turn = number % shape.connections, number // shape.connections
        sent = captures.request(shape, connection), captures.stream(shape, connection)
        for name, data in zip(captures.names(shape, connection), sent, strict=True):
            try:
                held = (mountpoint / moved(name, turn)).read_bytes()
            except OSError:
                continue  # it was freed
            last = turn
            if held != data:
                raise Failed(f"{moved(name, turn)} is not what was sent")
    if last != passes - 2:
        raise Failed("none of the latest flows is there")


def moved(name: str, turn: int) -> str:
    """The name of a flow after so many passes of `sender.c`."""
    return "-".join(moved_end(end, turn) for end in name.split("-"))


def moved_end(end: str, turn: int) -> str:
    high, low, rest = end.split(".", 2)
    half = int(high) * 256 + int(low) + (turn if high == "010" else -turn)
    return f"{half >> 8:03}.{half & 255:03}.{rest}"


# --- who reads meanwhile -----------------------------------------------------------------------


class Told(NamedTuple):
    """What the talker sent, and how many bytes of it tail did not show."""

    packets: int
    payload_bytes: int
    unseen_bytes: int


@contextmanager
def followed(sends: wire.Side, mountpoint: Path, plan: Plan) -> Iterator[Callable[[], Told]]:
    """tail(1) at as many flows as the plan has readers; what is given waits until it has shown all."""
    if not plan.readers:
        yield lambda: Told(0, 0, 0)
        return
    shown = plan.work / "tail.out"
    with talking(sends, mountpoint, plan.readers, 5.0 * plan.readers, plan.seconds) as speaker:
        names = [talker.name(number) for number in range(plan.readers)]
        with shown.open("wb") as output:
            reader = subprocess.Popen(["tail", "-q", "-f", "-c", "+1", *names], cwd=mountpoint, stdout=output)
        try:
            speaker.begin()
            yield lambda: hear(speaker, shown)
        finally:
            reader.terminate()
            reader.wait()


def hear(speaker: wire.Talker, shown: Path) -> Told:
    packets, sent_ns = speaker.end()
    payload_bytes = sum(map(len, sent_ns)) * len(talker.MARKER.data)
    eventually(lambda: shown.stat().st_size >= payload_bytes, TAIL_S)
    return Told(packets, payload_bytes, payload_bytes - shown.stat().st_size)


@contextmanager
def talking(
    sends: wire.Side, mountpoint: Path, flows: int, rate: float, seconds: float
) -> Iterator[wire.Talker]:
    """A talker whose connections have all appeared in the mount. Raises Failed."""
    with wire.talker(sends, flows, rate, seconds) as speaker:
        paths = [mountpoint / talker.name(number) for number in range(flows)]
        if not eventually(lambda: all(path.exists() for path in paths), PATIENCE_S):
            raise Failed(f"flows of the talker did not appear in {PATIENCE_S} s")
        yield speaker


PROGRAMS: dict[str, Try] = {"tcpdump": try_tcpdump, "tcpflow": try_tcpflow, "flowfs": try_flowfs}

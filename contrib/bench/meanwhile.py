"""Readers and a capture at once: what a flow that grows costs to read, and what each costs the other.

Owns these trials, which `tree.py` prints and judges. A capture is at full load while a file is loaded in the
background, for it is read as fast as flowfs can; at an interface a sender has its own speed.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from contrib.bench import captures, capturing, shapes, wire
from contrib.bench.programs import (
    MIB,
    PATIENCE_S,
    Failed,
    eventually,
    timed,
    unmount,
    wait_until_finished,
)

HEADER_BYTES = 24  # of a capture file
REST_BYTES = 64 * 1024  # of a capture, in which connections end
SHAPE = shapes.LIVE["mix"]
RATE = 50_000  # packets/s
SECONDS = 5.0
BUFFER_KIB = 16384
SEARCHES = 9  # at the most, of which the median counts


class Pair(NamedTuple):
    """Seconds of the same, without and with something else going on; whether that went on throughout."""

    alone_s: float
    meanwhile_s: float
    whole: bool


@contextmanager
def loading(flowfs: list[str], options: list[str], mount: Path, script: str) -> Iterator[None]:
    """A mount of what a shell script writes, as it comes."""
    mount.mkdir()
    feeder = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    try:
        command = [*flowfs, "mount", "-q", "--no-wait", *options, "-r", "-", str(mount)]
        if subprocess.run(command, stdin=feeder.stdout, check=False, timeout=PATIENCE_S).returncode:
            raise Failed("flowfs does not mount what comes from a pipe")
        assert feeder.stdout is not None
        feeder.stdout.close()
        yield
    finally:
        feeder.kill()
        feeder.wait()
        unmount(flowfs, mount)
        mount.rmdir()


def cat_of_what_grows(flowfs: list[str], shape: captures.Shape, mount: Path, repeat: int) -> list[float]:
    """Seconds for the one large flow of a capture, of which all is there but the end."""
    capture = captures.cached(shape)
    count = capture.stat().st_size - REST_BYTES
    memory_mib = 2 * shape.answer_bytes // MIB + 64
    with loading(
        flowfs, [f"--max-memory={memory_mib}M"], mount, f"head -c {count} {capture}; exec sleep 600"
    ):
        flow = mount / captures.names(shape, 0)[1]
        least_bytes = shape.answer_bytes - REST_BYTES - captures.SEGMENT
        if not eventually(lambda: flow.exists() and flow.stat().st_size >= least_bytes, PATIENCE_S):
            raise Failed(f"{flow} does not grow")
        return [timed(["sh", "-c", f"cat {flow} > /dev/null"]).seconds for _ in range(repeat)]


def grep_under_load(flowfs: list[str], some: captures.Shape, much: captures.Shape, work: Path) -> Pair:
    """grep of the flows of one capture, before and while another is loaded behind it. Raises Failed."""
    first, behind = captures.cached(some), captures.cached(much)
    mount, names, go = work / "mnt", work / "names", work / "go"
    os.mkfifo(go)
    names.write_text("\n".join(name for one in range(some.connections) for name in captures.names(some, one)))
    grep = ["sh", "-c", f"cd {mount} && xargs grep -c nothing < {names} > /dev/null; test $? -eq 123"]
    script = f"cat {first}; read line < {go}; tail -c +{HEADER_BYTES + 1} {behind}"
    options = ["--max-memory=2048M", "--max-table=2048M"]
    try:
        with loading(flowfs, options, mount, script):
            flows = 2 * some.connections
            if not eventually(
                lambda: os.statvfs(mount).f_files >= flows and all_there(mount, names), PATIENCE_S
            ):
                raise Failed("the flows to be searched are not there")
            timed(grep)  # so that the kernel knows their names, in all of the others
            alone_s = [timed(grep).seconds for _ in range(SEARCHES)]
            go.write_text("\n")
            meanwhile_s = [timed(grep).seconds]
            whole = not capturing.status(mount)["finished"]
            while len(meanwhile_s) < SEARCHES:
                again_s = timed(grep).seconds
                if capturing.status(mount)["finished"]:
                    break
                meanwhile_s.append(again_s)
            wait_until_finished(mount)
    finally:
        names.unlink()
        go.unlink()
    return Pair(statistics.median(alone_s), statistics.median(meanwhile_s), whole)


def all_there(mount: Path, names: Path) -> bool:
    return (mount / names.read_text().rpartition("\n")[2]).exists()


def can_be_live() -> bool:
    """Whether there is a sender and an interface for it: root, ip(8)."""
    return os.geteuid() == 0 and bool(shutil.which("ip"))


def lost_while_reading(
    flowfs: list[str], shape: captures.Shape, seconds: float, work: Path
) -> tuple[int, int, float]:
    """How many packets were lost while all flows are read again and again, of how many, and their rate."""
    plan = capturing.Plan(shape, seconds, BUFFER_KIB, 0, flowfs, work)
    with wire.cable() as (sends, captures_), capturing.mounted(captures_, plan) as mount:
        before = wire.replay(sends, captures.cached(shape), RATE, seconds / 5)
        script = "while :; do ls -U | xargs -r cat; done"
        reader = subprocess.Popen(
            ["sh", "-c", script],
            cwd=mount,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            sent = wire.replay(sends, captures.cached(shape), RATE, seconds)
        finally:
            os.killpg(reader.pid, signal.SIGKILL)  # what it has started, too
            reader.wait()
        known = capturing.last_status(mount)
    packets = before.packets + sent.packets
    lost = max(known["dropped_by_kernel"], packets - known["statistics"]["packets"])
    return lost, packets, sent.packets / sent.seconds

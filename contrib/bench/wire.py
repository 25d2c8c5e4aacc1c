"""A cable between two network namespaces, and who sends on it: the interface `eth0` on both sides.

Owns the namespaces and what is compiled for the benchmark. No namespace stays behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from contrib.bench import captures
from contrib.bench.programs import Failed

HERE = Path(__file__).parent
PATIENCE_S = 120
SEED = 1


class Sent(NamedTuple):
    """What a sender did; `passes` through its capture were begun."""

    packets: int
    payload_bytes: int
    passes: int
    seconds: float


class Side(NamedTuple):
    """One end of the cable."""

    namespace: str

    def command(self, *arguments: str | Path) -> list[str]:
        """What runs there; of the mounts it sees the same."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *map(str, arguments)]


@contextmanager
def cable() -> Iterator[tuple[Side, Side]]:
    """The side that sends, and the one that captures; neither has an address, so that nobody answers."""
    names = [f"flowfs-bench-{os.getpid()}-{end}" for end in ("sends", "captures")]
    made = []
    try:
        for name in names:
            run(["ip", "netns", "add", name])
            made.append(name)
            run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"])
        pair = ["eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1]]
        run(["ip", "-n", names[0], "link", "add", *pair])
        for name in names:
            run(["ip", "-n", name, "link", "set", "eth0", "up"])
        yield Side(names[0]), Side(names[1])
    finally:
        for name in made:
            run(["ip", "netns", "del", name])


def run(command: list[str]) -> str:
    """What it printed. Raises Failed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def compiled(source: str, *options: str) -> Path:
    """What the system's compiler makes of a file, kept with the captures. Raises Failed.

    A relative path begins beside this file.
    """
    path = HERE / source
    mark = hashlib.sha256(path.read_bytes() + " ".join(options).encode()).hexdigest()[:12]
    made = captures.cache_folder() / f"{path.stem}-{mark}"
    if not made.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise Failed("there is no C compiler here (Debian package gcc)")
        partial = made.with_suffix(f".partial{os.getpid()}")
        run([compiler, "-O2", "-o", str(partial), str(path), *options])
        partial.rename(made)
    return made


def replay(side: Side, capture: Path, rate: float, seconds: float) -> Sent:
    """Send a capture over and over, so many packets a second. Raises Failed."""
    sender = compiled("sender.c")
    return Sent(**json.loads(run(side.command(sender, capture, "eth0", f"{rate:.0f}", f"{seconds}"))))


class Talker:
    """`talker.py`, which has opened its connections or is about to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self) -> None:
        """Let it send its markers."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, list[list[int]]]:
        """How many packets it sent, and when which marker of each connection. Raises Failed."""
        said, _ = self._process.communicate(timeout=PATIENCE_S)
        if self._process.returncode:
            raise Failed(f"the talker ended with {self._process.returncode}")
        told = json.loads(said)
        return told["packets"], told["sent_ns"]


@contextmanager
def talker(side: Side, flows: int, rate: float, seconds: float) -> Iterator[Talker]:
    """So many connections, and in all of them together so many markers a second."""
    arguments = [str(one) for one in (flows, rate, seconds, SEED)]
    command = side.command(sys.executable, HERE / "talker.py", *arguments)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Talker(process)
    finally:
        process.kill()
        process.wait()

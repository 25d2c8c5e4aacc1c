"""flowfs mounted as a user mounts it: the command, in a namespace, in the background.

What is always true: when `mounted` ends, the mount has gone and so has its daemon, whatever happened.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from live.network import Namespace
from live.traffic import digest
from running import to_its_end
from waiting import eventually

# A user's shell adds these under sudo, and flowfs would then serve that user instead of the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}


def flowfs_command() -> list[str]:
    """The command beside this Python or in the path, or else the package that this Python imports."""
    beside = Path(sys.executable).with_name("flowfs")
    command = str(beside) if beside.exists() else shutil.which("flowfs")
    return [command] if command else [sys.executable, "-m", "flowfs"]


FLOWFS = flowfs_command()


def flowfs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return to_its_end([*FLOWFS, *arguments], ENVIRONMENT)


class Mount:
    """A mounted flowfs, and questions to it that wait for what is still on its way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def size(self, name: str) -> int:
        """The size of a flow, 0 before it appears."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return 0

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads((self.path / ".flowfs/status.json").read_text())
        return status

    def told(self, name: str) -> str:
        """What there is to know where a flow is not what was expected."""
        counters = {what: number for what, number in self.status()["statistics"].items() if number}
        path, dropped = self.path / name, self.status()["dropped_by_kernel"]
        held = len(path.read_bytes()) if path.exists() else "nothing"
        return (
            f"{name} held {held} when read; dropped by the kernel {dropped}; {counters}; {self.names()[:9]}"
        )

    def check(self, name: str, sent: bytes) -> None:
        """Waits until a flow is as long as what was sent, and compares them."""
        eventually(lambda: self.size(name) >= len(sent))
        assert self.size(name) == len(sent), self.told(name)
        held = (self.path / name).read_bytes()
        assert digest(held) == digest(sent), f"differs in {differences(held, sent)}; {self.told(name)}"


def differences(held: bytes, sent: bytes) -> list[tuple[int, int, bytes]]:
    """The first ranges [begin, end) in which strings of one length differ, and how `held` begins there."""
    ranges: list[tuple[int, int, bytes]] = []
    begin = -1
    for at, (one, other) in enumerate(zip(held, sent, strict=True)):
        if begin < 0 and one != other:
            begin = at
        elif begin >= 0 and held[at : at + 8] == sent[at : at + 8]:
            ranges.append((begin, at, held[begin : begin + 8]))
            begin = -1
            if len(ranges) == 5:
                break
    return ranges if begin < 0 else [*ranges, (begin, len(held), held[begin : begin + 8])]


@contextmanager
def mounted(namespace: Namespace, mountpoint: Path, *arguments: str) -> Iterator[Mount]:
    """`flowfs mount MOUNTPOINT ARGUMENTS` inside; unmounted at the end."""
    mountpoint.mkdir(parents=True, exist_ok=True)
    log = mountpoint.with_name(mountpoint.name + ".log")
    try:
        with log.open("wb") as said:  # not a pipe, which the daemon may keep open
            command = namespace.command(*FLOWFS, "mount", str(mountpoint), *arguments)
            done = subprocess.run(command, stdout=said, stderr=said, env=ENVIRONMENT, timeout=20, check=False)
        assert done.returncode == 0, f"exit status {done.returncode}: {log.read_text()}"
        yield Mount(mountpoint)
        unmounted = subprocess.run(
            [*FLOWFS, "umount", str(mountpoint)], env=ENVIRONMENT, timeout=20, check=False
        )
        assert unmounted.returncode == 0
        assert eventually(lambda: not daemons(mountpoint)), f"outlives its mount: {doings(mountpoint)}"
    finally:
        clean_up(mountpoint)


def clean_up(mountpoint: Path) -> None:
    """Takes away by force what is left."""
    if mountpoint.is_mount():
        subprocess.run(["fusermount3", "-uz", str(mountpoint)], timeout=20, check=False)
        eventually(lambda: not daemons(mountpoint), 3)
    for process in daemons(mountpoint):
        os.kill(process, signal.SIGKILL)


def daemons(mountpoint: Path) -> list[int]:
    """The processes that have the mount point among their arguments."""
    wanted, found = os.fsencode(mountpoint), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


def doings(mountpoint: Path) -> list[str]:
    """What each thread of the daemon is at: its name, its state, and what it waits for in the kernel."""
    said = []
    for process in daemons(mountpoint):
        for thread in Path(f"/proc/{process}/task").iterdir():
            name, _, state = (thread / "stat").read_text().rpartition(")")
            said.append(f"{name}){state[:2]} {(thread / 'wchan').read_text()}")
    return said

"""The tools of every day on a mount, and on the disk that holds the same files: seconds, side by side.

Owns what is run, and the targets. What is always true: both sides are run by turns, in one go; the disk's
files are in the page cache, so flowfs is compared with memory. A mount is fresh for what comes first.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures
from contrib.bench.programs import Failed, default_flowfs, machine, note, timed, unmount, work_folder

GIB = 1 << 30


class Task(NamedTuple):
    """What is run in a folder; `first`: on a mount that nobody has looked at. `limit`: of seconds, or 0."""

    what: str
    command: str
    limit_s: float
    first: bool = False


MANY = captures.Shape("many", 50_000, 1024, 384)  # each has two files
SOME = captures.Shape("some", 5_000, 1024, 384)
MILLION = captures.Shape("million", 500_000, 64, 384)
GIANT = captures.Shape("giant", 1, GIB, 1)
SMALL = (captures.Shape("many", 500, 1024, 384), captures.Shape("some", 50, 1024, 384))

LISTING = (
    Task("ls -U", "ls -U {}", 0.5, first=True),
    Task("ls -U again", "ls -U {}", 0.5),
    Task("ls -lU", "ls -lU {}", 1.0),
    Task("find -newer", "find {} -newer {}/..", 1.0),
    Task("du", "du -s {}", 0),
)
LARGE = (Task("ls -U", "ls -U {}", 6.0, first=True), Task("ls -U again", "ls -U {}", 6.0))
READING = (
    Task("cat of each", "cd {} && ls -U | xargs cat", 2.0, first=True),  # 5,000 files a second
    Task("grep -r", "grep -rc nothing {}", 10_000 / 6_000, first=True),
    Task("grep -r again", "grep -rc nothing {}", 1.0),
)
WHOLE = (
    Task("cat of 1 GiB", "cat {}/*.09000-*", GIB / 4e9, first=True),
    Task("cat of 1 GiB again", "cat {}/*.09000-*", GIB / 4e9),
)


def run(task: Task, folder: Path) -> float:
    """Seconds. Raises Failed."""
    command = task.command.replace("{}", str(folder))
    # grep: 1 is nothing found
    return timed(["sh", "-c", f"{{ {command}; }} > /dev/null; test $? -le 1"]).seconds


class Sides:
    """A mount, and a folder of the disk that has the same files."""

    def __init__(self, flowfs: list[str], shape: captures.Shape, work: Path) -> None:
        self._flowfs = flowfs
        self._capture = captures.cached(shape)
        # Two flows a connection, each with a block of 256 bytes at least, and records of some 1 KiB.
        memory_mib = max(256, 2 * shape.connections * max(shape.answer_bytes, 512) >> 20)
        table_mib = max(128, 2 * shape.connections >> 10)
        self._options = [f"--max-memory={memory_mib}M", f"--max-table={table_mib}M"]
        self.mount, self.disk = work / "mnt", work / "disk"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        self.mount.mkdir()
        try:
            timed([*self._flowfs, "mount", "-q", *self._options, "-r", str(self._capture), str(self.mount)])
            yield
        finally:
            unmount(self._flowfs, self.mount)
            self.mount.rmdir()

    def copy(self) -> None:
        """To the disk, as the mount is."""
        self.disk.mkdir()
        subprocess.run(["sh", "-c", f"ls -U | xargs cp -pt {self.disk}"], cwd=self.mount, check=True)
        subprocess.run(["sync", "-f", self.disk], check=True)


def measure(shape: captures.Shape, tasks: tuple[Task, ...], options: argparse.Namespace, work: Path) -> bool:
    """Prints a line for each task; whether all are within their limits."""
    sides = Sides(options.flowfs.split(), shape, work)
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(options.repeat):
        note(f"{shape.title()}: run {turn + 1} of {options.repeat}")
        with sides.mounted():
            if turn == 0:
                sides.copy()
        for remounts in (task for task in tasks if task.first):
            with sides.mounted():
                for task in following(tasks, remounts):
                    seconds.setdefault((task.what, "flowfs"), []).append(run(task, sides.mount))
                    seconds.setdefault((task.what, "disk"), []).append(run(task, sides.disk))
    shutil.rmtree(sides.disk)
    note("")
    print(f"\n{shape.title()}")
    met = [report(task, seconds, judging=not options.small) for task in tasks]
    return all(met)


def following(tasks: tuple[Task, ...], first: Task) -> Iterator[Task]:
    """That one, and those behind it up to the next that wants a fresh mount."""
    begun = False
    for task in tasks:
        if task.first and begun:
            return
        begun = begun or task is first
        if begun:
            yield task


def report(task: Task, seconds: dict[tuple[str, str], list[float]], judging: bool) -> bool:
    def said(side: str) -> str:
        all_ = seconds[task.what, side]
        return f"{statistics.median(all_):7.3f} s ({min(all_):.3f} to {max(all_):.3f})"

    met = not task.limit_s or statistics.median(seconds[task.what, "flowfs"]) <= task.limit_s
    limit = f"(at most {task.limit_s:.2f} s)  {'ok' if met else 'MISSED'}" if task.limit_s and judging else ""
    print(f"  {task.what:<18} flowfs {said('flowfs')}   disk {said('disk')}  {limit}")
    return met or not judging


def main() -> int:
    """0: every target met; 1: one missed; 2: a program failed."""
    parser = argparse.ArgumentParser(description="tools of every day on a mount, and on the disk")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--small", action="store_true", help="few files: for trying, not for judging")
    parser.add_argument("--million", action="store_true", help="list a million flows, too: minutes")
    parser.add_argument("--flowfs", default=default_flowfs(), help="the command (default: %(default)s)")
    options = parser.parse_args()
    many, some = SMALL if options.small else (MANY, SOME)
    plan: list[tuple[captures.Shape, tuple[Task, ...]]] = [(many, LISTING), (some, READING)]
    if not options.small:
        plan.append((GIANT, WHOLE))
    if options.million:
        plan.append((MILLION, LARGE))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out everything is taken away
    print(f"{machine()}; medians of {options.repeat} runs (least to most)")
    try:
        with work_folder() as work:
            met = [measure(shape, tasks, options, work) for shape, tasks in plan]
    except (Failed, OSError, subprocess.SubprocessError) as error:
        note("")
        print(f"tree: {error}", file=sys.stderr)
        return 2
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())

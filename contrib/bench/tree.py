"""The tools of every day on a mount, on the disk that holds the same files, and on that through FUSE in C.

Owns what is run, and the targets. What is always true: all sides are run by turns, in one go; the disk's
files are in the page cache, so flowfs is compared with memory. A mount is fresh for what comes first. What
readers and a capture cost each other is tried in `meanwhile.py`.
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

from contrib.bench import captures, meanwhile, passthrough, shapes
from contrib.bench.programs import Failed, default_flowfs, machine, note, timed, unmount, work_folder

GIB = 1 << 30


class Task(NamedTuple):
    """What is run in a folder; `first`: on a mount that nobody has looked at.

    `limit_s`: of seconds, or 0; where `or_as_c`, it is enough to be as fast as the peer in C but for
    OF_THE_PEER. `peer`: whether that can do it.
    """

    what: str
    command: str
    limit_s: float
    first: bool = False
    or_as_c: bool = False
    peer: bool = True


OF_THE_PEER = 0.6
SLOWED = 1.5  # grep -r with a capture at full load
LIVE_LIMIT_S = GIB / 2e9
MANY = captures.Shape("many", 50_000, 1024, 384)  # each has two files
SOME = captures.Shape("some", 5_000, 1024, 384)
MILLION = captures.Shape("million", 500_000, 64, 384)
GIANT = captures.Shape("giant", 1, GIB, 1)
SMALL_GIANT = captures.Shape("giant", 1, GIB >> 8, 1)
SMALL = (captures.Shape("many", 500, 1024, 384), captures.Shape("some", 50, 1024, 384))

LISTING = (
    Task("ls -U", "ls -U {}", 0.5, first=True),
    Task("ls -U again", "ls -U {}", 0.5),
    Task("ls -lU", "ls -lU {}", 1.0, peer=False),  # the one by path takes minutes
    Task("find -newer", "find {} -newer {}/..", 1.0, peer=False),
    Task("du", "du -s {}", 0, peer=False),
)
LARGE = (
    Task("ls -U", "ls -U {}", 6.0, first=True, peer=False),
    Task("ls -U again", "ls -U {}", 6.0, peer=False),
)
GREP = "grep -rc nothing {} || test $? -eq 1"  # nothing is found
READING = (
    Task("cat of each", "cd {} && ls -U | xargs cat", 2.0, first=True),  # 5,000 files a second
    Task("grep -r", GREP, 10_000 / 6_000, first=True),
    Task("grep -r again", GREP, 1.0),
)
WHOLE = (
    Task("cat of 1 GiB", "cat {}/*.09000-*", 0, first=True),
    Task("cat of 1 GiB again", "cat {}/*.09000-*", GIB / 4e9, or_as_c=True),
)
PEERS = {"many": passthrough.BY_PATH}


def run(task: Task, folder: Path) -> float:
    """Seconds. Raises Failed."""
    command = task.command.replace("{}", str(folder))
    return timed(["sh", "-c", f"{{ {command}; }} > /dev/null"]).seconds


class Sides:
    """A mount, a folder of the disk that has the same files, and a mount of that by the peer in C."""

    def __init__(self, flowfs: list[str], shape: captures.Shape, work: Path) -> None:
        self._flowfs = flowfs
        self._peer = PEERS.get(shape.name, passthrough.CACHED)
        self._program = passthrough.built(self._peer)
        self._capture = captures.cached(shape)
        self._alone = shape is MILLION  # that many files take longer to copy than all else
        # Two flows a connection, each with a block of 256 bytes at least, and records of some 1 KiB.
        memory_mib = max(256, 2 * shape.connections * max(shape.answer_bytes, 512) >> 20)
        table_mib = max(128, 2 * shape.connections >> 10)
        self._options = [f"--max-memory={memory_mib}M", f"--max-table={table_mib}M"]
        self.mount, self.disk, self._peer_mount = work / "mnt", work / "disk", work / "peer"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        self.mount.mkdir()
        try:
            timed([*self._flowfs, "mount", "-q", *self._options, "-r", str(self._capture), str(self.mount)])
            yield
        finally:
            unmount(self._flowfs, self.mount)
            self.mount.rmdir()

    @contextmanager
    def all_mounted(self) -> Iterator[dict[str, Path]]:
        """Where the files are, by who gives them; a million, on the mount alone."""
        if self._alone:
            with self.mounted():
                yield {"flowfs": self.mount}
            return
        with (
            self.mounted(),
            passthrough.mounted(self._program, self._peer, self.disk, self._peer_mount) as peer,
        ):
            yield {"flowfs": self.mount, **({"C": peer} if peer else {}), "disk": self.disk}

    def copy(self) -> None:
        """To the disk, as the mount is."""
        self.disk.mkdir()
        if self._alone:
            return
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
            with sides.all_mounted() as folders:
                for task in following(tasks, remounts):
                    for side, folder in folders.items():
                        if side != "C" or task.peer:
                            seconds.setdefault((task.what, side), []).append(run(task, folder))
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
    medians = {
        side: statistics.median(seconds[task.what, side])
        for side in ("flowfs", "C", "disk")
        if (task.what, side) in seconds
    }
    limit_s = task.limit_s
    if task.or_as_c and "C" in medians:
        limit_s = max(limit_s, medians["C"] / OF_THE_PEER)
    most = seconds[task.what, "flowfs"]
    said = f"flowfs {medians['flowfs']:7.3f} s ({min(most):.3f} to {max(most):.3f})"
    said += f"   C {medians['C']:7.3f} s" if "C" in medians else " " * 14
    said += f"   disk {medians['disk']:7.3f} s" if "disk" in medians else ""
    return judged(task.what, said, medians["flowfs"], limit_s, judging)


def judged(what: str, said: str, value: float, limit: float, judging: bool, unit: str = " s") -> bool:
    """Prints a line; whether the value is within its limit, or that does not matter."""
    met = not limit or value <= limit
    verdict = f"(at most {limit:.2f}{unit})  {'ok' if met else 'MISSED'}" if limit and judging else ""
    print(f"  {what:<18} {said}  {verdict}")
    return met or not judging


def measure_together(options: argparse.Namespace, work: Path) -> bool:
    """Prints what readers and a capture cost each other; whether all are within their limits."""
    flowfs, judging, mount = options.flowfs.split(), not options.small, work / "mnt"
    giant, much = (SMALL_GIANT, SMALL[0]) if options.small else (GIANT, shapes.LOADS["million"].full)
    some = SMALL[1] if options.small else SOME
    print("\nwhile a capture goes on")
    note("cat of what grows")
    read = meanwhile.cat_of_what_grows(flowfs, giant, mount, options.repeat)
    peer = statistics.median(direct_reading(giant, flowfs, work, options.repeat) or [0])
    limit_s = max(LIVE_LIMIT_S, peer / OF_THE_PEER)
    said = f"flowfs {statistics.median(read):7.3f} s" + (
        f"   C, past the cache {peer:7.3f} s" if peer else ""
    )
    note("")
    met = judged("cat of 1 GiB", said, statistics.median(read), limit_s, judging)
    pairs = []
    for turn in range(options.repeat):
        note(f"grep under load: run {turn + 1} of {options.repeat}")
        pairs.append(meanwhile.grep_under_load(flowfs, some, much, work))
    note("")
    slowed = statistics.median(pair.meanwhile_s / pair.alone_s for pair in pairs)
    if judging and not all(pair.whole for pair in pairs):
        raise Failed("all was loaded before it was searched")
    alone_s = statistics.median(pair.alone_s for pair in pairs)
    meanwhile_s = statistics.median(pair.meanwhile_s for pair in pairs)
    said = f"alone {alone_s:.3f} s, at full load {meanwhile_s:.3f} s: {slowed:.2f} x"
    met &= judged("grep of each", said, slowed, SLOWED, judging, unit=" x")
    if not meanwhile.can_be_live():
        print("  (a reader beside a capture at an interface needs root)")
        return met
    note("a reader beside a capture")
    shape, seconds = (shapes.LIVE_SMALL, 0.5) if options.small else (meanwhile.SHAPE, meanwhile.SECONDS)
    lost, packets, rate = meanwhile.lost_while_reading(flowfs, shape, seconds, work)
    note("")
    said = f"{lost:,} of {packets:,} packets lost at {rate:,.0f} packets/s (none may be)"
    print(f"  {'cat of all, again':<18} {said}  {('MISSED' if lost else 'ok') if judging else ''}")
    return met and not (lost and judging)


def direct_reading(shape: captures.Shape, flowfs: list[str], work: Path, repeat: int) -> list[float]:
    """Seconds of the peer in C for the large file, past the page cache; nothing without it."""
    sides = Sides(flowfs, shape, work)
    program = passthrough.built(passthrough.DIRECT)
    with sides.mounted():
        sides.copy()
    try:
        with passthrough.mounted(program, passthrough.DIRECT, sides.disk, work / "peer") as folder:
            return [run(WHOLE[0], folder) for _ in range(repeat)] if folder else []
    finally:
        shutil.rmtree(sides.disk)


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
            met.append(measure_together(options, work))
    except (Failed, OSError, subprocess.SubprocessError) as error:
        note("")
        print(f"tree: {error}", file=sys.stderr)
        return 2
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())

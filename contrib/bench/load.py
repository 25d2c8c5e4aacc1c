"""How long flowfs takes to load a capture, beside tcpflow, tcpdump and a mere copy, and the memory it takes.

Owns the runs, the medians and the verdict: exit status 1 where a target is missed, 2 where a program
does not do its work. Every run is timed from its start until it returns; flowfs has then mounted and
loaded. Unmounting, removing and writing back to the disk are outside of the timing, and the capture is
in the page cache. The programs take turns, so that a busy minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures, copying

MIB = 2**20
PATIENCE_S = 600  # for one run

# The targets: how much of another program's time flowfs may take.
OF_TCPFLOW, OF_TCPDUMP = 0.25, 4.0


class Failed(Exception):
    """A program did not do its work: one line."""


@dataclass
class Result:
    """What was measured on one capture: seconds by program, and of flowfs the memory and the counters."""

    shape: captures.Shape
    size: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_bytes: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    verified: int = 0

    def median(self, program: str) -> float:
        return statistics.median(self.seconds[program])


# --- the programs ------------------------------------------------------------------------------


def timed(command: list[str]) -> float:
    """Seconds of wall time. Raises Failed."""
    # A file, not a pipe: a daemon may keep it open.
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=PATIENCE_S, check=False
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            said.seek(0)
            line = said.read().decode(errors="replace").strip()[-500:]
            raise Failed(f"{command[0]} ended with {done.returncode}: {line}")
    return seconds


def run_flowfs(flowfs: list[str], capture: Path, work: Path, result: Result) -> float:
    mountpoint = work / "mnt"
    mountpoint.mkdir()
    try:
        seconds = timed([*flowfs, "mount", "-r", str(capture), str(mountpoint)])
        daemon = find_daemon(mountpoint)
        result.peak_bytes = max(result.peak_bytes, peak_memory(daemon))
        result.counters = json.loads((mountpoint / ".flowfs/status.json").read_text())["statistics"]
        result.verified = verify(result.shape, mountpoint)
    finally:
        unmount(flowfs, mountpoint)
    wait_for_end(daemon)
    mountpoint.rmdir()
    return seconds


def run_tcpflow(capture: Path, work: Path) -> float:
    folder = work / "tcpflow"
    folder.mkdir()
    try:
        return timed(["tcpflow", "-r", str(capture), "-o", str(folder)])
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Removes a flat folder; in the order of inodes, which suits ext4."""
    with os.scandir(folder) as entries:
        for path in [entry.path for entry in sorted(entries, key=os.DirEntry.inode)]:
            os.unlink(path)
    folder.rmdir()


def run_tcpdump(capture: Path) -> float:
    return timed(["tcpdump", "-r", str(capture), "-w", "/dev/null"])


def run_copying(capture: Path) -> float:
    """What a program takes that only reads the file and copies it into as much memory: the floor."""
    return timed([sys.executable, copying.__file__, str(capture)])


# --- the daemon --------------------------------------------------------------------------------


def find_daemon(mountpoint: Path) -> int:
    """The process that serves the mount, by its command line. Raises Failed."""
    wanted = os.fsencode(mountpoint)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if wanted in arguments:
                return int(entry.name)
    raise Failed(f"no process serves {mountpoint}")


def peak_memory(process: int) -> int:
    """The greatest resident memory so far, in bytes. Raises Failed."""
    return memory(process, "VmHWM")


def resident_memory(process: int) -> int:
    """The memory in use, in bytes. Raises Failed."""
    return memory(process, "VmRSS")


def memory(process: int, row: str) -> int:
    """A row of /proc/PROCESS/status, in bytes. Raises Failed."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{row}:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"process {process} has no {row}")


def wait_until_finished(mountpoint: Path) -> None:
    """Until all that was to be read is. Raises Failed."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if json.loads((mountpoint / ".flowfs/status.json").read_text())["finished"]:
            return
        time.sleep(0.05)  # a mount in the background tells nobody that it has loaded
    raise Failed(f"{mountpoint} is not loaded after {PATIENCE_S} s")


def unmount(flowfs: list[str], mountpoint: Path) -> None:
    if not mountpoint.is_mount():
        return
    if subprocess.run([*flowfs, "umount", str(mountpoint)], check=False, timeout=60).returncode:
        subprocess.run(["fusermount3", "-uz", str(mountpoint)], check=False, timeout=60)


def wait_for_end(process: int) -> None:
    for _ in range(600):
        if not Path(f"/proc/{process}").exists():
            return
        time.sleep(0.05)
    raise Failed(f"process {process} did not end after its mount had gone")


def verify(shape: captures.Shape, mountpoint: Path) -> int:
    """Reads the end of some flows, all over the capture; those evicted are left out. Returns how many.

    Raises Failed where one is not what was sent, or none is there.
    """
    seen = 0
    for connection in range(0, shape.connections, max(1, shape.connections // 500)):
        sent = captures.request(connection), captures.stream(shape, connection)
        for name, data in zip(captures.names(connection), sent, strict=True):
            if (path := mountpoint / name).exists():
                seen += 1
                if path.stat().st_size != len(data) or tail(path, 4096) != data[-4096:]:
                    raise Failed(f"{name} is not what was sent")
    if not seen:
        raise Failed("none of the flows looked for is there")
    return seen


def tail(path: Path, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read(size)


# --- the runs ----------------------------------------------------------------------------------


def measure(shape: captures.Shape, flowfs: list[str], repeat: int, programs: list[str], work: Path) -> Result:
    capture = captures.cached(shape)
    result = Result(shape, capture.stat().st_size)
    runs: dict[str, Callable[[], float]] = {
        "flowfs": lambda: run_flowfs(flowfs, capture, work, result),
        "tcpflow": lambda: run_tcpflow(capture, work),
        "tcpdump": lambda: run_tcpdump(capture),
        "copying": lambda: run_copying(capture),
    }
    for turn in range(repeat):
        for program in programs:
            warm(capture)
            os.sync()  # what the one before wrote is not written back on this one's time
            note(f"{shape.title()}: run {turn + 1} of {repeat}: {program}")
            result.seconds.setdefault(program, []).append(runs[program]())
    note("")
    return result


def warm(capture: Path) -> None:
    """Reads the capture into the page cache."""
    with capture.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass


def note(line: str) -> None:
    """What is going on, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


# --- the table ---------------------------------------------------------------------------------


def report(result: Result, judging: bool) -> bool:
    """Prints what was measured; whether every target that could be judged was met."""
    packets, flows = result.counters["packets"], result.counters["flows"]
    print(f"\n{result.shape.title()} ({result.size / 1e6:,.0f} MB, {packets:,} packets)")
    for program, seconds in result.seconds.items():
        spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"  {program:<8} {result.median(program):8.2f} s  {spread}")
    print(f"  {result.verified:,} of {flows:,} flows held were compared with what was sent")
    judged = [judge(*row, judging) for row in comparisons(result)]
    return all(judged) or not judging


def comparisons(result: Result) -> Iterator[tuple[str, float, float, str]]:
    """What is compared, the value, its limit, and how both are written."""
    for program, limit in (("tcpflow", OF_TCPFLOW), ("tcpdump", OF_TCPDUMP)):
        if program in result.seconds:
            yield f"flowfs / {program}", result.median("flowfs") / result.median(program), limit, "{:.2f}"
    yield "peak memory", result.peak_bytes / MIB, allowed_memory() / MIB, "{:.0f} MiB"


def judge(what: str, value: float, limit: float, written: str, judging: bool) -> bool:
    met = value <= limit
    verdict = ("ok" if met else "MISSED") if judging else ""
    print(f"  {what:<18} {written.format(value):>9}  (at most {written.format(limit)})  {verdict}")
    return met


def allowed_memory() -> int:
    """All budgets, 15 % on top, and 60 MiB for the rest."""
    from flowfs.core.limits import Limits

    limits = Limits()
    budgets = limits.payload_bytes + limits.out_of_order_bytes + limits.table_bytes + limits.fragment_bytes
    return budgets * 115 // 100 + 60 * MIB


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


# --- the command -------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="medians of flowfs mount -r beside tcpflow -r, tcpdump -r, and a mere copy in memory"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each program on each capture")
    parser.add_argument("--only", choices=["bulk", "short"], help="one of the two captures")
    parser.add_argument("--small", action="store_true", help="small captures: for trying, not for judging")
    parser.add_argument("--flowfs", default=default_flowfs(), help="the command (default: %(default)s)")
    parser.add_argument("--no-peers", action="store_true", help="flowfs alone")
    return parser.parse_args()


def default_flowfs() -> str:
    """The flowfs that is installed beside this Python, or the one in the path."""
    beside = Path(sys.executable).with_name("flowfs")
    return str(beside) if beside.exists() else "flowfs"


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder on the disk of the captures, where tcpflow writes; it goes with all that is in it."""
    captures.cache_folder().mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=captures.cache_folder()))
    try:
        yield work
    finally:
        if not (work / "mnt").is_mount():
            shutil.rmtree(work)


def main() -> int:
    """0: every target met; 1: one missed; 2: a program failed."""
    options = arguments()
    shapes = [captures.SMALL_BULK, captures.SMALL_SHORT] if options.small else [captures.BULK, captures.SHORT]
    programs = ["flowfs"] if options.no_peers else ["flowfs", "tcpflow", "tcpdump", "copying"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out everything is taken away
    print(f"{machine()}; medians of {options.repeat} runs (least to most)")
    try:
        with work_folder() as work:
            results = [
                measure(shape, options.flowfs.split(), options.repeat, programs, work)
                for shape in shapes
                if options.only in (None, shape.name)
            ]
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        note("")
        print(f"load: {error}", file=sys.stderr)
        return 2
    met = [report(result, judging=not options.small) for result in results]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())

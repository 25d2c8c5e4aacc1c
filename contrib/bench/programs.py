"""flowfs and its peers, run to their end: how long that takes, and how much memory.

Owns the command lines, the clock, and what is to be taken away behind a run. A run is timed from its start
until it returns; flowfs has then mounted and loaded. Unmounting, removing and writing back to the disk are
outside of the timing.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from contrib.bench import captures, copying
from contrib.bench.captures import Shape

MIB = 2**20
PATIENCE_S = 600  # for one run
END_S = 30  # for a process whose mount has gone
PAUSE_S = 0.02  # costs who is measured little
LOOK_S = 0.01  # how often the memory of a program is looked at
MEMORY = "/dev/shm"
FEW_FLOWS = 1000
PAGE_BYTES = 4096


class Failed(Exception):
    """A program did not do its work: one line."""


class TooLong(Failed):
    """A program was ended, since it took longer than it may."""


class Run(NamedTuple):
    """Seconds of wall time, and the most memory in use as far as it was seen."""

    seconds: float
    peak_bytes: int


class Loaded(NamedTuple):
    """A run of flowfs, its counters, and how many of its flows were compared with what was sent."""

    run: Run
    counters: dict[str, int]
    verified: int


def timed(command: list[str], limit_s: float = PATIENCE_S) -> Run:
    """Raises Failed, and TooLong when it has ended the command."""
    # A file, not a pipe: a daemon may keep it open.
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            peak_bytes = watch(process.pid, begin + limit_s)
            seconds = time.perf_counter() - begin
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if seconds > limit_s:
            raise TooLong(f"{command[0]} was not done after {limit_s:g} s")
        if process.returncode:
            said.seek(0)
            line = said.read().decode(errors="replace").strip()[-500:]
            raise Failed(f"{command[0]} ended with {process.returncode}: {line}")
    return Run(seconds, peak_bytes)


def watch(process: int, deadline_s: float) -> int:
    """Until a child ends, or the deadline; the most memory that it was seen with.

    What wait4(2) says of memory is that of this Python at the least, since exec(2) keeps the mark.
    """
    peak_bytes = 0
    poller = select.poll()
    descriptor = os.pidfd_open(process)
    poller.register(descriptor, select.POLLIN)
    try:
        while not poller.poll(1000 * LOOK_S) and time.perf_counter() < deadline_s:
            try:
                peak_bytes = max(peak_bytes, peak_memory(process))
            except (Failed, OSError):
                continue  # it is about to end
    finally:
        os.close(descriptor)
    return peak_bytes


# --- each of them ------------------------------------------------------------------------------


def run_flowfs(
    flowfs: list[str], options: list[str], capture: Path, shape: Shape, limit_s: float, work: Path
) -> Loaded:
    """Raises Failed, also where a flow is not what was sent."""
    mountpoint = work / "mnt"
    mountpoint.mkdir()
    daemon = 0
    try:
        command = [*flowfs, "mount", *options, "-r", str(capture), str(mountpoint)]
        seconds = timed(command, limit_s).seconds
        daemon = find_daemon(mountpoint)
        peak_bytes = peak_memory(daemon)
        counters = json.loads((mountpoint / ".flowfs/status.json").read_text())["statistics"]
        verified = verify(shape, mountpoint)
    finally:
        unmount(flowfs, mountpoint)
        if daemon:
            wait_for_end(daemon)
        mountpoint.rmdir()
    return Loaded(Run(seconds, peak_bytes), counters, verified)


def run_tcpflow(capture: Path, flows: int, limit_s: float, work: Path) -> Run:
    folder = tcpflow_folder(flows, work)
    try:
        return timed(["tcpflow", "-r", str(capture), "-o", str(folder)], limit_s)
    finally:
        remove(folder)


def tcpflow_folder(flows: int, work: Path) -> Path:
    """A folder for the files of so many flows, where writing them is fastest.

    Many go to memory: ext4 passes over inodes that were freed in the last minutes, one by one, and the
    benchmarks remove as many as they have made, so that tcpflow would take ten times as long. A few large
    ones go to the disk, whose cache has larger pages than tmpfs, and whose writing nobody waits for; and so
    do more than take a quarter of the room there is, a page each: the rest is for what they hold.
    """
    in_memory = FEW_FLOWS < flows < free_bytes(MEMORY) // PAGE_BYTES // 4
    return Path(tempfile.mkdtemp(prefix="tcpflow-", dir=MEMORY if in_memory else work))


def free_bytes(folder: str) -> int:
    """How much there is room for where files can be written; 0 where they cannot."""
    if not os.access(folder, os.W_OK):
        return 0
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def remove(folder: Path) -> None:
    """Removes a flat folder; in the order of inodes, which suits ext4."""
    with os.scandir(folder) as entries:
        for path in [entry.path for entry in sorted(entries, key=os.DirEntry.inode)]:
            os.unlink(path)
    folder.rmdir()


def run_tcpdump(capture: Path, limit_s: float) -> Run:
    return timed(["tcpdump", "-r", str(capture), "-w", "/dev/null"], limit_s)


def run_tshark(capture: Path, limit_s: float) -> Run:
    return timed(["tshark", "-r", str(capture), "-q", "-z", "conv,tcp"], limit_s)


def run_copying(capture: Path, limit_s: float) -> Run:
    """What a program takes that only reads the file and copies it into as much memory: the floor."""
    return timed([sys.executable, copying.__file__, str(capture)], limit_s)


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


def eventually(is_so: Callable[[], bool], patience_s: float) -> bool:
    """Whether it becomes so in time."""
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(PAUSE_S)  # programs that are measured do not tell what they are at
    return True


def settled(ask: Callable[[], int], still_s: float, patience_s: float) -> None:
    """Wait until a number has not changed for so long."""
    deadline_s, before = time.monotonic() + patience_s, -1
    while (now := ask()) != before and time.monotonic() < deadline_s:
        before = now
        time.sleep(still_s)  # that it does not change is what is waited for


def wait_until_finished(mountpoint: Path) -> None:
    """Until all that was to be read is. Raises Failed."""
    status = mountpoint / ".flowfs/status.json"
    if not eventually(lambda: bool(json.loads(status.read_text())["finished"]), PATIENCE_S):
        raise Failed(f"{mountpoint} is not loaded after {PATIENCE_S} s")


def unmount(flowfs: list[str], mountpoint: Path) -> None:
    if not mountpoint.is_mount():
        return
    if subprocess.run([*flowfs, "umount", str(mountpoint)], check=False, timeout=60).returncode:
        subprocess.run(["fusermount3", "-uz", str(mountpoint)], check=False, timeout=60)


def wait_for_end(process: int) -> None:
    if not eventually(lambda: not Path(f"/proc/{process}").exists(), END_S):
        raise Failed(f"process {process} did not end after its mount had gone")


def verify(shape: Shape, mountpoint: Path) -> int:
    """Reads the end of some flows, all over the capture; those evicted are left out. Returns how many.

    Raises Failed where one is not what was sent, or none is there.
    """
    seen = 0
    for connection in range(0, shape.connections, max(1, shape.connections // 500)):
        sent = captures.request(shape, connection), captures.stream(shape, connection)
        for name, data in zip(captures.names(shape, connection), sent, strict=True):
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


# --- what all benchmarks need -------------------------------------------------------------------


def warm(capture: Path) -> None:
    """Reads the capture into the page cache."""
    with capture.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass


def warm_memory(size_bytes: int) -> None:
    """Has the kernel find so much memory, and gives it back.

    A hypervisor takes back what its guest leaves free for a second or two, and to find it anew takes a
    millisecond for each MiB: longer than a run, and by turns longer or not. In huge pages, since small ones
    would be found among the scraps, and a program's huge ones then in what is cold.
    """
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, size_bytes, PAGE_BYTES):
            memory[offset] = 1


def note(line: str) -> None:
    """What is going on, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def default_flowfs() -> str:
    """The flowfs that is installed beside this Python, or the one in the path."""
    beside = Path(sys.executable).with_name("flowfs")
    return str(beside) if beside.exists() else "flowfs"


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder on the disk of the captures; it goes with all that is in it."""
    work = Path(tempfile.mkdtemp(prefix="run-", dir=captures.cache_folder()))
    try:
        yield work
    finally:
        if not (work / "mnt").is_mount():
            shutil.rmtree(work)

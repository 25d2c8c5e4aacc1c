"""What was captured stays within the process that captured it: no core file, no debugger, no swap."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import craft
from live.mounting import ENVIRONMENT, FLOWFS, daemons
from mounted.people import open_to_all
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

NOBODY = 65534
MIB = 1 << 20


@pytest.fixture
def capture() -> Iterator[Path]:
    conversation = craft.Conversation().handshake().client(0, b"secret" * 100)
    with open_to_all() as folder:
        yield craft.write_pcap(folder / "secret.pcap", conversation.packets)


@contextmanager
def mounted(capture: Path, *arguments: str, uid: int = 0) -> Iterator[int]:
    """`flowfs mount`; gives the daemon's process."""
    place = capture.parent / "flows"
    place.mkdir()
    if uid:
        os.chown(place, uid, uid)
    command = [*FLOWFS, "mount", str(place), "-r", str(capture), *arguments]
    try:
        subprocess.run(command, env=ENVIRONMENT, timeout=30, check=True)
        (process,) = daemons(place)
        yield process
    finally:
        unmount(place)
        assert eventually(lambda: not daemons(place))


def unmount(place: Path) -> None:
    """Also of somebody else, and of a daemon that is dead; root may not look whether there is one."""
    by_whom = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
    subprocess.run([*by_whom, str(place)], capture_output=True, check=False)


def field(process: int, name: str) -> int:
    """Of proc_pid_status(5), in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(dict(line.split(":\t", 1) for line in lines)[name].split()[0]) * 1024


@pytest.mark.needs("root")
def test_the_owner_of_the_mount_cannot_look_into_the_process(capture: Path) -> None:
    """In the background, after rights were given up: /proc belongs to root, and nothing attaches."""
    with mounted(capture, "-Z", str(NOBODY), uid=NOBODY) as process:
        status = Path(f"/proc/{process}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}" in status
        assert Path(f"/proc/{process}/environ").stat().st_uid == 0
        for what in ("mem", "maps", "environ", "fd/0"):
            tried = as_nobody("cat", f"/proc/{process}/{what}")
            assert tried.returncode != 0
            assert "Permission denied" in tried.stderr
        if shutil.which("gcore"):
            dump = capture.parent / "gcore"
            assert as_nobody("gcore", "-o", str(dump), str(process)).returncode != 0
            assert not list(capture.parent.glob("gcore*"))


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    change = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(
        [*change, *command], capture_output=True, text=True, env={**ENVIRONMENT, "LC_ALL": "C"}, check=False
    )


WITH_CORES = ["prlimit", "--core=unlimited", "--"]


def name_of(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def cores(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("core")]


@pytest.mark.needs("root")
def test_a_crash_leaves_no_core_file(capture: Path) -> None:
    """Where one of another program would be left."""
    folder = capture.parent
    other = subprocess.Popen([*WITH_CORES, "sleep", "60"], cwd=folder)
    assert eventually(lambda: name_of(other.pid) == "sleep")
    other.send_signal(signal.SIGSEGV)
    other.wait(10)
    if not cores(folder):
        pytest.skip("no program leaves a core file in its folder here")
    cores(folder)[0].unlink()
    place = folder / "flows"
    place.mkdir()
    command = [*WITH_CORES, *FLOWFS, "mount", str(place), "-f", "-r", str(capture)]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=folder)
    try:
        assert eventually(lambda: len(os.listdir(place)) == 1, 20)
        process.send_signal(signal.SIGSEGV)
        assert process.wait(20) == -signal.SIGSEGV
        assert cores(folder) == []
    finally:
        process.kill()
        process.wait(10)
        unmount(place)


@pytest.mark.needs("root")
def test_what_root_dumps_lacks_the_payload(capture: Path) -> None:
    """gcore leaves out what is not to be dumped, as the kernel does."""
    if not shutil.which("gcore"):
        pytest.skip("there is no gcore (Debian package gdb)")
    place = capture.parent / "flows"
    with mounted(capture) as process:
        assert (place / os.listdir(place)[0]).read_bytes() == b"secret" * 100
        dump = capture.parent / "dump"
        done = subprocess.run(
            ["gcore", "-o", str(dump), str(process)], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            pytest.skip(f"gcore does not work here: {done.stderr.strip()[-200:]}")
        arena = [block for block in mappings(process) if block[0] >= 256 * MIB]
        assert arena
        assert all("dd" in flags for _, flags in arena), "not left out of dumps"


def mappings(process: int) -> Iterator[tuple[int, list[str]]]:
    """The size of each mapping in bytes, and its flags (proc_pid_smaps(5))."""
    size = 0
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1]) * 1024
        elif line.startswith("VmFlags:"):
            yield size, line.split()[1:]


@pytest.mark.needs("root")
def test_locked_memory_is_taken_as_it_is_used(capture: Path) -> None:
    with mounted(capture, "--lock-memory") as process:
        assert field(process, "VmLck") >= 256 * MIB
        assert field(process, "VmRSS") < 160 * MIB
    with_less = capture.parent / "less"
    with_less.mkdir()
    command = ["prlimit", "--memlock=65536:65536", "--", *FLOWFS, "mount", str(with_less), "--lock-memory"]
    told = as_nobody(*command, "-r", str(capture))
    assert told.returncode == 2
    assert told.stderr.startswith("flowfs: --lock-memory: no more than 64 KiB may be locked")
    assert told.stderr.count("\n") == 1


def test_memory_is_not_locked_unless_asked(capture: Path) -> None:
    with mounted(capture) as process:
        assert field(process, "VmLck") == 0

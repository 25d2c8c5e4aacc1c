"""The life of a mount: what stands in its way, how it ends, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from craft import Conversation
from flowfs.mount import MountError, unmount
from mounted.forking import DAEMON
from mounted.served import (
    Served,
    abort,
    clean_up,
    close_pipes,
    is_mounted,
    mount_lines,
    run,
    served,
    start,
)
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")


LOST = r"not connected|connection abort"


# --- what is in the way ----------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(RuntimeError) as refused:
        clean_up(start(path))
    said = str(refused.value)
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refusal(path) == f"no such directory; make it: mkdir -p {path}"


def test_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == "not a directory"


def test_not_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path) == "the directory is not empty; mount on an empty one"


def test_mounted_already(mount: Served) -> None:
    how = f"take it away by: flowfs umount {mount.path}"
    assert refusal(mount.path) == f"flowfs is mounted there already; {how}"
    assert len(mount_lines(mount.path)) == 1
    assert mount.names() == []


def test_something_else_is_mounted() -> None:
    assert refusal(Path("/proc")) == "proc is mounted there already; mount somewhere else"


def test_mounted_already_by_another_name(mount: Served, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mount.path)
    assert "is mounted there already" in refusal(tmp_path / "link")


def test_a_path_with_blanks(tmp_path: Path) -> None:
    path = tmp_path / "a b\tc\\d"
    path.mkdir()
    first = start(path)
    assert "is mounted there already" in refusal(path)
    unmount(str(path))
    assert first.process.wait(10) == 0
    clean_up(first)


@pytest.mark.needs("root")
def test_what_libfuse_says_becomes_one_line(tmp_path: Path) -> None:
    """As in a container: /dev/fuse is there, mounting is not allowed."""
    user = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    done = run(*user, sys.executable, DAEMON, tmp_path, "0", "{}")
    assert done.returncode == 1
    why = "mount failed: Operation not permitted; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
    assert done.stderr == f"{tmp_path}: {why}\n"


# --- dead mounts -----------------------------------------------------------------------------------


def kill(mount: Served) -> None:
    mount.process.kill()
    mount.process.wait(10)
    close_pipes(mount.process)
    with pytest.raises(OSError, match=LOST):
        os.statvfs(mount.path)


def test_a_dead_mount_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.mkdir()
    for deaths in range(3):
        mount = start(path)
        kill(mount)
        assert len(mount_lines(path)) == 1, deaths
    with served(path) as mount:
        assert mount.warnings == [f"{path}: took away a dead flowfs mount"]
        conversation = Conversation().handshake().client(0, b"abc")
        mount.feed(conversation)
        assert mount.client(conversation).read_bytes() == b"abc"
        assert len(mount_lines(path)) == 1


def test_a_mount_that_died_just_now_is_taken_away(tmp_path: Path) -> None:
    """Though the kernel still answers stat(2) from what it knows."""
    path = tmp_path / "flows"
    path.mkdir()
    mount = start(path)
    path.stat()
    mount.process.kill()
    mount.process.wait(10)
    close_pipes(mount.process)
    with served(path) as mount:
        assert len(mount.warnings) == 1


def test_a_dead_mount_can_be_unmounted(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.mkdir()
    kill(start(path))
    unmount(str(path))
    assert not is_mounted(path)


def test_readers_of_a_dead_mount_get_an_error(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.mkdir()
    mount = start(path)
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    file = os.open(mount.client(conversation), os.O_RDONLY)
    assert os.read(file, 1) == b"a"
    kill(mount)
    with pytest.raises(OSError, match=LOST):
        os.read(file, 1)
    close_lost(file)
    unmount(str(path))


def close_lost(file: int) -> None:
    """close(2) tells of a lost daemon too, and closes."""
    with suppress(OSError):
        os.close(file)


# --- the end ---------------------------------------------------------------------------------------


def by_umount(mount: Served) -> None:
    assert run("umount", mount.path).stderr == ""


def by_fusermount(mount: Served) -> None:
    assert run("fusermount3", "-u", mount.path).stderr == ""


def by_flowfs(mount: Served) -> None:
    unmount(str(mount.path))


def by_abort(mount: Served) -> None:
    abort(mount.path)


def by_end_of_input(mount: Served) -> None:
    mount.process.stdin.close()


ENDS: list[Callable[[Served], None]] = [by_fusermount, by_flowfs, by_end_of_input]
if os.geteuid() == 0:
    ENDS += [by_umount, by_abort]


@pytest.mark.parametrize("end", ENDS)
def test_the_daemon_ends_with_its_mount(mount: Served, end: Callable[[Served], None]) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    assert mount.client(conversation).read_bytes() == b"abc"
    end(mount)
    assert mount.process.wait(10) == 0
    assert mount.process.stderr.read() == ""
    if end is by_abort:
        unmount(str(mount.path))
    assert not is_mounted(mount.path)


def test_the_daemon_ends_though_files_are_open(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    file = os.open(mount.client(conversation), os.O_RDONLY)
    by_end_of_input(mount)
    assert mount.process.wait(10) == 0
    assert not is_mounted(mount.path)
    with pytest.raises(OSError, match=LOST):
        os.read(file, 1)
    close_lost(file)


def test_busy(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    with (
        mount.client(conversation).open("rb") as file,
        subprocess.Popen(["sleep", "60"], stdin=file) as other,
    ):
        try:
            with pytest.raises(MountError) as refused:
                unmount(str(mount.path))
            said = str(refused.value)
            assert f"used by sleep ({other.pid}); leave it first, or: flowfs umount -z {mount.path}" in said
            assert is_mounted(mount.path)
            unmount(str(mount.path), lazy=True)
            assert not is_mounted(mount.path)
        finally:
            other.kill()
    assert mount.process.wait(10) == 0


def test_unmounting_what_is_no_mount_of_ours(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path, "nothing is mounted there"),
        (tmp_path / "none", "no such directory"),
        (Path("/proc"), "not a flowfs mount (proc)"),
    ):
        with pytest.raises(MountError) as refused:
            unmount(str(path))
        assert str(refused.value) == f"{path}: {why}"


def test_unmounting_under_load(mount: Served) -> None:
    """Readers in the middle of it do not keep the daemon."""
    conversation = Conversation().handshake().client(0, b"abc" * 400)
    mount.feed(conversation)
    script = f"while cat {mount.client(conversation)} && ls -l {mount.path}; do :; done"
    readers = [subprocess.Popen(["sh", "-c", script], stdout=-3, stderr=-3) for _ in range(3)]
    assert eventually(lambda: mount.statistics()["payload_bytes"] > 0)
    for _ in range(20):
        mount.feed(conversation.client(conversation.client_next, b"more"))
    unmount(str(mount.path), lazy=True)
    assert mount.process.wait(10) == 0
    for reader in readers:
        reader.wait(10)


# --- faults ----------------------------------------------------------------------------------------


def test_a_fault_of_ours_is_an_error_of_one_request(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    mount.ask("break_reading")
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            mount.client(conversation).read_bytes()
    assert mount.client(conversation).stat().st_size == 3
    by_end_of_input(mount)
    assert mount.process.wait(10) == 0
    said = mount.process.stderr.read()
    assert said.count("read: a fault in flowfs; answered EIO") == 3
    assert "ZeroDivisionError: a fault" in said


def test_a_killed_reader_leaves_nothing_open(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    mount.feed(conversation)
    reader = subprocess.Popen(["tail", "-f", str(mount.client(conversation))], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.read(3) == b"abc"
    mount.client(conversation).unlink()
    assert mount.statistics()["pinned_bytes"] > 0
    reader.send_signal(signal.SIGKILL)
    reader.communicate()
    assert eventually(lambda: mount.statistics()["pinned_bytes"] == 0)


def test_importing_the_mount_starts_nothing() -> None:
    code = "import threading, flowfs.mount; print(threading.active_count())"
    assert run(sys.executable, "-c", code).stdout == "1\n"

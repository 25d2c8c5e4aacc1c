"""Whose mount it is. What changes for good is tried in a process of its own."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from flowfs.rights import RightsError, User, act_for, drop, lock_memory, owner, reach, seal
from resident import resident_bytes

NOBODY = User("nobody", 65534, 65534)


def in_a_process(attempt: Callable[[], None]) -> None:
    """Fails if `attempt` does."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            attempt()
            status = 0
        except BaseException:  # noqa: BLE001  the process ends here, and pytest is not to go on in it
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.needs("root")
def test_the_caller_of_sudo_gets_the_mount() -> None:
    environment = {"SUDO_UID": "1234", "SUDO_GID": "1235", "SUDO_USER": "someone"}
    assert owner("", environment) == User("someone", 1234, 1235)


@pytest.mark.parametrize(
    "environment",
    [{}, {"SUDO_UID": "0", "SUDO_GID": "0"}, {"SUDO_UID": "1000"}, {"SUDO_UID": "-1", "SUDO_GID": "x"}],
)
def test_without_sudo_nobody_else_does(environment: dict[str, str]) -> None:
    assert owner("", environment) is None


@pytest.mark.needs("root")
def test_a_user_by_name_or_number() -> None:
    assert owner("nobody", {"SUDO_UID": "1", "SUDO_GID": "1"}) == owner("65534", {})
    assert owner("root", {}) is None


@pytest.mark.parametrize("name", ["no-such-user", "4294967295123", "-1", "²"])
def test_no_such_user(name: str) -> None:
    with pytest.raises(RightsError, match=f"^-Z {name}: no such user$"):
        owner(name, {})


def test_only_root_can_hand_over() -> None:
    def attempt() -> None:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        assert owner("", {"SUDO_UID": "1", "SUDO_GID": "1"}) is None
        with pytest.raises(RightsError, match="only root"):
            owner("root", {})

    in_a_process(attempt)


@pytest.mark.needs("root")
def test_nothing_of_root_is_left() -> None:
    def attempt() -> None:
        act_for(NOBODY)
        assert os.getuid() == NOBODY.uid
        assert os.geteuid() == 0
        drop(NOBODY)
        assert os.getresuid() == (NOBODY.uid,) * 3
        assert os.getresgid() == (NOBODY.gid,) * 3
        assert 0 not in os.getgroups()
        status = Path("/proc/self/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "CapPrm:\t0000000000000000" in status
        with pytest.raises(PermissionError):
            os.setuid(0)
        with pytest.raises(PermissionError):
            os.setgid(0)
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)

    in_a_process(attempt)


@pytest.mark.needs("root")
def test_a_user_without_a_name() -> None:
    def attempt() -> None:
        user = User("54321", 54321, 54321)
        act_for(user)
        drop(user)
        assert os.getgroups() == [54321]

    in_a_process(attempt)


def test_a_sealed_process_is_not_dumped() -> None:
    def attempt() -> None:
        seal()
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert os.stat("/proc/self/environ").st_uid == 0

    in_a_process(attempt)


@pytest.mark.needs("root")
def test_what_a_user_can_reach(tmp_path: Path) -> None:
    outside = Path("/tmp").resolve()
    assert reach(NOBODY, str(outside)) == 0
    assert reach(NOBODY, str(outside / "no-such-thing-here")) == errno.ENOENT
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert reach(NOBODY, str(tmp_path / "closed" / "inner")) == errno.EACCES
    assert os.geteuid() == 0


def test_sealed_again_after_becoming_another_user_and_after_a_fork() -> None:
    """The kernel forgets that a process is not dumpable when its user changes, not when it forks."""

    def attempt() -> None:
        seal()
        if os.geteuid() == 0:
            act_for(NOBODY)
            assert dumpable() == 0
            drop(NOBODY)
        assert dumpable() == 0
        in_a_process(lambda: None if dumpable() == 0 else os._exit(1))

    in_a_process(attempt)


@pytest.mark.needs("root")
def test_a_kernel_that_would_dump_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfs.rights._PR_SET_DUMPABLE", 3)  # asks instead of setting

    def attempt() -> None:
        with pytest.raises(RightsError, match="core dumps"):
            seal()

    in_a_process(attempt)


def dumpable() -> int:
    """prctl(2), PR_GET_DUMPABLE."""
    return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))


def locked_bytes() -> int:
    """VmLck."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmLck" in line)
    return int(line.split()[1]) * 1024


def may_raise_limits() -> bool:
    """Whether root is really allowed to."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
    return unlimited or bool(int(status["CapEff"], 16) >> 24 & 1)  # CAP_SYS_RESOURCE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root locks so much")  # and not everywhere: see below
@pytest.mark.parametrize("for_good", [True, False])
def test_all_memory_is_locked_as_it_is_used_also_what_comes_later(for_good: bool) -> None:
    if not for_good and not may_raise_limits():
        pytest.skip("root may not raise limits here")
    size = 256 << 20

    def attempt() -> None:
        before = resident_bytes()
        lock_memory(for_good=for_good)
        assert locked_bytes() > 0
        memory = mmap.mmap(-1, size)
        assert locked_bytes() >= size
        assert resident_bytes() - before < size // 4
        memory.write(b"x" * (1 << 20))
        if not for_good:
            os.setresuid(NOBODY.uid, NOBODY.uid, NOBODY.uid)
        more = mmap.mmap(-1, size)
        assert len(more) == size
        assert locked_bytes() >= 2 * size

    in_a_process(attempt)


def test_memory_cannot_be_locked_within_a_limit() -> None:
    def attempt() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        if os.geteuid() == 0:
            os.setresuid(NOBODY.uid, NOBODY.uid, NOBODY.uid)
        with pytest.raises(RightsError, match=r"^--lock-memory: no more than 64 KiB .* sudo, or ulimit -l"):
            lock_memory(for_good=True)
        with pytest.raises(RightsError):
            lock_memory(for_good=False)
        assert locked_bytes() == 0

    in_a_process(attempt)

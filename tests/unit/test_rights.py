"""Whose mount it is. What changes for good is tried in a process of its own."""

from __future__ import annotations

import errno
import os
import resource
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from flowfs.rights import RightsError, User, act_for, drop, owner, reach, seal

NOBODY = User("nobody", 65534, 65534)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


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


@as_root
def test_the_caller_of_sudo_gets_the_mount() -> None:
    environment = {"SUDO_UID": "1234", "SUDO_GID": "1235", "SUDO_USER": "someone"}
    assert owner("", environment) == User("someone", 1234, 1235)


@pytest.mark.parametrize(
    "environment",
    [{}, {"SUDO_UID": "0", "SUDO_GID": "0"}, {"SUDO_UID": "1000"}, {"SUDO_UID": "-1", "SUDO_GID": "x"}],
)
def test_without_sudo_nobody_else_does(environment: dict[str, str]) -> None:
    assert owner("", environment) is None


@as_root
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


@as_root
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


@as_root
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


@as_root
def test_what_a_user_can_reach(tmp_path: Path) -> None:
    outside = Path("/tmp").resolve()
    assert reach(NOBODY, str(outside)) == 0
    assert reach(NOBODY, str(outside / "no-such-thing-here")) == errno.ENOENT
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert reach(NOBODY, str(tmp_path / "closed" / "inner")) == errno.EACCES
    assert os.geteuid() == 0

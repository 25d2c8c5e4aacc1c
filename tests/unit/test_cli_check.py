"""`flowfs check`: each thing that may be missing, and the exit status."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from flowfs import mountpoint
from flowfs.cli import check, main, needs
from flowfs.cli.needs import MISSING, OK, OPTIONAL, Finding
from flowfs.mountpoint import TYPE, Mounted, MountError
from flowfs.serving import Service


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks is not root, and has no capabilities."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(needs, "capabilities", lambda: 0)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs, "capabilities", lambda: 1 << 41)


def missing(finding: Finding, words: str, level: str = MISSING) -> None:
    assert finding.level == level
    assert words in finding.text
    assert "\n" not in finding.text


# --- the machine -------------------------------------------------------------------------------


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise MountError("no /dev/fuse: the kernel offers no FUSE here (modprobe fuse)")

    monkeypatch.setattr(needs, "check_device", none)
    missing(needs.device(), "modprobe fuse")
    monkeypatch.setattr(needs, "check_device", lambda: None)
    assert needs.device().level == OK


@pytest.mark.usefixtures("user")
def test_fusermount_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    missing(needs.fusermount(), "apt install fuse3")
    tool = tmp_path / "fusermount3"
    tool.touch(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(tool))
    missing(needs.fusermount(), f"not setuid root: sudo chmod u+s {tool}")


@pytest.mark.usefixtures("root")
def test_root_mounts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert needs.fusermount().level == OK
    missing(needs.right_to_mount(), "--cap-add SYS_ADMIN")
    monkeypatch.setattr(needs, "capabilities", lambda: 1 << 21)
    assert needs.right_to_mount().level == OK


@pytest.mark.parametrize(
    ("ask", "module"),
    [
        (needs.fuse_library, "flowfs.mount"),
        (needs.libpcap, "flowfs.capture"),
        (needs.core, "flowfs.core.engine"),
    ],
)
def test_what_is_not_installed(ask: Any, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask().level in (OK, OPTIONAL)
    monkeypatch.setitem(sys.modules, module, None)
    parent, _, name = module.rpartition(".")
    monkeypatch.delattr(sys.modules[parent], name, raising=False)
    missing(ask(), "contrib/run installs it")


def test_an_old_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "version", lambda _: "3.4.2")
    missing(needs.fuse_library(), "3.4.2 is too old, 3.5 is needed")
    monkeypatch.setattr(needs, "version", lambda _: "3.10.0")
    assert needs.fuse_library().level == OK


def test_a_core_that_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowfs.core.compiled", lambda: False)
    missing(needs.core(), "not compiled", OPTIONAL)
    monkeypatch.setattr("flowfs.core.compiled", lambda: True)
    assert needs.core() == Finding("core", OK, "compiled")


def test_no_right_to_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files can be read without."""
    monkeypatch.setattr(needs, "may_capture", lambda: False)
    missing(needs.right_to_capture(), "run sudo flowfs mount", OPTIONAL)
    monkeypatch.setattr(needs, "may_capture", _no_such_family)
    missing(needs.right_to_capture(), "no packets here (Address family not supported", OPTIONAL)
    monkeypatch.setattr(needs, "may_capture", lambda: True)
    assert needs.right_to_capture().level == OK


def test_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The least that the control groups leave counts."""
    monkeypatch.setattr(needs, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}.__getitem__)
    files = {Path("/proc/self/cgroup"): "0::/a/b\n", tmp_path / "a/b/memory.max": "max\n"}
    files |= {tmp_path / "a/memory.max": str(100 << 20)}
    monkeypatch.setattr(Path, "read_text", lambda path, *_: _read(files, path))
    missing(needs.memory(), "its control group may have 100 MiB: use a smaller --max-memory", OPTIONAL)
    files[tmp_path / "a/memory.max"] = "max"
    assert needs.memory().level == OK
    assert "this machine has 4 GiB" in needs.memory().text
    del files[Path("/proc/self/cgroup")]
    assert "this machine has 4 GiB" in needs.memory().text


def _no_such_family() -> bool:
    raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))


def _read(files: dict[Path, str], path: Path) -> str:
    if path not in files:
        raise FileNotFoundError(path)
    return files[path]


@pytest.mark.usefixtures("user")
def test_locked_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8192, 65536))
    missing(needs.lock_memory(), "needs more than 64 KiB", OPTIONAL)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8192, resource.RLIM_INFINITY))
    assert needs.lock_memory().level == OK


@pytest.mark.usefixtures("user")
def test_allow_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(needs, "_FUSE_CONF", tmp_path / "fuse.conf")
    missing(needs.allow_other(), "add user_allow_other", OPTIONAL)
    (tmp_path / "fuse.conf").write_text("#user_allow_other\n")
    missing(needs.allow_other(), "add user_allow_other", OPTIONAL)
    (tmp_path / "fuse.conf").write_text("mount_max = 5\n user_allow_other # so\n")
    assert needs.allow_other().level == OK


# --- a place -----------------------------------------------------------------------------------


def test_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = [Mounted("/", "ext4", "8:1")]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(listed))
    free = tmp_path / "free"
    free.mkdir()
    assert needs.place(str(free)).level == OK
    missing(needs.place(str(tmp_path)), "not empty")
    missing(needs.place(f"{tmp_path}/none"), "mkdir -p")
    listed.append(Mounted(str(free), "fuse.sshfs", "0:1"))
    missing(needs.place(str(free)), "fuse.sshfs is mounted there")


def test_a_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Live or dead, it or something in it; looking changes nothing."""
    listed = [Mounted("/", "ext4", "8:1"), Mounted(str(tmp_path), TYPE, "0:1", os.getuid())]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(listed))
    monkeypatch.setattr(mountpoint, "_take_away", lambda *_, **__: pytest.fail("was taken away"))
    (tmp_path / ".flowfs").mkdir()
    assert needs.place(str(tmp_path)) == Finding(str(tmp_path), OK, "a flowfs mount that answers")
    inside = f"{tmp_path}/a"
    assert needs.place(inside).text == f"a flowfs mount that answers is at {tmp_path}, and this in it"
    monkeypatch.setattr(mountpoint, "service_of", lambda _: Service.DEAD)
    missing(needs.place(inside), f"take it away: flowfs umount -z {tmp_path}")


# --- the command -------------------------------------------------------------------------------

FINE, LACK, LESS = Finding("a", OK, "is"), Finding("bb", MISSING, "do\x1bit"), Finding("c", OPTIONAL, "more")


@pytest.mark.parametrize(
    ("found", "status"), [([FINE], 0), ([FINE, LESS], 0), ([LACK, FINE], 1), ([FINE, LESS, LACK], 1)]
)
def test_the_exit_status(
    found: list[Finding], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "machine", lambda: iter(found))
    assert main(["check"]) == status
    assert len(capsys.readouterr().out.splitlines()) == len(found)


def test_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(check, "machine", lambda: iter([FINE, LESS]))
    monkeypatch.setattr(check, "place", lambda _: LACK)
    assert main(["check", "bb"]) == 1
    assert capsys.readouterr().out == "ok        a   is\noptional  c   more\nmissing   bb  do?it\n"
    assert main(["check", "-q", "bb"]) == 1
    assert capsys.readouterr().out == "optional  c   more\nmissing   bb  do?it\n"

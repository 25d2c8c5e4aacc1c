"""The mount point, without mounting anything: what the system says is made up where it must be."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flowfs import mountpoint
from flowfs.mountpoint import (
    Mounted,
    MountError,
    Unclear,
    check_device,
    meant,
    mounted_at,
    mounts,
    prepare,
    unmount,
)
from flowfs.serving import Service

MOUNTINFO = r"""
22 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw
30 28 8:1 /a/b /mnt/with\040blank\011and\134 rw master:1 propagate_from:2 - ext4 /dev/sda1 rw
31 28 0:40 / /mnt/flows rw - fuse.sshfs host:/ rw
32 31 0:41 / /mnt/flows rw,nosuid,nodev - fuse.flowfs flowfs rw,user_id=1001,group_id=0
"""


@pytest.fixture
def mountinfo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: MOUNTINFO.strip() + "\n")


@pytest.mark.usefixtures("mountinfo")
def test_mountinfo() -> None:
    found = list(mounts())
    assert found[1] == Mounted("/mnt/with blank\tand\\", "ext4", "8:1")
    assert mounted_at("/mnt/flows") == Mounted("/mnt/flows", "fuse.flowfs", "0:41", 1001)  # the one on top
    assert mounted_at("/mnt") is None


def test_the_mountinfo_of_this_machine() -> None:
    assert mounted_at("/proc") is not None
    assert mounted_at("/") is not None


def fault(ask: Any, *arguments: Any) -> str:
    with pytest.raises(MountError) as refused:
        ask(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mountpoint, "_DEVICE", str(tmp_path / "fuse"))
    assert fault(check_device).startswith(
        f"no {tmp_path}/fuse: the kernel offers no FUSE here (modprobe fuse"
    )


def test_no_right_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert fault(check_device) == "/dev/fuse: no right to open it; run as root, or chmod 0666 /dev/fuse"


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("as_user")
def test_no_fusermount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fault(prepare, str(tmp_path)).endswith("only root can mount without it: apt install fuse3")


@pytest.mark.usefixtures("as_user")
def test_a_directory_of_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/fusermount3")
    assert prepare(str(tmp_path)) == (str(tmp_path), [])
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert fault(prepare, str(tmp_path)).endswith("no right to write to it; mount on a directory of your own")


@pytest.mark.usefixtures("as_user")
def test_unmounting_says_what_fusermount_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "fusermount3"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(mountpoint, "mounted_at", lambda _: Mounted("/x", mountpoint.TYPE, "0:1"))
    tool.write_text('#!/bin/sh\necho "$@" > $(dirname $0)/called\n')
    tool.chmod(0o755)
    unmount("/x", lazy=True)
    assert (tmp_path / "called").read_text() == "-u -z -- /x\n"
    tool.write_text(
        "#!/bin/sh\necho 'fusermount3: failed to unmount /x: Device or resource busy' >&2\nexit 1\n"
    )
    assert fault(unmount, "/x") == "/x: in use; leave it first, or: flowfs umount -z /x"
    tool.write_text("#!/bin/sh\necho 'fusermount3: entry for /x not found in /etc/mtab' >&2\nexit 1\n")
    assert fault(unmount, "/x") == "/x: entry for /x not found in /etc/mtab"
    tool.write_text("#!/bin/sh\nexit 3\n")
    assert fault(unmount, "/x") == "/x: fusermount3 ended with 3"


def test_a_mount_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs is theirs to take away; root takes away any."""
    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(mountpoint, "service_of", lambda _: Service.ANSWERS)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/fusermount3")
    monkeypatch.setattr(mountpoint, "_take_away", lambda *_, **__: "")
    for owner, name in ((65534, "nobody"), (54321, "user 54321")):
        theirs = Mounted("/x", mountpoint.TYPE, "0:1", owner)
        monkeypatch.setattr(mountpoint, "mounted_at", lambda _, theirs=theirs: theirs)
        already = f"/x: flowfs is mounted there already by {name}; mount somewhere else"
        assert fault(prepare, "/x") == already
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        said = f"/x: the mount is {name}'s, who can take it away; or: sudo flowfs umount"
        assert fault(unmount, "/x") == said
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        unmount("/x")
    monkeypatch.setattr(
        mountpoint, "mounted_at", lambda path: Mounted(path, mountpoint.TYPE, "0:1", os.getuid())
    )
    assert fault(prepare, "/x") == "/x: flowfs is mounted there already; take it away by: flowfs umount /x"


@pytest.mark.parametrize("called", ["flowfs", "contrib/run"])
def test_hints_name_the_command_as_it_is_called(monkeypatch: pytest.MonkeyPatch, called: str) -> None:
    monkeypatch.setenv("FLOWFS_COMMAND", called)
    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(mountpoint, "service_of", lambda _: Service.ANSWERS)
    monkeypatch.setattr(mountpoint, "_take_away", lambda *_, **__: "Device or resource busy")
    monkeypatch.setattr(
        mountpoint, "mounted_at", lambda path: Mounted(path, mountpoint.TYPE, "0:1", os.getuid())
    )
    assert fault(prepare, "/x").endswith(f"; take it away by: {called} umount /x")
    assert fault(unmount, "/x").endswith(f"; leave it first, or: {called} umount -z /x")


@pytest.mark.parametrize(
    ("kind", "command"), [(mountpoint.TYPE, "flowfs umount -z"), ("fuse.sshfs", "sudo umount -l")]
)
def test_a_place_in_a_dead_mount(monkeypatch: pytest.MonkeyPatch, kind: str, command: str) -> None:
    def dead(_: object) -> object:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/fusermount3")
    monkeypatch.setattr(os, "scandir", dead)
    listed = [Mounted("/", "ext4", "8:1"), Mounted("/x", kind, "0:1"), Mounted("/x/yy", kind, "0:2")]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(listed))
    said = "Transport endpoint is not connected; it is in a dead mount, take that away: "
    assert fault(prepare, "/x/y/z") == f"/x/y/z: {said}{command} /x"


def test_dead_mounts_of_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(mountpoint, "service_of", lambda _: Service.DEAD)
    monkeypatch.setattr(mountpoint, "mounted_at", lambda path: Mounted(path, "fuse.sshfs", "0:1"))
    assert fault(prepare, "/x") == "/x: a dead fuse.sshfs mount that is not ours; sudo umount -l /x"


def test_no_end_of_dead_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "check_device", lambda: None)
    monkeypatch.setattr(mountpoint, "service_of", lambda _: Service.DEAD)
    monkeypatch.setattr(mountpoint, "_take_away", lambda *_, **__: "")
    monkeypatch.setattr(mountpoint, "mounted_at", lambda path: Mounted(path, mountpoint.TYPE, "0:1"))
    assert fault(prepare, "/x") == "/x: too many dead mounts on top of each other"


def test_who_uses_a_mount_is_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever unmounts may stand in it, or have its path open, and is not to leave it first."""
    monkeypatch.chdir(tmp_path)
    assert mountpoint._users(str(tmp_path)) == []
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=tmp_path) as other:
        assert mountpoint._users(str(tmp_path)) == [f"cat ({other.pid})"]


# --- which mount is meant ----------------------------------------------------------------------


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Mounted]:
    """What is mounted, to be changed by the test: an alive one, and one below that is not of flowfs."""
    (tmp_path / "a/.flowfs").mkdir(parents=True)
    (tmp_path / "a/b").mkdir()
    listed = [
        Mounted("/", "ext4", "8:1"),
        Mounted(str(tmp_path / "a"), mountpoint.TYPE, "0:1", os.getuid()),
        Mounted(str(tmp_path / "a/b"), "tmpfs", "0:2"),
    ]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(listed))
    return listed


def test_a_mount_and_what_is_in_it(several: list[Mounted], tmp_path: Path) -> None:
    assert meant(str(tmp_path / "a")) == several[1]
    assert meant(str(tmp_path / "a/.flowfs/status.json")) == several[1]
    assert meant(str(tmp_path / "a/gone")) == several[1]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert meant(str(tmp_path / "link")) == several[1]
    assert meant(None) == several[1]


def test_what_is_no_mount_of_flowfs(several: list[Mounted], tmp_path: Path) -> None:
    none = f"no flowfs is mounted there; there is one at {tmp_path}/a"
    assert fault(meant, f"{tmp_path}/a/b") == f"{tmp_path}/a/b: {none}"
    assert fault(meant, "/") == f"/: {none}"
    (tmp_path / "ab").mkdir()
    assert fault(meant, f"{tmp_path}/ab") == f"{tmp_path}/ab: {none}"
    none = f"no such file or directory; there is one at {tmp_path}/a"
    assert fault(meant, f"{tmp_path}/none") == f"{tmp_path}/none: {none}"
    del several[1]
    assert fault(meant, "/") == "/: no flowfs is mounted there"
    assert fault(meant, None) == ("no flowfs is mounted; this mounts: flowfs mount MOUNTPOINT -i IFACE")


def test_the_topmost_mount_counts(several: list[Mounted], tmp_path: Path) -> None:
    several.append(Mounted(str(tmp_path / "a"), "tmpfs", "0:3"))
    assert fault(meant, f"{tmp_path}/a") == f"{tmp_path}/a: no flowfs is mounted there"
    several.append(several[1]._replace(device="0:4"))
    assert meant(f"{tmp_path}/a").device == "0:4"
    assert meant(None).device == "0:4"


def test_several_mounts(several: list[Mounted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where we are is meant, if that is one."""
    (tmp_path / "c/.flowfs").mkdir(parents=True)
    several.append(Mounted(str(tmp_path / "c"), mountpoint.TYPE, "0:5"))
    with pytest.raises(Unclear) as unclear:
        meant(None)
    assert str(unclear.value) == f"which MOUNTPOINT? flowfs is mounted at {tmp_path}/a, {tmp_path}/c"
    monkeypatch.chdir(tmp_path / "c/.flowfs")
    assert meant(None).path == f"{tmp_path}/c"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(Unclear):
        meant(None)
    (tmp_path / "c/.flowfs").rmdir()  # that cannot be looked into, so there is one left
    assert meant(None) == several[1]


def test_a_dead_mount(several: list[Mounted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mountpoint, "service_of", lambda one: Service.DEAD if one == several[1] else Service.ANSWERS
    )
    umount = f"flowfs umount -z {tmp_path}/a"
    dead = f"{tmp_path}/a: a dead flowfs mount, whose process has gone; take it away: {umount}"
    assert fault(meant, f"{tmp_path}/a/x") == dead
    assert fault(meant, None) == dead


def test_a_mount_that_somebody_else_alone_can_look_into(
    several: list[Mounted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    several[1] = several[1]._replace(owner=65534)
    assert meant(None) == several[1]  # with -o allow_other
    monkeypatch.setattr(os, "stat", denied)
    said = f"{tmp_path}/a: the mount is nobody's, for whom alone it is: sudo -u nobody ..."
    assert mountpoint.fault_of(several[1]) == said
    several[1] = several[1]._replace(owner=os.getuid())
    assert mountpoint.fault_of(several[1]) == f"{tmp_path}/a: Permission denied"


def test_nobody_is_asked_for_the_real_path_of_a_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor by a link to it, or into it: whoever serves it may be silent, and that question has no end."""
    place, other = tmp_path / "mount", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    links: dict[str, str | Path] = {
        "to": place,
        "into": place / "file",
        "relative": "other/../mount",
        "twice": "to",
        "away": other,
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    there = [mountpoint.Mounted(str(place), mountpoint.TYPE, "0:1", 0)]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(there))
    lstat = os.lstat

    def asked(path: str) -> os.stat_result:
        assert not str(path).startswith(str(place))
        return lstat(path)

    monkeypatch.setattr(os, "lstat", asked)
    monkeypatch.chdir(tmp_path)
    assert [mountpoint.real_path(name) for name in links] == [
        *(str(place), str(place / "file"), str(place), str(place), str(other)),
    ]
    assert mountpoint.real_path("to/deep/..") == str(place)
    assert mountpoint.real_path(".") == str(tmp_path)

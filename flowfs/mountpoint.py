"""The place of a mount: what stands in its way, what is mounted there, how it is taken away.

Owns every one-line error about it. Knows nothing of FUSE's requests, mounts nothing itself, and loads no
library for it: who only looks at a mount, or takes it away, does without.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .called import command
from .serving import GONE, Service, service_at

FILESYSTEM = "flowfs"
TYPE = f"fuse.{FILESYSTEM}"
CONTROL = ".flowfs"  # what is known of a mount is below it in there

_HIDDEN = (
    "a mount in this namespace is seen only within it; for the network alone: nsenter --net=/run/netns/NAME"
)
_DEVICE = "/dev/fuse"
_SILENT = "its flowfs does not answer: it is stopped, or overloaded, or was killed"
_OWN_DIRECTORY = "mount on a directory of your own"
_MAX_LINKS = 40  # as in Linux, see path_resolution(7)
_MAX_STACKED = 8  # dead mounts on top of each other that are cleared at once
_MNT_FORCE, _MNT_DETACH, _UMOUNT_NOFOLLOW = 1, 2, 8  # <sys/mount.h>


class MountError(Exception):
    """It is not possible, or no such mount is there; str() is one line with what to do about it."""


class Unclear(MountError):
    """There are several mounts, and it was not said which one is meant."""


class Mounted(NamedTuple):
    """One line of mountinfo. `device` is "major:minor", `owner` whose FUSE mount it is (-1: unknown)."""

    path: str
    type: str
    device: str
    owner: int = -1


def mounts() -> Iterator[Mounted]:
    """What is mounted, in the order of mounting. See proc(5), /proc/PID/mountinfo."""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(" ")
        separator = fields.index("-", 6)
        owner = re.search(r"(?:^|,)user_id=(\d+)", fields[-1])
        yield Mounted(_unescaped(fields[4]), fields[separator + 1], fields[2], int(owner[1]) if owner else -1)


def mounted_at(path: str) -> Mounted | None:
    """What is mounted on a real path, the topmost."""
    found = None
    for mounted in mounts():
        if mounted.path == path:
            found = mounted
    return found


def mount_around(path: str) -> Mounted | None:
    """What a real path is on: the innermost mount, the topmost of these."""
    around = [one for one in mounts() if path == one.path or path.startswith(one.path.rstrip("/") + "/")]
    return max(reversed(around), key=lambda one: len(one.path), default=None)


def real_path(place: str) -> str:
    """The real path of a place; of a mount, or in one of ours, without a question to whoever serves it."""
    types = {mounted.path: mounted.type for mounted in mounts()}
    path, links = "/", 0
    left = os.path.join(os.getcwd(), place).split("/")[::-1]
    while left:
        path = os.path.normpath(os.path.join(path, left.pop()))
        if types.get(path) == TYPE or (path in types and not left):
            return os.path.normpath(os.path.join(path, *left[::-1]))
        if links < _MAX_LINKS and os.path.islink(path):
            links += 1
            left += os.readlink(path).split("/")[::-1]
            path = "/" if left[-1] == "" else os.path.dirname(path)
    return path


def _other_owner(mounted: Mounted) -> str:
    """Who has mounted it, "" for ourselves."""
    if mounted.owner in (-1, os.getuid()):
        return ""
    try:
        return pwd.getpwuid(mounted.owner).pw_name
    except KeyError:
        return f"user {mounted.owner}"


def _unescaped(field: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), os.fsencode(field))
    return os.fsdecode(raw)


# --- which mount is meant ------------------------------------------------------------------------


def flowfs_mounts() -> list[Mounted]:
    """All of this kind, dead ones and those of other users too; of several on one place the topmost."""
    topmost = {mounted.path: mounted for mounted in mounts()}
    return [mounted for mounted in topmost.values() if mounted.type == TYPE]


def meant(place: str | None) -> Mounted:
    """The mount that `place` is or lies in; of None the only one that can be looked into, or where we are.

    Raises MountError if there is none, or it is dead or somebody else's, and Unclear if there are several.
    """
    if place is not None:
        mounted = mount_around(os.path.abspath(place))  # first: it may be silent, and whatever is in it
        if mounted is None or mounted.type != TYPE:
            mounted = mount_around(real_path(place))
        if mounted is None or mounted.type != TYPE:
            what = "no flowfs is mounted there" if os.path.lexists(place) else "no such file or directory"
            raise MountError(f"{place}: {what}{_elsewhere()}")
        if fault := fault_of(mounted):
            raise MountError(fault)
        return mounted
    there = flowfs_mounts()
    if not there:
        raise MountError(f"no flowfs is mounted; this mounts: {command()} mount MOUNTPOINT -i IFACE")
    faults = {mounted: fault_of(mounted) for mounted in there}
    usable = [mounted for mounted, fault in faults.items() if not fault]
    if len(usable) > 1 and (here := _here()) in usable:
        return here
    if len(usable) > 1:
        raise Unclear(f"which MOUNTPOINT? flowfs is mounted at {', '.join(one.path for one in usable)}")
    if not usable:
        raise MountError("; ".join(faults.values()))
    return usable[0]


def _here() -> Mounted | None:
    """What the working directory is on."""
    try:
        return mount_around(os.getcwd())
    except FileNotFoundError:  # it was removed
        return None


def service_of(mounted: Mounted) -> Service:
    """Whether somebody serves a mount; takes seconds if nobody answers."""
    return service_at(mounted.path, mounted.device, mounted.owner)


def fault_of(mounted: Mounted) -> str:
    """Why a mount of flowfs cannot be looked into, with what to do about it; "" if it can."""
    service = service_of(mounted)
    umount = f"{command()} umount -z {mounted.path}"
    if service == Service.DEAD:
        return f"{mounted.path}: a dead flowfs mount, whose process has gone; take it away: {umount}"
    if service == Service.SILENT:
        return f"{mounted.path}: {_SILENT}; take it away: {umount}"
    try:
        os.stat(os.path.join(mounted.path, CONTROL))
    except OSError as error:
        owner = _other_owner(mounted)
        if owner and error.errno == errno.EACCES:
            return f"{mounted.path}: the mount is {owner}'s, for whom alone it is: sudo -u {owner} ..."
        return f"{mounted.path}: {error.strerror}"
    return ""


def _elsewhere() -> str:
    there = ", ".join(mounted.path for mounted in flowfs_mounts())
    return f"; there is one at {there}" if there else ""


# --- before mounting -------------------------------------------------------------------------------


def prepare(mountpoint: str) -> tuple[str, list[str]]:
    """The real path of a place that can be mounted on, and what had to be done for it, a line each.

    A mount of ours whose daemon has died is taken away. Raises MountError for whatever is in the way.
    """
    check_device()
    if os.geteuid() and shutil.which("fusermount3") is None:
        raise MountError("fusermount3 is missing, and only root can mount without it: apt install fuse3")
    path = real_path(mountpoint)
    notes = [f"{mountpoint}: took away a dead flowfs mount" for _ in range(_clear(mountpoint, path))]
    check_directory(mountpoint, path)
    if is_hidden():
        notes.append(f"{mountpoint}: {_HIDDEN}")
    return path, notes


def is_hidden() -> bool:
    """Whether only those see a mount who share our namespace of mounts, which is not the first one."""
    try:
        return Path("/proc/self/ns/mnt").readlink() != Path("/proc/1/ns/mnt").readlink()
    except OSError:  # only who has the right to look may
        return False


def check_device() -> None:
    """Raises MountError unless /dev/fuse can be opened."""
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        raise MountError(f"{_DEVICE}: no right to open it; run as root, or chmod 0666 {_DEVICE}") from None
    except OSError:
        hint = "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN"
        raise MountError(f"no {_DEVICE}: the kernel offers no FUSE here ({hint})") from None


def _clear(mountpoint: str, path: str) -> int:
    """Take dead mounts of ours away; returns how many there were."""
    for cleared in range(_MAX_STACKED):
        mounted = mounted_at(path)
        if mounted is None:
            return cleared
        ours = mounted.type == TYPE
        service = service_of(mounted)
        if ours and service == Service.SILENT:
            raise MountError(f"{mountpoint}: {_SILENT}; take it away: {command()} umount -z {mountpoint}")
        if service != Service.DEAD:
            owner = _other_owner(mounted)
            hint = "mount somewhere else"
            if ours and not owner:
                hint = f"take it away by: {command()} umount {mountpoint}"
            whose = f" by {owner}" if owner else ""
            what = "flowfs" if ours else mounted.type
            raise MountError(f"{mountpoint}: {what} is mounted there already{whose}; {hint}")
        if not ours or _take_away(path, lazy=True, force=True):
            hint = f"sudo umount -l {mountpoint}"
            raise MountError(f"{mountpoint}: a dead {mounted.type} mount that is not ours; {hint}")
    raise MountError(f"{mountpoint}: too many dead mounts on top of each other")


def check_directory(mountpoint: str, path: str) -> None:
    """Raises MountError unless `path`, the real one of `mountpoint`, is ours and empty."""
    try:
        with os.scandir(path) as entries:
            if next(entries, None) is not None:
                raise MountError(f"{mountpoint}: the directory is not empty; mount on an empty one")
    except FileNotFoundError:
        raise MountError(f"{mountpoint}: no such directory; make it: mkdir -p {mountpoint}") from None
    except NotADirectoryError:
        raise MountError(f"{mountpoint}: not a directory") from None
    except PermissionError:
        raise MountError(f"{mountpoint}: no right to look into it; {_OWN_DIRECTORY}") from None
    except OSError as error:
        hint = _dead_mount_above(path) if error.errno in GONE else ""
        raise MountError(f"{mountpoint}: {error.strerror}{hint}") from None
    if os.geteuid() and not os.access(path, os.W_OK, effective_ids=True):
        raise MountError(f"{mountpoint}: no right to write to it; {_OWN_DIRECTORY}")


def _dead_mount_above(path: str) -> str:
    """What to do about a mount that died with the place in it."""
    mounted = mount_around(path)
    if mounted is None:
        return ""
    umount = f"{command()} umount -z" if mounted.type == TYPE else "sudo umount -l"
    return f"; it is in a dead mount, take that away: {umount} {mounted.path}"


# --- unmounting ------------------------------------------------------------------------------------


def unmount(mountpoint: str, lazy: bool = False) -> None:
    """Take a flowfs mount away; `lazy`: at once, even if files in it are open. Raises MountError."""
    path = real_path(mountpoint)
    mounted = mounted_at(path)
    if mounted is None:
        there = os.path.lexists(mountpoint)
        raise MountError(f"{mountpoint}: {'nothing is mounted there' if there else 'no such directory'}")
    if mounted.type != TYPE:
        raise MountError(f"{mountpoint}: not a flowfs mount ({mounted.type})")
    owner = _other_owner(mounted)
    if owner and os.geteuid():
        raise MountError(
            f"{mountpoint}: the mount is {owner}'s, who can take it away; or: sudo {command()} umount"
        )
    service = service_of(mounted)
    refused = _take_away(path, lazy, service == Service.DEAD or (lazy and service == Service.SILENT))
    if not refused:
        return
    if "busy" in refused.lower():
        users = _users(path)
        by = f"used by {', '.join(users)}" if users else "in use"
        raise MountError(f"{mountpoint}: {by}; leave it first, or: {command()} umount -z {mountpoint}")
    raise MountError(f"{mountpoint}: {refused}")


def _take_away(path: str, lazy: bool, force: bool) -> str:
    """Why the system refuses to unmount; "" if it did. `force`: even if all wait for all, which root can."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0) | (_MNT_FORCE if force else 0)
        return os.strerror(ctypes.get_errno()) if libc.umount2(os.fsencode(path), flags) else ""
    fusermount = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", path]
    try:
        done = subprocess.run(fusermount, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return "fusermount3 is missing, and only root can unmount without it: apt install fuse3"
    said = done.stderr.strip().splitlines() or [f"fusermount3 ended with {done.returncode}"]
    return said[-1].removeprefix("fusermount3: ") if done.returncode else ""


def _users(path: str, most: int = 3) -> list[str]:
    """Other processes that use the mount, as "cat (1234)"; those that we may look into."""
    found = [
        f"{_read(process / 'comm').strip()} ({process.name})"
        for process in Path("/proc").glob("[0-9]*")
        if process.name != str(os.getpid())
        and any(target == path or target.startswith(path + "/") for target in _used_by(process))
    ]
    return [*found[:most], "…"] if len(found) > most else found


def _used_by(process: Path) -> Iterator[str]:
    """What a process has open, mapped or for its directory; nothing if it is not ours or has gone."""
    links = [process / "cwd", process / "root"]
    try:
        links += (process / "fd").iterdir()
    except OSError:
        return
    for link in links:
        try:
            yield str(link.readlink())
        except OSError:
            continue
    for line in _read(process / "maps").splitlines():
        yield line.split(None, 5)[-1]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

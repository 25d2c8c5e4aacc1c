"""What flowfs needs of a machine, and of a place to mount on: what is there, and how to mend what is not.

Always true: nothing is changed by looking, and what is missing keeps no other check from being made.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import stat
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from flowfs.called import command
from flowfs.config import show_memory
from flowfs.core.limits import Limits
from flowfs.interfaces import may_capture
from flowfs.mountpoint import (
    TYPE,
    MountError,
    check_device,
    check_directory,
    fault_of,
    mount_around,
    real_path,
)
from flowfs.rights import CAP_IPC_LOCK, CAP_SYS_ADMIN, capabilities

OK, MISSING, OPTIONAL = "ok", "missing", "optional"

_FUSE_CONF = Path("/etc/fuse.conf")
_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_PYFUSE3 = (3, 5)  # the least, see pyproject.toml
_INSTALL = "contrib/run installs it"


class Finding(NamedTuple):
    """`level`: MISSING is needed for any mount, OPTIONAL for some. `text`: what there is, or what to do."""

    what: str
    level: str
    text: str


def machine() -> Iterator[Finding]:
    """All that does not depend on the place."""
    checks: tuple[Callable[[], Finding], ...] = (
        device,
        fusermount,
        right_to_mount,
        fuse_library,
        libpcap,
        core,
        right_to_capture,
        memory,
        lock_memory,
        allow_other,
    )
    for check in checks:
        yield check()


def device() -> Finding:
    """/dev/fuse."""
    try:
        check_device()
    except MountError as error:
        return Finding("/dev/fuse", MISSING, str(error).removeprefix("/dev/fuse: "))
    return Finding("/dev/fuse", OK, "can be opened")


def fusermount() -> Finding:
    """fusermount3, which mounts for who is not root, and so has to be root's and setuid."""
    what, found = "fusermount3", shutil.which("fusermount3")
    if os.geteuid() == 0:
        return Finding(what, OK, found or "is not there, and root does without")
    if found is None:
        return Finding(what, MISSING, "only root can mount without it: apt install fuse3")
    about = os.stat(found)
    if about.st_uid or not about.st_mode & stat.S_ISUID:
        return Finding(what, MISSING, f"{found} is not setuid root: sudo chmod u+s {found}")
    return Finding(what, OK, found)


def right_to_mount() -> Finding:
    """What root lacks in many containers."""
    if os.geteuid() == 0 and not capabilities() >> CAP_SYS_ADMIN & 1:
        return Finding("mounting", MISSING, "root may not mount here: in a container, --cap-add SYS_ADMIN")
    return Finding("mounting", OK, "allowed" if os.geteuid() == 0 else "by fusermount3")


def fuse_library() -> Finding:
    """pyfuse3 and the libfuse that it loads."""
    what = "pyfuse3"
    try:
        import flowfs.mount  # noqa: F401  whether it can be loaded

        found = version(what)
    except (ImportError, PackageNotFoundError) as error:
        return Finding(what, MISSING, f"{error}: {_INSTALL}; it needs libfuse3 (apt install fuse3)")
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < _PYFUSE3:
        least = ".".join(map(str, _PYFUSE3))
        return Finding(what, MISSING, f"{found} is too old, {least} is needed: {_INSTALL}")
    return Finding(what, OK, f"{found}, libfuse {_libfuse()}")


def _libfuse() -> str:
    """The version of the one that this process has loaded."""
    loaded = re.search(r"/\S*/libfuse3\S*\.so\S*", Path("/proc/self/maps").read_text("utf-8", "replace"))
    if loaded is None:
        return "of its own"
    tell = ctypes.CDLL(loaded[0]).fuse_pkgversion
    tell.restype = ctypes.c_char_p
    return str(tell().decode())


def libpcap() -> Finding:
    """pcapy-ng, which brings libpcap."""
    what = "pcapy-ng"
    try:
        import flowfs.capture  # noqa: F401  whether it can be loaded

        return Finding(what, OK, version(what))
    except (ImportError, PackageNotFoundError) as error:
        return Finding(what, MISSING, f"{error}: {_INSTALL}")


def core() -> Finding:
    """Compiled or not."""
    try:
        from flowfs.core import compiled

        is_compiled = compiled()
    except ImportError as error:
        return Finding("core", MISSING, f"{error}: {_INSTALL}")
    if is_compiled:
        return Finding("core", OK, "compiled")
    return Finding("core", OPTIONAL, "not compiled, and several times slower than it could be: contrib/run")


def right_to_capture() -> Finding:
    """CAP_NET_RAW; files can be read without."""
    what, files_alone = "capturing", "files alone can be read"
    try:
        if may_capture():
            return Finding(what, OK, "allowed (CAP_NET_RAW)")
    except OSError as error:
        return Finding(what, OPTIONAL, f"{files_alone}: the kernel gives no packets here ({error.strerror})")
    return Finding(
        *(what, OPTIONAL),
        f"{files_alone}: run sudo {command()} mount ... for interfaces, the mount will be yours",
    )


def memory() -> Finding:
    """Whether what a mount takes by default is there."""
    usual = Limits()
    wanted = usual.payload_bytes + usual.out_of_order_bytes + usual.table_bytes + usual.fragment_bytes
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = _cgroup_limit(there)
    there, whose = (allowed, "its control group may have") if allowed < there else (there, "this machine has")
    said = f"a mount takes up to {show_memory(wanted)} unless told otherwise, {whose} {show_memory(there)}"
    if wanted > there:
        return Finding("memory", OPTIONAL, f"{said}: use a smaller --max-memory, --max-table ...")
    return Finding("memory", OK, said)


def _cgroup_limit(otherwise: int) -> int:
    """The least of this process's control group and those above it (cgroup v2), if there are any."""
    least = otherwise
    try:
        groups = _OWN_CGROUPS.read_text("utf-8", "surrogateescape")
    except OSError:  # a kernel without
        return otherwise
    own = re.search(r"^0::/(.*)$", groups, re.MULTILINE)
    group = _CGROUP / (own[1] if own else "")
    for folder in (group, *group.parents):
        try:
            least = min(least, int((folder / "memory.max").read_text()))
        except (OSError, ValueError):  # the root has none, and "max" is no limit
            continue
    return least


def lock_memory() -> Finding:
    """For --lock-memory; sudo raises the limit."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if limit == resource.RLIM_INFINITY or capabilities() >> CAP_IPC_LOCK & 1:
        return Finding("locking", OK, "memory can be kept from swap (--lock-memory)")
    return Finding(
        *("locking", OPTIONAL),
        f"--lock-memory needs more than {limit // 1024} KiB: use sudo, or ulimit -l unlimited (systemd:"
        " LimitMEMLOCK=infinity; containers: --ulimit memlock=-1)",
    )


def allow_other() -> Finding:
    """What -o allow_other takes where somebody else than root mounts."""
    what, text = "allow_other", "only for -o allow_other: add user_allow_other to /etc/fuse.conf"
    if os.geteuid() == 0:
        return Finding(what, OK, "root may let others see a mount")
    try:
        lines = _FUSE_CONF.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    if any(line.partition("#")[0].strip() == "user_allow_other" for line in lines):
        return Finding(what, OK, f"user_allow_other is in {_FUSE_CONF}")
    return Finding(what, OPTIONAL, text)


def place(mountpoint: str) -> Finding:
    """What is mounted there, or whether one can mount there."""
    path = real_path(mountpoint)
    mounted = mount_around(path)
    if mounted is not None and mounted.type == TYPE:
        if fault := fault_of(mounted):
            return Finding(mountpoint, MISSING, fault)
        inside = "" if mounted.path == path else f" is at {mounted.path}, and this in it"
        return Finding(mountpoint, OK, f"a flowfs mount that answers{inside}")
    if mounted is not None and mounted.path == path:
        return Finding(
            mountpoint, MISSING, f"{mounted.type} is mounted there, not flowfs: mount somewhere else"
        )
    try:
        check_directory(mountpoint, path)
    except MountError as error:
        return Finding(mountpoint, MISSING, str(error).removeprefix(f"{mountpoint}: "))
    return Finding(mountpoint, OK, "nothing is mounted there, and flowfs can be")

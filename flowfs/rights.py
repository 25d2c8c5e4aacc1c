"""Whose mount it is, and how root stops being root.

Root opens the capture and mounts, in the name of the user who gets the mount; then it gives every right up,
for good. Always true after drop(): no user id, group or capability of root is left; and from seal() on the
memory, in which there is what people sent, can neither be dumped nor be looked into by other processes of the
same user. A process begins unsealed again when it becomes another user, not when it forks.
"""

import contextlib
import ctypes
import errno
import os
import pwd
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4  # <linux/prctl.h>
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # <sys/mman.h>, Linux 4.4
CAP_IPC_LOCK, CAP_SYS_ADMIN = 14, 21  # <linux/capability.h>


class RightsError(Exception):
    """Rights cannot be handed over as asked; str() is one line."""


@dataclass(frozen=True, slots=True)
class User:
    """Who gets the mount."""

    name: str
    uid: int
    gid: int


def owner(wanted: str, environment: Mapping[str, str] = os.environ) -> User | None:
    """The user to become: `wanted` (-Z), or else who called sudo; None to stay who we are.

    Raises RightsError.
    """
    user = _by_name(wanted) if wanted else _caller_of_sudo(environment)
    if user is None or user.uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise RightsError(f"-Z {wanted}: only root can hand the mount to another user")
    return user


def _by_name(name: str) -> User:
    try:
        entry = pwd.getpwuid(int(name)) if name.isascii() and name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError):
        raise RightsError(f"-Z {name}: no such user") from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _caller_of_sudo(environment: Mapping[str, str]) -> User | None:
    uid, gid = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
    if os.geteuid() != 0 or not (uid.isdecimal() and gid.isdecimal()):
        return None
    return User(environment.get("SUDO_USER", uid), int(uid), int(gid))


def act_for(user: User) -> None:
    """Make `user` the one in whose name root acts: who mounts, and whose rights os.access() tells."""
    try:
        os.initgroups(user.name, user.gid)
    except (KeyError, OSError):
        os.setgroups([user.gid])
    os.setresgid(user.gid, 0, 0)
    os.setresuid(user.uid, 0, 0)
    seal()


def drop(user: User) -> None:
    """Become `user` for good. Raises RightsError if anything of root is left."""
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    seal()
    if os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3 or 0 in os.getgroups():
        raise RightsError(f"cannot become {user.name}: some of root's rights are left")
    status = _own_status()
    if any(int(status[field], 16) for field in ("CapPrm", "CapEff", "CapAmb")):
        raise RightsError(f"cannot become {user.name}: capabilities are left")


def reach(user: User, path: str) -> int:
    """The errno with which `user` fails to enter the directory `path`, 0 if that works.

    Asked by a process of its own that is the user in every respect: FUSE looks at all three of the user ids.
    """
    child = os.fork()
    if child == 0:
        result = errno.EPERM
        try:
            act_for(user)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            seal()
            os.statvfs(path)
            result = 0 if os.access(path, os.X_OK) else errno.EACCES
        except OSError as error:
            result = error.errno or errno.EPERM
        finally:
            os._exit(result)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def seal() -> None:
    """Leave no memory behind in core dumps, and show none to other processes of the same user.

    The limit is for kernels that write files, and the other for those that pipe to a program, which do not
    ask for the limit (core(5)). Raises RightsError if the kernel does not do so.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    process = ctypes.CDLL(None)
    process.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if process.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise RightsError("the kernel does not keep the memory of this process out of core dumps")


def lock_memory(*, for_good: bool) -> None:
    """Keep all memory that there is and will be from swap, as soon as it is used. Raises RightsError.

    What is locked counts by its addresses, used or not, and an allocation beyond the limit would fail at any
    time: so without a limit, or not at all. It outlasts the loss of rights, but not a fork. `for_good`:
    rights are not given up, so that the right to lock without a limit stays.
    """
    unlimited = resource.RLIM_INFINITY
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != unlimited and not (for_good and capabilities() >> CAP_IPC_LOCK & 1):
        raise RightsError(
            f"--lock-memory: no more than {limit // 1024} KiB may be locked, and there must be no limit: use"
            " sudo, or ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1)"
        )
    process = ctypes.CDLL(None, use_errno=True)
    if process.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        raise RightsError(f"--lock-memory: {os.strerror(ctypes.get_errno())}; do without")


def raise_file_limit() -> None:
    """Let this process open as many files as it may; select(2), for which the limit is low, is not for it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def capabilities() -> int:
    """Those in effect, see capabilities(7)."""
    return int(_own_status()["CapEff"], 16)


def _own_status() -> dict[str, str]:
    """proc_pid_status(5)."""
    return dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())

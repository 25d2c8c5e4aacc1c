"""Whether a mount is served: by a process that answers, by one that does not, or by none any more.

A flowfs that is killed while it tells the kernel of names that went may leave a connection that nothing ends:
one of its threads waits in the kernel for the lock of a directory that somebody lists, who waits for the
answer. Whoever looks into such a mount would wait as well, so nobody here looks for longer than ANSWER_S.
umount2(2) with MNT_FORCE ends it.
"""

from __future__ import annotations

import errno
import os
import threading
from enum import Enum
from pathlib import Path

from .ending import attend

ANSWER_S = 3.0  # most answers take less than a millisecond
GONE = (errno.ENOTCONN, errno.ECONNABORTED)  # the daemon has gone, or its connection was aborted


class Service(Enum):
    """What came of a question."""

    ANSWERS = "answers"
    SILENT = "silent"  # stopped or overloaded, or who serves it cannot be seen
    DEAD = "dead"


def service_at(path: str, device: str, owner: int) -> Service:
    """Of what is mounted on a real path: the device and the owner are those of mountinfo."""
    fault = _answer(path)
    if fault is None:
        return Service.DEAD if _has_ended(device, owner) else Service.SILENT
    return Service.DEAD if fault in GONE else Service.ANSWERS


def _answer(path: str) -> int | None:
    """The errno that came, 0 of a good answer, None if there is none in time."""
    answers: list[int] = []

    def ask() -> None:
        try:
            os.statvfs(path)  # always asks the daemon, where stat(2) may be answered from what it said last
            answers.append(0)
        except OSError as error:
            answers.append(error.errno or 0)

    asking = threading.Thread(target=ask, daemon=True)  # which the end of this process ends, too
    asking.start()
    asking.join(ANSWER_S)
    return answers[0] if answers else None


def _has_ended(device: str, owner: int) -> bool:
    """Whether the process that serves the mount was killed, as far as that can be seen."""
    witness = attend(device, owner)
    if witness is None:
        return False
    witness.close()
    return witness.process > 0 and _has_gone(witness.process)


def _has_gone(process: int) -> bool:
    """Whether it is a zombie, or none any more: /proc may hide one that lives (hidepid in proc(5))."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
        return stat.rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return not _is_there(process)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # not ours
        pass
    return True

"""`flowfs mount` as its user mounts it, and other people who come to look. For root alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from live.mounting import ENVIRONMENT, FLOWFS, daemons
from waiting import eventually

ALICE, BOB, CAROL = 64001, 64002, 64003  # numbers of nobody
ENGLISH = {**ENVIRONMENT, "LC_ALL": "C.UTF-8"}


def as_user(
    uid: int, *command: str | Path, groups: Sequence[int] = (), gid: int | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of somebody's, whose first group has their number."""
    others = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    change = ["setpriv", f"--reuid={uid}", f"--regid={uid if gid is None else gid}", others]
    return subprocess.run(
        [*change, *map(str, command)], capture_output=True, text=True, env=ENGLISH, timeout=30, check=False
    )


def open_the_way(path: Path) -> None:
    """Let everybody come to a place of pytest's."""
    for folder in (path, *path.parents):
        if folder.name.startswith(("pytest", "test")):
            folder.chmod(0o711)


@contextmanager
def mounted(capture: Path, *arguments: str, uid: int) -> Iterator[Path]:
    """`sudo flowfs mount`, called by somebody; gives the place."""
    place = capture.parent / "flows"
    place.mkdir()
    os.chown(place, uid, uid)
    open_the_way(capture.parent)
    command = [*FLOWFS, "mount", str(place), "-q", "-r", str(capture), *arguments]
    called_by = {"SUDO_UID": str(uid), "SUDO_GID": str(uid)}
    try:
        subprocess.run(command, env=ENGLISH | called_by, timeout=30, check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
        assert eventually(lambda: not daemons(place))

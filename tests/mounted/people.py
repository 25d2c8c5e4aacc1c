"""`flowfs mount` as its user mounts it, and other people who come to look. For root alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
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


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that everybody can come to.

    Not below pytest's: every session that begins, such as one beside this one, shuts the way there.
    """
    with tempfile.TemporaryDirectory(prefix="flowfs-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def mounted(capture: Path, *arguments: str, uid: int) -> Iterator[Path]:
    """`sudo flowfs mount`, called by somebody; gives the place."""
    place = capture.parent / "flows"
    place.mkdir()
    os.chown(place, uid, uid)
    command = [*FLOWFS, "mount", str(place), "-q", "-r", str(capture), *arguments]
    called_by = {"SUDO_UID": str(uid), "SUDO_GID": str(uid)}
    try:
        subprocess.run(command, env=ENGLISH | called_by, timeout=30, check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
        assert eventually(lambda: not daemons(place))

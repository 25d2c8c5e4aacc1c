"""A peer in C: libfuse's own examples, which hand on the files of a folder.

Owns where they are, how they are built and mounted. `passthrough_ll.c` holds a descriptor for each file that
the kernel knows, so it is for folders of some ten thousand; `passthrough.c` asks by path each time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from contrib.bench import wire
from contrib.bench.programs import Failed

EXAMPLES = Path("/usr/share/doc/libfuse3-dev/examples")


class Peer(NamedTuple):
    """An example, its options for a folder, and where the folder is in its mount."""

    source: str
    options: Callable[[Path], list[str]]
    place: Callable[[Path, Path], Path]


def _by_number(caching: str) -> Peer:
    return Peer(
        "passthrough_ll.c",
        lambda folder: ["-o", f"source={folder},cache={caching},timeout=300"],
        lambda mount, folder: mount,
    )


CACHED = _by_number("always")
DIRECT = _by_number("never")  # past the page cache, as flows are read that may grow
BY_PATH = Peer("passthrough.c", lambda _: ["--plus"], lambda mount, folder: mount / folder.relative_to("/"))


def built(peer: Peer) -> Path | None:
    """The program; None where it cannot be built, which is said."""
    if not (EXAMPLES / peer.source).exists() or not shutil.which("pkg-config"):
        print("tree: no examples of libfuse here (Debian package libfuse3-dev)", file=sys.stderr)
        return None
    try:
        flags = wire.run(["pkg-config", "fuse3", "--cflags", "--libs"]).split()
        return wire.compiled(str(EXAMPLES / peer.source), *flags)
    except Failed as error:
        print(f"tree: {error}; going on without a peer in C", file=sys.stderr)
        return None


@contextmanager
def mounted(program: Path | None, peer: Peer, folder: Path, mount: Path) -> Iterator[Path | None]:
    """Where the folder's files are in a fresh mount; None without a program. Raises Failed."""
    if program is None:
        yield None
        return
    mount.mkdir()
    try:
        wire.run([str(program), *peer.options(folder), str(mount)])
        yield peer.place(mount, folder)
    finally:
        if mount.is_mount():
            subprocess.run(["fusermount3", "-u", str(mount)], check=True, timeout=60)
        mount.rmdir()

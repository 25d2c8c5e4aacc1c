"""What the commands share that look at a mount: which one is meant, and what fails as a line and a status.

They know a mount by the texts in its `.flowfs` alone. Who serves these may be another version of flowfs, or a
program that only says it is one: whatever is not as it should be is `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowfs.mountpoint import CONTROL, Mounted, MountError, Unclear, fault_of, meant, mounted_at

from .exits import FAILED, NO_MOUNT, USAGE
from .terminal import NO_ROOM, Terminal, printable


class Unreadable(ValueError):
    """A text of a mount is not what flowfs writes; str() is its name."""


def look(place: str | None, terminal: Terminal, show: Callable[[Path], int]) -> int:
    """The exit status of `show`, which gets the mount's path and may raise OSError and Unreadable.

    `place`: the mount or something in it; None for the only one there is.
    """
    try:
        mounted = meant(place)
    except MountError as error:
        terminal.error(printable(str(error)))
        return USAGE if isinstance(error, Unclear) else NO_MOUNT
    path = Path(mounted.path)
    try:
        return show(path)
    except BrokenPipeError:  # who reads has enough
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        terminal.error(printable(_what_happened(mounted, error)))
    except Unreadable as error:
        terminal.error(printable(f"{path}: {CONTROL}/{error} is not what this version of flowfs reads"))
    return FAILED


def _what_happened(mounted: Mounted, error: OSError) -> str:
    """Why a mount cannot be read that could be looked into a moment ago."""
    if mounted_at(mounted.path) != mounted:
        return f"{mounted.path}: the mount was taken away meanwhile"
    return fault_of(mounted) or f"{mounted.path}: {error.strerror}"

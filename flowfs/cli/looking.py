"""What the commands share that look at a mount: which one is meant, and what fails as a line and a status.

They know a mount by the texts in its `.flowfs` alone. Who serves these may be another version of flowfs, or a
program that only says it is one: whatever is not as it should be is `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowfs.mountpoint import CONTROL, MountError, Unclear, meant

from .terminal import Terminal, printable

FAILED, USAGE, NO_MOUNT = 1, 2, 4


class Unreadable(ValueError):
    """A text of a mount is not what flowfs writes; str() is its name."""


def look(place: str | None, terminal: Terminal, show: Callable[[Path], int]) -> int:
    """The exit status of `show`, which gets the mount's path and may raise OSError and Unreadable.

    `place`: the mount or something in it; None for the only one there is.
    """
    try:
        path = Path(meant(place).path)
    except MountError as error:
        terminal.error(printable(str(error)))
        return USAGE if isinstance(error, Unclear) else NO_MOUNT
    try:
        return show(path)
    except BrokenPipeError:  # who reads has enough
        raise
    except OSError as error:  # it was taken away meanwhile
        terminal.error(printable(f"{path}: {error.strerror}"))
    except Unreadable as error:
        terminal.error(printable(f"{path}: {CONTROL}/{error} is not what this version of flowfs reads"))
    return FAILED

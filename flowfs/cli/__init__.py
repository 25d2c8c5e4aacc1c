"""The command: argv → Config → one call. Exit statuses, and what people read on a terminal.

Always true: whatever goes wrong is one line on standard error, with what to do about it, and never a
traceback unless -d asks for one. The status says what went wrong: 1 it failed while running, 2 the command
line or the filter, 3 the capture could not be opened, 4 it could not be mounted.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from flowfs import __version__
from flowfs.called import command

from .exits import FAILED, INTERRUPTED, MOUNT_8_INTERRUPTED, MOUNT_8_USAGE, USAGE
from .terminal import NO_ROOM


class Command(NamedTuple):
    """One of the first words. `usages`: what may follow it, and what that does."""

    run: Callable[[Sequence[str]], int]
    usages: Mapping[str, str]


# What a command needs is imported when it is called: that is most of the time that a short one takes.


def _mount(arguments: Sequence[str]) -> int:
    from . import mount

    return mount.run(arguments)


def _umount(arguments: Sequence[str]) -> int:
    from . import umount

    return umount.run(arguments)


def _ls(arguments: Sequence[str]) -> int:
    from . import ls

    return ls.run(arguments)


def _stats(arguments: Sequence[str]) -> int:
    from . import stats

    return stats.run(arguments)


def _interfaces(arguments: Sequence[str]) -> int:
    from . import interfaces

    return interfaces.run(arguments)


def _cat(arguments: Sequence[str]) -> int:
    from . import cat

    return cat.run(arguments)


def _check(arguments: Sequence[str]) -> int:
    from . import check

    return check.run(arguments)


COMMANDS: Mapping[str, Command] = {
    "mount": Command(
        _mount,
        {
            "MOUNTPOINT -i IFACE [FILTER]": "capture an interface",
            "MOUNTPOINT -r FILE [FILTER]": "read a capture file",
        },
    ),
    "umount": Command(_umount, {"MOUNTPOINT": "take the mount away"}),
    "ls": Command(_ls, {"[MOUNTPOINT|FLOW...]": "the flows: who sent how much to whom, when, how fast"}),
    "cat": Command(_cat, {"FLOW... [-f] [--both]": "write flows, or follow them"}),
    "stats": Command(_stats, {"[MOUNTPOINT]": "what was captured, dropped, lost and freed"}),
    "interfaces": Command(_interfaces, {"": "what there is to capture on"}),
    "check": Command(_check, {"[MOUNTPOINT]": "what is missing here, and how to mend it"}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (sys.argv without its first word); returns the exit status."""
    return _guarded(_dispatch, argv)


def mount_helper(argv: Sequence[str] | None = None) -> int:
    """As `main`, for `mount.flowfs`; the exit status is one of mount(8)."""
    return _guarded(_help_mount, argv)


def _guarded(command: Callable[[list[str]], int], argv: Sequence[str] | None) -> int:
    """Run a command; whatever ends it early becomes an exit status."""
    try:
        return command(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:  # `flowfs -h | head -1`
        sys.stdout = None  # so that the interpreter's last flush does not fail, too
        return FAILED
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        sys.stdout = None  # as above
        print(f"flowfs: standard output: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        print(f"flowfs: {error}; something is not installed, contrib/run sees to it", file=sys.stderr)
        return FAILED


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first == "help" and arguments[1:]:
        return _dispatch([arguments[1], "--help"])
    if first in ("-h", "--help", "help"):
        print(_usage(), end="", flush=True)
        return 0
    if first in ("-V", "--version"):
        print(f"flowfs {__version__}", flush=True)
        return 0
    if first in COMMANDS:
        return COMMANDS[first].run(arguments[1:])
    if helper_is_called(arguments):
        return _help_mount(arguments)
    print(f"flowfs: {_no_command(first)}", file=sys.stderr)
    return USAGE


def _usage() -> str:
    rows = [
        (f"{name} {arguments}".rstrip(), meaning)
        for name, one in COMMANDS.items()
        for arguments, meaning in one.usages.items()
    ]
    width = max(len(typed) for typed, _ in rows)
    lines = "\n".join(f"  {command()} {typed:{width}}   {meaning}" for typed, meaning in rows)
    return f"""\
flowfs {__version__}: live TCP flows of a network as files

{lines}

  {command()} COMMAND -h   all options of one, with examples
  {command()} -V           the version
"""


def helper_is_called(arguments: Sequence[str]) -> bool:
    """Whether these are from mount.fuse3(8), which calls by the type: SOURCE MOUNTPOINT -o LIST."""
    return len(arguments) == 4 and arguments[2] == "-o" and not arguments[0].startswith("-")


def _help_mount(arguments: list[str]) -> int:
    try:
        from . import helper

        return helper.run(arguments)
    except SystemExit as ended:  # argparse's status for a mistake is not that of mount(8)
        return MOUNT_8_USAGE if ended.code else 0
    except KeyboardInterrupt:
        return MOUNT_8_INTERRUPTED


def _no_command(first: str) -> str:
    *others, last = COMMANDS
    commands = f"{', '.join(others)} or {last}"
    more = f"({command()} -h tells more)"
    if not first:
        return f"no command given: {commands} {more}"
    if first.startswith("-") or "/" in first:
        return f"a command comes first: {command()} mount MOUNTPOINT ..., not {first} {more}"
    return f"no such command: {first}; there is {commands} {more}"

"""The command: argv → Config → one call. Exit statuses, and what people read on a terminal.

Always true: whatever goes wrong is one line on standard error, with what to do about it, and never a
traceback unless -d asks for one. The status says what went wrong: 1 it failed while running, 2 the command
line or the filter, 3 the capture could not be opened, 4 it could not be mounted.
"""

import sys
from collections.abc import Callable, Sequence

from flowfs import __version__
from flowfs.called import command

_USAGE = """\
flowfs {version}: live TCP flows of a network as files

  {flowfs} mount MOUNTPOINT -i IFACE [FILTER]    capture an interface
  {flowfs} mount MOUNTPOINT -r FILE [FILTER]     read a capture file
  {flowfs} umount MOUNTPOINT                     take the mount away

  {flowfs} mount -h       all options, with examples
  {flowfs} -V             the version
"""

COMMANDS = ("mount", "umount")


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
        return 1
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        print(f"flowfs: {error}; something is not installed, contrib/run sees to it", file=sys.stderr)
        return 1


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help", "help"):
        print(_USAGE.format(version=__version__, flowfs=command()), end="", flush=True)
        return 0
    if first in ("-V", "--version"):
        print(f"flowfs {__version__}", flush=True)
        return 0
    if first == "mount":
        from . import mount

        return mount.run(arguments[1:])
    if first == "umount":
        from . import umount

        return umount.run(arguments[1:])
    if helper_is_called(arguments):
        return _help_mount(arguments)
    print(f"flowfs: {_no_command(first)}", file=sys.stderr)
    return 2


def helper_is_called(arguments: Sequence[str]) -> bool:
    """Whether these are from mount.fuse3(8), which calls by the type: SOURCE MOUNTPOINT -o LIST."""
    return len(arguments) == 4 and arguments[2] == "-o" and not arguments[0].startswith("-")


def _help_mount(arguments: list[str]) -> int:
    from . import helper

    try:
        return helper.run(arguments)
    except SystemExit as ended:  # argparse's status for a mistake is not that of mount(8)
        return helper.BAD_CALL if ended.code else 0


def _no_command(first: str) -> str:
    commands = " or ".join(COMMANDS)
    more = f"({command()} -h tells more)"
    if not first:
        return f"no command given: {commands} {more}"
    if first.startswith("-") or "/" in first:
        return f"a command comes first: {command()} mount MOUNTPOINT ..., not {first} {more}"
    return f"no such command: {first}; there is {commands} {more}"

"""The command: argv → Config → one call. Exit statuses, and what people read on a terminal.

Always true: whatever goes wrong is one line on standard error, with what to do about it, and never a
traceback unless -d asks for one. The status says what went wrong: 1 it failed while running, 2 the command
line or the filter, 3 the capture could not be opened, 4 it could not be mounted.
"""

import sys
from collections.abc import Sequence

from flowfs import __version__
from flowfs.called import command

_USAGE = """\
flowfs {version}: live TCP flows of a network as files

  {flowfs} mount MOUNTPOINT -i IFACE [FILTER]    capture an interface
  {flowfs} mount MOUNTPOINT -r FILE [FILTER]     read a capture file
  {flowfs} umount MOUNTPOINT                     take the mount away
  {flowfs} cat FLOW... [-f] [--both]             write flows, or follow them

  {flowfs} mount -h       all options, with examples
  {flowfs} -V             the version
"""

COMMANDS = ("mount", "umount", "cat")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (sys.argv without its first word); returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
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
    if first == "cat":
        from . import cat

        return cat.run(arguments[1:])
    print(f"flowfs: {_no_command(first)}", file=sys.stderr)
    return 2


def _no_command(first: str) -> str:
    commands = " or ".join(COMMANDS)
    more = f"({command()} -h tells more)"
    if not first:
        return f"no command given: {commands} {more}"
    if first.startswith("-") or "/" in first:
        return f"a command comes first: {command()} mount MOUNTPOINT ..., not {first} {more}"
    return f"no such command: {first}; there is {commands} {more}"

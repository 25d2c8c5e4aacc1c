"""`flowfs umount`: take a mount away."""

from collections.abc import Sequence

from flowfs.called import command
from flowfs.mount import MountError, unmount

from .parse import Parser, add_common
from .terminal import Terminal

NO_MOUNT = 4


def run(arguments: Sequence[str]) -> int:
    """Unmount as told; returns the exit status."""
    parser = Parser(
        f"{command()} umount",
        usage=f"{command()} umount [-z] MOUNTPOINT...".replace("%", "%%"),  # argparse formats it
        description="Take a mount away; its capture ends.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("mountpoints", nargs="+", metavar="MOUNTPOINT", help="where flows are mounted")
    group = parser.add_argument_group("options")
    group.add_argument("-z", "--lazy", action="store_true", help="at once, even if files in it are open")
    add_common(group)
    told = parser.parse_args(arguments)
    terminal = Terminal(quiet=told.quiet, verbose=told.verbose)
    status = 0
    for mountpoint in told.mountpoints:
        try:
            unmount(mountpoint, told.lazy)
        except MountError as error:
            terminal.error(str(error))
            status = NO_MOUNT
        else:
            terminal.note(f"{mountpoint}: taken away")
    return status

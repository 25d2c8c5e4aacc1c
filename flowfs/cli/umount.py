"""`flowfs umount`: take a mount away, and wait until it has ended and saved what it had to."""

import time
from collections.abc import Sequence

from flowfs.ending import TOLD_S, Witness, attend
from flowfs.mountpoint import MountError, mounted_at, real_path, unmount

from .exits import FAILED, INTERRUPTED, NO_MOUNT
from .parse import Parser, add_common, command_parser
from .terminal import Terminal, printable

QUIET_S = 1.0  # shorter waiting needs no bar
AT_ONCE_S = 0.5  # what -z waits for a mount that may be in use

_HELP = """\
Take a mount away; its capture ends. Returns when all is saved, if it has an archive: 0 if so, 1 if something
could not be saved, which is told. Ctrl-C ends the waiting, not the saving.
"""


def umount_parser() -> Parser:
    """The parser of `flowfs umount`."""
    parser = command_parser("umount", "[-z] MOUNTPOINT...", _HELP)
    parser.add_argument("mountpoints", nargs="+", metavar="MOUNTPOINT", help="where flows are mounted")
    group = parser.add_argument_group("options")
    group.add_argument(
        "-z", "--lazy", action="store_true", help="at once, even if files in it are open or nobody answers"
    )
    add_common(parser)
    return parser


def run(arguments: Sequence[str]) -> int:
    """Unmount as told; returns the exit status, of several mounts the highest."""
    told = umount_parser().parse_args(arguments)
    terminal = Terminal(quiet=told.quiet, verbose=told.verbose)
    status = 0
    for mountpoint in told.mountpoints:
        status = max(status, _take_away(mountpoint, told.lazy, terminal))
        if status == INTERRUPTED:
            break
    return status


def _take_away(mountpoint: str, lazy: bool, terminal: Terminal) -> int:
    mounted = mounted_at(real_path(mountpoint))
    witness = attend(mounted.device, mounted.owner) if mounted is not None else None
    try:
        unmount(mountpoint, lazy)
        status = _wait(mountpoint, witness, lazy, terminal) if witness is not None else 0
    except MountError as error:
        terminal.error(str(error))
        return NO_MOUNT
    except KeyboardInterrupt:
        terminal.ready()
        terminal.error(_interrupted(mountpoint, witness))
        return INTERRUPTED
    finally:
        terminal.ready()
        if witness is not None:
            witness.close()
    terminal.note(f"{mountpoint}: taken away")
    return status


def _wait(mountpoint: str, witness: Witness, lazy: bool, terminal: Terminal) -> int:
    """Until the mount's process has ended; 0 if it has saved all that it should."""
    status, ended, begun, said = 0, False, time.monotonic(), ""
    for said, arguments in witness.messages(AT_ONCE_S if lazy else TOLD_S):
        line = printable(str(arguments[0])) if arguments else ""
        if said == "error":
            status = FAILED
            terminal.error(line)
        elif said == "warn":
            terminal.warn(f"{mountpoint}: {line}; {_how_to_end(witness)}")
        elif said == "progress" and time.monotonic() - begun > QUIET_S:
            done, total = (int(str(count)) for count in arguments)
            terminal.progress(done, total, "saving")
        ended = ended or said == "ended"
    if said != "gone":  # it goes on elsewhere, or is in use
        terminal.warn(f"{mountpoint}: still in use, and flowfs goes on until nobody uses it{_by(witness)}")
        status = status if lazy else FAILED
    elif not ended:
        terminal.error(f"{mountpoint}: killed, or ended by a fault{_by(witness)}: what was not saved is lost")
        status = FAILED
    return status


def _by(witness: Witness) -> str:
    return f", process {witness.process}" if witness.process else ""


def _how_to_end(witness: Witness) -> str:
    kill = f"kill {witness.process} ends that, and they are lost" if witness.process else ""
    return ", ".join(filter(None, ("Ctrl-C ends this waiting, not the saving", kill)))


def _interrupted(mountpoint: str, witness: Witness | None) -> str:
    if witness is None or mounted_at(real_path(mountpoint)) is not None:
        return f"{mountpoint}: interrupted"
    kill = f"; kill {witness.process} ends it, and what is not saved then is lost" if witness.process else ""
    return f"{mountpoint}: taken away, and not waited for any longer: it goes on to save its flows{kill}"

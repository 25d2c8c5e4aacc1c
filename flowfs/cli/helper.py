"""`mount.flowfs`: what mount(8) calls for fstab, `mount -t flowfs` and `mount -t fuse.flowfs`.

Owns the way from mount(8)'s words to those of `flowfs mount`. Which options there are says the parser of that
alone: each long one may be given as `-o name=value`, with `_` for `-` as people like it. All others are mount
options, which `mount` knows.

How a list is split `flowfs.mount.options` says. In fstab(5) a blank is `\\040` and a comma within a value
`\\,`: `\\054` is one before we see it.
"""

import argparse
import os
from collections.abc import Sequence

from flowfs.guessing import meant
from flowfs.mount import MountOptionError, MountOptions
from flowfs.mount.options import OPTIONS, alone, split

from . import mount
from .exits import MOUNT_8_FAILED, MOUNT_8_INTERRUPTED, MOUNT_8_USAGE, SIGNALLED, USAGE
from .parse import Parser, mount_parser
from .terminal import Terminal

_CALL = "mount.flowfs SOURCE MOUNTPOINT [-sfnv] [-o OPT[,OPT]]"
_HELP = """\
What mount(8) calls for a mount of type flowfs, or fuse.flowfs. SOURCE is an interface, any, or a capture
file; where -o has interface= or read=, SOURCE is no more than a label. Every long option of flowfs mount may
be given in -o, with or without its value, and the capture filter as filter=.
"""
_EXAMPLES = """\
examples:
  mount -t fuse.flowfs eth0 /mnt/flows -o 'filter=tcp port 25,max_memory=1G,user=joe'
  mount -t flowfs capture.pcap /mnt/flows
  eth0 /mnt/flows fuse.flowfs filter=tcp\\040port\\04025,allow_other,gid=adm,umask=027 0 0    in fstab

A comma within a value is \\, in fstab(5), too; on the command line \\054 and "a,b" will do. -t flowfs needs
mount.flowfs in /sbin, -t fuse.flowfs needs flowfs in the PATH that mount(8) has.
exit status: that of mount(8), 0 fine, 1 usage, 8 interrupted, 32 not mounted.
"""
_NOT_IN_A_LIST = frozenset(("--options", "--help"))  # which would nest, or mount nothing


def run(arguments: Sequence[str]) -> int:
    """Mount as mount(8) wishes; returns an exit status of mount(8)."""
    told = helper_parser().parse_args(arguments)
    try:
        return _run(told)
    except MountOptionError as error:
        Terminal().error(str(error))
        return MOUNT_8_USAGE


def _run(told: argparse.Namespace) -> int:
    if told.namespace:
        Terminal().error(f"-N is not for us: nsenter --mount={told.namespace} mount ...")
        return MOUNT_8_USAGE
    if any(name == "remount" for name, _ in split(told.options or ())):
        Terminal().error("-o remount: flowfs takes its options once; umount, and mount again")
        return MOUNT_8_USAGE
    if not told.sloppy and (mistake := _mistyped(told.options or ())):
        Terminal().error(mistake)
        return MOUNT_8_USAGE
    command = as_typed(told.source, told.mountpoint, told.options or (), sloppy=told.sloppy)
    if told.verbose:
        command.insert(0, "-v")
    status = mount.check(command) if told.fake else mount.run(command)
    if status > SIGNALLED:
        return MOUNT_8_INTERRUPTED
    return {0: 0, USAGE: MOUNT_8_USAGE}.get(status, MOUNT_8_FAILED)


def helper_parser() -> Parser:
    """The parser of `mount.flowfs`."""
    parser = Parser(
        "mount.flowfs",
        usage=_CALL,
        description=_HELP,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="an interface, any, or a capture file")
    add("mountpoint", metavar="MOUNTPOINT", help="a directory")
    add("-o", "--options", action="append", metavar="OPT[,OPT]", help="see above, and flowfs mount -h")
    add("-s", "--sloppy", action="store_true", help="leave out what is no option")
    add("-f", "--fake", action="store_true", help="look at the options, and mount nothing")
    add("-n", "--no-mtab", action="store_true", help="without effect: nothing is written to /etc/mtab")
    add("-v", "--verbose", action="store_true", help="more of what happens")
    add("-t", "--types", metavar="TYPE", help="without effect")
    add("-N", "--namespace", metavar="NS", help=argparse.SUPPRESS)
    return parser


def as_typed(source: str, mountpoint: str, lists: Sequence[str], *, sloppy: bool = False) -> list[str]:
    """The arguments of `flowfs mount` for those of a mount helper. `sloppy`: unknown options are left out."""
    known = mount_parser().long_options()
    words: list[str] = []
    others: list[tuple[str, str | None]] = []
    named, filter_ = False, ""
    for name, value in split(lists):
        option = "--" + name.replace("_", "-")
        takes_value = known.get(option)
        if name == "filter" and value is not None:
            filter_ = value
        elif takes_value is None or option in _NOT_IN_A_LIST or (takes_value and value is None):
            others.append((name, value))
        else:
            words.append(option if value is None else f"{option}={value}")
            named = named or option in ("--interface", "--read")
    if sloppy:
        others = [option for option in others if _is_mount_option(*option)]
    if named:  # mount -a knows by its name what is mounted already
        others.insert(0, ("fsname", source))
    words += [f"--options={alone(*option)}" for option in others]
    if not named:
        words.append(f"--read={source}" if _is_file(source) else f"--interface={source}")
    return [*words, "--", mountpoint, *([filter_] if filter_ else [])]


def _mistyped(lists: Sequence[str]) -> str:
    """The first option that is none, if it looks like one that there is; what else is wrong is told later."""
    names = mount_parser().long_options().keys() - _NOT_IN_A_LIST
    long = {"filter", *(name[2:].replace("-", "_") for name in names)}
    of_mounts = {option.removesuffix("=") for option in OPTIONS}
    for name, _ in split(lists):
        if name.replace("-", "_") in long or name in of_mounts or _is_mount_option(name):
            continue
        if guess := meant(name, (*sorted(long), *OPTIONS)):
            return f"-o {name}: no such mount option; {guess}"
    return ""


def _is_file(source: str) -> bool:
    """Whether a source is a file rather than an interface; one that is neither is called an interface."""
    if source == "-" or "/" in source:
        return True
    return not os.path.exists(f"/sys/class/net/{source}") and os.path.exists(source)


def _is_mount_option(name: str, value: str | None = None) -> bool:
    try:
        MountOptions.parse([alone(name, value)])
    except MountOptionError:
        return False
    return True

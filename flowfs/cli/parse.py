"""argv → Config. Owns the options' names and their help; which values are right, `config` knows.

Always true: an error is one line and exit status 2; options may come after the filter has begun.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from flowfs import __version__
from flowfs.called import command
from flowfs.config import ANY, BUFFER_KIB, MAX_SNAPLEN, Config, ConfigError, duration, number, size
from flowfs.core.limits import CHECKSUM_MODES, EVICT_POLICIES, KEEP_ENDS, Limits
from flowfs.templates import DEFAULT, letters_help, wants_links

from .exits import USAGE

_MOUNT_USAGE = "{flowfs} mount MOUNTPOINT (-i IFACE | -r FILE)... [options] [FILTER...]"
_MOUNT_HELP = """\
Mount the TCP flows of a network as files: one file a direction, growing while the flow does.
"""
_MOUNT_EXAMPLES = """\
examples:
  sudo {flowfs} mount /mnt/flows -i eth0 'tcp port 25'     mail as it comes; the mount is yours, not root's
  sudo {flowfs} mount ~/flows -i any not port 22           everything but this SSH session
  {flowfs} mount ~/flows -r capture.pcap                   a file; returns when it is loaded
  tcpdump -U -w - | {flowfs} mount ~/flows -r - --no-wait  from a pipe
  {flowfs} umount ~/flows

FILTER is a capture filter of libpcap, see pcap-filter(7). Sizes: 64k, 256M, 1GiB. Times: 30s, 10m, 1h.
SIGUSR1 makes a mount with -f print its counts, which are in MOUNTPOINT/.flowfs/status.json as well: packets
are those that passed the filter. In the background it speaks through syslog.
exit status: 0 fine, 1 failed while running, 2 usage or filter, 3 cannot capture, 4 cannot mount.
A capture that is cut or damaged is shown up to there, with a warning and status 0.
"""


_OPTIONS_HELP = (
    "mount options: ro (not even rm works), rw; visible (.flowfs is listed); allow_other (whom the modes let"
    " in), uid=, gid=, umask= (077: the modes of files are 0400, of directories 0500, of those where rm works"
    " 0700), allow_root (the owner and root), fsname= (what mount and df call it; else what is captured); and"
    " without effect those that mount(8) and fstab pass on:"
    " defaults, [no]auto, nofail, [no]user, users, owner, group, _netdev, [no]dev, [no]suid, [no]exec,"
    " [no]atime, [no]relatime, [no]diratime, sync, async, x-*"
)
_EVICT_HELP = (
    "who goes first when --max-memory is full. closed-first: closed flows, then idle ones, then the head of"
    " the largest; lru: who was longest without payload; oldest: who appeared first; largest: the head of who"
    " holds most (closed-first)"
)
_KEEP_HELP = "of a file that has -b: head, it stops growing; tail, at least its last bytes can be read (head)"
_NAMES_HELP = (
    "what files are called, / makes directories; letters are tcpflow's: %s. A name that another has gets ~"
    " and a number behind it (%s)"
)
_USER_HELP = (
    "root: whose mount it is; nobody else can read it, not even root, unless -o says so (who called sudo)"
)

# What filters begin with, see pcap-filter(7).
_FILTER_WORDS = frozenset(
    "tcp udp sctp icmp icmp6 ip ip6 arp ether host net port portrange src dst not gateway vlan mpls pppoes"
    " geneve less greater len proto broadcast multicast inbound outbound".split()
)

Group = argparse._ArgumentGroup  # argparse has no public name for it


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with USAGE."""
        print(f"flowfs: {message} ({self.prog} -h tells more)", file=sys.stderr)
        raise SystemExit(USAGE)

    def long_options(self) -> dict[str, bool]:
        """{"--name": whether it takes a value} of every option."""
        options = self._option_string_actions.items()
        return {name: action.nargs != 0 for name, action in options if name.startswith("--")}


def command_parser(name: str, follows: str, help_: str, more: str = "") -> Parser:
    """The parser of `flowfs NAME`, to which its caller adds what it takes, and add_common() in the end.

    `follows`: what its usage has behind the name; `more`: what its help ends with, its lines as they are.
    """
    return Parser(
        f"{command()} {name}",
        usage=f"{command()} {name} {follows}".replace("%", "%%"),  # argparse formats it
        description=help_,
        epilog=more or None,
        formatter_class=argparse.RawDescriptionHelpFormatter if more else argparse.HelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )


def add_mountpoint(parser: Parser) -> None:
    """What `looking.look` takes for the place."""
    parser.add_argument(
        "mountpoint", nargs="?", metavar="MOUNTPOINT", help="the mount, or something in it (the only one)"
    )


def _usage() -> str:
    return _MOUNT_USAGE.format(flowfs=command())


def mount_parser() -> Parser:
    """The parser of `flowfs mount`."""
    parser = Parser(
        f"{command()} mount",
        usage=_usage().replace("%", "%%"),  # argparse formats it
        description=_MOUNT_HELP,
        epilog=_MOUNT_EXAMPLES.format(flowfs=command()),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=34, width=100
        ),
        allow_abbrev=False,
        add_help=False,
    )
    # One list for both, so that options may stand between them and between the words of the filter.
    parser.add_argument("words", nargs="*", metavar="MOUNTPOINT FILTER", help=argparse.SUPPRESS)
    _add_sources(parser.add_argument_group("what to capture"))
    _add_budgets(parser.add_argument_group("how much to keep"))
    _add_mounting(parser.add_argument_group("how to mount"))
    add_common(parser)
    return parser


def _add_sources(group: Group) -> None:
    add = group.add_argument
    add("-i", "--interface", action="append", metavar="IFACE", help="an interface, or any; repeatable")
    add("-r", "--read", action="append", metavar="FILE", help="a capture file, or - (stdin); repeatable")
    add("--follow", action="store_true", help="the last file is still written: go on as it grows")
    add("-F", "--filter-file", metavar="FILE", help="read the filter from a file")
    add(
        "-s",
        "--snapshot-length",
        "--snaplen",
        metavar="BYTES",
        help="capture so much of each packet (262144)",
    )
    add("-B", "--buffer-size", metavar="KIB", help="the kernel's buffer for each interface (65536)")
    add("-p", "--no-promiscuous-mode", action="store_true", help="only packets for this machine")
    add("--checksum", choices=CHECKSUM_MODES, default="auto", help="what a wrong TCP checksum means (auto)")
    add("--direction", choices=("in", "out", "inout"), default="inout", help="which way packets go (inout)")
    add("--no-tunnels", action="store_true", help="leave what is in GRE, VXLAN and other tunnels alone")


def _add_budgets(group: Group) -> None:
    add = group.add_argument
    add("--max-memory", metavar="SIZE", help="for payload; --evict says who goes when it is full (256M)")
    add("--max-out-of-order", metavar="SIZE", help="for payload that waits for what comes before it (64M)")
    add("--max-table", metavar="SIZE", help="for connections and names (128M)")
    add("--max-fragments", metavar="SIZE", help="for IP fragments that wait for the rest (4M)")
    add("--evict", choices=EVICT_POLICIES, default="closed-first", metavar="POLICY", help=_EVICT_HELP)
    add("-b", "--max-flow-bytes", metavar="SIZE", help="of each file, keep so much (all)")
    add("--keep", choices=KEEP_ENDS, default="head", help=_KEEP_HELP)
    add("--max-flows", metavar="N", help="files at the most (as many as --max-table holds)")
    add("--lock-memory", action="store_true", help="keep what was captured out of swap (needs sudo)")
    add("--archive", metavar="DIR", help="save flows in there as they go, and what is left in the end")
    add("--idle-timeout", metavar="TIME", help="a connection silent for so long is over (10m)")


def _add_mounting(group: Group) -> None:
    add = group.add_argument
    add("-o", "--options", action="append", metavar="OPT[,OPT]", help=_OPTIONS_HELP)
    names_help = _NAMES_HELP % (letters_help(), DEFAULT)
    add("-T", "--names", metavar="TEMPLATE", help=names_help.replace("%", "%%"))  # argparse formats it
    add("-f", "--foreground", action="store_true", help="stay in the foreground")
    add("-d", "--debug", action="store_true", help="say everything; implies -f")
    add("--wait", action=argparse.BooleanOptionalAction, default=True, help="until files are loaded (yes)")
    add("-Z", "--user", metavar="USER", help=_USER_HELP)


def add_common(parser: Parser) -> None:
    """The options of every command."""
    add = parser.add_argument_group("common").add_argument
    add("-q", "--quiet", action="store_true", help="only errors")
    add("-v", "--verbose", action="store_true", help="more of what happens")
    add("-V", "--version", action="version", version=f"flowfs {__version__}", help="the version")
    add("-h", "--help", action="help", help="this")


def mount_config(arguments: Sequence[str]) -> Config:
    """What `flowfs mount` was told. Raises ConfigError; SystemExit for what argparse refuses, -h and -V."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    told = mount_parser().parse_intermixed_args(arguments[:end])  # versions of argparse differ about `--`
    words = [*told.words, *arguments[end + 1 :]]
    if not words:
        raise ConfigError(f"where to? usage: {_usage()}")
    mountpoint = words.pop(0)
    if _is_of_a_filter(mountpoint) and not os.path.lexists(mountpoint):
        raise ConfigError(
            f"MOUNTPOINT comes first, then the filter: there is no directory {mountpoint}; {_usage()}"
        )
    for word in words if told.read else ():
        if "." in word and os.path.isfile(word):
            raise ConfigError(f"{word} is a file, not a filter: -r comes before each file")
    if not told.interface and not told.read:
        for word in (mountpoint, *words):
            if option := _source_option(word):
                raise ConfigError(f"nothing to capture: did you mean {option} {word}? {_usage()}")
    return Config(
        mountpoint=_place(mountpoint),
        interfaces=tuple(told.interface or ()),
        files=tuple(told.read or ()),
        filter=_filter(words, told.filter_file),
        # tcpdump's habit: 0 is all of a packet.
        snaplen=_given(number, "-s", told.snapshot_length, 0) or MAX_SNAPLEN,
        buffer_kib=_given(number, "-B", told.buffer_size, BUFFER_KIB),
        promiscuous=not told.no_promiscuous_mode,
        direction=told.direction,
        follow=told.follow,
        tunnels=not told.no_tunnels,
        limits=_limits(told),
        archive=_archive(told.archive),
        names=DEFAULT if told.names is None else told.names,
        mount_options=tuple(told.options or ()),
        foreground=told.foreground or told.debug,
        debug=told.debug,
        lock_memory=told.lock_memory,
        wait=told.wait,
        user=told.user or "",
        quiet=told.quiet,
        verbose=told.verbose or told.debug,
    )


def _source_option(word: str) -> str:
    """The option that belongs before a word that is a source, "" if it is none."""
    if word in (ANY, *(name for _, name in socket.if_nameindex())):
        return "-i"
    return "-r" if os.path.isfile(word) else ""


def _is_of_a_filter(word: str) -> bool:
    """Whether a word, or several in one, looks like the beginning of a filter."""
    first = (word.split() or [""])[0]
    return first.startswith(("(", "!")) or first.partition("[")[0].lower() in _FILTER_WORDS


def _limits(told: argparse.Namespace) -> Limits:
    usual = Limits()
    return Limits(
        payload_bytes=_given(size, "--max-memory", told.max_memory, usual.payload_bytes),
        out_of_order_bytes=_given(
            size, "--max-out-of-order", told.max_out_of_order, usual.out_of_order_bytes
        ),
        table_bytes=_given(size, "--max-table", told.max_table, usual.table_bytes),
        fragment_bytes=_given(size, "--max-fragments", told.max_fragments, usual.fragment_bytes),
        max_flows=_given(number, "--max-flows", told.max_flows, usual.max_flows),
        evict=told.evict,
        max_flow_bytes=_given(size, "--max-flow-bytes", told.max_flow_bytes, usual.max_flow_bytes),
        keep=told.keep,
        idle_ns=_given(duration, "--idle-timeout", told.idle_timeout, usual.idle_ns),
        archives=told.archive is not None,
        links=wants_links(told.names or ""),
        checksum=told.checksum,
    )


def _given(parse: Callable[[str, str], int], option: str, text: str | None, usual: int) -> int:
    return usual if text is None else parse(option, text)


def _place(mountpoint: str) -> str:
    if not mountpoint:
        raise ConfigError("MOUNTPOINT: the name is empty")
    return os.path.abspath(mountpoint)


def _archive(path: str | None) -> str:
    if path == "":
        raise ConfigError("--archive: the name is empty")
    return os.path.abspath(path) if path else ""


def _filter(words: Sequence[str], file: str | None) -> str:
    """The words joined, or the file without its comments (# to the end of a line, as in tcpdump)."""
    if file is None:
        return " ".join(words).strip()
    if words:
        raise ConfigError(f"-F {file}: there is a filter on the command line, too: {' '.join(words)}")
    try:
        text = Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"-F {file}: cannot read it: {why}") from None
    return " ".join(word for line in text.splitlines() for word in line.partition("#")[0].split())

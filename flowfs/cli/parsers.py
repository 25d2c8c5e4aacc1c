"""Every command and its parser: for man pages, completions, and whoever else asks what there is."""

from .cat import cat_parser
from .check import check_parser
from .interfaces import interfaces_parser
from .ls import ls_parser
from .parse import Parser, mount_parser
from .stats import stats_parser
from .umount import umount_parser


def parsers() -> dict[str, Parser]:
    """{command: its parser}, in the order in which they are shown. Who adds a command adds it here."""
    return {
        "mount": mount_parser(),
        "umount": umount_parser(),
        "ls": ls_parser(),
        "cat": cat_parser(),
        "stats": stats_parser(),
        "interfaces": interfaces_parser(),
        "check": check_parser(),
    }

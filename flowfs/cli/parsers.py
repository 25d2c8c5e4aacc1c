"""Every command and its parser: for man pages, completions, and whoever else asks what there is."""

from .parse import Parser, mount_parser
from .umount import umount_parser


def parsers() -> dict[str, Parser]:
    """{command: its parser}, in the order in which they are shown. Who adds a command adds it here."""
    return {"mount": mount_parser(), "umount": umount_parser()}

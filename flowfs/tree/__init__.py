"""What the directory looks like: names, inodes, attributes, generated files.

Knows the engine's files and no kernel: no FUSE, no trio, nothing that waits. `tree` is the directory with its
flows, which stand on the `shelf`; `names` writes and reads their names, `directories` says where they are, by
a template `places` and `letters` do, `numbers` inode numbers, `answers` is
what is answered, `xattrs` what is attached to a flow. `control` is what `.flowfs` holds: `guide`, `status`,
`metrics`, `roll`, `events`, `groups`, and `meta` and `conversations` of each flow.
"""

from ..core.limits import STAT_BLOCK_BYTES
from .answers import (
    DIRECTORY_MODE,
    FOREVER_S,
    STREAM_MODE,
    Attributes,
    Opened,
    Readiness,
    Reason,
    Space,
    TreeError,
    Unready,
)
from .directories import Called, Directories, Flat
from .numbers import ROOT
from .places import directories
from .tree import FOLLOW, MAX_NAME_BYTES, PAGE_BYTES, READ_BYTES, ROOT_MODE, Name, Tree

__all__ = [
    "DIRECTORY_MODE",
    "FOLLOW",
    "FOREVER_S",
    "MAX_NAME_BYTES",
    "PAGE_BYTES",
    "READ_BYTES",
    "ROOT",
    "ROOT_MODE",
    "STAT_BLOCK_BYTES",
    "STREAM_MODE",
    "Attributes",
    "Called",
    "Directories",
    "Flat",
    "Name",
    "Opened",
    "Readiness",
    "Reason",
    "Space",
    "Tree",
    "TreeError",
    "Unready",
    "directories",
]

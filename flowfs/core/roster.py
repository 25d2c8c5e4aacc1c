# cython: boundscheck=False, wraparound=False, cdivision=True
"""Files as a directory lists them, and how addresses and ports are spelled in names.

For whoever lists a hundred thousand of them: neither a call nor an object for each thing that is asked of a
file. Knows no directory: which numbers stand for a file there says whoever lists, and he spells the rarer
names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

if not cython.compiled:
    from .flow import Flow
    from .memory import dotted

from .flow import OPEN
from .limits import STAT_BLOCK_BYTES

Entry = tuple[bytes, Any, int]
"""A file: its name, its attributes, and its inode."""

_PLAIN_KEY_BYTES = 12  # IPv4 without a VLAN


class Roster:
    """What a directory lists of a file.

    `first_inode`: of the file with serial 0. `lasting_s`: for how long a name, and a size that lasts until
    changes() name it, may be kept. `name_of(key, generation)` spells what is no plain IPv4. `attributes`
    makes what stands for a file of a tuple: inode, size, blocks of 512 bytes, first, last and changed time
    in nanoseconds, mode, number of links, and for how many seconds that and the name hold.
    """

    def __init__(
        self,
        first_inode: int,
        mode: int,
        lasting_s: float,
        name_of: Callable[[bytes, int], bytes],
        attributes: Callable[[tuple[Any, ...]], Any],
    ) -> None:
        self.first_inode = first_inode
        self.mode = mode
        self.lasting_s = lasting_s
        self.name_of = name_of
        self.attributes = attributes

    def entry(self, flow: Flow, hot_ns: int) -> Entry:
        """The file as it is; `watched` was set before, unless it is open and has grown since `hot_ns`."""
        lasts = flow.watched and (flow.state != OPEN or flow.last_ns <= hot_ns)
        if len(flow.key) == _PLAIN_KEY_BYTES and flow.generation == 0:
            name = dotted(flow.key)
        else:
            name = self.name_of(flow.key, flow.generation)
        inode = self.first_inode + flow.serial
        numbers = (
            inode,
            flow.size,
            (flow.held_bytes + STAT_BLOCK_BYTES - 1) // STAT_BLOCK_BYTES,
            flow.first_ns,
            flow.last_ns,
            flow.changed_ns,
            self.mode,
            1,
            self.lasting_s if lasts else 0.0,
            self.lasting_s,
        )
        return name, self.attributes(numbers), inode


def ends_of(key: bytes) -> bytes:
    """Of a key of IPv4, `128.129.130.131.02345-010.011.012.013.45103`."""
    return dotted(key)

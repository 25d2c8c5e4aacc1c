"""What the directory answers with: attributes, handles, refusals. Knows nothing of what there is."""

from __future__ import annotations

import enum
import stat
from collections.abc import Callable
from typing import NamedTuple

DIRECTORY_MODE = stat.S_IFDIR | 0o500  # of those below the root
FILE_MODE = stat.S_IFREG | 0o400
STREAM_MODE = stat.S_IFIFO | 0o600  # we write to it, with no more rights than its owner has
LINK_MODE = stat.S_IFLNK | 0o777  # as all symbolic links have it: symlink(7)

FOREVER_S = 300.0  # until `changes()` says otherwise; an end only in case that word got lost
DIRECTORY_S = 1.0  # a listing of the directory needs its attributes for each entry
AT_ONCE_S = 0.0  # generated: other bytes each time


class Reason(enum.Enum):
    """Why the tree refuses."""

    NOT_FOUND = "no such name"
    NOT_A_DIRECTORY = "a file is no directory"
    IS_A_DIRECTORY = "a directory is no file"
    NOT_A_LINK = "only a symbolic link leads elsewhere"
    NO_ATTRIBUTE = "no such extended attribute"
    READ_ONLY = "nothing here can be written"
    STALE = "the flow was evicted"
    FREED = "the bytes asked for were freed"
    NOT_OPEN = "no such handle"
    NOT_EMPTY = "something is in the directory"


class TreeError(Exception):
    """A request that the tree refuses. Nothing has changed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Unready(Exception):
    """It has to be made before: call `work` in some thread, and ask again."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__("not made yet")
        self.work = work


class Attributes(NamedTuple):
    """One inode. Sizes in bytes, times in nanoseconds since 1970, `blocks` of 512 bytes.

    `valid_s`: for how many seconds an answer may be kept that `changes()` does not name, `name_valid_s`: for
    how many its name.
    """

    inode: int
    size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    links: int
    valid_s: float
    name_valid_s: float


class Opened(NamedTuple):
    """An open file. `cacheable`: its size and bytes are final."""

    handle: int
    cacheable: bool


class Readiness(NamedTuple):
    """Whether a read that goes on where the last one of its handle ended says anything.

    `readable`: there are bytes, or an error, or an end that stays. `ended`: there will be no more bytes than
    there are.
    """

    readable: bool
    ended: bool


class Space(NamedTuple):
    """What the directory may hold and holds: payload bytes by capacity, flows, and room for more of them."""

    total_bytes: int
    used_bytes: int
    flows: int
    free_flows: int

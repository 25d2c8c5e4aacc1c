"""The directory: which inodes there are, what they are called, what they hold.

Owns inode numbers, attributes and open handles. Knows no kernel and never waits. Bytes and their lifetime are
the engine's, the spelling of names is that of `names`.

An inode number is 1 for the root, a small number for `.flowfs` and what is in it, FIRST_FLOW + serial for a
flow, and FIRST_META + serial for what is known of it. So the number alone finds the flow, and nothing has to
be remembered for those who hold a number: there are no lookups to count, and nothing that a FORGET would end.
Serials are never used twice, so neither are inode numbers.

The capture changes flows while the tree looks at them. What holds nevertheless:
 - `watched` is set before a size is read, and the store clears it after it has set a size: growth that an
   answer does not show is in a later `changes()`;
 - `named` is set before `evicted` is read, and the store looks at `named` after it has set `evicted`: a name
   that was given away and has gone is in a later `changes()`;
 - hence a caller that hands an answer on before it asks for `changes()` may keep it until they name it.
"""

from __future__ import annotations

import enum
import itertools
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ..core.engine import Engine
from ..core.flow import OPEN, Evicted, Flow
from .control import CONTROL, CONTROL_NAME, DIRECTORIES, FILES, FIRST_META, META, META_SUFFIX, Control
from .names import name_of, parse

ROOT = 1
FIRST_FLOW = 1024  # the inode number of serial 0, which no flow has

MAX_NAME_BYTES = 255  # NAME_MAX of limits.h; the longest name of a flow has 120

ROOT_MODE = stat.S_IFDIR | 0o700
DIRECTORY_MODE = stat.S_IFDIR | 0o500  # of those below the root
FILE_MODE = stat.S_IFREG | 0o400
BLOCK_BYTES = 512  # the unit of st_blocks
READ_BYTES = 131072  # st_blksize: cat and cp read so much at once

FOREVER_S = 300.0  # until `changes()` says otherwise; an end only in case that word got lost
DIRECTORY_S = 1.0  # a listing of the directory needs its attributes for each entry
AT_ONCE_S = 0.0  # generated: other bytes each time

_DOT_COOKIE, _DOT_DOT_COOKIE = 1, 2
_LIST_COUNT = 512  # flows taken from the engine at once; the kernel asks for some 600 entries


class Reason(enum.Enum):
    """Why the tree refuses."""

    NOT_FOUND = "no such name"
    NOT_A_DIRECTORY = "a file is no directory"
    IS_A_DIRECTORY = "a directory is no file"
    READ_ONLY = "nothing here can be written"
    STALE = "the flow was evicted"
    FREED = "the bytes asked for were freed"
    NOT_OPEN = "no such handle"


class TreeError(Exception):
    """A request that the tree refuses. Nothing has changed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Attributes(NamedTuple):
    """One inode. Sizes in bytes, times in nanoseconds since 1970, `blocks` of 512 bytes.

    `valid_s`: for how many seconds an answer may be kept that `changes()` does not name.
    """

    inode: int
    mode: int
    links: int
    size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    valid_s: float


class Opened(NamedTuple):
    """An open file. `cacheable`: its size and bytes are final."""

    handle: int
    cacheable: bool


class Space(NamedTuple):
    """What the directory may hold and holds: payload bytes by capacity, flows, and room for more of them."""

    total_bytes: int
    used_bytes: int
    flows: int
    free_flows: int


class Tree:
    """One directory of flows. To be called from one thread; the engine may be fed from another meanwhile.

    `about` gives what is to stand in `status.json` besides the engine's counters, `sources` among it: the
    names of interfaces and files by their numbers.
    """

    def __init__(self, engine: Engine, about: Callable[[], Mapping[str, object]] = dict) -> None:
        self._engine = engine
        self._control = Control(engine, about)
        self._numbers = itertools.count(1)
        self._flows: dict[int, Flow] = {}  # by handle
        self._snapshots: dict[int, bytes] = {}  # by handle
        self._held: dict[int, Flow] = {}  # by inode, while open: an evicted flow is found here alone
        self._directory_ns = time.time_ns()
        self._directory_counts = self._turnover(engine.statistics())

    # --- names and attributes ----------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes of `name` in the directory `parent`. NOT_FOUND, NOT_A_DIRECTORY, STALE."""
        if parent == ROOT:
            if name == CONTROL_NAME:
                return self._control_attributes(CONTROL)
            return self._named_attributes(self._find(name))
        self._require_directory(parent)
        if parent == CONTROL and name in FILES:
            return self._file_attributes(FILES[name])
        if parent == CONTROL and name in DIRECTORIES:
            return self._control_attributes(DIRECTORIES[name])
        if parent == META and name.endswith(META_SUFFIX):
            return self._meta_attributes(self._find(name.removesuffix(META_SUFFIX)))
        raise TreeError(Reason.NOT_FOUND)

    def attributes(self, inode: int) -> Attributes:
        """The attributes of an inode. STALE once its flow was evicted and nobody has it open."""
        if inode > FIRST_META:
            return self._meta_attributes(self._flow(inode - FIRST_META + FIRST_FLOW))
        if inode > FIRST_FLOW:
            return self._flow_attributes(self._flow(inode))
        if inode == ROOT:
            return self._root_attributes()
        if inode in (CONTROL, META):
            return self._control_attributes(inode)
        if inode in FILES.values():
            return self._file_attributes(inode)
        raise TreeError(Reason.STALE)

    def entries(self, inode: int, cookie: int) -> Iterator[tuple[bytes, Attributes, int]]:
        """What a directory lists after `cookie` (0: from the start): name, attributes, cookie of the entry.

        `.` and `..` first, then flows in order of appearance. A flow that is there throughout comes exactly
        once and every other at most once, in however many calls. `.flowfs` is found by name and not listed.
        NOT_A_DIRECTORY, STALE.
        """
        self._require_directory(inode)
        if cookie < _DOT_COOKIE:
            yield b".", self.attributes(inode), _DOT_COOKIE
        if cookie < _DOT_DOT_COOKIE:
            yield b"..", self._root_attributes(), _DOT_DOT_COOKIE
        if inode == ROOT:
            yield from self._flow_entries(max(cookie - FIRST_FLOW, 0))
        elif inode == META:
            yield from self._meta_entries(max(cookie - FIRST_META, 0))
        else:
            for name, number in (*FILES.items(), *DIRECTORIES.items()):
                if cookie < number:
                    yield name, self.attributes(number), number

    def _meta_entries(self, serial: int) -> Iterator[tuple[bytes, Attributes, int]]:
        while flows := self._engine.list_after(serial, _LIST_COUNT):
            for flow in flows:
                if not flow.evicted:
                    attributes = self._meta_attributes(flow)
                    yield name_of(flow.key, flow.generation) + META_SUFFIX, attributes, attributes.inode
            serial = flows[-1].serial

    def _flow_entries(self, serial: int) -> Iterator[tuple[bytes, Attributes, int]]:
        while flows := self._engine.list_after(serial, _LIST_COUNT):
            for flow in flows:
                flow.named = True
                if flow.evicted:
                    continue
                attributes = self._flow_attributes(flow)
                yield name_of(flow.key, flow.generation), attributes, attributes.inode
            serial = flows[-1].serial

    def _find(self, name: bytes) -> Flow:
        parsed = parse(name)
        flow = self._engine.find(*parsed) if parsed is not None else None
        if flow is None:
            raise TreeError(Reason.NOT_FOUND)
        return flow

    def _flow(self, inode: int) -> Flow:
        flow = self._engine.get(inode - FIRST_FLOW) or self._held.get(inode)
        if flow is None:
            raise TreeError(Reason.STALE)
        return flow

    def _require_directory(self, inode: int) -> None:
        if inode in (ROOT, CONTROL, META):
            return
        self.attributes(inode)
        raise TreeError(Reason.NOT_A_DIRECTORY)

    # --- attributes, by kind -----------------------------------------------------------------------

    def _named_attributes(self, flow: Flow) -> Attributes:
        flow.named = True
        if flow.evicted:
            raise TreeError(Reason.NOT_FOUND)
        return self._flow_attributes(flow)

    def _flow_attributes(self, flow: Flow) -> Attributes:
        flow.watched = True
        inode, links = FIRST_FLOW + flow.serial, 0 if flow.evicted else 1
        blocks = -(-flow.held_bytes // BLOCK_BYTES)
        times = flow.first_ns, flow.last_ns, flow.changed_ns
        # Attributes(...) would take 0.6 µs more, a third of what an entry of a listing costs.
        return tuple.__new__(Attributes, (inode, FILE_MODE, links, flow.size, blocks, *times, FOREVER_S))

    def _root_attributes(self) -> Attributes:
        now_ns = self._directory_time()
        return Attributes(ROOT, ROOT_MODE, 2, 0, 0, now_ns, now_ns, now_ns, DIRECTORY_S)

    def _control_attributes(self, inode: int) -> Attributes:
        now_ns = self._directory_time()
        return Attributes(inode, DIRECTORY_MODE, 2, 0, 0, now_ns, now_ns, now_ns, DIRECTORY_S)

    def _file_attributes(self, inode: int) -> Attributes:
        size = len(self._control.text(inode))
        now_ns = time.time_ns()
        return Attributes(inode, FILE_MODE, 1, size, 0, now_ns, now_ns, now_ns, AT_ONCE_S)

    def _meta_attributes(self, flow: Flow) -> Attributes:
        size = len(self._control.meta(flow))
        inode, links = FIRST_META + flow.serial, 0 if flow.evicted else 1
        changed_ns = max(flow.last_ns, flow.changed_ns)
        return Attributes(
            *(inode, FILE_MODE, links, size, 0, flow.first_ns, changed_ns, changed_ns, AT_ONCE_S)
        )

    def _directory_time(self) -> int:
        """When a flow appeared or went: the time at which somebody first asked afterwards."""
        counts = self._turnover(self._engine.statistics())
        if counts != self._directory_counts:
            self._directory_counts = counts
            self._directory_ns = time.time_ns()
        return self._directory_ns

    @staticmethod
    def _turnover(statistics: Mapping[str, int]) -> tuple[int, int]:
        return statistics["flows_total"], statistics["flows"]

    # --- reading -----------------------------------------------------------------------------------

    def open(self, inode: int) -> Opened:
        """A handle to read an inode with. A generated file stays as it is at this moment.

        STALE if the flow was evicted, IS_A_DIRECTORY.
        """
        if inode > FIRST_META:
            text = self._control.meta(self._flow(inode - FIRST_META + FIRST_FLOW))
        elif inode > FIRST_FLOW:
            return self._open_flow(inode)
        elif inode in FILES.values():
            text = self._control.text(inode)
        else:
            self.attributes(inode)
            raise TreeError(Reason.IS_A_DIRECTORY)
        handle = next(self._numbers)
        self._snapshots[handle] = text
        return Opened(handle, cacheable=False)

    def _open_flow(self, inode: int) -> Opened:
        flow = self._engine.get(inode - FIRST_FLOW)
        if flow is None:
            raise TreeError(Reason.STALE)
        try:
            self._engine.open(flow)
        except Evicted:
            raise TreeError(Reason.STALE) from None
        handle = next(self._numbers)
        self._flows[handle] = self._held[inode] = flow
        return Opened(handle, cacheable=self._engine.finished or flow.state != OPEN)

    def read(self, handle: int, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end of what can be read. FREED, NOT_OPEN."""
        flow = self._flows.get(handle)
        if flow is None:
            return self._snapshot(handle)[offset : offset + size]
        try:
            return self._engine.read(flow, offset, size)
        except Evicted:
            raise TreeError(Reason.FREED) from None

    def release(self, handle: int) -> None:
        """The handle is done with. NOT_OPEN."""
        flow = self._flows.pop(handle, None)
        if flow is None:
            self._snapshot(handle)
            del self._snapshots[handle]
            return
        self._engine.release(flow)
        if not flow.opens:
            del self._held[FIRST_FLOW + flow.serial]

    def _snapshot(self, handle: int) -> bytes:
        text = self._snapshots.get(handle)
        if text is None:
            raise TreeError(Reason.NOT_OPEN)
        return text

    # --- everything else ---------------------------------------------------------------------------

    def unlink(self, parent: int, name: bytes) -> None:
        """Evict the flow of this name. `changes()` does not name it: the caller knows.

        NOT_FOUND; READ_ONLY for everything but flows.
        """
        if parent != ROOT:
            self.lookup(parent, name)
            raise TreeError(Reason.READ_ONLY)
        if name == CONTROL_NAME:
            raise TreeError(Reason.READ_ONLY)
        flow = self._find(name)
        flow.named = False
        self._engine.remove(flow)

    def space(self) -> Space:
        """How much the directory may hold, and holds."""
        statistics = self._engine.statistics()
        total_bytes, used_bytes = statistics["payload_limit_bytes"], statistics["payload_used_bytes"]
        return Space(total_bytes, used_bytes, statistics["flows"], statistics["flows_free"])

    def changed(self) -> bool:
        """Whether `changes()` has anything. Cheap."""
        return self._engine.changed()

    def changes(self) -> tuple[list[int], list[bytes], list[int]]:
        """Since it was last asked: inodes whose attributes were given away and hold no more, names in the
        root that were given away and have gone, and inodes that were once open and of which bytes went.
        """
        changes = self._engine.changes()
        grown = [FIRST_FLOW + flow.serial for flow in changes.grown]
        freed = [FIRST_FLOW + flow.serial for flow in changes.freed]
        return grown, [name_of(flow.key, flow.generation) for flow in changes.gone], freed

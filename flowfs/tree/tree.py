"""The directory: which inodes there are, what they are called, what they hold.

Owns attributes of flows and open handles. Knows no kernel and never waits. Bytes and their lifetime are the
engine's, the spelling of names is that of `names`, what an inode number says that of `numbers`; what is below
`.flowfs` sees to itself, in `control`.

The capture changes flows while the tree looks at them. What holds nevertheless:
 - the engine sets `watched` before a size is read, and clears it after it has set a size: growth that an
   answer does not show is in a later `changes()`;
 - the engine sets `named` when it gives a flow for its name: a name that was given away and has gone is in
   a later `changes()`;
 - of a flow that has just grown an answer holds for its moment alone, and growth is not told of: the kernel
   takes no size that it was told to forget before it came, and a mapping would end at an older one (SIGBUS);
 - a reader that waits has `watched` set before it is told that there is nothing: what ends its waiting is in
   a later `changes()`;
 - hence a caller that hands an answer on before it asks for `changes()` may keep it until they name it.

A Flow that is not open is the file as it was when the engine gave it, so nothing but numbers, attributes and
names is kept of it.
"""

from __future__ import annotations

import itertools
import stat
import time
from collections.abc import Callable, Iterator, Mapping

from ..core.engine import Engine
from ..core.flow import OPEN, Evicted, Flow
from ..core.limits import HOT_NS, STAT_BLOCK_BYTES
from . import xattrs
from .answers import (
    AT_ONCE_S,
    DIRECTORY_S,
    FILE_MODE,
    FOREVER_S,
    Attributes,
    Opened,
    Readiness,
    Reason,
    Space,
    TreeError,
)
from .control import CONTROL_NAME, Control, Entry, Growing, Held, how_far
from .directories import PLACE_MODE, Directories, Flat
from .folder import Folder
from .meta import source_of
from .numbers import FIRST_FLOW, ROOT, Fixed, is_flow, stream_of
from .shelf import Shelf
from .survey import Listing

FOLLOW = CONTROL_NAME + b"/follow"  # from the root
MAX_NAME_BYTES = 255  # NAME_MAX of limits.h; the longest name of a flow has 120

ROOT_MODE = stat.S_IFDIR | 0o700
READ_BYTES = 131072  # st_blksize: cat and cp read so much at once
PAGE_BYTES = 4096  # st_blksize of files that do not hold all their bytes
_READ_AT_ONCE_BYTES = 1 << 20  # 256 pages; more where pages are larger, or fs.fuse.max_pages_limit is

Name = tuple[int, bytes]  # in which directory, by its inode, and what

_DOT_COOKIE, _DOT_DOT_COOKIE = 1, 2
_CONTROL_COOKIE = 3  # where `.flowfs` is listed; those of flows are higher
_FIRST_LISTING = 1 << 62  # handles of directories of which a list is kept; all others are inode numbers


class _Reader:
    """An open flow. `position`: where its last read ended."""

    __slots__ = ("flow", "position")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.position = 0


class _Text:
    """An open generated file. `position`: where its last read ended; `said`: how far it was, when asked."""

    __slots__ = ("held", "position", "said")

    def __init__(self, held: Held) -> None:
        self.held = held
        self.position = 0
        self.said = (0, False)  # its size, and whether it has ended


class Tree:
    """One directory of flows. To be called from one thread; the engine may be fed from another meanwhile.

    `about` gives what is to stand in `status.json` besides the engine's counters, `sources` among it: the
    names of interfaces and files by their numbers. `visible`: `.flowfs` is listed, too.

    What takes long to make is not made by whoever asks for it first: they get Unready, with the work to be
    done, in any thread, before they ask again.
    """

    def __init__(
        self,
        engine: Engine,
        about: Callable[[], Mapping[str, object]] = dict,
        visible: bool = False,
        directories: Directories | None = None,
    ) -> None:
        self._engine = engine
        self._directories = Flat(engine) if directories is None else directories
        self._shelf = Shelf(engine, self._directories)
        self._control = Control(self._shelf, about, self._directory_time)
        self._visible = visible
        self._numbers = itertools.count(1)
        self._readers: dict[int, _Reader] = {}  # of flows, by handle
        self._texts: dict[int, _Text] = {}  # by handle
        self._listings: dict[int, tuple[int, Listing]] = {}  # by handle, each with the inode
        self._directory_ns = time.time_ns()
        self._directory_counts = self._turnover(engine.statistics())
        self._page = memoryview(bytearray(_READ_AT_ONCE_BYTES))
        self._removed: list[int] = []  # inodes that are still open, for changes()
        self._finished = False  # the engine has, and changes() said so

    # --- names and attributes ----------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes of `name` in the directory `parent`. NOT_FOUND, NOT_A_DIRECTORY, STALE; Unready."""
        if parent == ROOT and name == CONTROL_NAME:
            return self._control.attributes(Fixed.CONTROL)
        if parent == ROOT or self._directories.folder(parent) is not None:
            found = self._directories.find(parent, name)
            if isinstance(found, Folder):
                return self._folder_attributes(found)
            return self._named_attributes(found)
        self._require_directory(parent)
        self._directories.ready()
        return self._control.lookup(parent, name)

    def attributes(self, inode: int) -> Attributes:
        """The attributes of an inode. STALE once its flow was evicted and nobody has it open; Unready."""
        if is_flow(inode):
            return self._flow_attributes(self._shelf.numbered(inode - FIRST_FLOW))
        if inode == ROOT:
            return self._root_attributes()
        folder = self._directories.folder(inode)
        if folder is not None:
            return self._folder_attributes(folder)
        self._directories.ready()
        return self._control.attributes(inode)

    def target(self, inode: int) -> bytes:
        """Where a symbolic link leads. NOT_A_LINK, STALE; Unready."""
        self._directories.ready()
        return self._control.target(inode)

    def xattr(self, inode: int, name: bytes) -> bytes:
        """An extended attribute. NO_ATTRIBUTE, STALE; Unready."""
        if name not in self.xattr_names(inode):
            raise TreeError(Reason.NO_ATTRIBUTE)
        flow = self._shelf.numbered(inode - FIRST_FLOW)
        source = source_of(flow, self._control.sources())
        self._directories.ready()
        return xattrs.value(name, flow, self._engine.about(flow), self._directories.called(flow), source)

    def xattr_names(self, inode: int) -> tuple[bytes, ...]:
        """The extended attributes that an inode has: those of flows have all."""
        return xattrs.names(self._directories.by_template) if is_flow(inode) else ()

    def followed(self, inode: int) -> int:
        """The inode of the flow that a FIFO of `.flowfs/follow` is for. STALE."""
        serial = stream_of(inode)
        if serial is None:
            raise TreeError(Reason.STALE)
        return FIRST_FLOW + serial

    # --- listings ----------------------------------------------------------------------------------

    def open_directory(self, inode: int) -> int:
        """A handle to list a directory with. NOT_A_DIRECTORY, STALE."""
        self._require_directory(inode)
        listing = self._control.listing(inode)
        if listing is None:
            return inode
        handle = _FIRST_LISTING + next(self._numbers)
        self._listings[handle] = inode, listing
        return handle

    def release_directory(self, handle: int) -> None:
        """The handle is done with."""
        self._listings.pop(handle, None)

    def entries(self, handle: int, cookie: int) -> Iterator[Entry]:
        """What a directory lists after `cookie` (0: from the start): name, attributes, cookie of the entry.

        `.` and `..` first, then flows in order of appearance. A flow that is there throughout comes exactly
        once and every other at most once, in however many calls. `.flowfs` is found by name, and listed
        only where that is wanted. STALE.
        """
        inode, listing = self._listings.get(handle, (handle, None))
        if listing is not None:
            listing.ready()
        self._directories.ready()
        yield from self._dots(inode)[cookie:]
        if inode != ROOT and self._directories.folder(inode) is None:
            yield from self._control.entries(inode, cookie, listing)
            return
        if self._visible and handle == ROOT and cookie < _CONTROL_COOKIE:
            yield CONTROL_NAME, self._control.attributes(Fixed.CONTROL), _CONTROL_COOKIE
        for name, found, number in self._directories.after(handle, cookie):
            if isinstance(found, Attributes):
                yield name, found, number
            elif isinstance(found, Folder):
                yield name, self._folder_attributes(found), number
            elif not found.evicted:
                yield name, self._flow_attributes(found), number

    def _dots(self, inode: int) -> list[Entry]:
        folder = self._directories.folder(inode)
        above = self.attributes(folder.up) if folder is not None else self._root_attributes()
        return [(b".", self.attributes(inode), _DOT_COOKIE), (b"..", above, _DOT_DOT_COOKIE)]

    def _require_directory(self, inode: int) -> None:
        if inode == ROOT or self._control.is_directory(inode) or self._directories.folder(inode) is not None:
            return
        self.attributes(inode)
        raise TreeError(Reason.NOT_A_DIRECTORY)

    # --- attributes, by kind -----------------------------------------------------------------------

    def _named_attributes(self, flow: Flow) -> Attributes:
        if flow.evicted:
            raise TreeError(Reason.NOT_FOUND)
        return self._flow_attributes(flow)

    def _flow_attributes(self, flow: Flow) -> Attributes:
        lasts = flow.watched and not self._is_hot(flow)  # asked before the size is read
        valid_s = FOREVER_S if lasts else AT_ONCE_S
        inode, links = FIRST_FLOW + flow.serial, 0 if flow.evicted else 1
        blocks = -(-flow.held_bytes // STAT_BLOCK_BYTES)
        times = flow.first_ns, flow.last_ns, flow.changed_ns
        return Attributes(inode, flow.size, blocks, *times, FILE_MODE, links, valid_s, FOREVER_S)

    def _is_hot(self, flow: Flow) -> bool:
        engine = self._engine
        return flow.state == OPEN and engine.now_ns - flow.last_ns < HOT_NS and not engine.finished

    def _root_attributes(self) -> Attributes:
        now_ns = self._directory_time()
        links = self._directories.root_links()
        return Attributes(ROOT, 0, 0, now_ns, now_ns, now_ns, ROOT_MODE, links, DIRECTORY_S, DIRECTORY_S)

    @staticmethod
    def _folder_attributes(folder: Folder) -> Attributes:
        times = folder.changed_ns, folder.changed_ns, folder.changed_ns
        return Attributes(folder.inode, 0, 0, *times, PLACE_MODE, folder.links, DIRECTORY_S, DIRECTORY_S)

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

        STALE if the flow was evicted, IS_A_DIRECTORY; Unready.
        """
        if is_flow(inode):
            return self._open_flow(inode)
        if inode == ROOT or self._directories.folder(inode) is not None:
            raise TreeError(Reason.IS_A_DIRECTORY)
        self._directories.ready()
        text = self._control.open(inode)
        handle = next(self._numbers)
        self._texts[handle] = _Text(text)
        return Opened(handle, cacheable=False)

    def _open_flow(self, inode: int) -> Opened:
        flow = self._engine.get(inode - FIRST_FLOW)
        if flow is None:
            raise TreeError(Reason.STALE)
        try:
            flow = self._engine.open(flow)
        except Evicted:
            raise TreeError(Reason.STALE) from None
        handle = next(self._numbers)
        self._shelf.held[flow.serial] = flow
        self._readers[handle] = _Reader(flow)
        # Of a page that holds freed bytes the kernel could not give the others.
        return Opened(handle, cacheable=self._is_final(flow) and flow.start == 0)

    def read(self, handle: int, offset: int, size: int) -> bytes:
        """As read_page(), to be kept."""
        return bytes(self.read_page(handle, offset, size))

    def read_page(self, handle: int, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`. FREED, NOT_OPEN.

        Fewer only at the end of what can be read. Good until the next call, for all flows are read into the
        same memory: each time a new MiB would cost more than to copy what is read.
        """
        reader = self._readers.get(handle)
        if reader is None:
            text = self._text(handle)
            data = text.held[offset : offset + size]
            text.position = offset + len(data)
            return data
        if size > len(self._page):
            self._page = memoryview(bytearray(size))
        try:
            count = self._engine.read_into(reader.flow, offset, size, self._page)
        except Evicted:
            raise TreeError(Reason.FREED) from None
        reader.position = offset + count
        return self._page[:count]

    def readiness(self, handle: int) -> Readiness:
        """Whether the next read of a handle says anything. NOT_OPEN.

        Of a flow `changes()` names the inode when it does; what else may grow has_grown() is to be asked
        about. A generated file that does not grow is read as any file: it never has one wait.
        """
        reader = self._readers.get(handle)
        if reader is None:
            text = self._text(handle)
            if not isinstance(text.held, Growing):
                return Readiness(readable=True, ended=False)
            size, ended = text.said = how_far(text.held)
            return Readiness(ended or text.position < size, ended)
        flow = reader.flow
        flow.watched = True
        ended = self._is_final(flow)
        return Readiness(ended or reader.position < flow.size, ended)

    def is_told(self, handle: int) -> bool:
        """Whether `changes()` names the inode when the file has grown or ended, or none will. NOT_OPEN."""
        return handle in self._readers or not isinstance(self._text(handle).held, Growing)

    def has_grown(self, handle: int) -> bool:
        """Whether what is_told() denies has grown or ended since readiness() was asked for. NOT_OPEN."""
        text = self._text(handle)
        return isinstance(text.held, Growing) and how_far(text.held) != text.said

    def _is_final(self, flow: Flow) -> bool:
        """Whether it grows no more, as far as one can know."""
        return flow.evicted or flow.state != OPEN or self._engine.finished

    def release(self, handle: int) -> None:
        """The handle is done with. NOT_OPEN."""
        reader = self._readers.pop(handle, None)
        if reader is None:
            self._control.release(self._text(handle).held)
            del self._texts[handle]
            return
        flow = reader.flow
        self._engine.release(flow)
        if not flow.opens:
            del self._shelf.held[flow.serial]

    def _text(self, handle: int) -> _Text:
        text = self._texts.get(handle)
        if text is None:
            raise TreeError(Reason.NOT_OPEN)
        return text

    # --- everything else ---------------------------------------------------------------------------

    def unlink(self, parent: int, name: bytes) -> None:
        """Evict the flow of this name, which `changes()` does not give: the caller knows.

        NOT_FOUND, IS_A_DIRECTORY; READ_ONLY for everything but flows; Unready.
        """
        flow = self._removable(parent, name)
        if isinstance(flow, Folder):
            raise TreeError(Reason.IS_A_DIRECTORY)
        try:
            flow = self._engine.remove(flow)
        except Evicted:
            raise TreeError(Reason.NOT_FOUND) from None
        self._control.tidy()  # an event has the name, too
        self._directories.removed(flow)
        if flow.opens:
            self._removed.append(FIRST_FLOW + flow.serial)

    def rmdir(self, parent: int, name: bytes) -> None:
        """Remove a directory of flows.

        NOT_FOUND, NOT_A_DIRECTORY, NOT_EMPTY; READ_ONLY for all others; Unready.
        """
        folder = self._removable(parent, name)
        if not isinstance(folder, Folder):
            raise TreeError(Reason.NOT_A_DIRECTORY)
        self._directories.remove_folder(folder)

    def _removable(self, parent: int, name: bytes) -> Flow | Folder:
        if parent == ROOT or self._directories.folder(parent) is not None:
            if parent != ROOT or name != CONTROL_NAME:
                return self._directories.find(parent, name)
        else:
            self.lookup(parent, name)
        raise TreeError(Reason.READ_ONLY)

    def space(self) -> Space:
        """How much the directory may hold, and holds."""
        statistics = self._engine.statistics()
        total_bytes, used_bytes = statistics["payload_limit_bytes"], statistics["payload_used_bytes"]
        return Space(total_bytes, used_bytes, statistics["flows"], statistics["flows_free"])

    def changed(self) -> bool:
        """Whether `changes()` has anything. Cheap."""
        return self._engine.changed() or bool(self._removed) or self._engine.finished != self._finished

    def changes(self) -> tuple[list[int], list[Name], list[int]]:
        """Since it was last asked: inodes whose attributes, or whose readiness, were given away and hold no
        more, names that were given away and have gone, each with the inode of its directory, and inodes that
        were once open and of which bytes went.
        """
        finished = self._engine.finished
        changes = self._engine.changes()
        grown = [FIRST_FLOW + flow.serial for flow in changes.grown]
        grown += [FIRST_FLOW + flow.serial for flow in changes.gone if flow.opens]
        grown += self._removed
        self._removed = []
        if finished != self._finished:
            self._finished = finished
            grown += [FIRST_FLOW + serial for serial in self._shelf.held]
        freed = [FIRST_FLOW + flow.serial for flow in changes.freed]
        self._control.tidy()  # an event of what has gone has its name, too
        return grown, self._directories.took_away(changes.gone), freed

"""What the kernel was given and holds no more: how it is told.

Knows inodes and names, no requests. Who waits for a file is told with the kernel, by `waiters`. Always true:
on trio's thread the kernel is told to forget attributes only, which never waits; names go from another
thread, since that waits for the directory's lock, which may be held by someone who waits for us; and so do
pages, from a third, since that waits for those that are being filled, by us. A store into the page cache is
not used. What is kept is bounded: by the flows that there are, MAX_NAMES and MAX_UNKNOWN.

Pages of bytes that were freed: the kernel fills a page under its lock, and forgets it under that as well. So
what it read before bytes were freed it has forgotten once it was told of that, some milliseconds later, and
what it reads afterwards it is refused. It takes them out of mappings, too, whose next access is a SIGBUS
then; only pages that the process has written to, in a private mapping, are its own.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pyfuse3
import trio

from ..tree import Name, Tree
from .waiters import Waiters

MAX_NAMES = 65536  # names to take away that wait for their turn, ~100 bytes each
MAX_UNKNOWN = 1024  # inodes that the kernel does not know yet
RETRY_S, GIVE_UP_S = 0.1, 3.0  # how often, and for how long, it is told of those again
CHUNK = 256  # notifications of ~2 µs before others have their turn

_log = logging.getLogger(__name__)


def forget_attributes(inode: int) -> bool:
    """Tell the kernel that it knows an inode's attributes no more. False if it does not know the inode."""
    try:
        pyfuse3.invalidate_inode(inode, attr_only=True)
    except FileNotFoundError:
        return False
    except OSError as error:  # the mount is being taken away: there is nobody to tell
        _log.debug("inode %d: %s", inode, error)
    return True


def forget_pages(inodes: Sequence[int]) -> None:
    """Tell the kernel to forget what it holds of these inodes' bytes, also where they are mapped.

    Waits for pages that are being read.
    """
    for inode in inodes:
        try:
            pyfuse3.invalidate_inode(inode)
        except FileNotFoundError:
            pass  # who does not know the inode has nothing of it, and may not open it any more
        except OSError as error:
            _log.debug("inode %d: %s", inode, error)


def forget_names(names: Sequence[Name]) -> list[Name]:
    """Tell the kernel that names have gone from their directories; returns those that it does not know.

    Waits for the directory's lock.
    """
    unknown = []
    for directory, name in names:
        try:
            pyfuse3.invalidate_entry(directory, name)
        except FileNotFoundError:
            unknown.append((directory, name))
        except OSError as error:
            _log.debug("name %r: %s", name, error)
    return unknown


class Notifier:
    """Tells the kernel what it was given and holds no more.

    The kernel may not know an inode or a name that is on its way to it: the reply was written, and the
    process that asked has not run since. When it does it takes in what is old, for 300 s (of 2,000 flows that
    were looked up and grew at the same moment on a busy machine, 120). So the kernel is told once more.
    """

    def __init__(
        self,
        tree: Tree,
        waiters: Waiters,
        attributes: Callable[[int], bool] = forget_attributes,
        names: Callable[[Sequence[Name]], list[Name]] = forget_names,
        pages: Callable[[Sequence[int]], None] = forget_pages,
    ) -> None:
        self._tree = tree
        self._waiters = waiters
        self._forget_attributes = attributes
        self._forget_names = names
        self._forget_pages = pages
        self._changed = trio.Event()
        self._grown: OrderedDict[int, None] = OrderedDict()  # inodes; a dict is slow to pop at the front
        self._unknown: dict[int, float] = {}  # inode: when the kernel first did not know it
        self._names: list[Name] = []
        self._names_wait = trio.Event()
        self._freed: dict[int, None] = {}  # inodes
        self._freed_wait = trio.Event()
        self.learnt = 0  # how often the tree had changes
        self.dropped = 0  # names beyond MAX_NAMES: the kernel asks again once their 300 s are over

    def notify(self) -> None:
        """The tree has changes. Cheap; any number of calls before the next pass count as one."""
        self._changed.set()

    def settle(self, *inodes: int) -> None:
        """Called before an answer about inodes is sent: the kernel is told of their growth until then.

        Of two answers in flight the kernel may take the older one for good and hand the newer one on: a size
        would be seen to shrink. What it was told in between, it takes neither.
        """
        self._collect()
        if self._grown:
            for inode in inodes:
                if inode in self._grown:
                    del self._grown[inode]
                    self._tell(inode)
        if self._grown or self._unknown:
            self._changed.set()  # whoever made these changes may find them taken, and not ask for notify()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_names_away)
            nursery.start_soon(self._take_pages_away)
            while True:
                with trio.move_on_after(RETRY_S if self._unknown else float("inf")):
                    await self._changed.wait()
                self._changed = trio.Event()
                self._collect()
                await self._tell_all()
                self._tell_again()

    def _collect(self) -> None:
        if not self._tree.changed():
            return
        self.learnt += 1
        inodes, names, freed = self._tree.changes()
        self._grown.update(dict.fromkeys(inodes))
        if freed:
            self._freed.update(dict.fromkeys(freed))
            self._freed_wait.set()
        room = MAX_NAMES - len(self._names)
        self._names += names[:room]
        self.dropped += max(0, len(names) - room)
        if self._names:
            self._names_wait.set()

    async def _tell_all(self) -> None:
        """One by one, since handlers that run meanwhile settle some themselves."""
        count = 0
        while self._grown:
            inode, _ = self._grown.popitem(last=False)
            self._tell(inode)
            count += 1
            if count % CHUNK == 0:
                await trio.lowlevel.checkpoint()

    def _tell(self, inode: int) -> None:
        self._waiters.wake(inode)
        if not self._forget_attributes(inode) and len(self._unknown) < MAX_UNKNOWN:
            self._unknown[inode] = trio.current_time()

    def _tell_again(self) -> None:
        now = trio.current_time()
        for inode, since in list(self._unknown.items()):
            if self._forget_attributes(inode) or now - since > GIVE_UP_S:
                del self._unknown[inode]

    async def _take_names_away(self) -> None:
        while True:
            await self._names_wait.wait()
            self._names_wait = trio.Event()
            names, self._names = self._names, []
            for pause in (0, RETRY_S):
                await trio.sleep(pause)
                names = await trio.to_thread.run_sync(self._forget_names, names, abandon_on_cancel=True)
                if not names:
                    break

    async def _take_pages_away(self) -> None:
        while True:
            await self._freed_wait.wait()
            self._freed_wait = trio.Event()
            freed, self._freed = self._freed, {}
            await trio.to_thread.run_sync(self._forget_pages, list(freed), abandon_on_cancel=True)

"""Directories of flows whose names come by a template.

Owns which name is whose. Names of a template may coincide, and need not say which flow they are of, so there
is an index of the flows that there are: some 360 bytes each, and 530 for a directory. It takes them in by
their numbers, when somebody asks, and lets go of them when they go. Knows no kernel and no attribute.

Always true, for whoever has the lock:
 - a flow that was taken in has one path, which stays as long as the flow is there, and no other flow has it.
   Whoever comes later and would have it gets `~` and its number behind it, for good: that is never given
   twice. What went leaves its name to whoever comes: else all that ever was would have to be remembered;
 - a directory has a number, never given twice, and is there as long as something is in it, and LINGER_S
   longer: who removes what is in it (`rm -r`) removes it afterwards, and would not find it;
 - the engine marks who is listed as named, so that whatever was taken in is among the gone later.

The lock is held for CHUNK flows at the most, some milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..core.engine import Engine
from ..core.flow import Flow
from ..templates import DEFAULT, Template
from .answers import Reason, TreeError, Unready
from .directories import Called, Directories, Flat
from .folder import Folder
from .letters import Spelling
from .names import Keyed, name_of, reversed_key
from .numbers import FIRST_FLOW, ROOT, Kind, inode_of

CHUNK = 256  # flows that are taken in at once
AT_ONCE = 4  # chunks that a handler waits for; beyond, they are taken in by a thread
LINGER_S = 2.0


class Places(Directories):
    """Of one engine. Raises Unready where the class above says so."""

    by_template = True

    def __init__(self, engine: Engine, template: Template) -> None:
        self._engine = engine
        self._spelled = Spelling(template, engine.origin)
        self._depth = len(template.parts) - 1
        self._lock = threading.Lock()
        self._root = Folder(ROOT, b"", None, not self._depth, time.time_ns())
        self._folders: dict[int, Folder] = {}  # but the root, by inode
        self._entries: dict[int, tuple[Folder, bytes]] = {}  # of flows, by inode
        self._last_serial = 0  # taken in up to here
        self._last_folder = inode_of(Kind.PLACE, 0)
        self._went: list[tuple[int, bytes]] = []  # that the kernel was not told of
        self._empty: OrderedDict[Folder, float] = OrderedDict()  # since when

    # --- taking in -------------------------------------------------------------------------------------

    def ready(self) -> None:
        for _ in range(AT_ONCE):
            if not self._take_some():
                return
        raise Unready(self._take_all)

    def _take_all(self) -> None:
        while self._take_some():
            pass

    def _take_some(self) -> bool:
        """Whether there may be more."""
        with self._lock:
            self._sweep()
            flows = self._engine.list_after(self._last_serial, CHUNK)
            now_ns = time.time_ns() if flows else 0
            for flow in flows:
                self._last_serial = flow.serial
                if not flow.evicted:
                    self._enter(flow, now_ns)
            return len(flows) == CHUNK

    def _enter(self, flow: Flow, now_ns: int) -> None:
        *folders, name = self._spelled(flow)
        folder = self._root
        for depth, inner in enumerate(folders, 1):
            known = folder.children.get(inner)
            folder = self._folders[known] if known is not None else self._make(folder, inner, depth, now_ns)
        name = self._free(folder, name, flow.serial)
        inode = FIRST_FLOW + flow.serial
        folder.add(name, inode, now_ns)
        self._entries[inode] = folder, name
        self._empty.pop(folder, None)

    def _free(self, folder: Folder, name: bytes, serial: int) -> bytes:
        """The name, or what comes instead of it where another has it."""
        holder = folder.children.get(name)
        if holder is not None and self._engine.get(holder - FIRST_FLOW) is None:
            self._take_away(holder)  # earlier than the changes say it
            holder = None
        if holder is None:
            return name
        name = b"%b~%d" % (name, serial)
        while name in folder.children:  # since templates may have a ~, too
            name += b"_"
        return name

    def _make(self, parent: Folder, name: bytes, depth: int, now_ns: int) -> Folder:
        self._last_folder += 1
        folder = Folder(self._last_folder, name, parent, depth == self._depth, now_ns)
        self._folders[folder.inode] = folder
        parent.add(name, folder.inode, now_ns)
        self._empty.pop(parent, None)
        return folder

    # --- letting go ------------------------------------------------------------------------------------

    def took_away(self, flows: Iterable[Flow]) -> list[tuple[int, bytes]]:
        with self._lock:
            for flow in flows:
                self._take_away(FIRST_FLOW + flow.serial)
            self._sweep()
            went, self._went = self._went, []
        return went

    def removed(self, flow: Flow) -> None:
        with self._lock:
            self._take_away(FIRST_FLOW + flow.serial)

    def _take_away(self, inode: int) -> None:
        entry = self._entries.pop(inode, None)
        if entry is None:
            return
        folder, name = entry
        folder.remove(name, time.time_ns())
        self._went.append((folder.inode, name))
        if not folder.children:
            self._empty[folder] = time.monotonic()

    def _sweep(self) -> None:
        """Directories that were empty for long; they became so in this order."""
        while self._empty:
            folder, since_s = next(iter(self._empty.items()))
            if time.monotonic() - since_s < LINGER_S:
                return
            self._remove(folder)

    def _remove(self, folder: Folder) -> None:
        del self._empty[folder]
        parent = folder.parent
        if parent is None:
            return
        del self._folders[folder.inode]
        parent.remove(folder.name, time.time_ns())
        if not parent.children:
            self._empty[parent] = time.monotonic()

    def remove_folder(self, folder: Folder) -> None:
        with self._lock:
            if folder.inode not in self._folders:
                raise TreeError(Reason.NOT_FOUND)
            if folder.children:
                raise TreeError(Reason.NOT_EMPTY)
            self._remove(folder)

    # --- what there is ---------------------------------------------------------------------------------

    def root_links(self) -> int:
        return self._root.links

    def folder(self, inode: int) -> Folder | None:
        return self._folders.get(inode)

    def _at(self, inode: int) -> Folder:
        folder = self._root if inode == ROOT else self._folders.get(inode)
        if folder is None:
            raise TreeError(Reason.STALE)
        return folder

    def find(self, parent: int, name: bytes) -> Flow | Folder:
        if self._empty:
            with self._lock:
                self._sweep()
        folder = self._at(parent)
        found = self._find(folder, name)
        if found is None:
            self.ready()
            found = self._find(folder, name)
        if found is None:
            raise TreeError(Reason.NOT_FOUND)
        return found

    def _find(self, folder: Folder, name: bytes) -> Flow | Folder | None:
        inode = folder.children.get(name)
        if inode is None:
            return None
        return self._engine.get(inode - FIRST_FLOW) if folder.is_last else self._folders.get(inode)

    def after(self, parent: int, cookie: int) -> Iterator[tuple[bytes, Flow | Folder, int]]:
        folder = self._at(parent)
        self.ready()
        for inode in folder.after(cookie):
            if folder.is_last:
                entry, flow = self._entries.get(inode), self._engine.get(inode - FIRST_FLOW)
                if entry is not None and flow is not None:
                    yield entry[1], flow, inode
            else:
                inner = self._folders.get(inode)
                if inner is not None:
                    yield inner.name, inner, inode

    def path(self, flow: Keyed) -> bytes:
        if flow.serial > self._last_serial:
            self._take_all()
        entry = self._entries.get(FIRST_FLOW + flow.serial)
        if entry is None:
            return b""
        folder, *names = entry
        while folder.parent is not None:
            names.append(folder.name)
            folder = folder.parent
        return b"/".join(reversed(names))

    def called(self, flow: Keyed) -> Called:
        peer = self._engine.find(reversed_key(flow.key), flow.generation)
        peer_path = self.path(peer) if peer is not None else b""
        canonical = name_of(flow.key, flow.generation).decode("ascii")
        return Called(self.path(flow).decode(), peer_path.decode(), canonical)

    def wanted(self, flow: Flow) -> str:
        path = self.path(flow)
        if not path:
            *folders, name = self._spelled(flow)
            with self._lock:
                folder: Folder | None = self._root
                for inner in folders:
                    folder = self._folders.get(folder.children.get(inner, 0)) if folder is not None else None
                if folder is not None:
                    name = self._free(folder, name, flow.serial)
            path = b"/".join((*folders, name))
        return path.decode()


def directories(engine: Engine, template: str) -> Directories:
    """For names by this template. Raises TemplateError."""
    return Flat(engine) if template == DEFAULT else Places(engine, Template(template))

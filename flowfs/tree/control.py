"""`.flowfs`: what is generated in it, and the links to flows by what they have in common.

Owns the directories below the root and the texts in them; flows are found on the shelf. Knows no handle.
Always true: a text is of one moment, that at which it is asked for; a listing gives each name at most once,
and what is there throughout exactly once, in however many parts.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from ..core.engine import Engine
from ..core.flow import Flow
from ..core.notes import About
from .answers import (
    AT_ONCE_S,
    DIRECTORY_MODE,
    DIRECTORY_S,
    FILE_MODE,
    LINK_MODE,
    STREAM_MODE,
    Attributes,
    Reason,
    TreeError,
    Unready,
)
from .conversations import Conversation, Conversations
from .events import Events, Log
from .groups import Groups, Hosts, Hours, Ports, States
from .guide import GUIDE
from .meta import meta_json
from .metrics import metrics_text
from .names import name_of
from .numbers import FIRST_STREAM, Fixed, Kind, fixed, inode_of, kind_of, stream_inode, stream_of
from .roll import Roll, Text
from .shelf import Shelf
from .status import status, status_json
from .survey import FEW, Listing, Presence, every, members

CONTROL_NAME = b".flowfs"
META_SUFFIX = b".json"
UP = b"../../../"  # from a group to the root

Entry = tuple[bytes, Attributes, int]  # the last is its cookie
Growing = Log | Conversation
Held = bytes | Text | Growing  # what an open file holds

_FILES = {
    b"README": Fixed.README,
    b"status.json": Fixed.STATUS,
    b"metrics": Fixed.METRICS,
    b"flows.jsonl": Fixed.FLOWS,
    b"events.jsonl": Fixed.EVENTS,
    b"events.jsonl.1": Fixed.EVENTS_BEFORE,
}
_DIRECTORIES = {
    b"meta": Fixed.META,
    b"by-host": Fixed.BY_HOST,
    b"by-port": Fixed.BY_PORT,
    b"by-state": Fixed.BY_STATE,
    b"by-time": Fixed.BY_TIME,
    b"conversations": Fixed.CONVERSATIONS,
    b"follow": Fixed.FOLLOW,
}
NAMES = _FILES | _DIRECTORIES
_FOLDERS = frozenset((Fixed.CONTROL, *_DIRECTORIES.values()))
_LOGS = frozenset((Fixed.EVENTS, Fixed.EVENTS_BEFORE))


def how_far(text: Growing) -> tuple[int, bool]:
    """Its size, and whether it has ended."""
    ended = text.has_ended()  # before the size is asked for: that is final then
    return len(text), ended


class Control:
    """What is in `.flowfs`. `about`: see Tree; `changed_ns` gives when a flow appeared or went last."""

    def __init__(
        self, shelf: Shelf, about: Callable[[], Mapping[str, object]], changed_ns: Callable[[], int]
    ) -> None:
        self._shelf = shelf
        self._engine: Engine = shelf.engine
        self._about = about
        self._changed_ns = changed_ns
        self._roll = Roll(shelf, self.sources)
        self._events = Events(self._engine, shelf.directories)
        self._conversations = Conversations(shelf)
        self._groups: dict[Kind, Groups] = {
            Kind.HOST: Hosts(),
            Kind.PORT: Ports(),
            Kind.STATE: States(),
            Kind.HOUR: Hours(),
        }
        self._presence = {kind: Presence(shelf, groups) for kind, groups in self._groups.items()}
        self._readers = itertools.count(1)

    def sources(self) -> Sequence[str]:
        """The names of interfaces and files by their numbers."""
        return cast("Sequence[str]", self._about().get("sources", ()))

    def tidy(self) -> None:
        """Let go of texts that nobody came for, and take in what happened."""
        self._roll.tidy()
        self._conversations.tidy()
        self._events.tidy()

    # --- names and attributes ----------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes of `name` in a directory that is_directory(). NOT_FOUND; raises Unready."""
        if parent == Fixed.CONTROL:
            if name not in NAMES:
                raise TreeError(Reason.NOT_FOUND)
            if NAMES[name] in _LOGS:
                return self._log_attributes(self._log_at(NAMES[name]))
            return self.attributes(NAMES[name])
        if parent == Fixed.META:
            if not name.endswith(META_SUFFIX):
                raise TreeError(Reason.NOT_FOUND)
            flow = self._shelf.named(name.removesuffix(META_SUFFIX))
            return self._meta_attributes(flow, self._engine.about(flow))
        if parent == Fixed.CONVERSATIONS:
            return self._conversations.attributes(self._shelf.named(name))
        if parent == Fixed.FOLLOW:  # each has a FIFO of its own
            return self._stream_attributes(self._shelf.named(name), next(self._readers))
        if parent in _INDEX:
            return self._group(_INDEX[Fixed(parent)], name)
        kind, number = cast("tuple[Kind, int]", kind_of(parent))
        flow = self._shelf.named(name)
        if not self._groups[kind].has(number, flow):
            raise TreeError(Reason.NOT_FOUND)
        return self._link_attributes(flow)

    def attributes(self, inode: int) -> Attributes:
        """Of whatever is no flow and not the root. STALE; raises Unready."""
        what = fixed(inode)
        if what is not None and what not in _LOGS:
            return self._directory_attributes(inode) if what in _FOLDERS else self._file_attributes(what)
        serial = stream_of(inode)
        if serial is not None:
            return self._stream_attributes(self._shelf.numbered(serial))._replace(inode=inode)
        known = kind_of(inode)
        if known is None:
            raise TreeError(Reason.STALE)
        kind, number = known
        if kind == Kind.META:
            flow = self._shelf.numbered(number)
            return self._meta_attributes(flow, self._engine.about(flow))
        if kind == Kind.LINK:
            return self._link_attributes(self._shelf.numbered(number))
        if kind == Kind.CONVERSATION:
            return self._conversations.numbered(number)
        if kind == Kind.LOG:
            return self._log_attributes(self._log(number))
        if kind not in self._groups or self._groups[kind].name(number) is None:
            raise TreeError(Reason.STALE)
        return self._directory_attributes(inode)

    def is_directory(self, inode: int) -> bool:
        """Whether the inode is one of the directories here."""
        what, known = fixed(inode), kind_of(inode)
        return what in _FOLDERS or (known is not None and known[0] in self._groups)

    def _group(self, kind: Kind, name: bytes) -> Attributes:
        """A group is there if a flow is in it, or if it always is. Raises Unready."""
        groups = self._groups[kind]
        number = groups.number(name)
        if number is None:
            raise TreeError(Reason.NOT_FOUND)
        if number not in groups.always and not self._presence[kind].has_any(number):
            raise TreeError(Reason.NOT_FOUND)
        return self._directory_attributes(inode_of(kind, number))

    def _directory_attributes(self, inode: int) -> Attributes:
        now_ns = self._changed_ns()
        return Attributes(inode, 0, 0, now_ns, now_ns, now_ns, DIRECTORY_MODE, 2, DIRECTORY_S, DIRECTORY_S)

    def _file_attributes(self, what: Fixed) -> Attributes:
        size = len(self._text(what))
        now_ns = time.time_ns()
        return Attributes(what, size, 0, now_ns, now_ns, now_ns, FILE_MODE, 1, AT_ONCE_S, AT_ONCE_S)

    def _log_attributes(self, log: Log) -> Attributes:
        inode, size = inode_of(Kind.LOG, log.number), len(log)
        times = log.changed_ns, log.changed_ns, log.changed_ns
        return Attributes(inode, size, 0, *times, FILE_MODE, 1, AT_ONCE_S, AT_ONCE_S)

    def _meta_attributes(self, flow: Flow, about: About) -> Attributes:
        size = len(self._meta(flow, about))
        inode, links = inode_of(Kind.META, flow.serial), 0 if flow.evicted else 1
        changed_ns = max(flow.last_ns, flow.changed_ns)
        return Attributes(
            *(inode, size, 0, flow.first_ns, changed_ns, changed_ns, FILE_MODE, links, AT_ONCE_S, AT_ONCE_S)
        )

    def _link_attributes(self, flow: Flow) -> Attributes:
        """A link stays as it is; the groups that it is in need not."""
        inode, size = inode_of(Kind.LINK, flow.serial), len(self._target(flow))
        times = flow.first_ns, flow.first_ns, flow.first_ns
        return Attributes(inode, size, 0, *times, LINK_MODE, 1, DIRECTORY_S, DIRECTORY_S)

    def _stream_attributes(self, flow: Flow, reader: int = 0) -> Attributes:
        """What it holds the kernel knows. Its name is asked for each time: that tells that a reader comes."""
        inode, links = stream_inode(flow.serial, reader), 0 if flow.evicted else 1
        times = flow.first_ns, flow.last_ns, flow.changed_ns
        return Attributes(inode, 0, 0, *times, STREAM_MODE, links, AT_ONCE_S, AT_ONCE_S)

    # --- listings ----------------------------------------------------------------------------------

    def listing(self, inode: int) -> Listing | None:
        """For directories by what flows have in common: what a listing goes through, to its end.

        None for those of which entries() needs none.
        """
        if inode in _INDEX:
            groups = self._groups[_INDEX[Fixed(inode)]]
            listing = Listing(lambda: every(groups, self._shelf.after(0)))
        else:
            kind, number = kind_of(inode) or (None, 0)
            if kind not in self._groups:
                return None
            listing = Listing(lambda: members(self._shelf, self._groups[kind], number))
        if self._shelf.count() <= FEW:
            listing.make()
        return listing

    def entries(self, inode: int, cookie: int, listing: Listing | None = None) -> Iterator[Entry]:
        """What a directory lists after `cookie`, without `.` and `..`. Raises Unready, before the first."""
        if listing is not None:
            yield from self._grouped(inode, cookie, listing)
        elif inode == Fixed.CONTROL:
            for name, what in NAMES.items():
                if cookie < what and (what != Fixed.EVENTS_BEFORE or self._events.before is not None):
                    yield name, self._listed(what), what
        elif inode == Fixed.META:
            for flow, about in self._shelf.told_after(_serial_of(cookie, inode_of(Kind.META, 0))):
                if not flow.evicted:
                    attributes = self._meta_attributes(flow, about)
                    yield name_of(flow.key, flow.generation) + META_SUFFIX, attributes, attributes.inode
        elif inode in (Fixed.CONVERSATIONS, Fixed.FOLLOW):
            yield from self._by_flow(Fixed(inode), cookie)

    def _grouped(self, inode: int, cookie: int, listing: Listing) -> Iterator[Entry]:
        """Groups, of which the cookies count, or links to the flows of one."""
        if inode not in _INDEX:
            for serial in listing.above(_serial_of(cookie, inode_of(Kind.LINK, 0))):
                flow = self._shelf.look(serial)
                if flow is not None:
                    attributes = self._link_attributes(flow)
                    yield name_of(flow.key, flow.generation), attributes, attributes.inode
            return
        kind = _INDEX[Fixed(inode)]
        alike = self._directory_attributes(inode)  # but for the inode; to ask for each costs 10 µs
        numbers = listing.numbers
        for at in range(max(cookie - _DOTS, 0), len(numbers)):
            name = self._groups[kind].name(numbers[at])
            if name is not None:  # more than are kept
                yield name, alike._replace(inode=inode_of(kind, numbers[at])), at + _DOTS + 1

    def _by_flow(self, what: Fixed, cookie: int) -> Iterator[Entry]:
        """What has the names of flows."""
        made: Callable[[Flow], Attributes] = self._stream_attributes
        first = FIRST_STREAM
        if what == Fixed.CONVERSATIONS:
            made, first = self._conversations.listed, inode_of(Kind.CONVERSATION, 0)
        for flow in self._shelf.after(_serial_of(cookie, first)):
            if not flow.evicted:
                attributes = made(flow)
                yield name_of(flow.key, flow.generation), attributes, attributes.inode

    def _listed(self, what: Fixed) -> Attributes:
        """Attributes for a listing: it says what there is, and makes no long text to say its size.

        Nobody keeps them, so whoever wants to know the size asks for it.
        """
        try:
            return self._log_attributes(self._log_at(what)) if what in _LOGS else self.attributes(what)
        except Unready:
            now_ns = time.time_ns()
            return Attributes(what, 0, 0, now_ns, now_ns, now_ns, FILE_MODE, 1, AT_ONCE_S, AT_ONCE_S)

    # --- texts -------------------------------------------------------------------------------------

    def open(self, inode: int) -> Held:
        """What a file holds at this moment, to be given back to release(); a log grows, and a conversation.

        IS_A_DIRECTORY, STALE; raises Unready.
        """
        what = fixed(inode)
        if what is not None and what not in _FOLDERS | _LOGS:
            return self._text(what)
        known = kind_of(inode)
        if known is not None and known[0] == Kind.META:
            flow = self._shelf.numbered(known[1])
            return self._meta(flow, self._engine.about(flow))
        if known is not None and known[0] == Kind.LOG:
            return self._log(known[1])
        if known is not None and known[0] == Kind.CONVERSATION:
            return self._conversations.open(known[1])
        self.attributes(inode)
        raise TreeError(Reason.IS_A_DIRECTORY)

    def release(self, text: Held) -> None:
        """A reader is done with what open() gave."""
        if isinstance(text, Conversation):
            self._conversations.release(text)
        self.tidy()

    def target(self, inode: int) -> bytes:
        """Where a symbolic link leads. NOT_A_LINK, STALE."""
        known = kind_of(inode)
        if known is None or known[0] != Kind.LINK:
            raise TreeError(Reason.NOT_A_LINK)
        return self._target(self._shelf.numbered(known[1]))

    def _target(self, flow: Flow) -> bytes:
        return UP + self._shelf.directories.path(flow)

    def _text(self, what: Fixed) -> bytes | Text:
        if what == Fixed.FLOWS:
            return self._roll.text()
        if what == Fixed.README:
            return GUIDE
        numbers = status(self._engine, self._about())
        return status_json(numbers) if what == Fixed.STATUS else metrics_text(numbers)

    def _log(self, number: int) -> Log:
        """STALE for one that was turned out."""
        for log in (self._events.log, self._events.before):
            if log is not None and log.number == number:
                return log
        raise TreeError(Reason.STALE)

    def _log_at(self, place: Fixed) -> Log:
        """NOT_FOUND if the first log is not full yet."""
        self._events.catch_up()
        log = self._events.log if place == Fixed.EVENTS else self._events.before
        if log is None:
            raise TreeError(Reason.NOT_FOUND)
        return log

    def _meta(self, flow: Flow, about: About) -> bytes:
        return meta_json(flow, about, self.sources(), self._shelf.directories.called(flow))


_DOTS = 2  # cookies of . and ..
_INDEX = {
    Fixed.BY_HOST: Kind.HOST,
    Fixed.BY_PORT: Kind.PORT,
    Fixed.BY_STATE: Kind.STATE,
    Fixed.BY_TIME: Kind.HOUR,
}


def _serial_of(cookie: int, first: int) -> int:
    """That of the flow whose inode the cookie is, where that of the flow 0 would be `first`."""
    return max(cookie - first, 0)

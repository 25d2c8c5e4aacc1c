"""`.flowfs/conversations/NAME`: both directions of a connection, turn by turn in the order of time.

    === 2026-11-28T19:34:30.123456789Z 010.000.000.001.01025 > 010.000.000.002.00080 517 bytes

Then follow so many bytes, as they were sent, and a newline, which people need and who parses skips: so the
length leads to the next heading whatever the bytes are. What is to be said of a turn stands behind its
length: `100 not held`, bytes before these, which were freed or never stored; `20 lost`, of these, which are
zeros; `300 earlier`, bytes of the same side, and `2048 turns earlier`, of both, that were said before and are
not on record as turns. What a turn is, and when it is over, see core's `exchange`.

NAME is that of either direction: who has one flow need not know which side began, and there may be no other.
Always true of what was opened, as long as it is: it only grows, by turns that are over, and what was there
stays as it is; bytes that are freed give an error. It is text and bytes at no time, but the places of turns:
a piece of it is made when it is read. How a turn was given first, it stays for all who open it meanwhile;
afterwards what was freed is told in headings instead.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from typing import NamedTuple

from ..core.dialogue import Turn, may_go_on, turns_of
from ..core.engine import Engine
from ..core.flow import Evicted, Flow
from .answers import AT_ONCE_S, FILE_MODE, Attributes, Reason, TreeError
from .names import IPV4_KEY_BYTES, IPV6_KEY_BYTES, name_of
from .numbers import Kind, inode_of
from .shelf import Shelf
from .xattrs import when

MAX_PLACED = 16384  # turns of one that is open, ~400 bytes each; the older half then reads as freed


FRESH_S = 1.0  # how long one that nobody has open is kept: to make it takes up to 20 ms
_TIME_BYTES = len(f"=== {when(0)} ")  # of a heading, at whatever time


class _Part(NamedTuple):
    """A turn: its heading, but for the time, and where the bytes are."""

    time_ns: int
    said: str
    flow: Flow | None
    start: int
    end: int

    @property
    def heading_bytes(self) -> int:
        return _TIME_BYTES + len(self.said) + 1

    def heading(self) -> bytes:
        return f"=== {when(self.time_ns)} {self.said}\n".encode("ascii")


class Conversation:
    """One of them, which grows. Indexed as bytes are, by one slice from `start` to `stop`."""

    def __init__(self, engine: Engine, flow: Flow) -> None:
        self._engine = engine
        self._flow = flow
        self.readers = 0
        self.changed_ns = flow.first_ns
        self.made_s = time.monotonic()
        self._flows: dict[int, Flow] = {flow.serial: flow}  # by serial, in order of appearance in it
        self._starts: dict[int, int] = {}  # by serial: from where on there were bytes of who appeared
        self._senders: dict[bytes, str] = {}  # by key, as headings have them
        self._held: dict[int, Flow] = {}  # those that are open for it
        self._number = 0  # of the next turn
        self._told: dict[bytes, int] = {}  # by key: where the stream's next turn should begin
        self._places = array("q")  # where each part begins
        self._parts: list[_Part] = []
        self._size = 0

    @property
    def serial(self) -> int:
        """That of the flow whose name it has."""
        return self._flow.serial

    @property
    def flow(self) -> Flow:
        """The flow whose name it has; as it was when it was seen, as long as nobody opens it."""
        return self._held.get(self.serial, self._flow)

    def is_fresh(self) -> bool:
        """Whether it was made lately."""
        return time.monotonic() - self.made_s < FRESH_S

    def is_all_there(self, flow: Flow) -> bool:
        """Whether it is that of this flow, and nothing was freed since of what it tells of."""
        if flow.serial != self.serial:
            return False
        for serial, start in self._starts.items():
            seen = self._engine.seen_after(serial - 1, 1)
            if not seen or seen[0].serial != serial or seen[0].start != start:
                return False
        self._flow = flow
        return True

    def __len__(self) -> int:
        self._catch_up()
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """FREED if the first of these bytes was; less than all of them if another was."""
        start, stop, _ = part.indices(len(self))
        found = bytearray()
        try:
            while start < stop:
                data = self._piece(start, stop)
                found += data
                start += len(data)
        except Evicted:
            if not found:
                raise TreeError(Reason.FREED) from None
        return bytes(found)

    def has_ended(self) -> bool:
        """Whether no side may speak any more."""
        return not any(may_go_on(self._engine, flow) for flow in self._flows.values())

    def hold(self) -> None:
        """Somebody opens it: flows that are in it count as open."""
        self.readers += 1
        for flow in list(self._flows.values()):
            self._hold(flow)

    def let_go(self, shelf: Shelf) -> None:
        """A reader is done with it."""
        self.readers -= 1
        if self.readers:
            return
        for flow in self._held.values():
            self._engine.release(flow)
            if not flow.opens:
                shelf.held.pop(flow.serial, None)
        self._held.clear()

    def _hold(self, flow: Flow) -> None:
        if flow.serial not in self._held:
            try:
                self._held[flow.serial] = self._engine.open(flow)
            except Evicted:
                return

    # --- what comes --------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Take in the turns that are over since it was last asked."""
        for flow in list(self._flows.values()):
            while (page := turns_of(self._engine, flow, self._number)) is not None and page.turns:
                missed = page.first - self._number
                for turn in page.turns:
                    self._add(turn, missed)
                    missed = 0
                self._number = page.first + len(page.turns)
            if page is None and len(self._flows) > 1:
                del self._flows[flow.serial]  # it went, and another leads to what goes on

    def _add(self, turn: Turn, missed: int) -> None:
        earlier = turn.offset - self._told.get(turn.key, 0)
        self._told[turn.key] = turn.offset + turn.length
        flow = turn.flow
        if flow is not None and flow.serial not in self._flows:
            self._flows[flow.serial] = flow
            if self.readers:
                self._hold(flow)
        if flow is not None and flow.serial not in self._starts:
            self._starts[flow.serial] = flow.start
        said = f"{self._sender(turn.key)} {_said(turn, earlier, missed)}"
        part = _Part(turn.time_ns, said, flow, turn.start, turn.end)
        self._places.append(self._size)
        self._parts.append(part)
        self._size += part.heading_bytes + part.end - part.start + 1
        self.changed_ns = turn.time_ns
        if len(self._parts) > MAX_PLACED:
            del self._parts[: MAX_PLACED // 2], self._places[: MAX_PLACED // 2]

    def _sender(self, key: bytes) -> str:
        """Who spoke to whom, as names of flows have it, without the VLAN."""
        found = self._senders.get(key)
        if found is None:
            bare = key[:IPV6_KEY_BYTES] if len(key) >= IPV6_KEY_BYTES else key[:IPV4_KEY_BYTES]
            found = self._senders[key] = name_of(bare, 0).decode("ascii").replace("-", " > ")
        return found

    def _piece(self, start: int, stop: int) -> bytes:
        """Some bytes from `start` on, at least one. Raises Evicted."""
        at = bisect_right(self._places, start) - 1
        if at < 0:
            raise Evicted
        part = self._parts[at]
        flow, first, end = part.flow, part.start, part.end
        offset = start - self._places[at]
        count = min(stop - start, part.heading_bytes + end - first + 1 - offset)
        if offset < part.heading_bytes:
            return part.heading()[offset : offset + count]
        offset += first - part.heading_bytes
        if flow is None or offset == end:
            return b"\n"
        held = self._held.get(flow.serial, flow)
        data = self._engine.read(held, offset, min(count, end - offset))
        if not data:
            raise Evicted
        return data


class Conversations:
    """All of them; those that are open stay what they are.

    The last one that somebody looked at without having it open is kept for FRESH_S: a name is looked up, its
    attributes are asked for, and then it is opened.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._open: dict[int, Conversation] = {}  # by serial
        self._latest: Conversation | None = None

    def tidy(self) -> None:
        """Let go of what nobody came for."""
        if self._latest is not None and not self._latest.is_fresh():
            self._latest = None

    def _made(self, flow: Flow) -> Conversation:
        """That of this flow, which nobody has open."""
        self.tidy()
        if self._latest is None or not self._latest.is_all_there(flow):
            self._latest = Conversation(self._shelf.engine, flow)
        return self._latest

    def attributes(self, flow: Flow) -> Attributes:
        """Of the conversation of this flow, at this moment."""
        found = self._open.get(flow.serial)
        return _attributes(self._made(flow) if found is None else found)

    def numbered(self, serial: int) -> Attributes:
        """Of the conversation of the flow of this number. STALE."""
        found = self._open.get(serial)
        return self.attributes(self._shelf.numbered(serial)) if found is None else _attributes(found)

    def listed(self, flow: Flow) -> Attributes:
        """Attributes for a listing, see Control._listed()."""
        inode = inode_of(Kind.CONVERSATION, flow.serial)
        times = flow.first_ns, flow.first_ns, flow.first_ns
        return Attributes(inode, 0, 0, *times, FILE_MODE, 1, AT_ONCE_S, AT_ONCE_S)

    def open(self, serial: int) -> Conversation:
        """The conversation of the flow of this number; who takes it gives it back to release(). STALE."""
        found = self._open.get(serial)
        if found is None:
            found = self._open[serial] = self._made(self._shelf.numbered(serial))
            self._latest = None
        found.hold()
        return found

    def release(self, conversation: Conversation) -> None:
        """A reader is done with it."""
        conversation.let_go(self._shelf)
        if not conversation.readers:
            del self._open[conversation.serial]


def _attributes(conversation: Conversation) -> Attributes:
    size = len(conversation)
    flow = conversation.flow
    inode, links = inode_of(Kind.CONVERSATION, flow.serial), 0 if flow.evicted else 1
    changed_ns = conversation.changed_ns
    return Attributes(
        *(inode, size, 0, flow.first_ns, changed_ns, changed_ns, FILE_MODE, links, AT_ONCE_S, AT_ONCE_S)
    )


def _said(turn: Turn, earlier_bytes: int, earlier_turns: int) -> str:
    """How much, and what is to be said of it."""
    count = turn.end - turn.start
    if not (turn.length - count or turn.lost or earlier_bytes or earlier_turns):
        return f"{count} bytes"
    said = [f"{count} bytes"]
    for number, what in (
        (turn.length - count, "not held"),
        (turn.lost, "lost"),
        (earlier_bytes, "earlier"),
        (earlier_turns, "turns earlier"),
    ):
        if number:
            said.append(f"{number} {what}")
    return ", ".join(said)

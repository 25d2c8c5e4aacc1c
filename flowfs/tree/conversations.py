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

from array import array
from bisect import bisect_right
from typing import NamedTuple

from ..core.dialogue import Turn, turns_of
from ..core.engine import Engine
from ..core.flow import Evicted, Flow
from .answers import AT_ONCE_S, FILE_MODE, Attributes, Reason, TreeError
from .names import IPV6_KEY_BYTES, name_of
from .numbers import Kind, inode_of
from .shelf import Shelf
from .xattrs import when

MAX_PLACED = 16384  # turns of one that is open, ~400 bytes each; the older half then reads as freed


class _Part(NamedTuple):
    """A turn: its heading, and where the bytes are."""

    heading: bytes
    flow: Flow | None
    start: int
    end: int


class Conversation:
    """One of them, which grows. Indexed as bytes are, by one slice from `start` to `stop`."""

    def __init__(self, engine: Engine, flow: Flow) -> None:
        self._engine = engine
        self._flow = flow
        self.readers = 0
        self.changed_ns = flow.first_ns
        self._flows: dict[int, Flow] = {flow.serial: flow}  # by serial, in order of appearance in it
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
        """The flow whose name it has."""
        return self._flow

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
        part = _Part(_heading(turn, earlier, missed), flow, turn.start, turn.end)
        self._places.append(self._size)
        self._parts.append(part)
        self._size += len(part.heading) + part.end - part.start + 1
        self.changed_ns = turn.time_ns
        if len(self._parts) > MAX_PLACED:
            del self._parts[: MAX_PLACED // 2], self._places[: MAX_PLACED // 2]

    def _piece(self, start: int, stop: int) -> bytes:
        """Some bytes from `start` on, at least one. Raises Evicted."""
        at = bisect_right(self._places, start) - 1
        if at < 0:
            raise Evicted
        heading, flow, first, end = self._parts[at]
        offset = start - self._places[at]
        count = min(stop - start, len(heading) + end - first + 1 - offset)
        if offset < len(heading):
            return heading[offset : offset + count]
        offset += first - len(heading)
        if flow is None or offset == end:
            return b"\n"
        held = self._held.get(flow.serial, flow)
        data = self._engine.read(held, offset, min(count, end - offset))
        if not data:
            raise Evicted
        return data


class Conversations:
    """All of them; those that are open stay what they are."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._open: dict[int, Conversation] = {}  # by serial

    def attributes(self, flow: Flow) -> Attributes:
        """Of the conversation of this flow, at this moment."""
        return _attributes(self._open.get(flow.serial) or Conversation(self._shelf.engine, flow))

    def numbered(self, serial: int) -> Attributes:
        """Of the conversation of the flow of this number. STALE."""
        found = self._open.get(serial)
        return self.attributes(self._shelf.numbered(serial)) if found is None else _attributes(found)

    def listed(self, flow: Flow) -> Attributes:
        """Attributes for a listing, see Control._listed()."""
        inode = inode_of(Kind.CONVERSATION, flow.serial)
        times = flow.first_ns, flow.first_ns, flow.first_ns
        return Attributes(inode, FILE_MODE, 1, 0, 0, *times, AT_ONCE_S, AT_ONCE_S)

    def open(self, serial: int) -> Conversation:
        """The conversation of the flow of this number; who takes it gives it back to release(). STALE."""
        found = self._open.get(serial)
        if found is None:
            found = Conversation(self._shelf.engine, self._shelf.numbered(serial))
            self._open[serial] = found
        found.hold()
        return found

    def release(self, conversation: Conversation) -> None:
        """A reader is done with it."""
        conversation.let_go(self._shelf)
        if not conversation.readers:
            del self._open[conversation.serial]


def _attributes(conversation: Conversation) -> Attributes:
    flow = conversation.flow
    size = len(conversation)
    inode, links = inode_of(Kind.CONVERSATION, flow.serial), 0 if flow.evicted else 1
    changed_ns = conversation.changed_ns
    return Attributes(
        *(inode, FILE_MODE, links, size, 0, flow.first_ns, changed_ns, changed_ns, AT_ONCE_S, AT_ONCE_S)
    )


def _heading(turn: Turn, earlier_bytes: int, earlier_turns: int) -> bytes:
    count = turn.end - turn.start
    said = [f"{count} bytes"]
    for number, what in (
        (turn.length - count, "not held"),
        (turn.lost, "lost"),
        (earlier_bytes, "earlier"),
        (earlier_turns, "turns earlier"),
    ):
        if number:
            said.append(f"{number} {what}")
    return f"=== {when(turn.time_ns)} {_ends(turn.key)} {', '.join(said)}\n".encode()


def _ends(key: bytes) -> str:
    """Who spoke to whom, as names of flows have it, without the VLAN."""
    bare = key[:IPV6_KEY_BYTES] if len(key) >= IPV6_KEY_BYTES else key[:12]
    return name_of(bare, 0).decode().replace("-", " > ")

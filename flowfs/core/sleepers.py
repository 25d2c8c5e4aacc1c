# cython: boundscheck=False, wraparound=False, cdivision=True
"""Who of the table sleeps, and what the table is charged for all who are in it [M2].

A connection of which nothing comes for DROWSY_NS is put to sleep (`dormant`) at the next multiple of TICK_NS.
It wakes up with its next packet, or when its time is over, in the place in which it stood in the order of
activity. Knows no reason for which connections begin or end. Always true:
 - `used_bytes` is what those that are there are charged: CONNECTION_BYTES each that is awake;
 - a connection, awake or asleep, stands in exactly one of the queues, or in that of rivals;
 - nothing but memory depends on who sleeps: the same packets give the same tree.

Each queue is looked through once, from its oldest member on. Who cannot sleep, since something waits, and who
woke up, are looked at again after that time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cython

if not cython.compiled:
    from .bundle import Bundle
    from .counters import Counters
    from .decode import turned
    from .dormant import NAMED, WATCHED, WHOLE, Dormant, lose_file, mark, may_sleep, sleep, take_apart, wake
    from .evict import Packed
    from .flow import Flow
    from .memory import is_low
    from .order import Link, Queue, leave
    from .parcel import is_in_hand
    from .roster import Roster
    from .store import Store
    from .stream import Connection
    from .table import Table

from .flow import OPEN
from .limits import (
    CONNECTION_BYTES,
    DROWSY_NS,
    HALF_OPEN_SHARE,
    NEVER_NS,
    ONE_WAY_SHARE,
    RIVALS_SHARE,
    TICK_NS,
    Limits,
)
from .notes import About
from .roster import Entry

_TICK_NS = TICK_NS
_ASLEEP = -1  # instead of a time since when it is awake


class Sleepers(Table):
    """The table of connections, awake and asleep."""

    def __init__(self, limits: Limits, store: Store, counters: Counters) -> None:
        Table.__init__(self, limits, store, counters)
        self.half_open = Queue()
        self.one_way = Queue()  # carry data, and the peer was never seen: the address may be forged
        self.active = Queue()
        self.spare = Queue()  # rivals that found no room but what is kept for them
        self.closed = Queue()  # without files
        self.filed = Queue()  # closed, and with files: they end when their last file goes
        self.live = 0
        self.asleep = 0
        self.live_limit = max(1, limits.table_bytes // CONNECTION_BYTES)  # of those that are awake
        self.spare_limit = self.live_limit // RIVALS_SHARE
        self.live_limit -= self.spare_limit
        self.half_open_limit = self.live_limit // HALF_OPEN_SHARE
        self.one_way_limit = self.live_limit // ONE_WAY_SHARE
        self.used_bytes = 0
        self.limit_bytes = max(CONNECTION_BYTES, limits.table_bytes) - self.spare_limit * CONNECTION_BYTES
        self.drowsy_ns = DROWSY_NS
        # Those to be looked at again: (when that was said, key, since when it may have been awake).
        self.again: deque[tuple[int, bytes, int]] = deque()
        self.bundle = Bundle()
        store.ranking.bring_back = self.bring_back_to_go
        if store.saving is not None:
            store.saving.ranking.bring_back = self.bring_back_to_go

    def is_over(self, more_bytes: int) -> bool:
        """Whether with so much more there is more than all but rivals may have."""
        return self.used_bytes - self.spare.length * CONNECTION_BYTES + more_bytes > self.limit_bytes

    def _make_room(self, now_ns: int) -> bool:
        """Forget somebody; False if nobody can be. Whoever knows of reasons does it."""
        return False

    # --- who wakes up --------------------------------------------------------------------------------

    def _awaken(self, record: Any) -> Connection | None:
        """A packet has come for who sleeps. None if there is no room, or none but by forgetting this one."""
        dormant: Dormant = record
        now_ns = self.store.now_ns
        is_short = self.is_over(CONNECTION_BYTES - dormant.charged_bytes)
        if is_short and dormant.queue is not None and not dormant.closed:
            dormant.touched_ns = now_ns  # so that it is not the one that goes
            dormant.queue.append(dormant)
        while self.is_over(CONNECTION_BYTES - dormant.charged_bytes):
            if not self._make_room(now_ns):
                return None
            found = self.entries.get(dormant.key if is_low(dormant.key) else turned(dormant.key))
            if not isinstance(found, Dormant):
                return None
            dormant = found
        connection = self._rouse(dormant)
        self.again.append((now_ns, connection.one.key, now_ns))
        return connection

    def _rouse(self, record: Dormant) -> Connection:
        """The connection that has slept, in its place. The caller has seen to the room for it."""
        connection = wake(record, self.room, self.bundle)
        self._take_up(connection.one.flow, record.one_flow, connection)
        self._take_up(connection.other.flow, record.other_flow, connection)
        assert record.queue is not None
        record.queue.replace(record, connection)
        if connection.tracked:
            self.entries[self._low_key(connection)] = connection
        self.asleep -= 1
        self.used_bytes += CONNECTION_BYTES - record.charged_bytes
        return connection

    def _take_up(self, flow: Flow | None, found: Any, owner: Any) -> None:
        """The file of who was woken up is there again, and is this one's."""
        if flow is None:
            return
        flow.owner = owner
        if isinstance(found, Packed):
            self.store.take_up(found, flow)
            found.record = None

    def bring_back(self, packed: Packed) -> Flow:
        """The file that is packed, of a connection that sleeps on; its other file comes with it."""
        record: Dormant = packed.record
        is_one = record.one_flow is packed
        record = self._repack(record, False)
        flow: Flow = record.one_flow if is_one else record.other_flow
        return flow

    def bring_back_to_go(self, packed: Packed) -> Flow:
        """The same of one that is to go, or its head; what stays of both is looked at again later."""
        flow = self.bring_back(packed)
        self.again.append((self.store.now_ns, flow.key, _ASLEEP))
        return flow

    def put_back(self, flow: Flow) -> None:
        """A reader has let go of the file: it is packed again, and the other one, if their owner sleeps."""
        if isinstance(flow.owner, Dormant):
            record: Dormant = flow.owner
            if self._can_pack(record.one_flow) or self._can_pack(record.other_flow):
                self._repack(record, True)

    def settle(self, flow: Flow) -> None:
        """The file is safe elsewhere: if its owner sleeps it can be packed, and be charged as that."""
        if isinstance(flow.owner, Dormant):
            self._charge_again(flow.owner)

    def _can_pack(self, found: Any) -> bool:
        if not isinstance(found, Flow):
            return False
        flow: Flow = found
        return not is_in_hand(flow) and self.store.may_pack(flow)

    def _repack(self, record: Dormant, packs: bool) -> Dormant:
        """Another record in the place of this one, in which files are packed that may be, or none is.

        What is charged must not depend on readers, so it is the same.
        """
        connection = wake(record, self.room, self.bundle)
        self._take_up(connection.one.flow, record.one_flow, connection)
        self._take_up(connection.other.flow, record.other_flow, connection)
        new = self._put_down(connection, record, packs)
        new.charged_bytes = record.charged_bytes
        new.marks |= record.marks & WHOLE
        return new

    # --- who goes to sleep ---------------------------------------------------------------------------

    def _lay_down(self, connection: Connection) -> bool:
        """Put the connection to sleep if nothing waits in it; whether it is asleep."""
        queue = connection.queue
        if queue is None or queue is self.spare or not may_sleep(connection):
            return False
        self.recent.drop(connection.one)
        self.recent.drop(connection.other)
        record = self._put_down(connection, connection, True)
        self.asleep += 1
        self.used_bytes += record.charged_bytes - CONNECTION_BYTES
        return True

    def _put_down(self, connection: Connection, there: Any, packs: bool) -> Dormant:
        """The record of a connection, in the place of what is there for it: itself, or an earlier record."""
        link: Link = there
        one, other = connection.one, connection.other
        low_key = self._low_key(connection)
        record = sleep(connection, self.bundle, packs)
        self._put_away(one.flow, record.one_flow)
        self._put_away(other.flow, record.other_flow)
        if record.tracked:
            self.entries[low_key] = record
        assert link.queue is not None
        link.queue.replace(link, record)
        return record

    def _put_away(self, flow: Flow | None, found: Any) -> None:
        """The file of who went to sleep, if it is packed."""
        if isinstance(found, Packed):
            assert flow is not None
            self.store.put_away(flow, found)

    def lay_down_all(self) -> None:
        """Put everybody to sleep who can, however lately he spoke."""
        for queue in (self.filed, self.closed, self.active, self.half_open, self.one_way):
            link: Any = queue.oldest
            while link is not None:
                following = link.newer
                if not isinstance(link, Dormant):
                    self._lay_down(link)
                link = following

    def _drowse(self, now_ns: int, steps: int) -> int:
        """Put to sleep who was silent for long, in so many steps; returns how many are left."""
        before_ns = now_ns - self.drowsy_ns
        for queue in (self.filed, self.closed, self.active, self.half_open, self.one_way):
            while steps > 0 and queue.fresh is not None and queue.fresh.touched_ns <= before_ns:
                link: Any = queue.fresh
                queue.pass_over()
                if not isinstance(link, Dormant):
                    connection: Connection = link
                    if not self._lay_down(connection):
                        self.again.append((now_ns, connection.one.key, now_ns))
                steps -= 1
        while steps > 0 and self.again and self.again[0][0] <= before_ns:
            _, key, since_ns = self.again.popleft()
            self._look_again(key, since_ns, now_ns)
            steps -= 1
        return steps

    def _look_again(self, key: bytes, since_ns: int, now_ns: int) -> None:
        """Look at one that woke up, or could not sleep."""
        entry = self.entries.get(key if is_low(key) else turned(key))
        if entry is None:
            return
        if isinstance(entry, Dormant):
            self._charge_again(entry)
            return
        connection: Connection = entry
        if since_ns == _ASLEEP or connection.touched_ns > since_ns:
            return  # it was put on the list when it woke up, or is fresh
        if connection.last_ns > now_ns - self.drowsy_ns or not self._lay_down(connection):
            self.again.append((now_ns, key, now_ns))

    def _charge_again(self, record: Dormant) -> None:
        """Files of a sleeper were brought back to go: what is left of them is as it now is."""
        connection = self._rouse(record)
        self._lay_down(connection)

    def _drowsy_due_ns(self) -> int:
        """When the next is to be looked at."""
        first_ns = NEVER_NS
        for queue in (self.filed, self.closed, self.active, self.half_open, self.one_way):
            if queue.fresh is not None:
                first_ns = min(first_ns, queue.fresh.touched_ns)
        if self.again:
            first_ns = min(first_ns, self.again[0][0])
        if first_ns == NEVER_NS:
            return NEVER_NS
        due_ns = first_ns + self.drowsy_ns + _TICK_NS - 1
        return due_ns - due_ns % _TICK_NS

    # --- the files and the end of who sleeps -----------------------------------------------------------

    def find(self, key: bytes, generation: int) -> Any:
        """The file of this name that is in the directory, or what stands for it."""
        entry = self.entries.get(key if is_low(key) else turned(key))
        if isinstance(entry, Dormant):
            record: Dormant = entry
            found = record.one_flow if record.key == key else record.other_flow
            if found is not None:
                flow = self.shown(found)
                if flow.generation == generation and not flow.evicted:
                    return found
        return Table.find(self, key, generation)

    def shown(self, found: Any) -> Flow:
        """The file that is there, or a copy of what is packed, as it is at this moment."""
        if not isinstance(found, Packed):
            file: Flow = found
            return file
        connection = wake(found.record, self.room, self.bundle)
        flow = self._unpacked(found, connection)
        take_apart(connection)
        return flow

    def _unpacked(self, packed: Packed, connection: Connection) -> Flow:
        """The file of a connection that just woke up from the record."""
        record: Dormant = packed.record
        stream = connection.one if record.one_flow is packed else connection.other
        flow = stream.flow
        assert flow is not None
        return flow

    def given(self, found: Any, names: bool, hot_ns: int) -> Flow:
        """What is shown of a file to a reader who then knows its size, and its name if he `names` it.

        Its size is not watched if it is open and has grown since `hot_ns`, as it will again.
        """
        if isinstance(found, Packed):
            mark(found, WATCHED)
            if names:
                mark(found, NAMED)
            return self.shown(found)
        flow: Flow = found
        if names:
            flow.named = True
        if flow.state != OPEN or flow.last_ns <= hot_ns:
            flow.watched = True
        return flow

    def listed(self, files: list[Any], hot_ns: int, roster: Roster) -> list[Entry]:
        """given() of each, with its name, as an entry; a sleeper is woken once for two that follow."""
        entries = []
        record: Any = None
        connection: Any = None
        for found in files:
            if isinstance(found, Packed):
                mark(found, WATCHED)
                mark(found, NAMED)
                if found.record is not record:
                    if record is not None:
                        take_apart(connection)
                    record = found.record
                    connection = wake(record, self.room, self.bundle)
                flow = self._unpacked(found, connection)
                flow.watched = True
            else:
                flow = self.given(found, True, hot_ns)
            entries.append(roster.entry(flow, hot_ns))
        if record is not None:
            take_apart(connection)
        return entries

    def connection_of(self, flow: Flow) -> tuple[Connection | None, bool]:
        """The connection of a file, if it is known; and whether it is a copy, to be taken apart by drop()."""
        found = self.store.get(flow.serial)
        owner: Any = flow.owner
        if isinstance(found, Packed):
            owner = found.record
        elif found is not None:
            file: Flow = found
            owner = file.owner
        if isinstance(owner, Dormant):
            return wake(owner, self.room, self.bundle), True
        return owner, False

    def drop(self, copy: Connection) -> None:
        """A copy is done with."""
        take_apart(copy)

    def file(self, found: Any) -> Flow:
        """The file itself."""
        flow: Flow = self.bring_back(found) if isinstance(found, Packed) else found
        return flow

    def told(self, found: Any) -> tuple[Flow, About]:
        """What shown() gives, and what is known of the file beside its bytes."""
        if not isinstance(found, Packed):
            return found, self.about(found)
        connection = wake(found.record, self.room, self.bundle)
        flow = self._unpacked(found, connection)
        flow.owner = connection
        about = Table.about(self, flow)
        flow.owner = None
        take_apart(connection)
        return flow, about

    def about(self, flow: Flow) -> About:
        """What is known of the file beside its bytes; an evicted one knows but its own."""
        if not isinstance(flow.owner, Dormant):
            return Table.about(self, flow)
        record = flow.owner
        connection = wake(record, self.room, self.bundle)
        flow.owner = connection
        about = Table.about(self, flow)
        flow.owner = record
        take_apart(connection)
        return about

    def _lose_file_asleep(self, record: Dormant, flow: Flow) -> None:
        """One of the files of a sleeper is gone."""
        self.used_bytes -= lose_file(record, flow)
        if record.closed and record.files == 0:
            if record.tracked:
                self.closed.append(record)
            else:
                self._dispose_asleep(record)

    def _dispose_asleep(self, record: Dormant) -> None:
        """Forget a sleeper that is closed and has no files."""
        if record.kept is not None:
            connection = wake(record, self.room, self.bundle)
            connection.one.forget_notes()
            connection.other.forget_notes()
            connection.forget_turns(self.room.turns)
            take_apart(connection)
        if record.tracked:
            self._strike_key(record.key)
        leave(record)
        self.asleep -= 1
        self.live -= 1
        self.used_bytes -= record.charged_bytes

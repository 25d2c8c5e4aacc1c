# cython: boundscheck=False, wraparound=False, cdivision=True
"""The store: owns every readable byte and the one budget for them. The only place that frees.

Knows files by number and name key, offsets and bytes; no TCP. A file is a list of extents: [start, end)
of the stream in a block of the arena; what lies between extents was lost and reads as zeros. Always true:
 - a byte below `size` never changes: it reads as itself, as a zero of a listed gap, or raises Evicted
   [R1 R4 R6];
 - `size` never decreases [R2], and a gap is listed before `size` grows over it;
 - the blocks of all files together are arena.used_bytes ≤ the budget, whatever comes in [M1];
 - a file has at most its `limit_bytes`. Of one that keeps its tail at least the last `tail_bytes` are held
   unless memory is short, and less than `tail_bytes` + 2 blocks. None of these is larger than 64 KiB, or than
   the smallest that holds `tail_bytes`; before gaps they may be partly empty.
"""

from __future__ import annotations

from array import array
from typing import Any

import cython

if not cython.compiled:
    from .arena import CLASSES, LARGEST_BLOCK_BYTES, UNIT_BYTES, Arena, size_class
    from .counters import Counters
    from .evict import Packed, Ranking
    from .flow import CLASS_MASK, NOWHERE, Flow, extent, extent_block, extent_count, extent_of
    from .memory import clear, emptied, push
    from .parcel import may_pack
    from .policies import ranking_of
    from .register import Register
    from .saving import Saving

from .flow import OPEN, Evicted
from .limits import HURRY_SHARE, PINNED_SHARE, UNLIMITED_BYTES, Limits
from .ranges import Ranges
from .register import EVICTED, NEW, REMOVED

_SMALLER_CLASSES = 3  # a block of 1/8 of what was wanted is taken rather than evicting for a whole one
_NO_EXTENTS = array("q")


class Store(Register):
    """All files and their bytes."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        Register.__init__(self)
        self.arena = Arena(limits.payload_bytes)
        self.counters = counters
        self.max_flows = limits.max_flows
        self.ranking: Ranking = ranking_of(limits.evict, 2 * LARGEST_BLOCK_BYTES)
        # The offset in its stream at which a file stops growing; how much of its end is kept in any case.
        self.head_bytes = limits.max_flow_bytes if limits.keep == "head" else UNLIMITED_BYTES
        self.keeps_tail = limits.keep == "tail"
        self.tail_bytes = limits.max_flow_bytes if self.keeps_tail else UNLIMITED_BYTES
        self.saving: Saving | None = None  # which has the ranking of all that are saved
        if limits.archives:
            ranking = ranking_of(limits.evict, 2 * LARGEST_BLOCK_BYTES)
            self.saving = Saving(counters, ranking, self.tail_bytes)
        self.now_ns = 0
        self.sessions = 0 if limits.links else -1  # connections that had files, if somebody wants that
        self.pinned_bytes = 0  # of evicted flows that somebody still has open
        self.pin_limit_bytes = self.arena.capacity_bytes // PINNED_SHARE

    # --- files -------------------------------------------------------------------------------------

    def create(self, key: bytes, generation: int, owner: Any) -> Flow | None:
        """A new file, empty. None if there are as many as there may be and none can go [M2]."""
        if self.max_flows and self.count >= self.max_flows and not self._make_flow_room():
            self.counters.flows_refused += 1
            return None
        flow = self._enter(key, generation, owner)
        flow.touched_ns = self.now_ns
        self.ranking.add(flow)
        self.counters.flows_total += 1
        if self.events is not None:
            self._happened(NEW, flow, self.now_ns)
        return flow

    def set_state(self, flow: Flow, state: int, now_ns: int) -> None:
        """The flow's connection changed; in any state but OPEN its size is final [R7]."""
        if flow.state == state or flow.evicted:
            return
        flow.state = state
        flow.ended = state != OPEN
        flow.changed_ns = now_ns
        self._ranking_of(flow).add(flow)
        if self.saving is not None:
            self.saving.end(flow)
        self._tell(flow)
        if self.events is not None:
            self._happened(state, flow, now_ns)

    def open(self, flow: Flow) -> None:
        """A reader takes the flow: it goes last when memory is short. Raises Evicted."""
        if flow.evicted:
            raise Evicted
        flow.cached = True
        flow.opens += 1
        if flow.opens == 1:
            self._ranking_of(flow).add(flow)

    def release(self, flow: Flow) -> None:
        """A reader is done with the flow."""
        flow.opens -= 1
        if flow.opens:
            return
        if flow.evicted:
            self.pinned_bytes -= flow.held_bytes
            self._free_blocks(flow)
        else:
            self._ranking_of(flow).add(flow)

    def evict(self, flow: Flow) -> None:
        """Take the flow out of the directory and free it; open readers keep it, within the pin limit [M3]."""
        if not flow.evicted:
            self.counters.flows_evicted += 1
            self.counters.evicted_bytes += flow.size - flow.start
            if self.events is not None:
                self._happened(EVICTED, flow, self.now_ns)
            self._take_out(flow, True)

    def remove(self, flow: Flow) -> None:
        """Take the flow out because a reader removed it; counted apart from evict()."""
        if not flow.evicted:
            self.counters.flows_removed += 1
            self.counters.removed_bytes += flow.size - flow.start
            if self.events is not None:
                self._happened(REMOVED, flow, self.now_ns)
            self._take_out(flow, False)

    def _take_out(self, flow: Flow, wanted: bool) -> None:
        self._ranking_of(flow).remove(flow)
        if self.saving is not None:
            self.saving.take_out(flow, wanted)
        self._strike(flow)
        if flow.opens and self.pinned_bytes + flow.held_bytes <= self.pin_limit_bytes:
            self.pinned_bytes += flow.held_bytes
        else:
            self._free_blocks(flow)

    # --- bytes -------------------------------------------------------------------------------------

    def append(self, flow: Flow, base: bytes, start: int, end: int, now_ns: int) -> int:
        """Add base[start:end] to the end of the file; returns how many bytes there was room for.

        That of memory, and that up to `limit_bytes`.
        """
        if flow.saved:
            self._dirty(flow)
        self.ranking.touch(flow, now_ns)
        done = start
        while done < end:
            if flow.size == flow.tail_end and not self._extend(flow, end - done):
                break
            count = min(end - done, flow.tail_end - flow.size)
            self.arena.write(flow.tail_position + flow.size - flow.tail_start, base, done, done + count)
            flow.size += count
            done += count
        self.counters.stored_bytes += done - start
        self._tell(flow)
        return done - start

    def skip(self, flow: Flow, count: int, reason: int) -> None:
        """The next `count` bytes of the stream are lost: list them, then grow over them, to the limit [R4].

        Each gap begins a new block, however short: so what is recorded of gaps is paid for by the budget.
        """
        count = min(count, flow.limit_bytes - flow.size)
        if count <= 0:
            return
        if flow.saved:
            self._dirty(flow)
        if flow.lost is None:
            flow.lost = Ranges()
        flow.lost.append(flow.size, flow.size + count, reason)
        self.counters.lost_bytes += count
        self._shelve_tail(flow)
        self._shelve(flow, flow.size, CLASSES)
        flow.size += count
        flow.tail_start = flow.tail_end = flow.run_start = flow.size
        if self.keeps_tail:
            self._free_what_passed(flow)

    def read(self, flow: Flow, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, short only at the end of the file. Raises Evicted [R6]."""
        count = self._count(flow, offset, size)
        if count > 0 and offset >= flow.tail_start and flow.tail_position != NOWHERE:
            return self.arena.read(flow.tail_position + offset - flow.tail_start, count)
        made = bytearray(count)
        self._gather(flow, offset, offset + count, memoryview(made))
        return bytes(made)

    def read_into(self, flow: Flow, offset: int, size: int, to: memoryview) -> int:
        """The same into a writable view, from its beginning; returns how many bytes they are."""
        count = self._count(flow, offset, size)
        self._gather(flow, offset, offset + count, to)
        return count

    def _count(self, flow: Flow, offset: int, size: int) -> int:
        """How many bytes a read gives. Raises Evicted."""
        count = min(size, flow.size - offset)
        if count <= 0:
            return 0
        if offset < flow.start:
            raise Evicted
        return count

    def differs(self, flow: Flow, offset: int, base: bytes, start: int, end: int) -> bool:
        """Whether base[start:end] is not what is stored at `offset`; what is not held counts as the same."""
        end = min(end, start + flow.size - offset)
        if offset < flow.start:
            start += flow.start - offset
            offset = flow.start
        if start >= end or flow.evicted:
            return False
        if offset >= flow.tail_start and flow.tail_position != NOWHERE:
            return not self.arena.holds(flow.tail_position + offset - flow.tail_start, base, start, end)
        return self.read(flow, offset, end - start) != base[start:end]

    def _gather(self, flow: Flow, offset: int, end: int, to: memoryview) -> None:
        """The bytes [offset, end), across extents and gaps."""
        at = 0
        index = extent_of(flow, offset)
        while offset < end:
            start, reference, following = extent(flow, index)
            count = min(end, following) - offset
            if reference & CLASS_MASK == CLASSES:
                clear(to, at, count)
            else:
                self.arena.read_into((reference & ~CLASS_MASK) + offset - start, count, to, at)
            at += count
            offset += count
            index += 1

    # --- what is saved -----------------------------------------------------------------------------

    def save(self, flow: Flow) -> None:
        """All bytes of the flow are written elsewhere; from its next byte on that is not so any more."""
        if self.saving is not None and not flow.saved and not flow.evicted:
            self.ranking.remove(flow)
            self.saving.save(flow)

    def unsave(self, flow: Flow) -> None:
        """It turned out that they are not."""
        if flow.saved and not flow.evicted:
            self._dirty(flow)

    def _dirty(self, flow: Flow) -> None:
        assert self.saving is not None
        self.saving.dirty(flow)
        self.ranking.add(flow)

    def _ranking_of(self, flow: Flow) -> Ranking:
        return self.saving.ranking if self.saving is not None and flow.saved else self.ranking

    def open_flows(self) -> int:
        """How many go on."""
        saved = 0 if self.saving is None else self.saving.ranking.going_on()
        return self.ranking.going_on() + saved

    def is_short(self, bytes_wanted: int, flows_wanted: int) -> bool:
        """Whether what is wanted could only be had by losing what is not saved."""
        saving = self.saving
        if saving is None:
            return False
        free_bytes = self.arena.capacity_bytes - self.arena.used_bytes + saving.clean_bytes
        if free_bytes < min(bytes_wanted, self.arena.capacity_bytes // HURRY_SHARE):
            return True
        return self.max_flows > 0 and self.max_flows - self.count + saving.saved_flows < flows_wanted

    # --- what sleeps -------------------------------------------------------------------------------

    def may_pack(self, flow: Flow) -> bool:
        """Whether the file can be put away once nobody has it in hand: it is as most files are."""
        return may_pack(flow) and (self.saving is None or not self.saving.knows(flow))

    def put_away(self, flow: Flow, packed: Packed) -> None:
        """The file is `packed` from here on, in its place in the order."""
        Register.put_away(self, flow, packed)
        self._ranking_of(flow).replace(flow, packed, flow)

    def take_up(self, packed: Packed, flow: Flow) -> None:
        """It is a Flow again."""
        Register.take_up(self, packed, flow)
        self._ranking_of(flow).replace(packed, flow, flow)

    # --- memory ------------------------------------------------------------------------------------

    def _extend(self, flow: Flow, wanted_bytes: int) -> bool:
        """Give the flow a further block, as large as what it has without a gap: at most half is to spare."""
        room_bytes = flow.limit_bytes - flow.size
        if room_bytes <= 0:
            return False
        if self.keeps_tail:
            self._free_what_passed(flow)
        run_bytes = flow.size - flow.run_start
        level = size_class(min(max(run_bytes, wanted_bytes), room_bytes, self.tail_bytes))
        if level == 0 and flow.lost is not None:
            level = 1  # what is recorded of a gap takes 70 bytes: more than a small block should have to bear
        level = self._class_at_hand(flow, level)
        if level < 0:
            return False
        position = self.arena.allocate(level)
        self._shelve_tail(flow)
        flow.tail_start = flow.size
        flow.tail_end = flow.size + min(UNIT_BYTES << level, room_bytes)
        flow.tail_position = position
        flow.tail_class = level
        flow.held_bytes += UNIT_BYTES << level
        self.ranking.grew(flow, UNIT_BYTES << level)
        return True

    def _class_at_hand(self, flow: Flow, level: int) -> int:
        """The class of which there is a block: `level`, or a smaller, or one that others give up; or -1."""
        while True:
            found = self.arena.closest(level, _SMALLER_CLASSES)
            if found >= 0:
                return found
            if self.saving is not None and self.saving.clean_bytes == 0:
                found = self.arena.closest(level, level)  # rather than lose anything
                if found >= 0:
                    return found
            if not self._make_room(flow):
                return self.arena.closest(level, level)

    def _make_room(self, keep: Flow) -> bool:
        """Free something that is not the end of `keep`. False if there is nothing."""
        if self.saving is not None and self._make_clean_room(keep):
            return True
        held_limit_bytes = self.pin_limit_bytes - self.pinned_bytes
        flow: Flow | None = self.ranking.victim(self.now_ns, held_limit_bytes, keep)
        if flow is None:
            if keep.extents is None:
                return False
            flow = keep
        if self.ranking.head_is_enough and flow.extents is not None:
            self.counters.trimmed_bytes += self._trim_head(flow)
            return True
        self._evict_now(flow)
        return True

    def _make_clean_room(self, keep: Flow) -> bool:
        """Free something that is saved. False if there is nothing."""
        saving = self.saving
        assert saving is not None
        held_limit_bytes = self.pin_limit_bytes - self.pinned_bytes - self.ranking.held_open_bytes
        flow: Flow | None = saving.ranking.victim(self.now_ns, held_limit_bytes, keep)
        if flow is not None and (flow.extents is None or not saving.ranking.head_is_enough):
            self._evict_now(flow)
            return True
        if flow is None:
            flow = saving.head()
        if flow is not None:
            self.counters.trimmed_bytes += self._trim_head(flow)
        return flow is not None

    def _evict_now(self, flow: Flow) -> None:
        """Evict, and free even what a reader has open: the pin limit is reached, or nothing else is left."""
        if flow.opens:
            self.pinned_bytes += self.pin_limit_bytes  # so that evict() sees no room to pin
            self.evict(flow)
            self.pinned_bytes -= self.pin_limit_bytes
        else:
            self.evict(flow)

    def _make_flow_room(self) -> bool:
        """Evict one closed or idle flow."""
        for ranking in (self.ranking,) if self.saving is None else (self.saving.ranking, self.ranking):
            leaver = ranking.leaver(self.now_ns)
            if leaver is not None:
                self.evict(leaver)
                return True
        return False

    def _free_what_passed(self, flow: Flow) -> None:
        """Free all but the last `tail_bytes`, by whole extents."""
        passed = flow.size - self.tail_bytes
        while flow.extents is not None and extent(flow, 0)[2] <= passed:
            self.counters.trimmed_beyond_bytes += self._trim_head(flow)

    def _trim_head(self, flow: Flow) -> int:
        """Free the first extent of a flow that has more than one; returns how many bytes of it were left."""
        extents: Any = flow.extents
        _, reference, following = extent(flow, 0)
        freed = self._release_block(reference)
        if self.saving is not None:
            self.saving.trim(flow, following, freed)
        trimmed = following - flow.start
        flow.start = following
        flow.first_extent += 1
        if extent_count(flow) == 0:
            flow.extents = None
            flow.first_extent = 0
        elif flow.first_extent >= extent_count(flow):  # half of the list
            del extents[: flow.first_extent * 2]
            flow.first_extent = 0
        if flow.lost is not None:
            flow.lost.forget_before(flow.start)
        flow.held_bytes -= freed
        self._ranking_of(flow).grew(flow, -freed)
        self._tell(flow)
        self._tell_freed(flow)
        return trimmed

    def _free_blocks(self, flow: Flow) -> None:
        """Give back all memory of the flow."""
        if flow.extents is not None:
            for index in range(extent_count(flow)):
                self._release_block(extent_block(flow, index))
            flow.extents = None
        if flow.tail_position != NOWHERE:
            self.arena.release(flow.tail_position, flow.tail_class)
            flow.tail_position = NOWHERE
        flow.start = flow.tail_start = flow.tail_end = flow.size
        flow.held_bytes = 0
        self._tell_freed(flow)

    def _release_block(self, reference: int) -> int:
        """Give back the block of an extent; returns its size in bytes."""
        level = reference & CLASS_MASK
        if level == CLASSES:
            return 0
        self.arena.release(reference & ~CLASS_MASK, level)
        return UNIT_BYTES << level

    def _shelve_tail(self, flow: Flow) -> None:
        """Put the extent that was being filled to the others, cut to what is in it."""
        if flow.tail_position != NOWHERE:
            self._shelve(flow, flow.tail_start, flow.tail_position | flow.tail_class)
            flow.tail_position = NOWHERE

    def _shelve(self, flow: Flow, start: int, reference: int) -> None:
        if flow.extents is None:
            flow.extents = emptied(_NO_EXTENTS)
        push(flow.extents, start)
        push(flow.extents, reference)

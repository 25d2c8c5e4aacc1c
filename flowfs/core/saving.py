# cython: boundscheck=False, wraparound=False, cdivision=True
"""What of the flows is saved elsewhere: who can go without a loss, and who is to be saved next.

The store's side of an archive, which is to it what a disk is to a page cache: a flow is dirty until its bytes
and its end are saved. Knows no archive: whoever saves asks next(), and says what it wrote(), that a part is
complete(), or that it must fail(). What it took() it has in its own memory. Frees nothing. Always true:
 - `clean_bytes` is the capacity that can be freed without a loss: all that saved flows hold, and of others
   the blocks before their tail whose bytes were all written;
 - bytes that go before they were taken are counted as lost, once, and so are those that failed later;
 - what lies before the last `tail_bytes` of a flow is not wanted: that it goes is no loss.

The written part of a flow is a draft until the part is complete. When it goes on after that, or after bytes
between were lost, another part begins: each part has all bytes from its offset to its end.
"""

from __future__ import annotations

from collections import OrderedDict

import cython

if not cython.compiled:
    from .arena import CLASSES, UNIT_BYTES
    from .counters import Counters
    from .evict import Ranking
    from .flow import CLASS_MASK, Flow, extent, extent_count

from .limits import SAVE_SETTLE_NS


class Draft:
    """How much of a flow was written; `clean_extents`: its first blocks that can be freed without a loss."""

    __slots__ = (
        "clean_bytes",
        "clean_extents",
        "has_lost",
        "is_begun",
        "is_handed_over",
        "taken",
        "written",
    )

    def __init__(self, written: int) -> None:
        self.written = written  # the offset up to which all is written, or was lost
        self.taken = written  # that up to which whoever saves has it all, though not written yet
        self.clean_bytes = 0
        self.clean_extents = 0
        self.has_lost = False
        self.is_begun = False  # whoever saves has a part of it
        self.is_handed_over = False  # which is written to the flow's end, and will be complete() or fail()


class Saving:
    """Of one store. `ranking` is that of the saved flows; all others stand in the store's own."""

    def __init__(self, counters: Counters, ranking: Ranking, tail_bytes: int) -> None:
        self.counters = counters
        self.ranking = ranking
        self.tail_bytes = tail_bytes
        self.clean_bytes = 0
        self.saved_flows = 0
        self.drafts: dict[Flow, Draft] = {}
        self.partly: OrderedDict[Flow, None] = OrderedDict()  # drafts of flows that are not saved
        self.heads: OrderedDict[Flow, None] = OrderedDict()  # of these, those with blocks that can be freed
        self.ended: OrderedDict[Flow, None] = OrderedDict()  # whose end is not saved, the oldest end first
        self.later: OrderedDict[Flow, None] = OrderedDict()  # those that could not be saved, till resume()
        self.gone: list[tuple[Flow, int]] = []  # evicted with a draft; how much was written, -1 to drop it
        self.leaving: dict[Flow, Draft] = {}  # those of them that are wanted, until they are complete
        self.takes_draft = False
        self.serial = 0  # all files up to this one are saved or wait, as far as they did not grow since

    # --- what the store tells --------------------------------------------------------------------------

    def end(self, flow: Flow) -> None:
        """The flow's state has changed."""
        if flow.ended:
            self.ended[flow] = None
        else:
            self.ended.pop(flow, None)

    def dirty(self, flow: Flow) -> None:
        """A saved flow grows: what is written is all that it has. Out of this ranking, and into no other."""
        self.ranking.remove(flow)
        self.clean_bytes -= flow.held_bytes
        self.saved_flows -= 1
        flow.saved = False
        draft = self._draft(flow)
        draft.is_begun = True
        draft.is_handed_over = False
        draft.written = flow.size
        draft.clean_extents = extent_count(flow)
        draft.clean_bytes = flow.held_bytes - flow.tail_bytes()
        self._count_in(flow, draft)

    def trim(self, flow: Flow, end: int, freed_bytes: int) -> None:
        """The flow's first block goes, with what comes before `end`."""
        if flow.saved:
            self.clean_bytes -= freed_bytes
            return
        draft = self._draft(flow)
        if draft.clean_extents:
            draft.clean_extents -= 1
            draft.clean_bytes -= freed_bytes
            self.clean_bytes -= freed_bytes
            if draft.clean_extents == 0:
                self.heads.pop(flow, None)
        self._lose_until(flow, draft, end)

    def take_out(self, flow: Flow, wanted: bool) -> None:
        """The flow goes; not `wanted` if a reader removed it, and then nothing of it needs to be saved."""
        draft = self.drafts.pop(flow, None)
        self.ended.pop(flow, None)
        self.later.pop(flow, None)
        if flow.saved:
            self.clean_bytes -= flow.held_bytes
            self.saved_flows -= 1
        elif draft is not None:
            self._count_out(flow, draft)
        if draft is not None and draft.is_begun:
            self.gone.append((flow, draft.written if wanted else -1))
            if wanted:
                self.leaving[flow] = draft
        if wanted and not flow.saved:
            self._lose_until(flow, Draft(flow.start) if draft is None else draft, flow.size)

    def _lose_until(self, flow: Flow, draft: Draft, end: int) -> None:
        """Count what lies before `end` and was not taken."""
        known = max(draft.written, draft.taken, flow.start)
        if end > known:
            draft.written = end
            self._count_lost(flow, draft, known, end)

    def _count_lost(self, flow: Flow, draft: Draft, begin: int, end: int) -> None:
        """The bytes [begin, end) are lost, as far as they were wanted."""
        begin = max(begin, flow.size - self.tail_bytes)
        if end > begin:
            self.counters.archive_lost_flows += not draft.has_lost
            self.counters.archive_lost_bytes += end - begin
            draft.has_lost = True

    # --- what whoever saves tells ------------------------------------------------------------------------

    def take(self, flow: Flow, start: int, end: int) -> bool:
        """The bytes [start, end) were read, and will be written, or fail(): that they go is no loss.

        False if some of them have gone already, and were counted.
        """
        if flow.evicted or self.written(flow) != start:
            return False
        draft = self._draft(flow)
        draft.is_begun = True
        draft.taken = end
        return True

    def wrote(self, flow: Flow, end: int) -> None:
        """The bytes before `end` are written: they can go, which is no loss any more."""
        if flow.evicted or flow.saved:
            return
        draft = self._draft(flow)
        self._count_out(flow, draft)
        draft.is_begun = True
        draft.written = max(draft.written, end)
        index = draft.clean_extents
        count = extent_count(flow)
        while index < count:
            _, reference, following = extent(flow, index)
            if following > draft.written:
                break
            level = reference & CLASS_MASK
            if level != CLASSES:
                draft.clean_bytes += UNIT_BYTES << level
            index += 1
        draft.clean_extents = index
        self._count_in(flow, draft)
        self.partly.move_to_end(flow)

    def save(self, flow: Flow) -> None:
        """All bytes that the flow has are written: it is clean. It is in no ranking, and gets into this."""
        draft = self._draft(flow)
        draft.is_begun = True
        self._count_out(flow, draft)
        flow.saved = True
        self.saved_flows += 1
        self.clean_bytes += flow.held_bytes
        self.ranking.add(flow)

    def hand_over(self, flow: Flow) -> None:
        """The part has all that the flow, which is saved, has so far."""
        self._draft(flow).is_handed_over = True
        self.ended.pop(flow, None)

    def complete(self, flow: Flow) -> None:
        """All parts of a saved flow are complete: nothing more is known of it."""
        self.drafts.pop(flow, None)
        self.ended.pop(flow, None)

    def forget(self, flow: Flow) -> None:
        """A part of a flow that is gone is complete."""
        self.leaving.pop(flow, None)

    def lose(self, flow: Flow, begin: int, end: int) -> None:
        """The bytes [begin, end) of a flow that is gone, which were taken or written, are not safe.

        Of one that a reader has removed they are not wanted.
        """
        if (flow, -1) not in self.gone:
            self._count_lost(flow, self.leaving.get(flow) or Draft(begin), begin, end)

    def fail(self, flow: Flow, begin: int, end: int) -> None:
        """The bytes [begin, end), which were taken or written, are not safe. The flow must not be saved."""
        draft = self._draft(flow)
        self._count_out(flow, draft)
        draft.clean_bytes = draft.clean_extents = 0
        draft.written = draft.taken = begin
        draft.is_handed_over = False
        if flow.start > begin:
            self._count_lost(flow, draft, begin, min(flow.start, end))
        self._count_in(flow, draft)
        self.serial = 0
        if flow.ended:
            self.ended[flow] = None

    def postpone(self, flow: Flow) -> None:
        """It cannot be saved at this time: let others go first, until resume()."""
        if not flow.evicted:
            self.later[flow] = None
            self.ended.pop(flow, None)

    def put_off(self, flow: Flow) -> bool:
        """The same, if no more is known of it than that: nothing is written of it, and nothing was lost.

        Then nothing is known of it any more; else False, and nothing is done.
        """
        draft = self.drafts.get(flow)
        if draft is None or flow.evicted or draft.has_lost or draft.written > flow.start:
            return False
        self._count_out(flow, draft)
        del self.drafts[flow]
        self.ended.pop(flow, None)
        self.later.pop(flow, None)
        return True

    def resume(self) -> None:
        """Try those again that were postponed."""
        for flow in self.later:
            if flow.ended:
                self.ended[flow] = None
        self.later.clear()
        self.serial = 0

    def next(self, now_ns: int, hurry: bool, victim: Flow | None) -> Flow | None:
        """Whom to save next, None if that can wait.

        Closed flows once nothing changes any more. In a `hurry` closed ones at once, then by turns the
        `victim`, who would go first of those of whom nothing is written, and one that is written in part.
        """
        for flow in self.ended:  # the first
            if hurry or now_ns - flow.changed_ns >= SAVE_SETTLE_NS:
                return flow
            break
        if not hurry:
            return None
        if victim in self.later:
            victim = None
        self.takes_draft = not self.takes_draft or victim is None
        if self.takes_draft:
            for flow in self.partly:
                if flow not in self.later:
                    return flow
        return victim

    def lacks(self, flow: Flow) -> bool:
        """Whether anything of a file that is there has still to be saved, or to be handed over."""
        if flow in self.later:
            return False
        draft = self.drafts.get(flow)
        return not flow.saved or (draft is not None and not draft.is_handed_over)

    def written(self, flow: Flow) -> int:
        """The offset from which on the flow is to be written."""
        draft = self.drafts.get(flow)
        return max(flow.start, draft.written if draft is not None else 0)

    def knows(self, flow: Flow) -> bool:
        """Whether more is known of the flow than whether it is saved."""
        return flow in self.drafts or flow in self.ended or flow in self.later

    def begin(self, flow: Flow) -> None:
        """Whoever saves is told of the flow: it is known from here on, until it is complete()."""
        self._draft(flow)

    def head(self) -> Flow | None:
        """A flow whose first block can be freed without a loss."""
        for flow in self.heads:
            return flow
        return None

    # --- sums ----------------------------------------------------------------------------------------------

    def _draft(self, flow: Flow) -> Draft:
        draft = self.drafts.get(flow)
        if draft is None:
            draft = self.drafts[flow] = Draft(flow.start)
        return draft

    def _count_in(self, flow: Flow, draft: Draft) -> None:
        self.partly[flow] = None
        self.clean_bytes += draft.clean_bytes
        if draft.clean_extents:
            self.heads[flow] = None

    def _count_out(self, flow: Flow, draft: Draft) -> None:
        if flow in self.partly:
            del self.partly[flow]
            self.clean_bytes -= draft.clean_bytes
            self.heads.pop(flow, None)

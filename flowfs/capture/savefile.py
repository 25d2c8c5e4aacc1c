"""Capture files, FIFOs and standard input as sources: from bytes to batches of packets.

Owns an input each, and where in it the next packet is. Always true: every packet before the place where the
bytes end or are damaged is given; a batch is of one link type, and its packets lie where they were read.

libpcap's own reading takes longer than all the rest (0.65 s for 1.6 GB, against 0.15 s for read(2)), refuses
files whose interfaces differ, and gives µs only; so here it is left to compile the filter.
"""

from __future__ import annotations

import os
import time
from array import array
from typing import Protocol

from flowfs.core.decode import LINK_TYPES

from .following import BEGINS_ANEW, WAITS, Following, Rewritten
from .formats import Format, Unreadable, format_of, header_bytes, is_beginning
from .inputs import Damaged, Plain, at_least, open_input
from .sources import META_BYTES, NO_BATCH, Batch, Damage, Source, link_name

CURRENT_S = 2.0  # tcpdump -U is not later; a stored capture is older
NOTHING, A_WHILE = -1, -2
_NEVER_NS = 1 << 63


class Filter(Protocol):
    """What decides which packets are given."""

    def fault(self, link_type: int) -> str:
        """Why it cannot work on this link type, "" if it can."""

    def passing(self, batch: Batch) -> Batch:
        """Those packets of a batch that pass."""


class Savefile(Source):
    """One capture file, FIFO or standard input. Raises Unreadable, Damaged and OSError when it begins.

    `may_grow`: that a file has no header yet is no reason to raise. `wait`: for the header of a stream, which
    is read as it comes otherwise. `start_ns`: the time of the first packet; of a stream, for which one would
    have to wait, 0.
    """

    def __init__(
        self,
        name: str,
        number: int,
        descriptor: int,
        passes: Filter | None,
        *,
        may_grow: bool = False,
        wait: bool = True,
    ) -> None:
        self._input, self._piece = open_input(descriptor, wait)
        self._following = Following(name, self._input) if isinstance(self._input, Plain) else None
        self._filter = passes
        self._format: Format | None = None
        self._used = 0
        self._hungry = False
        """Whether more bytes are needed for the next packet."""
        self._left_out: set[int] = set()
        self.ended = False
        self.follow = False
        """Whether the end of the file is only where it is for now."""
        self.start_ns = 0
        self._interfaces = 0
        self.is_current = False
        """Whether the packets are of this very moment, so that the clock on the wall is theirs, too."""
        super().__init__(name, number, -1)
        if self._begin(may_grow if self.can_follow else not wait):
            self._look_ahead()
        elif not self.can_follow:
            self._hungry = True
            self.note = f"{self.shown}: nothing has come of it yet"
        else:
            self.start_ns = _NEVER_NS
            self.complaints.append(
                f"{self.shown}: no capture in it yet, which is waited for (tcpdump -U writes at once)"
            )

    @property
    def waits_for(self) -> int:
        """What is to be waited for before next_batch(): a descriptor to be readable, NOTHING, or A_WHILE."""
        if self.ended or not self._hungry:
            return NOTHING
        return A_WHILE if self.follow and self._input.at_end else self._input.waits_for

    @property
    def can_follow(self) -> bool:
        """Whether it can be read while it is written: the end of what is compressed says that it is one."""
        return isinstance(self._input, Plain)

    @property
    def has_one_link_type(self) -> bool:
        """Whether what `link_type` says is true of all packets, as far as that is known at the beginning."""
        return self.link_type >= 0 and self._interfaces < 2

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and bytes in all; 0 and 0 of a stream."""
        return (self._input.position, self._input.size) if self._input.size else (0, 0)

    def next_batch(self) -> Batch:
        """The next packets; none if they have not come, did not pass, or at the end. Raises Damage."""
        try:
            return self._next_batch()
        except (OSError, Damaged, Unreadable, Rewritten) as error:
            self._end()
            if self._format is None and isinstance(error, Unreadable):
                raise Damage(f"{self.shown} {error}") from None
            raise Damage(f"{self.shown}: {_why(error)}; everything before that is shown") from None

    def close(self) -> None:
        """Let go of the descriptor; whoever still writes to standard input is told."""
        if self.name == "-" and self._input.descriptor >= 0:
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(nothing, 0)
            os.close(nothing)
        self._input.close()

    @property
    def shown(self) -> str:
        """The name for people."""
        return "standard input" if self.name == "-" else self.name

    def _begin(self, may_wait: bool) -> bool:
        """Read the header; False if it is not there yet, and may come. Raises Unreadable."""
        wait = not may_wait
        self._piece = at_least(self._input, self._piece, 4, wait)
        self._piece = at_least(self._input, self._piece, header_bytes(self._piece), wait)
        at_end = self._input.at_end and not self.can_follow
        if may_wait and not at_end and is_beginning(self._piece):
            return False
        if not self._piece:
            raise Unreadable("is empty, not a capture")
        if len(self._piece) >= 4 and is_beginning(self._piece):
            raise Unreadable("is cut short in its very header: no packets in it")
        self._format, self._used = format_of(self._piece)
        return True

    def _look_ahead(self) -> None:
        """See of which link type and time the first packet is, and go back: files may be many."""
        assert self._format is not None
        self.link_type = self._format.records.link_type
        if not isinstance(self._input, Plain):
            return
        records = self._format.records
        self.start_ns = _NEVER_NS
        while not self._input.at_end:
            self._used = self._format.scan(self._piece, self._used)
            if records.count:
                self.link_type = records.link_type
                self.start_ns = _time_ns(records.meta[:META_BYTES], self._format.fraction_ns)
                break
            self._piece, self._used = self._input.more(self._piece[self._used :]), 0
        self._interfaces = records.interfaces
        self._rewind(self._input)

    def _rewind(self, plain: Plain) -> None:
        self._format = None
        self._piece, self._used = b"", 0
        plain.rewind()

    def _goes_on(self) -> bool:
        """Whether a file that is still written is to be read, for which it may have to begin again."""
        if self._following is None:
            return True
        try:
            found = self._following.look(self._input.position - len(self._piece) + self._used)
        finally:
            self.complaints += [f"{self.shown}: {line}" for line in self._following.lines]
            self._following.lines.clear()
        if found == BEGINS_ANEW and isinstance(self._input, Plain):
            self._rewind(self._input)
        if found == WAITS:
            self._input.at_end = True
        return found != WAITS

    def _next_batch(self) -> Batch:
        if self.follow and self._hungry and not self._goes_on():
            return NO_BATCH
        if self._format is None:
            self._hungry = not self._begin(self.follow or not self.can_follow)
            if self._format is None:
                return NO_BATCH
        if self._hungry:
            self._piece, self._used = self._input.more(self._piece[self._used :]), 0
        records = self._format.records
        self._used = self._format.scan(self._piece, self._used)
        self._hungry = records.count == 0 or records.wants_more()
        if records.count:
            return self._given(self._format)
        if self._hungry and self._input.at_end and not self.follow:
            self._end()
            if self._used < len(self._piece):
                raise Damage(
                    f"{self.shown}: cut short in the middle of a packet; everything before it is shown"
                )
        return NO_BATCH

    def _given(self, found: Format) -> Batch:
        """The packets that were just noted, less those that do not pass."""
        records = found.records
        meta = records.meta[: META_BYTES * records.count]
        batch = Batch(self._piece, meta, records.link_type, found.fraction_ns)
        if self.follow or not self._input.size:
            last_ns = _time_ns(batch.meta[-META_BYTES:], batch.fraction_ns)
            self.is_current = abs(last_ns / 1e9 - time.time()) < CURRENT_S
        readable = records.link_type in LINK_TYPES
        fault = self._filter.fault(records.link_type) if readable and self._filter is not None else ""
        if fault or not readable:
            self._leave_out(records.link_type, records.count, fault)
            return NO_BATCH
        if self._filter is not None:
            batch = self._filter.passing(batch)
        self.packets += len(batch.meta) // META_BYTES
        return batch

    def _leave_out(self, link_type: int, count: int, fault: str) -> None:
        """Packets of an interface whose frames we cannot read, or not filter, beside others."""
        self.left_out += count
        if link_type not in self._left_out:
            self._left_out.add(link_type)
            why = f" ({fault})" if fault else ""
            self.complaints.append(f"{self.shown}: frames of {link_name(link_type)} are left out{why}")

    def _end(self) -> None:
        self.ended = True
        self._input.position = self._input.size


def _time_ns(row: memoryview, fraction_ns: int) -> int:
    seconds, fraction, *_ = array("I", bytes(row))
    return seconds * 10**9 + fraction * fraction_ns


def _why(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read further ({reason})"

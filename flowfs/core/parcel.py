# cython: boundscheck=False, wraparound=False, cdivision=True
"""A file of which nothing comes, as a part of the record of its connection: see `dormant`.

Knows every field of a Flow. Always true: what is unpacked is what was packed, field for field: for each there
is one line, in which it goes both in and out, or it is at its default in whoever may_pack(); a test finds one
that was forgotten. So those are packed that nobody has in hand, and that lie in a few blocks.
"""

from __future__ import annotations

from array import array

import cython

if not cython.compiled:
    from .arena import UNIT_BYTES
    from .bundle import Bundle
    from .flow import CLASS_MASK, NOWHERE, Flow, extent_count
    from .memory import emptied, item, push

from .flow import OPEN
from .limits import PACKED_EXTENTS, UNLIMITED_BYTES

_NO_EXTENTS = array("q")


def may_pack(flow: Flow) -> bool:
    """Whether the fields are at their defaults that are not packed, but for what is_in_hand()."""
    if flow.evicted or flow.is_large:
        return False
    return flow.first_extent == 0 and extent_count(flow) <= PACKED_EXTENTS


def is_in_hand(flow: Flow) -> bool:
    """Whether a reader has it open, or is to be told of it."""
    return flow.opens > 0 or flow.freed


def pass_file(
    bundle: Bundle, flow: Flow, began_ns: int, ended_ns: int, size: int, known: Flow | None
) -> None:
    """In or out, `bundle` knows which; `touched_ns`, `lost`, `key` and `saved` are told otherwise.

    Usually the connection began and ended then (0: it has not), the file has this size, and is next to one
    that is `known`.
    """
    flow.serial = bundle.number(flow.serial, 0 if known is None else known.serial + 1)
    flow.place = bundle.number(flow.place, -1 if known is None or known.place < 0 else known.place + 1)
    flow.size = bundle.number(flow.size, size)
    flow.start = bundle.number(flow.start, 0)
    flow.first_ns = bundle.number(flow.first_ns, began_ns)
    flow.last_ns = bundle.number(flow.last_ns, flow.touched_ns)
    flow.changed_ns = bundle.number(flow.changed_ns, ended_ns if ended_ns else flow.last_ns)
    flow.state = bundle.number(flow.state, OPEN)
    flow.ended = bundle.flag(flow.ended)
    flow.generation = bundle.number(flow.generation, 0)
    flow.source = bundle.number(flow.source, 0)
    flow.partial = bundle.flag(flow.partial)
    flow.unverified = bundle.flag(flow.unverified)
    flow.cached = bundle.flag(flow.cached)
    flow.limit_bytes = bundle.number(flow.limit_bytes, UNLIMITED_BYTES)
    flow.run_start = bundle.number(flow.run_start, 0)
    _pass_tail(bundle, flow, 0 if known is None else known.tail_position // UNIT_BYTES + 1)
    _pass_extents(bundle, flow)


def _pass_tail(bundle: Bundle, flow: Flow, usual_unit: int) -> None:
    has_tail = bundle.flag(flow.tail_position != NOWHERE)
    unit = bundle.number(flow.tail_position // UNIT_BYTES if has_tail else 0, usual_unit)
    flow.tail_position = unit * UNIT_BYTES if has_tail else NOWHERE
    flow.tail_class = bundle.number(flow.tail_class, 0)
    capacity = UNIT_BYTES << flow.tail_class if has_tail else 0
    flow.tail_start = bundle.number(flow.tail_start, 0)
    flow.tail_end = bundle.number(flow.tail_end, flow.tail_start + capacity)
    flow.held_bytes = bundle.number(flow.held_bytes, capacity)


def _pass_extents(bundle: Bundle, flow: Flow) -> None:
    """The extents before the tail: where each begins, its class, and its block."""
    count = bundle.number(extent_count(flow), 0)
    if count == 0:
        return
    known = flow.extents
    made = emptied(_NO_EXTENTS)
    start = 0
    for index in range(count):
        reference = item(known, 2 * index + 1) if known is not None else 0
        start = bundle.number(item(known, 2 * index) if known is not None else 0, start)
        level = bundle.number(reference & CLASS_MASK, 0)
        unit = bundle.number((reference & ~CLASS_MASK) // UNIT_BYTES, 0)
        push(made, start)
        push(made, unit * UNIT_BYTES | level)
    flow.extents = made

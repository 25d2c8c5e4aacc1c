# cython: boundscheck=False, wraparound=False, cdivision=True
"""A connection of which nothing happens, as one small record; what TCP stacks do in TIME_WAIT and SYN_RECV.

Knows every field of a connection and of its directions, and no packet; who sleeps, and when, others decide.
Always true: what wakes up is what went to sleep, field for field. For each field there is one line, in which
it goes both in and out, or it is at its default in whoever may_sleep(); a test finds one that was forgotten.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from .assembly import FAR_AWAY, NEVER, Room
    from .bundle import Bundle
    from .decode import turned
    from .evict import Packed
    from .exchange import NOBODY
    from .flow import Flow, extent_count
    from .notes import UNKNOWN_TTL
    from .order import Link
    from .parcel import is_in_hand, pass_file
    from .seq import advance, distance
    from .stream import Connection, Stream
    from .uncommon import Beyond, OddAcks, OddEnd
    from .window import ABSENT

from .flow import OPEN
from .limits import (
    FLOW_OUT_OF_ORDER_BYTES,
    GAPS_BYTES,
    LINK_BYTES,
    NUMBER_BYTES,
    PACKED_EXTENT_BYTES,
    PACKED_FILE_BYTES,
    SLEEPER_BYTES,
    SLEEPING_FILE_BYTES,
    UNKNOWN_WINDOW_BYTES,
)

_SHARE_BYTES = FLOW_OUT_OF_ORDER_BYTES
_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES
_NO_SYN = -2  # as a scale, see Reach
_FARTHER_BELOW = -(1 << 40)  # the same of any offset that two sequence numbers make, and six bytes
_FAR_BELOW = -(1 << 33)  # any sequence number is farther from it than four bytes can say
_ONE, _OTHER = 1, 2  # sides; in `marks`: its file is charged as it is, since it cannot be packed
# How far to the left of that stands in `marks` that the name of a packed file was given away, or its size, or
# that it is saved.
NAMED, WATCHED, SAVED = 2, 4, 6
WHOLE = _ONE | _OTHER
_NOTHING_KEPT = (None,) * 8


@cython.no_gc
@cython.cclass
class Dormant(Link):
    """The record. It stands where its connection stood, which is where it can be found."""

    __slots__ = (
        *("charged_bytes", "closed", "files", "kept", "key", "last_ns", "lacks", "one_flow", "other_flow"),
        *("marks", "packed", "tracked"),
    )

    def __init__(self) -> None:
        self.nothing()

    def nothing(self) -> None:
        """What __init__ does, see Link.unlinked()."""
        self.unlinked()
        self.key = b""  # that of the connection's `one`
        self.last_ns = 0
        self.closed = False
        self.tracked = True
        self.lacks = False  # the end of the capture may tell that something is missing [H5]
        self.files = 0
        self.one_flow: Any = None  # a Flow, or what stands for it while it is packed
        self.other_flow: Any = None
        self.kept: tuple[Any, ...] | None = None  # notes, cuts, what was lost; turns, link
        self.packed = b""
        self.marks = 0  # of its files
        self.charged_bytes = 0


def may_sleep(connection: Connection) -> bool:
    """Whether nothing waits in a connection, for a packet or for a time."""
    if connection.rival is not None or connection.incumbent is not None:
        return False
    return _is_quiet(connection.one) and _is_quiet(connection.other)


def _is_quiet(stream: Stream) -> bool:
    if stream.pending is not None or stream.tentative is not None or stream.afar is not None:
        return False
    return not stream.settling and stream.scheduled_ns == 0


def sleep(connection: Connection, bundle: Bundle, packs: bool) -> Dormant:
    """The record of a connection that may_sleep(), which is taken apart.

    Its files are the record's. If it `packs`, those are packed that Store.may_pack(), and it is for the
    caller to put the Flows of these away.
    """
    one, other = connection.one, connection.other
    record = Dormant.__new__(Dormant)
    record.nothing()
    record.key = one.key
    record.last_ns = connection.last_ns
    record.closed = connection.state != OPEN
    record.tracked = connection.tracked
    record.lacks = _may_lack(one) or _may_lack(other)
    record.files = connection.files
    bundle.begin()
    _pass_connection(bundle, connection)
    record.charged_bytes = SLEEPER_BYTES + NUMBER_BYTES * bundle.count() + 2 * len(record.key)
    record.one_flow = _put_file(bundle, one, record, packs, _ONE)
    record.other_flow = _put_file(bundle, other, record, packs, _OTHER)
    record.packed = bundle.packed()
    lost = _lost_of(record.one_flow, one.flow), _lost_of(record.other_flow, other.flow)
    of_both = connection.turns, connection.link
    kept = (one.notes, one.cuts, lost[0], other.notes, other.cuts, lost[1], *of_both)
    if kept != _NOTHING_KEPT:
        record.kept = kept
    if connection.link is not None:
        record.charged_bytes += LINK_BYTES
    take_apart(connection)
    return record


def _put_file(bundle: Bundle, stream: Stream, record: Dormant, packs: bool, side: int) -> Any:
    """The file of a direction as the record has it.

    One that a reader has open is charged as if it was packed, as it will be: nobody must go because somebody
    reads.
    """
    flow = stream.flow
    if flow is None:
        bundle.flag(False)
        return None
    if flow.lost is not None:
        record.charged_bytes += GAPS_BYTES
    if stream.room.store.may_pack(flow):
        record.charged_bytes += PACKED_FILE_BYTES + PACKED_EXTENT_BYTES * extent_count(flow)
        packs = packs and not is_in_hand(flow)
    else:
        record.charged_bytes += SLEEPING_FILE_BYTES
        record.marks |= side
        packs = False
    if not bundle.flag(packs):
        flow.owner = record
        return flow
    _pass_file(bundle, stream, flow, record)
    if flow.named:
        record.marks |= side << NAMED
    if flow.watched:
        record.marks |= side << WATCHED
    if flow.saved:
        record.marks |= side << SAVED
    flow.owner = None  # which would be a circle
    packed = Packed.__new__(Packed)
    packed.unlinked()
    packed.record = record
    return packed


def _lost_of(found: Any, flow: Any) -> Any:
    return flow.lost if isinstance(found, Packed) else None


def _take_file(bundle: Bundle, stream: Stream, record: Dormant, lost: Any) -> None:
    """The file of a direction: what was packed is unpacked, and nobody else knows of it."""
    found: Any = record.other_flow if stream.side else record.one_flow
    marks = record.marks >> stream.side
    if not bundle.flag(False):
        stream.flow = found
        return
    packed: Packed = found
    flow = Flow.__new__(Flow)
    flow.begin(0, stream.key, 0, None)
    flow.touched_ns = packed.touched_ns
    flow.lost = lost
    flow.named = marks & _ONE << NAMED != 0
    flow.watched = marks & _ONE << WATCHED != 0
    flow.saved = marks & _ONE << SAVED != 0
    _pass_file(bundle, stream, flow, record)
    stream.flow = flow


def _pass_file(bundle: Bundle, stream: Stream, flow: Flow, record: Dormant) -> None:
    """Of two files in the bundle, the first, which usually appeared just before, tells of the other."""
    connection = stream.connection
    known = stream.peer.flow if stream.side and isinstance(record.one_flow, Packed) else None
    size = stream.rcv_nxt - stream.origin
    pass_file(bundle, flow, connection.first_ns, connection.closed_ns, size, known)


def wake(record: Dormant, room: Room, bundle: Bundle) -> Connection:
    """The connection as it went to sleep, and its files; the record keeps what it has.

    Nothing else knows of the connection, nor of the files that were packed.
    """
    connection = Connection.__new__(Connection)
    connection.begin(0, record.touched_ns, 0)
    connection.one = one = Stream.__new__(Stream)
    one.begin(record.key, connection, room)
    connection.other = one.peer = other = Stream.__new__(Stream)
    other.begin(turned(record.key), connection, room)
    other.peer = one
    other.side = 1
    connection.last_ns = record.last_ns
    connection.tracked = record.tracked
    connection.files = record.files
    kept = _NOTHING_KEPT if record.kept is None else record.kept
    one.notes, one.cuts, one_lost, other.notes, other.cuts, other_lost, *of_both = kept
    connection.turns, connection.link = of_both
    bundle.open(record.packed)
    _pass_connection(bundle, connection)
    _take_file(bundle, one, record, one_lost)
    _take_file(bundle, other, record, other_lost)
    return connection


def mark(packed: Packed, what: int) -> None:
    """The name of a packed file (NAMED) or its size (WATCHED) is given away."""
    record: Dormant = packed.record
    record.marks |= (_ONE if record.one_flow is packed else _OTHER) << what


def is_saved(packed: Packed) -> bool:
    """What `saved` of the file is."""
    record: Dormant = packed.record
    return record.marks & (_ONE if record.one_flow is packed else _OTHER) << SAVED != 0


def lose_file(record: Dormant, flow: Flow) -> int:
    """One of the files of a sleeper is gone; returns how much less it is charged."""
    side = _ONE if record.one_flow is flow else _OTHER
    if side == _ONE:
        record.one_flow = None
    else:
        record.other_flow = None
    freed_bytes = SLEEPING_FILE_BYTES if record.marks & side else PACKED_FILE_BYTES
    record.files -= 1
    record.charged_bytes -= freed_bytes
    return freed_bytes


def last_ns_of(link: Any) -> int:
    """The last packet of a connection, awake or asleep."""
    if isinstance(link, Dormant):
        record: Dormant = link
        return record.last_ns
    connection: Connection = link
    return connection.last_ns


def take_apart(connection: Connection) -> None:
    """Break the circle of references: these objects are not seen by the garbage collector."""
    one: Any = connection.one
    other: Any = connection.other
    one.peer = other.peer = one.connection = other.connection = one.owner = other.owner = None


def _may_lack(stream: Stream) -> bool:
    """Whether Stream.close() may count what is missing."""
    return not stream.over and (
        stream.odd_acks.low_count > 0 or stream.peer_ack > stream.rcv_nxt or stream.fin < FAR_AWAY
    )


# --- field by field, in or out: `bundle` knows which -------------------------------------------------


def _pass_connection(bundle: Bundle, connection: Connection) -> None:
    one, other = connection.one, connection.other
    connection.state = bundle.number(connection.state, OPEN)
    connection.first_ns = bundle.number(connection.first_ns, connection.last_ns)
    connection.closed_ns = bundle.number(
        connection.closed_ns, 0 if connection.state == OPEN else connection.last_ns
    )
    connection.carried = bundle.flag(connection.carried)
    connection.session = bundle.number(connection.session, 0)
    connection.generation = bundle.number(connection.generation, 0)
    connection.source = bundle.number(connection.source, 0)
    connection.other_source = bundle.number(connection.other_source, connection.source)
    connection.contested = bundle.flag(connection.contested)
    _pass_turns(bundle, connection)
    connection.claims = bundle.number(connection.claims, 0)
    connection.lone = bundle.flag(connection.lone)
    connection.disputed = bundle.flag(connection.disputed)
    connection.refused_by_one = bundle.flag(connection.refused_by_one)
    connection.refused_whole = bundle.flag(connection.refused_whole)
    isn, peer_isn = connection.refused_isn, connection.refused_peer_isn
    connection.refused_isn = _pass_seq(bundle, isn, bundle.flag(isn != NEVER), NEVER)
    connection.refused_peer_isn = _pass_seq(bundle, peer_isn, bundle.flag(peer_isn != NEVER), NEVER)
    _pass_stream(bundle, one)
    _pass_stream(bundle, other)
    connection.packets = bundle.number(connection.packets, one.packets + other.packets)
    one.echo = _pass_near(bundle, one.echo, other.stamp)
    other.echo = _pass_near(bundle, other.echo, one.stamp)


def _pass_turns(bundle: Bundle, connection: Connection) -> None:
    """Usually each side has had one turn, first the one that opened the connection, or none."""
    connection.turn_count = bundle.number(connection.turn_count, 2 if connection.carried else 0)
    connection.turns_gone = bundle.number(connection.turns_gone, 0)
    known = bundle.flag(connection.turn_count > 0)
    connection.opening_ns = bundle.number(connection.opening_ns, connection.first_ns if known else 0)
    connection.opening_place = bundle.number(connection.opening_place, 0)
    known = bundle.flag(connection.turn_count > 1)
    connection.answer_ns = bundle.number(connection.answer_ns, connection.opening_ns if known else 0)
    connection.answer_place = bundle.number(connection.answer_place, 1 if known else 0)
    connection.said_ns = bundle.number(connection.said_ns, connection.last_ns)
    connection.speaker = bundle.number(connection.speaker, NOBODY)


def _pass_seq(bundle: Bundle, seq: int, there: bool, absent: int) -> int:
    """A sequence number, however small it is: what hosts draw must not change what is charged."""
    return bundle.number(seq, _FAR_BELOW if there else absent)


def _pass_near(bundle: Bundle, seq: int, reference: int) -> int:
    """A sequence number, or a time, that is usually the same as another; either may be absent."""
    if bundle.flag(seq >= 0 and reference >= 0):
        return advance(reference, bundle.number(distance(seq, reference), 0))
    return _pass_seq(bundle, seq, bundle.flag(seq >= 0), ABSENT)


def _pass_offset(bundle: Bundle, stream: Stream, offset: int, usual: int) -> int:
    """An offset in a stream; before it is anchored, that is a sequence number but for a constant."""
    if stream.anchored:
        return bundle.number(offset, usual)
    return bundle.number(offset, _FARTHER_BELOW if bundle.flag(offset != usual) else usual)


def _pass_stream(bundle: Bundle, stream: Stream) -> None:
    stream.isn = _pass_seq(bundle, stream.isn, bundle.flag(stream.isn != NEVER), NEVER)
    stream.base_seq = _pass_near(
        bundle, stream.base_seq, NEVER if stream.isn == NEVER else advance(stream.isn, 1)
    )
    stream.anchored = bundle.flag(stream.anchored)
    stream.rcv_nxt = bundle.number(stream.rcv_nxt, 0)
    stream.packets = bundle.number(stream.packets, 0)
    stream.verified = bundle.flag(stream.verified)
    stream.unverified = bundle.flag(stream.unverified)
    stream.partial = bundle.flag(stream.partial)
    stream.origin = bundle.number(stream.origin, 0)
    stream.ttl = bundle.number(stream.ttl, UNKNOWN_TTL)
    stream.noted_bytes = bundle.number(stream.noted_bytes, 0)
    stream.share_bytes = bundle.number(stream.share_bytes, _SHARE_BYTES)
    stream.hole_ns = bundle.number(stream.hole_ns, 0)
    stream.syn_bytes = bundle.number(stream.syn_bytes, 0)
    stream.other_isn = _pass_seq(bundle, stream.other_isn, bundle.flag(stream.other_isn != NEVER), NEVER)
    stream.other_acks = bundle.number(stream.other_acks, 0)
    stream.tail_missing_bytes = bundle.number(stream.tail_missing_bytes, 0)
    stream.deadline_ns = bundle.number(stream.deadline_ns, 0)
    _pass_pickup(bundle, stream)
    _pass_acks(bundle, stream)
    _pass_reach(bundle, stream)
    _pass_end(bundle, stream)
    if bundle.flag(stream.has_odd_end()):
        _pass_odd_end(bundle, stream, stream.own_end())
    stream.far_ack = _pass_offset(bundle, stream, stream.far_ack, NEVER)
    if bundle.flag(stream.has_beyond()):
        _pass_beyond(bundle, stream, stream.own_beyond())


def _pass_pickup(bundle: Bundle, stream: Stream) -> None:
    stream.far_count = bundle.number(stream.far_count, 0)
    stream.far_next = _pass_offset(bundle, stream, stream.far_next, NEVER)
    stream.settle_count = bundle.number(stream.settle_count, 0)
    stream.hinted = bundle.flag(stream.hinted)
    stream.hint_count = bundle.number(stream.hint_count, 0)
    stream.hint_high = _pass_offset(bundle, stream, stream.hint_high, 0)
    stream.hint_low = _pass_offset(bundle, stream, stream.hint_low, 0)


def _pass_acks(bundle: Bundle, stream: Stream) -> None:
    stream.peer_ack = _pass_offset(bundle, stream, stream.peer_ack, stream.rcv_nxt)
    stream.ack_count = bundle.number(stream.ack_count, 0)
    stream.acked_ns = bundle.number(stream.acked_ns, NEVER)
    stream.acked_to = _pass_offset(bundle, stream, stream.acked_to, 0)
    stream.packet_limit = bundle.number(stream.packet_limit, 0)
    stream.unseen_ns = bundle.number(stream.unseen_ns, 0)
    if bundle.flag(stream.has_odd_acks()):
        _pass_odd_acks(bundle, stream, stream.own_acks())


def _pass_odd_acks(bundle: Bundle, stream: Stream, acks: OddAcks) -> None:
    acks.low_ack = _pass_offset(bundle, stream, acks.low_ack, 0)
    acks.low_count = bundle.number(acks.low_count, 0)
    acks.low_limit = bundle.number(acks.low_limit, 0)
    acks.low_ns = bundle.number(acks.low_ns, 0)
    acks.strange_count = bundle.number(acks.strange_count, 0)
    acks.strange_packets = bundle.number(acks.strange_packets, 0)


def _pass_reach(bundle: Bundle, stream: Stream) -> None:
    stream.reach_bytes = bundle.number(stream.reach_bytes, _WINDOW_BYTES)
    stream.reach_known = bundle.flag(stream.reach_known)
    stream.closed = bundle.flag(stream.closed)
    stream.answers = bundle.flag(stream.answers)
    stream.scale = bundle.number(stream.scale, _NO_SYN)
    stream.said_window = bundle.number(stream.said_window, ABSENT)
    stream.syn_window = bundle.number(stream.syn_window, 0)
    stream.offers_stamps = bundle.flag(stream.offers_stamps)
    stream.paws = bundle.flag(stream.paws)
    stream.said_stamp = _pass_seq(bundle, stream.said_stamp, bundle.flag(stream.said_stamp >= 0), ABSENT)
    stream.stamp = _pass_near(bundle, stream.stamp, stream.said_stamp)
    stream.value = _pass_near(bundle, stream.value, stream.said_stamp)
    stream.low_echoes = bundle.number(stream.low_echoes, 0)


def _pass_end(bundle: Bundle, stream: Stream) -> None:
    ends = bundle.flag(stream.fin < FAR_AWAY)
    stream.fin = bundle.number(stream.fin, stream.rcv_nxt if ends else FAR_AWAY)
    stream.fin_acked = bundle.flag(stream.fin_acked)
    stream.done = bundle.flag(stream.done)
    stream.over = bundle.flag(stream.over)
    stream.doubted_fin = _pass_offset(bundle, stream, stream.doubted_fin, NEVER)


def _pass_odd_end(bundle: Bundle, stream: Stream, end: OddEnd) -> None:
    end.fin_moved = bundle.number(end.fin_moved, 0)
    end.later_fin = _pass_offset(bundle, stream, end.later_fin, NEVER)
    end.late_fin = _pass_offset(bundle, stream, end.late_fin, NEVER)
    end.claimed_ack = _pass_offset(bundle, stream, end.claimed_ack, NEVER)
    end.reset_at = _pass_offset(bundle, stream, end.reset_at, NEVER)
    end.reset_end = _pass_offset(bundle, stream, end.reset_end, NEVER)
    end.reset_ns = bundle.number(end.reset_ns, 0 if end.reset_end == NEVER else stream.connection.closed_ns)
    end.reset_known = _pass_offset(bundle, stream, end.reset_known, 0)
    end.reset_packets = bundle.number(end.reset_packets, 0)
    end.reset_overtook = bundle.flag(end.reset_overtook)


def _pass_beyond(bundle: Bundle, stream: Stream, beyond: Beyond) -> None:
    beyond.ack_packets = bundle.number(beyond.ack_packets, 0)
    beyond.fin = _pass_offset(bundle, stream, beyond.fin, NEVER)
    beyond.since_ns = bundle.number(beyond.since_ns, 0)
    beyond.packets = bundle.number(beyond.packets, 0)
    beyond.peer_packets = bundle.number(beyond.peer_packets, 0)
    beyond.said = _pass_seq(bundle, beyond.said, beyond.packets > 0, 0)

"""core/stream.py: what TCP tells of one direction, without a table of connections around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.assembly import Room
from flowfs.core.counters import PAYLOAD_FATES, Counters
from flowfs.core.flow import FIN, OPEN, RST, Flow
from flowfs.core.limits import (
    ACKED_HOLE_NS,
    ACKED_HOLE_PACKETS,
    FORGED_GAP_NS,
    MAX_CUTS,
    MIB,
    ONE_WAY_NS,
    REMEMBER_NS,
    SETTLE_NS,
    SETTLE_SEGMENTS,
    UNKNOWN_WINDOW_BYTES,
    Limits,
)
from flowfs.core.pending import Pool
from flowfs.core.store import Store
from flowfs.core.stream import Connection, Stream

SPACE = 1 << 32
FAR_AWAY = 1 << 62
ISN = SPACE - 3  # so that every test wraps
HUGE = 1 << 30


class Pair:
    """Both directions of a connection; `stream` is the one that is looked at."""

    def __init__(self, out_of_order_bytes: int = MIB) -> None:
        counters = Counters()
        store = Store(Limits(payload_bytes=MIB), counters)
        self.room = Room(store, Pool(out_of_order_bytes), counters)
        self.connection = Connection(0, 0, 0)
        self.stream = Stream(b"s" * 12, self.connection, self.room)
        self.peer = Stream(b"p" * 12, self.connection, self.room)
        self.stream.peer, self.peer.peer = self.peer, self.stream
        self.connection.one, self.connection.other = self.stream, self.peer
        self.peer.packets = 1  # seen, until a test says otherwise

    def dispose(self) -> None:
        """What waits is given up; every byte must have its fate then. Circles are broken by hand."""
        for stream in (self.stream, self.peer):
            stream.close(OPEN, HUGE)
            if stream.flow is not None:
                self.room.store.evict(stream.flow)
        numbers = self.room.counters.as_dict()
        assert sum(numbers[name] for name in PAYLOAD_FATES) == numbers["payload_bytes"]
        assert self.room.pool.used_bytes == self.room.store.arena.used_bytes == 0
        connection: Any = self.connection
        for ours in (self.stream, self.peer):
            stream_: Any = ours
            stream_.peer = stream_.connection = stream_.owner = None
        connection.one = connection.other = None

    def begin(self, isn: int = ISN) -> Stream:
        assert self.stream.takes_isn(isn, 0)
        return self.stream

    def send(self, offset: int, data: bytes, now_ns: int = 0, isn: int = ISN) -> None:
        """`offset:data`, and what the table does then."""
        self.connection.packets += 1
        self.room.counters.payload_bytes += len(data)
        self.stream.receive(b"<" + data + b">", 1, 1 + len(data), (isn + 1 + offset) % SPACE, now_ns)
        self.stream.review(now_ns)

    def ack(self, offset: int, now_ns: int = 0, isn: int = ISN) -> None:
        self.connection.packets += 1
        self.stream.acknowledge((isn + 1 + offset) % SPACE, now_ns)
        self.stream.review(now_ns)

    def done(self) -> bool:
        return self.stream.done

    def fin(self, offset: int, now_ns: int = 0, isn: int = ISN) -> None:
        self.connection.packets += 1
        self.stream.receive_fin((isn + 1 + offset) % SPACE, now_ns)
        self.stream.review(now_ns)

    def flow(self) -> Flow:
        assert self.stream.flow is not None
        return self.stream.flow

    def content(self) -> bytes:
        flow = self.stream.flow
        return self.room.store.read(flow, 0, HUGE) if flow is not None else b""

    def gaps(self) -> list[tuple[int, int, str]]:
        return self.stream.flow.gaps() if self.stream.flow is not None else []


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.dispose()


# --- numbers -----------------------------------------------------------------------------------


@given(st.integers(0, SPACE - 1), st.permutations(range(12)))
def test_any_isn(isn: int, order: list[int]) -> None:
    pair = Pair()
    pair.begin(isn)
    for index in order:
        pair.send(index * 3, b"%03d" % index, isn=isn)
    assert pair.content() == b"".join(b"%03d" % index for index in range(12))
    pair.dispose()


def test_offsets_beyond_four_gib(pair: Pair) -> None:
    """Which of the numbers is meant tells the nearest to what comes next [Q1]."""
    stream = pair.begin()
    stream.rcv_nxt = stream.peer_ack = (9 << 30) + 5
    pair.send((9 << 30) + 8, b"def")
    pair.send((9 << 30) + 5, b"abc")
    assert stream.rcv_nxt == (9 << 30) + 11
    pair.ack((9 << 30) + 11)
    assert stream.peer_ack == (9 << 30) + 11
    assert pair.content() == b"abcdef"


def test_beyond_the_window_is_kept_apart(pair: Pair) -> None:
    """[Q2]"""
    pair.begin()
    pair.send(UNKNOWN_WINDOW_BYTES, b"in")
    pair.send(UNKNOWN_WINDOW_BYTES + 1, b"out")
    assert pair.stream.pending is not None
    assert pair.stream.afar is not None
    assert (pair.stream.pending.waiting_bytes, pair.stream.afar.waiting_bytes) == (2, 3)
    pair.stream.close(OPEN, 0)
    assert pair.room.counters.dropped_window_bytes == 3
    assert pair.stream.afar is None


def test_the_peer_moves_the_window(pair: Pair) -> None:
    pair.begin()
    pair.ack(1000)
    pair.send(UNKNOWN_WINDOW_BYTES + 1000, b"in")
    assert pair.room.counters.dropped_window_bytes == 0


def test_three_in_a_row_are_a_gap_of_the_capture(pair: Pair) -> None:
    pair.begin()
    pair.send(0, b"abc")
    pair.send(5, b"f")
    pair.ack(1 << 29)  # far beyond what was seen: counted, and remembered
    for index in range(3):
        pair.send(1 << 29 | index * 2, b"%d%d" % (index, index))
    peer_packets = pair.stream.peer.packets
    assert pair.stream.review_afar(peer_packets, FORGED_GAP_NS - 1) == FORGED_GAP_NS
    assert pair.room.counters.resynchronised == 0
    assert pair.stream.review_afar(peer_packets, FORGED_GAP_NS) < 0
    assert pair.room.counters.resynchronised == 1
    assert pair.room.counters.dropped_window_bytes == 0
    assert pair.stream.rcv_nxt == (1 << 29) + 6
    assert {reason for _, _, reason in pair.gaps()} == {"limit"}
    assert pair.room.store.read(pair.flow(), 1 << 29, 9) == b"001122"


def test_three_forged_ones_are_no_gap(pair: Pair) -> None:
    """The peer is seen, and acknowledges nothing there [Q2]."""
    pair.begin()
    pair.send(0, b"abc")
    for index in range(9):
        pair.send(1 << 29 | index * 2, b"zz")
    assert pair.stream.review_afar(pair.stream.peer.packets, FORGED_GAP_NS) == REMEMBER_NS
    assert pair.room.counters.resynchronised == 0
    pair.send(3, b"def")
    assert pair.content() == b"abcdef"


def test_three_that_are_not_in_a_row_are_noise(pair: Pair) -> None:
    pair.begin()
    pair.send(0, b"abc")
    for offset in (1 << 29, 1 << 28, 1 << 29, 1 << 27, (1 << 29) + 3):
        pair.send(offset, b"xyz")
    assert pair.stream.review_afar(pair.stream.peer.packets, FORGED_GAP_NS) == REMEMBER_NS
    assert pair.room.counters.resynchronised == 0
    assert pair.content() == b"abc"


def test_a_forged_ack_is_counted(pair: Pair) -> None:
    """[Q4]"""
    pair.begin()
    pair.send(0, b"abc")
    pair.ack(3 + UNKNOWN_WINDOW_BYTES)
    assert pair.stream.peer_ack == 3 + UNKNOWN_WINDOW_BYTES
    pair.ack(3 + UNKNOWN_WINDOW_BYTES + 1)
    assert pair.room.counters.bad_acks == 1
    pair.ack(1)  # an old one is none
    assert pair.room.counters.bad_acks == 1


# --- holes -------------------------------------------------------------------------------------


def test_an_acknowledged_hole_waits_for_time(pair: Pair) -> None:
    """[H1]"""
    pair.begin()
    pair.send(3, b"def")
    pair.ack(6, now_ns=1000)
    assert pair.stream.deadline_ns == 1000 + ACKED_HOLE_NS
    pair.stream.review(999 + ACKED_HOLE_NS)
    assert pair.content() == b""
    pair.stream.review(1000 + ACKED_HOLE_NS)
    assert pair.content() == b"\0\0\0def"
    assert pair.gaps() == [(0, 3, "ack")]


def test_an_acknowledged_hole_waits_for_packets(pair: Pair) -> None:
    pair.begin()
    pair.send(3, b"def")
    for _ in range(ACKED_HOLE_PACKETS):
        pair.ack(6)
        assert pair.content() == b""
    pair.ack(6)
    assert pair.content() == b"\0\0\0def"


@pytest.mark.parametrize("acked", [0, 1, 2])
def test_a_hole_that_the_peer_has_as_well_waits(pair: Pair, acked: int) -> None:
    pair.begin()
    pair.send(3, b"def")
    for now_s in range(300):
        pair.ack(acked, now_ns=now_s * 10**9)
    assert pair.content() == b""
    pair.send(0, b"abc", now_ns=300 * 10**9)
    assert pair.content() == b"abcdef"


def test_each_hole_for_itself(pair: Pair) -> None:
    """The peer has what lies before the second hole, not more."""
    pair.begin()
    pair.send(1, b"b")
    pair.send(3, b"d")
    pair.ack(2)
    pair.stream.review(ACKED_HOLE_NS)
    assert pair.content() == b"\0b"
    pair.ack(4, now_ns=ACKED_HOLE_NS)
    pair.stream.review(2 * ACKED_HOLE_NS - 1)
    assert pair.content() == b"\0b"
    pair.stream.review(2 * ACKED_HOLE_NS)
    assert pair.content() == b"\0b\0d"


def test_without_a_peer(pair: Pair) -> None:
    """[H3]"""
    pair.peer.packets = 0
    pair.begin()
    pair.send(1, b"b", now_ns=5)
    assert pair.stream.deadline_ns == 5 + ONE_WAY_NS
    pair.stream.review(4 + ONE_WAY_NS)
    assert pair.content() == b""
    pair.stream.review(5 + ONE_WAY_NS)
    assert pair.gaps() == [(0, 1, "one-way")]


def test_an_ack_grows_no_file(pair: Pair) -> None:
    """[H5]"""
    pair.begin()
    pair.send(0, b"abc")
    pair.ack(9000)
    pair.stream.review(HUGE)
    assert pair.content() == b"abc"
    pair.stream.close(RST, HUGE)
    pair.stream.close(RST, HUGE)
    assert pair.room.counters.tail_missing_bytes == 8997
    assert pair.flow().state == RST


def test_cut_packets_are_remembered_up_to_a_number(pair: Pair) -> None:
    """[H6] those that were passed make room."""
    pair.begin()
    for index in range(MAX_CUTS + 10):
        pair.stream.note_cut((ISN + 1 + 10 * index) % SPACE, 5)
    assert pair.stream.cuts == [(10 * index, 10 * index + 5) for index in range(MAX_CUTS)]
    pair.send(0, bytes(100))
    pair.stream.note_cut((ISN + 1 + 5000) % SPACE, 5)
    assert pair.stream.cuts == [(10 * index, 10 * index + 5) for index in range(10, MAX_CUTS)] + [
        (5000, 5005)
    ]


# --- where a stream begins ---------------------------------------------------------------------


def test_base_of_the_first_segments(pair: Pair) -> None:
    """[L3]"""
    pair.send(6, b"ghi", now_ns=5)
    pair.send(3, b"def", now_ns=6)
    assert pair.stream.deadline_ns == 5 + SETTLE_NS
    pair.send(0, b"abc", now_ns=4 + SETTLE_NS)
    assert pair.content() == b""
    pair.stream.review(5 + SETTLE_NS)
    assert pair.content() == b"abcdefghi"
    pair.send(-3, b"xyz", now_ns=HUGE)
    assert pair.room.counters.dropped_pre_start_bytes == 3


def test_base_after_so_many_segments(pair: Pair) -> None:
    for index in range(SETTLE_SEGMENTS):
        assert pair.content() == b""
        pair.send(index, b"x")
    assert pair.content() == b"x" * SETTLE_SEGMENTS


@pytest.mark.parametrize("ack_first", [True, False])
@pytest.mark.parametrize("acked, content", [(0, b"\0\0abc"), (2, b"abc"), (5, b"abc")])
def test_base_of_the_peers_ack(pair: Pair, ack_first: bool, acked: int, content: bytes) -> None:
    """An ACK below the first segment is the base; one above changes nothing."""
    if ack_first:
        pair.ack(acked)
    pair.send(2, b"abc")
    if not ack_first:
        pair.ack(acked)
    pair.stream.review(SETTLE_NS)
    pair.stream.close(OPEN, HUGE)
    assert pair.content() == content


def test_base_of_a_syn_that_comes_late(pair: Pair) -> None:
    """The capture reordered the first packets; what lies far before, and alone, never was data."""
    pair.send(3, b"def")
    pair.send(0, b"abc")
    pair.send(-100_000, b"xy")
    assert pair.stream.takes_isn(ISN, 0)
    assert pair.content() == b"abcdef"
    assert pair.room.counters.dropped_pre_start_bytes == 2


def test_no_base_where_data_lies_before_the_isn(pair: Pair) -> None:
    """It is the SYN of another connection [L2]."""
    pair.send(3, b"def")
    pair.send(-2, b"xyabc")
    assert not pair.stream.takes_isn(ISN, 0)
    pair.stream.review(SETTLE_NS)
    assert pair.content() == b"xyabcdef"


def test_no_base_far_from_the_first_segment(pair: Pair) -> None:
    pair.send(0, b"abc")
    pair.send(1 << 28, b"far")
    pair.ack(1 << 28)
    assert not pair.stream.takes_isn(ISN - (1 << 28), 0)
    assert (pair.room.counters.dropped_window_bytes, pair.room.counters.bad_acks) == (3, 1)
    pair.stream.review(SETTLE_NS)
    assert pair.content() == b"abc"


def test_no_other_isn_once_there_is_data(pair: Pair) -> None:
    pair.begin()
    pair.send(0, b"abc")
    assert not pair.stream.takes_isn((ISN + 1) % SPACE, 0)
    assert pair.stream.isn == ISN


@pytest.mark.parametrize("limit", [MIB, 2300])
def test_a_full_pool_while_the_base_is_not_known(limit: int) -> None:
    """The pool fills in the middle of the first segments: what comes is put where it belongs all the same."""
    pair, stream = Pair(limit), bytes(range(65, 125))
    pieces = [(20, 21), (18, 19), (16, 17), (14, 15), (12, 13), (13, 20), (11, 31)]
    for start, end in pieces:
        pair.send(start, stream[start:end])
    pair.stream.review(SETTLE_NS)
    pair.stream.close(OPEN, HUGE)
    content, counters = pair.content(), pair.room.counters
    assert content in stream[11:31]
    assert counters.conflicts == 0
    assert len(content) + counters.dropped_pre_start_bytes + counters.dropped_out_of_order_bytes >= 20
    pair.dispose()


def test_two_isns(pair: Pair) -> None:
    """[L1] restart() forgets the data of the other SYN."""
    stream = pair.begin(77)
    assert stream.is_fresh()
    pair.room.counters.payload_bytes += 3
    stream.receive_syn_data(b"xyz", 0)
    assert stream.is_fresh()
    stream.restart(ISN)
    assert pair.room.counters.dropped_syn_bytes == 3
    pair.send(0, b"abc")
    assert pair.content() == b"abc"
    assert not stream.is_fresh()


@pytest.mark.parametrize("accepted, content", [(True, b"abcd"), (False, b"\0\0\0d")])
def test_data_of_a_syn(pair: Pair, accepted: bool, content: bytes) -> None:
    """[L7] tentative until somebody tells."""
    stream = pair.begin()
    pair.room.counters.payload_bytes += 6
    stream.receive_syn_data(b"abc", 0)
    stream.receive_syn_data(b"abc", 0)  # resent
    stream.review(HUGE)
    assert pair.content() == b""
    stream.resolve_syn_data(3 if accepted else 0, 0)
    stream.resolve_syn_data(0 if accepted else 3, 0)
    pair.send(3, b"d")
    stream.close(OPEN, HUGE)
    assert pair.content() == content
    assert pair.room.counters.duplicate_bytes == 3
    assert pair.room.counters.dropped_syn_bytes == (0 if accepted else 3)


# --- where it ends -----------------------------------------------------------------------------


def test_fin_acknowledged(pair: Pair) -> None:
    """[L4]"""
    pair.begin()
    pair.send(0, b"abc")
    pair.fin(3)
    assert not pair.done()
    pair.ack(3)
    assert not pair.done()
    pair.ack(4)
    assert pair.done()
    assert pair.flow().state == FIN


def test_fin_before_what_it_ends(pair: Pair) -> None:
    pair.begin()
    pair.fin(3)
    pair.ack(4)
    assert not pair.done()
    pair.send(1, b"bc")
    pair.send(0, b"a")
    assert pair.done()
    assert pair.content() == b"abc"


def test_fin_with_a_tail_that_was_never_seen(pair: Pair) -> None:
    pair.begin()
    pair.send(0, b"abc")
    pair.fin(9)
    pair.ack(10)
    assert not pair.done()
    pair.stream.review(ACKED_HOLE_NS)
    assert pair.done()
    pair.stream.close(FIN, HUGE)
    assert pair.room.counters.tail_missing_bytes == 6
    assert pair.content() == b"abc"


def test_fin_of_a_peer_that_is_not_seen(pair: Pair) -> None:
    pair.peer.packets = 0
    pair.begin()
    pair.send(0, b"abc")
    pair.fin(3)
    assert pair.done()


def test_fin_where_data_was_is_none(pair: Pair) -> None:
    pair.begin()
    pair.send(0, b"abcdef")
    pair.fin(3)
    assert pair.stream.fin == FAR_AWAY


def test_the_first_fin_counts(pair: Pair) -> None:
    pair.begin()
    pair.fin(3)
    pair.fin(5)
    assert pair.stream.fin == 3


def test_a_fin_beyond_the_window_is_none(pair: Pair) -> None:
    pair.begin()
    pair.fin(1 << 29)
    assert pair.stream.fin == FAR_AWAY


@pytest.mark.parametrize("data_first", [True, False])
def test_a_fin_is_retracted_by_what_the_peer_has_from_behind_it(pair: Pair, data_first: bool) -> None:
    pair.begin()
    pair.send(0, b"abc")
    pair.fin(3)
    if data_first:
        pair.send(3, b"def")
    pair.ack(6)
    if not data_first:
        pair.send(3, b"def")
    assert pair.stream.fin == FAR_AWAY
    assert pair.content() == b"abcdef"


def test_what_lies_behind_a_true_fin(pair: Pair) -> None:
    pair.begin()
    pair.fin(3)
    pair.send(3, b"xx")
    pair.ack(4)
    pair.send(2, b"cx")
    pair.send(0, b"ab")
    assert pair.content() == b"abc"
    assert pair.room.counters.dropped_after_fin_bytes == 0  # as far as is known; it waits in case
    pair.stream.close(RST, 0)
    assert pair.room.counters.dropped_after_fin_bytes == 0
    pair.stream.close(OPEN, 0)
    assert pair.room.counters.dropped_after_fin_bytes == 2
    assert pair.content() == b"abc"


def test_where_a_reset_is_exact(pair: Pair) -> None:
    """[L5]"""
    stream = pair.begin()
    pair.send(0, b"abc")
    pair.send(5, b"fg")
    exact = {offset for offset in range(-2, 20) if stream.expects((ISN + 1 + offset) % SPACE)}
    assert exact == {3, 7}
    pair.ack(9)
    assert stream.expects((ISN + 1 + 9) % SPACE)
    pair.fin(12)
    assert stream.expects((ISN + 1 + 13) % SPACE)
    assert not stream.expects((ISN + 1 + 3 + (1 << 30)) % SPACE)


def test_where_a_reset_is_exact_without_a_base(pair: Pair) -> None:
    """Only the peer's ACKs tell."""
    assert not pair.stream.expects(ISN + 1)
    pair.ack(0)
    assert pair.stream.expects(ISN + 1)
    assert not pair.stream.expects((ISN + 5) % SPACE)


def test_close_gives_up_what_waits(pair: Pair) -> None:
    """[H4]"""
    pair.begin()
    pair.send(1, b"b")
    pair.send(3, b"d")
    pair.stream.close(RST, 5)
    assert pair.content() == b"\0b\0d"
    assert pair.gaps() == [(0, 1, "close"), (2, 1, "close")]
    assert pair.flow().state == RST


def test_close_without_a_base(pair: Pair) -> None:
    pair.send(7, b"def")
    pair.send(4, b"abc")
    pair.stream.close(OPEN, 5)
    assert pair.content() == b"abcdef"
    assert pair.flow().state == OPEN

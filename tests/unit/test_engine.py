"""core/engine.py: the whole core behind a few functions, each atomic, whatever bytes come."""

from __future__ import annotations

import random
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft import (
    ETHERNET,
    LOOP,
    NULL,
    RAW,
    SLL,
    SLL2,
    Conversation,
    Packet,
    batch,
    fragment,
    fragments,
    hop_by_hop,
    ipv6,
    merge,
)
from engines import Tree, check_counters, feed, run, started, tree_of
from flowfs.core import compiled
from flowfs.core.engine import Engine
from flowfs.core.flow import Evicted
from flowfs.core.limits import (
    BRIEF_PACKETS,
    CONNECTION_BYTES,
    KIB,
    MAX_PASSES,
    MIB,
    SECOND_NS,
    SLICE_PACKETS,
    Limits,
)

LINK_TYPES = (ETHERNET, RAW, NULL, LOOP, SLL, SLL2)
VERDICTS = ("segments", "unknown_frames", "not_tcp", "fragments", "bad_headers", "bad_flags", "cut_short")


@pytest.fixture
def engine() -> Iterator[Engine]:
    with started() as engine:
        yield engine


# --- any bytes -----------------------------------------------------------------------------------


def noise(draw: random.Random, frame: bytes) -> bytes:
    """A frame with a few bytes changed, or cut short, or neither."""
    changed = bytearray(frame)
    for _ in range(draw.choice([0, 0, 0, 1, 2, 6])):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed[: draw.choice([len(changed), len(changed), draw.randrange(len(changed) + 1)])])


def hostile(draw: random.Random, count: int) -> list[Packet]:
    """A few connections in which everything goes wrong that can."""
    parts = []
    for port in range(draw.randrange(1, 6)):
        ends = ("10.0.0.1", "10.0.0.1") if port == 4 else ("10.0.0.1", "10.0.0.2")
        one = Conversation(*ends, client_port=80 if port == 4 else port, server_port=80)
        one.client_isn, one.server_isn = draw.randrange(1 << 32), draw.randrange(1 << 32)
        one.clock_ns += port
        for _ in range(count):
            act(draw, one)
        parts.append(one.packets)
    return [packet._replace(frame=noise(draw, packet.frame)) for packet in merge(*parts)]


def act(draw: random.Random, one: Conversation) -> None:
    place = max(0, one.client_next + draw.choice([-2000, -3, -1, 0, 0, 0, 0, 1, 700, 20_000, 1 << 29]))
    data = draw.randbytes(draw.choice([0, 1, 1, 2, 100, 1448, 9000]))
    way = draw.randrange(22)
    if way < 12:
        (one.client if way % 3 else one.server)(
            place, data, captured=draw.choice([None] * 9 + [len(data) // 2])
        )
    elif way < 16:
        (one.client_ack if way % 2 else one.server_ack)(place)
    elif way == 16:
        draw.choice([one.fin, one.server_fin])(place, data)
    elif way == 17:
        draw.choice([one.rst, one.server_rst])(place, data)
    elif way == 18:
        one.syn(payload=data[:9], isn=draw.choice([None, None, draw.randrange(1 << 32)]))
    elif way == 19:
        one.syn_ack(acked=draw.choice([0, 0, len(data)]))
    elif way == 20:
        one.again(draw.randrange(1 << 32), draw.randrange(1 << 32)).handshake()
    else:
        one.wait(draw.choice([0.05, 0.3, 4, 31, 61, 601]))


@pytest.mark.parametrize("seed", range(24))
def test_hostile_connections_in_little_memory(seed: int) -> None:
    """Counted, never fatal; the budgets hold; and the batches make no difference [R9 R10]."""
    draw = random.Random(seed)
    limits = Limits(
        payload_bytes=draw.choice([64, 128, 512]) * KIB,
        out_of_order_bytes=draw.choice([3000, 20_000, MIB]),
        table_bytes=draw.choice([2, 3, 100]) * CONNECTION_BYTES,
        max_flows=draw.choice([0, 0, 2]),
    )
    packets = hostile(draw, 60)
    trees = []
    for size in (1, 3, 256):
        with started(limits) as engine:
            for start in range(0, len(packets), size):
                feed(engine, packets[start : start + size], size=size)
                check_budgets(engine.statistics())
            engine.finish()
            trees.append(summary(engine))
    assert trees[0] == trees[1] == trees[2]


def check_budgets(numbers: dict[str, int]) -> None:
    for budget in ("payload", "out_of_order", "table", "fragments"):
        assert numbers[f"{budget}_used_bytes"] <= numbers[f"{budget}_limit_bytes"], budget
    assert numbers["packets"] + numbers["datagrams_reassembled"] == sum(numbers[name] for name in VERDICTS)


def summary(engine: Engine) -> Tree:
    """What is there in the end. Of long gaps the length is enough."""
    numbers = engine.statistics()
    check_counters(numbers)
    flows = engine.list_after(0, 1000)
    if all(flow.size - flow.start < 1 << 24 for flow in flows):
        return tree_of(engine)
    return Tree([], numbers | {f"size of {flow.serial}": flow.size for flow in flows})


@settings(max_examples=100)
@given(st.sampled_from([*LINK_TYPES, 228, 9999]), st.lists(st.binary(max_size=100), max_size=20))
def test_any_frames_are_counted(link_type: int, frames: list[bytes]) -> None:
    packets = [Packet(index * SECOND_NS, frame, len(frame)) for index, frame in enumerate(frames)]
    with started() as engine:
        feed(engine, packets, link_type)
        numbers = engine.statistics()
        assert numbers["packets"] == len(frames)
        check_budgets(numbers)
        assert numbers["captured_bytes"] == sum(map(len, frames))


def test_an_empty_batch(engine: Engine) -> None:
    engine.feed(b"", b"", ETHERNET)
    assert engine.statistics()["packets"] == 0


@pytest.mark.parametrize("link_type", LINK_TYPES)
@pytest.mark.parametrize("ends", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_every_link_layer(link_type: int, ends: tuple[str, str]) -> None:
    conversation = Conversation(*ends, link_type=link_type).handshake().client(0, b"abc").server(0, b"xyz")
    outcome = run(conversation)
    assert outcome.files() == {conversation.client_name(): b"abc", conversation.server_name(): b"xyz"}
    assert outcome.statistics["dissected"] == 0


def test_the_long_way() -> None:
    """What dissection finds goes the way of all segments; what it does not is counted."""
    inside = Conversation(link_type=RAW).handshake().client(0, b"abc")
    engine = Engine(
        Limits(payload_bytes=MIB), lambda _, frame, *__: (42, frame[14:], 1, False) if frame[14] else None
    )
    llc = b"\1" * 12 + b"\0\x26"
    feed(engine, [packet._replace(frame=llc + packet.frame) for packet in inside.packets])
    feed(engine, [Packet(0, llc + b"\0" * 40, 54)])
    (flow,) = engine.list_after(0, 9)
    assert (flow.key, engine.read(flow, 0, 9)) == (inside.client_key() + b"\0\x2a", b"abc")
    numbers = engine.statistics()
    assert (numbers["dissected"], numbers["unknown_frames"], numbers["segments"]) == (5, 1, 4)
    engine.close()


def tunnel(packet: bytes) -> bytes:
    """`packet` within another that decode() leaves to dissection."""
    return ipv6("fe80::1", "fe80::2", packet, next_header=41, extensions=[hop_by_hop()])


def opened(link_type: int, packet: bytes, vlan: int, layers: int) -> tuple[int, bytes, int, bool] | None:
    """A stand-in for dissection, which adds 1 to the VLAN id with each tunnel."""
    assert link_type == RAW
    while packet[0] >> 4 == 6 and packet[6] == 0:
        following = packet[40]
        if following == 44:
            break
        if following == 6:
            length = struct.pack("!H", len(packet) - 48)
            return vlan, packet[:4] + length + b"\6" + packet[7:40] + packet[48:], layers, layers > 0
        if layers == 8:
            return None
        vlan, packet, layers = vlan + 1, packet[48:], layers + 1
    return vlan, packet, layers, layers > 0


@pytest.mark.parametrize("ends", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_fragments_within_a_tunnel_whose_packets_are_fragments(ends: tuple[str, str]) -> None:
    """Some of IPv6 have a header before the fragment's, which decode() does not look behind."""
    inside = Conversation(*ends, link_type=RAW).handshake().client(0, b"a" * 100).client(100, b"b" * 100)
    headers: dict[str, Any] = {"extensions": [hop_by_hop()]} if ":" in ends[0] else {}
    inside.client(200, b"c" * 100, **headers)
    packets: list[Packet] = []
    for number, one in enumerate(inside.packets):
        unfragmented = 48 if number == 5 and headers else 40
        for inner in fragments(one.frame, 40, ident=number, unfragmented=unfragmented):
            outer = fragments(tunnel(inner), 72, ident=len(packets), unfragmented=48)
            packets += [Packet(one.time_ns, piece, len(piece)) for piece in outer]
    engine = Engine(Limits(payload_bytes=MIB), opened)
    feed(engine, packets, RAW, 3)
    (flow,) = engine.list_after(0, 9)
    assert flow.key == inside.client_key() + b"\0\1"
    assert engine.read(flow, 0, 999) == b"a" * 100 + b"b" * 100 + b"c" * 100
    check_budgets(engine.statistics())
    assert engine.statistics()["fragments_waiting"] == 0
    engine.close()


def test_vlan_and_layers_go_on_behind_a_reassembly() -> None:
    syn = Conversation(link_type=RAW).syn().packets[0].frame
    packets = [tunnel(piece) for piece in fragments(tunnel(syn), 40, unfragmented=48)]
    seen = []

    def watched(link_type: int, packet: bytes, vlan: int, layers: int) -> tuple[int, bytes, int, bool] | None:
        seen.append((vlan, layers))
        return opened(link_type, packet, vlan, layers)

    engine = Engine(Limits(payload_bytes=MIB), watched)
    feed(engine, [Packet(0, packet, len(packet)) for packet in packets], RAW)
    assert seen == [(0, 0)] * len(packets) + [(1, 1)]
    assert engine.statistics()["segments"] == 1
    engine.close()


@pytest.mark.parametrize("more", [False, True])
def test_the_long_way_ends(more: bool) -> None:
    """A dissection that always finds an atomic fragment, or a fragment of which the rest is there already."""
    whole = tunnel(b"x" * 80)
    atomic = fragment(whole, 0, unfragmented=48)
    first, last = fragments(whole, 40, unfragmented=48)
    engine = Engine(Limits(payload_bytes=MIB), lambda *_: (0, first if more else atomic, 1, True))
    feed(engine, [Packet(0, packet, len(packet)) for packet in ((first, last) if more else (whole,))], RAW)
    numbers = engine.statistics()
    check_budgets(numbers)
    if more:
        assert numbers["fragments_duplicate"] == 1
    else:
        assert (numbers["dissected"], numbers["unknown_frames"]) == (MAX_PASSES, 1)
    engine.close()


# --- time ----------------------------------------------------------------------------------------


def test_time_goes_forward_only(engine: Engine) -> None:
    late = Conversation().handshake().client(0, b"abc")
    feed(engine, late)
    now_ns = engine.now_ns
    early = Conversation(client_port=5, clock_ns=1000).handshake().client(0, b"abc")
    feed(engine, early)
    engine.tick(5)
    assert engine.now_ns == now_ns
    assert [flow.last_ns for flow in engine.list_after(0, 9)] == [now_ns, now_ns]


def test_ticks_see_to_what_waits(engine: Engine) -> None:
    feed(engine, Conversation().handshake().client(3, b"def").server_ack(6))
    assert engine.list_after(0, 9) == []
    engine.tick(engine.now_ns + SECOND_NS)
    (flow,) = engine.list_after(0, 9)
    assert engine.read(flow, 0, 9) == b"\0\0\0def"


def test_evicted_in_the_middle_of_a_batch() -> None:
    """What happens when a closed connection's file goes does not wait for the batch to end [R10]."""
    old = Conversation().handshake().client(0, b"abc").server_ack(3).close()
    big = Conversation(client_port=5, clock_ns=old.clock_ns).handshake()
    for index in range(60):
        big.client(index * 1460, bytes(1460))
        if index == 34:
            big.wait(61)  # `old` is remembered no more; its file goes with one of the next segments
    big.wait(0.2).other()
    old.clock_ns = big.clock_ns
    old.client(3, b"late").wait(0.3).other()
    limits = Limits(payload_bytes=64 * KIB, out_of_order_bytes=MIB, table_bytes=MIB)
    assert set(run(merge(old.packets, big.packets), limits).files().values()) >= {b"late"}


# --- what readers see ----------------------------------------------------------------------------


def test_changes(engine: Engine) -> None:
    conversation = Conversation().handshake().client(0, b"abc").server(0, b"xyz")
    assert not engine.changed()
    feed(engine, conversation)
    assert engine.changed()
    assert not engine.is_urgent()  # who looks for files finds them
    assert engine.changes() == (2, [], [], [])
    assert not engine.changed()
    client, server = engine.seen_after(0, 9)
    assert engine.find(client.key, 0) is client
    client.watched = True
    conversation.packets.clear()
    feed(engine, conversation.client(3, b"def").client(6, b"ghi").server(3, b"uvw"))
    assert engine.is_urgent()
    assert engine.changes() == (0, [client], [], [])
    engine.remove(server)
    assert not engine.changed()  # who removes it knows
    engine.flows.clear()
    assert engine.changed()
    assert engine.is_urgent()
    assert engine.changes() == (0, [], [client], [])


def test_states_are_changes(engine: Engine) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    feed(engine, conversation)
    (flow,) = engine.list_after(0, 9)
    engine.changes()
    flow.watched = True
    conversation.packets.clear()
    feed(engine, conversation.rst())
    assert engine.changes().grown == [flow]


def test_finish(engine: Engine) -> None:
    feed(engine, Conversation().handshake().client(3, b"def"))
    before = engine.finished
    engine.finish()
    engine.finish()
    assert (before, engine.finished) == (False, True)
    (flow,) = engine.list_after(0, 9)
    assert (flow.gaps(), flow.state) == ([(0, 3, "close")], 0)
    check_counters(engine.statistics())


def test_open_evict_read_release(engine: Engine) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    feed(engine, conversation)
    flow = engine.find(conversation.client_key(), 0)
    assert flow is not None
    assert engine.get(flow.serial) is flow
    engine.open(flow)
    assert flow.opens == 1
    engine.remove(flow)
    assert engine.find(conversation.client_key(), 0) is engine.get(flow.serial) is None
    assert engine.read(flow, 0, 9) == b"abc"
    engine.release(flow)
    with pytest.raises(Evicted):
        engine.read(flow, 0, 9)
    with pytest.raises(Evicted):
        engine.open(flow)


def test_sources_have_numbers(engine: Engine) -> None:
    for number in (0, 7):
        frames, meta = batch(Conversation(client_port=number + 1).handshake().client(0, b"abc").packets)
        engine.feed(frames, meta, ETHERNET, number)
    assert [flow.source for flow in engine.list_after(0, 9)] == [0, 7]


# --- threads -------------------------------------------------------------------------------------

MESSAGE = bytes(range(256)) * 4


def test_reads_and_batches_do_not_mix(engine: Engine) -> None:
    """A reader beside the capture sees whole messages only, and each of them as it was sent."""
    conversation = Conversation(step_ns=1000).handshake()
    for index in range(600):
        conversation.client(index * len(MESSAGE), MESSAGE)
    frames, meta = batch(conversation.packets)
    seen = [0]
    faults: list[tuple[int, bytes]] = []

    def reader() -> None:
        while seen[-1] < 600 * len(MESSAGE) and not faults:
            for flow in engine.list_after(0, 9):
                size = len(engine.read(flow, 0, MIB))
                tail = engine.read(flow, max(0, size - len(MESSAGE)), len(MESSAGE))
                if size % len(MESSAGE) or tail not in (b"", MESSAGE) or size < seen[-1]:
                    faults.append((size, tail))
                seen.append(size)
            engine.statistics()
            engine.changes()

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    engine.feed(frames, meta, ETHERNET)
    thread.join(20)
    assert not faults
    assert seen[-1] == 600 * len(MESSAGE)


def test_a_reader_gets_its_turn_within_a_batch(engine: Engine) -> None:
    """feed() gives way after each slice: in one long call a reader has many turns."""
    conversation = Conversation(step_ns=0).handshake().client(0, b"abc")
    feed(engine, conversation)
    (flow,) = engine.list_after(0, 9)
    frames, meta = batch(conversation.client_ack(0).packets[-1:])
    slices = 4000 if compiled() else 100  # some 50 ms: a reader waits for 0.2 ms until it is given way
    ended = threading.Event()

    def capture() -> None:
        engine.feed(frames, meta * slices * SLICE_PACKETS, ETHERNET)
        ended.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)  # as the program does
    thread = threading.Thread(target=capture, daemon=True)
    thread.start()
    turns = 0
    while not ended.is_set():
        engine.read(flow, 0, 9)
        turns += 1
    thread.join(20)
    sys.setswitchinterval(interval)
    assert turns >= 20


def test_nobody_visits_who_feeds_alone(engine: Engine) -> None:
    """And slices are as long as they may be: each is one turn."""
    visits: list[int] = []
    frames, meta = batch(Conversation(step_ns=0).handshake().client(0, b"abc").packets[-1:])
    engine.feed(frames, meta, ETHERNET)

    def visit() -> bool:
        visits.append(1)
        return True

    engine.on_visit = visit
    before = engine.turn.taken
    for _ in range(2):
        engine.feed(frames, meta * 5 * engine.slice_packets, ETHERNET)
    assert (visits, engine.turn.taken - before) == ([], 10)


@pytest.mark.parametrize("per_call", [1, 4])
def test_who_feeds_is_told_of_visits(per_call: int) -> None:
    """Without the turn, and slices are brief then; visits between two calls count as well."""
    engine = Engine(Limits(payload_bytes=16 * MIB, table_bytes=16 * MIB))
    assert engine.slice_packets == 4 * BRIEF_PACKETS
    frames, meta = batch(Conversation(step_ns=0).handshake().client(0, b"abc").packets[-1:])
    engine.feed(frames, meta, ETHERNET)
    before, visits = engine.turn.taken, list[int]()

    def visit() -> bool:
        if len(visits) < 9:
            engine.statistics()
        visits.append(engine.turn.taken - before)
        return True

    engine.on_visit = visit
    engine.statistics()
    for _ in range(12 // per_call):
        engine.feed(frames, meta * per_call * BRIEF_PACKETS, ETHERNET)
    # A turn of a visitor, and one of a slice; then nobody comes, and the next slice is a long one.
    assert visits == [3, 5, 7, 9, 11, 13, 15, 17, 19, 20]
    assert engine.turn.taken - before == (21 if per_call == 4 else 22)
    assert engine.statistics()["packets"] == 1 + 12 * BRIEF_PACKETS


def test_who_came_is_waited_for_until_let_read() -> None:
    """Who reads file after file takes no turn while its next request is on the way: longer than a slice."""
    engine = Engine(Limits(payload_bytes=16 * MIB, table_bytes=16 * MIB))
    frames, meta = batch(Conversation(step_ns=0).handshake().client(0, b"abc").packets[-1:])
    engine.feed(frames, meta, ETHERNET)
    engine.statistics()
    before, visits = engine.turn.taken, list[int]()

    def visit() -> bool:
        visits.append(engine.turn.taken - before)
        return len(visits) == 3

    engine.on_visit = visit
    for _ in range(2):
        engine.feed(frames, meta * 4 * BRIEF_PACKETS, ETHERNET)
    assert visits == [1, 2, 3]
    assert engine.turn.taken - before == 3 + 2  # what is left of the first call, and the second


@pytest.mark.parametrize(("archives", "slices"), [(False, 1), (True, 256)])
def test_slices_are_short_where_flows_are_to_be_saved_meanwhile(archives: bool, slices: int) -> None:
    """Else each would be one packet where few flows are wanted, and a reader could come after each."""
    engine = Engine(Limits(payload_bytes=16 * MIB, max_flows=8, archives=archives))
    frames, meta = batch(Conversation(step_ns=0).handshake().client(0, b"abc").packets[-1:])
    before = engine.turn.taken
    engine.feed(frames, meta * 256, ETHERNET)
    assert engine.turn.taken - before == slices


@pytest.mark.parametrize("count", [0, 1, 5 * MIB, 1 << 40])
def test_memory_that_is_made_ready_is_as_it_was(count: int) -> None:
    conversation = Conversation().handshake().client(0, b"abc" * 1000)
    with started(Limits(payload_bytes=8 * MIB)) as engine:
        feed(engine, conversation.packets)
        before = engine.statistics()
        engine.prepare(count)
        (flow,) = engine.list_after(0, 10)
        assert engine.read(flow, 0, 5000) == b"abc" * 1000
        assert engine.statistics() == before

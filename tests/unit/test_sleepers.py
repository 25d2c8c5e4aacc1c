"""core/sleepers.py: who sleeps, how the table is charged for it, and that nobody can tell but by that."""

from __future__ import annotations

import dataclasses

import pytest

from craft import Conversation, Packet
from engines import feed, started
from flowfs.core.dormant import Dormant
from flowfs.core.engine import Engine
from flowfs.core.evict import Packed
from flowfs.core.flow import IDLE, Evicted
from flowfs.core.limits import (
    CONNECTION_BYTES,
    DROWSY_NS,
    EVICT_POLICIES,
    HALF_OPEN_NS,
    MIB,
    REMEMBER_NS,
    SAVE_SETTLE_NS,
    SECOND_NS,
    SLEEPER_BYTES,
    TICK_NS,
    Limits,
)
from flowfs.core.unsaved import Unsaved

NEVER_NS = 1 << 62
WIDE = Limits(payload_bytes=MIB, table_bytes=MIB)


def numbered(number: int, clock_ns: int = Conversation.clock_ns) -> Conversation:
    address = f"10.0.{number >> 8 & 255}.{number & 255}"
    return Conversation(client_address=address, server_address="192.0.2.1", step_ns=0, clock_ns=clock_ns)


def counted(engine: Engine) -> tuple[int, int]:
    numbers = engine.statistics()
    return numbers["connections_tracked"], numbers["connections_asleep"]


def pass_time(engine: Engine, ns: int) -> None:
    engine.tick(engine.now_ns + ns)
    engine.tick(engine.now_ns + TICK_NS)


KINDS = {
    "half open": lambda: numbered(1).syn(),
    "one way": lambda: numbered(1).syn().client(0, b"abc"),
    "active": lambda: numbered(1).handshake().client(0, b"abc").server_ack(3),
    "without data": lambda: numbered(1).handshake(),
    "closed": lambda: numbered(1).handshake().close(),
    "closed, with files": lambda: numbered(1).handshake().client(0, b"abc").server(0, b"d").close(),
    "reset": lambda: numbered(1).handshake().client(0, b"abc").rst(3),
    "noted": lambda: numbered(1).handshake().client(0, b"abc").client(0, b"xyz"),
    "to itself": lambda: Conversation(
        client_address="10.0.0.1", server_address="10.0.0.1", client_port=80, server_port=80
    ).syn().client(0, b"abc"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_silent_sleeps_and_is_charged_less(kind: str) -> None:
    with started(WIDE) as engine:
        feed(engine, KINDS[kind]())
        pass_time(engine, DROWSY_NS - SECOND_NS)
        assert counted(engine) == (1, 0)
        pass_time(engine, SECOND_NS)
        assert counted(engine) == (1, 1)
        numbers = engine.statistics()
        assert SLEEPER_BYTES < numbers["table_used_bytes"] < CONNECTION_BYTES
        for flow in engine.list_after(0, 2):
            found = engine.find(flow.key, flow.generation)
            assert found is not None
            assert found.serial == flow.serial


@pytest.mark.parametrize("back", [False, True])
def test_a_packet_of_either_direction_wakes(back: bool) -> None:
    with started(WIDE) as engine:
        conversation = numbered(1).handshake().client(0, b"abc").server_ack(3)
        feed(engine, conversation)
        pass_time(engine, DROWSY_NS)
        assert counted(engine) == (1, 1)
        late = numbered(1, engine.now_ns)
        late.client_next = 3
        feed(engine, late.server(0, b"de") if back else late.client(3, b"de"))
        assert counted(engine) == (1, 0)
        assert engine.statistics()["table_used_bytes"] == CONNECTION_BYTES
        assert engine.statistics()["connections"] == 1
        key = conversation.server_key() if back else conversation.client_key()
        flow = engine.find(key, 0)
        assert flow is not None
        assert engine.read(flow, 0, 9) == (b"de" if back else b"abcde")
        pass_time(engine, 2 * DROWSY_NS)
        assert counted(engine) == (1, 1)


def test_who_has_something_waiting_does_not_sleep_until_it_is_settled() -> None:
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().client(5, b"abc"))
        pass_time(engine, DROWSY_NS)
        assert counted(engine) == (1, 0)
        late = numbered(1, engine.now_ns)
        feed(engine, late.client(0, b"01234").server_ack(8))
        pass_time(engine, 2 * DROWSY_NS)
        assert counted(engine) == (1, 1)


def test_what_is_ignored_wakes_for_a_while_only() -> None:
    """A RST outside of the window moves nothing in the order of activity."""
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().client(0, b"abc"))
        pass_time(engine, DROWSY_NS)
        feed(engine, numbered(1, engine.now_ns).rst(1 << 30))
        assert counted(engine) == (1, 0)
        pass_time(engine, 2 * DROWSY_NS)
        assert counted(engine) == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drowsy_ns", [1, DROWSY_NS, NEVER_NS])
def test_timeouts_are_the_same(kind: str, drowsy_ns: int) -> None:
    """[L9]: when a connection is over, and when it is forgotten."""
    with started(WIDE) as engine:
        engine.flows.drowsy_ns = drowsy_ns
        feed(engine, KINDS[kind]())
        begin_ns = engine.now_ns
        half_open = kind == "half open" or kind == "without data"
        alive_ns = REMEMBER_NS if kind == "closed" else (HALF_OPEN_NS if half_open else 600 * SECOND_NS)
        if kind in ("closed, with files", "reset"):
            pass_time(engine, 700 * SECOND_NS)
            assert counted(engine)[0] == 1
            return
        if kind == "without data":
            alive_ns = 600 * SECOND_NS
        engine.tick(begin_ns + alive_ns - SECOND_NS)
        assert engine.statistics()["connections_expired"] == 0
        assert counted(engine)[0] == 1
        engine.tick(begin_ns + alive_ns + TICK_NS)
        if kind == "closed":
            assert counted(engine)[0] == 0
            return
        assert engine.statistics()["connections_expired"] == 1
        assert all(flow.state == IDLE for flow in engine.list_after(0, 2))


@pytest.mark.parametrize("removed", [1, 2])
def test_files_of_a_sleeper_can_be_removed(removed: int) -> None:
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().client(0, b"abc").server(0, b"d").close())
        pass_time(engine, DROWSY_NS)
        used = engine.statistics()["table_used_bytes"]
        for flow in engine.list_after(0, removed):
            engine.remove(flow)
        assert counted(engine) == (1, 1)
        assert engine.statistics()["table_used_bytes"] < used
        pass_time(engine, REMEMBER_NS)
        assert counted(engine) == ((1, 1) if removed == 1 else (0, 0))


def test_what_is_known_of_a_file_of_a_sleeper() -> None:
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().client(0, b"abc").client(0, b"xyz"))
        (flow,) = engine.list_after(0, 9)
        about = engine.about(flow)
        assert about.conflicts
        pass_time(engine, DROWSY_NS)
        assert counted(engine) == (1, 1)
        assert engine.about(flow) == about


def test_notes_of_a_forgotten_sleeper_are_given_back() -> None:
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().rst(0, payload=b"bye"))
        assert engine.statistics()["notes_used_bytes"] > 0
        pass_time(engine, DROWSY_NS)
        pass_time(engine, 2 * REMEMBER_NS)
        pass_time(engine, 2 * REMEMBER_NS)
        assert counted(engine) == (0, 0)
        assert engine.statistics()["notes_used_bytes"] == 0


def test_the_end_of_the_capture_wakes_nobody_for_good() -> None:
    """What was acknowledged and never seen is counted, also of who sleeps [H5]."""
    with started(WIDE) as engine:
        feed(engine, numbered(1).handshake().client(0, b"abc").server_ack(9))
        pass_time(engine, DROWSY_NS)
        engine.finish()
        assert counted(engine) == (1, 1)
        assert engine.statistics()["tail_missing_bytes"] == 6
        (flow,) = engine.list_after(0, 9)
        assert engine.about(flow).tail_missing_bytes == 6


def test_a_table_holds_more_that_sleep() -> None:
    """Idle connections give up room one after another; nobody is refused or forgotten."""
    with started(Limits(payload_bytes=MIB, table_bytes=20 * CONNECTION_BYTES)) as engine:
        for number in range(60):
            feed(engine, numbered(number, Conversation.clock_ns + number * SECOND_NS).handshake())
        numbers = engine.statistics()
        assert (numbers["connections_refused"], numbers["connections_tracked"]) == (0, 60)
        assert numbers["table_used_bytes"] <= numbers["table_limit_bytes"]


def test_who_wakes_up_is_charged_before() -> None:
    """All wake at once, where there is room for few: the others sleep on, and what comes is counted."""
    limits = Limits(payload_bytes=MIB, table_bytes=10 * CONNECTION_BYTES)
    with started(limits) as engine:
        engine.flows.drowsy_ns = SECOND_NS
        for number in range(20):
            feed(engine, numbered(number).handshake().client(0, b"abc"))
            pass_time(engine, 2 * TICK_NS)
        assert counted(engine)[0] == 20
        pass_time(engine, SECOND_NS)
        for number in range(20):
            feed(engine, numbered(number, engine.now_ns).client(3, b"def"))
            assert engine.statistics()["table_used_bytes"] <= limits.table_bytes
        numbers = engine.statistics()
        assert numbers["connections_tracked"] == 20
        assert numbers["connections_refused"] > 0
        assert numbers["dropped_refused_bytes"] == 3 * numbers["connections_refused"]
        sizes = sorted(flow.size for flow in engine.list_after(0, 99))
        assert sizes.count(6) == 20 - numbers["connections_refused"] > 0


@pytest.mark.parametrize("drowsy_ns", [1, NEVER_NS])
def test_the_oldest_goes_first_asleep_or_awake(drowsy_ns: int) -> None:
    """[M2] where the table is full of those that are over, half open, or idle."""
    with started(Limits(payload_bytes=MIB, table_bytes=12 * CONNECTION_BYTES)) as engine:
        engine.flows.drowsy_ns = drowsy_ns
        gone = []
        kept: list[Packet] = []
        for number in range(6):
            kept += numbered(number).handshake().client(0, b"abc").server_ack(3).packets
        feed(engine, kept)
        for number in range(6, 80):
            conversation = numbered(number).handshake().close()
            feed(engine, conversation)
            gone.append(conversation)
        assert counted(engine)[0] >= 12
        for number in range(6):
            assert engine.find(numbered(number).client_key(), 0) is not None
        known = [min(one.client_key(), one.server_key()) in engine.flows.entries for one in gone]
        assert known == sorted(known), "the oldest are gone"
        assert not all(known)


@pytest.mark.parametrize("sleeps", [False, True])
def test_the_end_comes_for_all_in_the_order_of_their_beginning(sleeps: bool) -> None:
    """Whoever woke up last: what is given up then makes files [R10 H4]."""
    with started(WIDE) as engine:
        for number in (1, 2):
            feed(engine, numbered(number).handshake())
        if sleeps:
            engine.flows.lay_down_all()
            assert counted(engine) == (2, 2)
        for number in (2, 1):
            feed(engine, numbered(number, engine.now_ns).client(5, b"abc"))
        engine.finish()
        assert [flow.key for flow in engine.list_after(0, 9)] == [
            numbered(number).client_key() for number in (1, 2)
        ]


# --- what readers have in hand ---------------------------------------------------------------------------


def packed_files(engine: Engine) -> int:
    """How many files are parts of records."""
    records = [entry for entry in engine.flows.entries.values() if isinstance(entry, Dormant)]
    return sum(isinstance(flow, Packed) for one in records for flow in (one.one_flow, one.other_flow))


def asleep_with_files(engine: Engine, count: int) -> None:
    for number in range(count):
        feed(engine, numbered(number).handshake().client(0, b"abc").server(0, b"de"))
    engine.flows.lay_down_all()
    assert packed_files(engine) == 2 * count


def test_who_looks_has_copies() -> None:
    """All stay packed, also behind the end of a capture, when no time passes."""
    with started(WIDE) as engine:
        asleep_with_files(engine, 20)
        engine.finish()
        charged = engine.statistics()["table_used_bytes"]
        for _ in range(2):
            listed = engine.list_after(0, 99)
            assert len(listed) == 40
            for flow in listed[:3]:
                for other in (engine.get(flow.serial), engine.find(flow.key, flow.generation)):
                    assert other is not None
                    assert other is not flow
                    assert (other.serial, other.key, other.size) == (flow.serial, flow.key, flow.size)
            told = engine.told_after(0, 99)
            assert [(seen.serial, about.packets, about.role) for seen, about in told[:2]] == [
                (1, 3, "client"),
                (2, 2, "server"),
            ]
            assert [engine.about(flow) for flow in listed] == [about for _, about in told]
            assert [seen.serial for seen in engine.seen_after(5, 3)] == [6, 7, 8]
            assert [engine.read(flow, 0, 9) for flow in listed[:2]] == [b"abc", b"de"]
            assert packed_files(engine) == 40
            assert not engine.changed() or engine.changes().appeared
        assert engine.statistics()["table_used_bytes"] == charged


def test_what_is_open_is_packed_once_it_is_released() -> None:
    with started(WIDE) as engine:
        asleep_with_files(engine, 1)
        seen, other = engine.list_after(0, 9)
        flow = engine.open(seen)
        assert flow is not seen
        assert packed_files(engine) == 0
        assert engine.get(flow.serial) is flow
        assert engine.open(seen) is flow
        engine.release(flow)
        assert engine.read(flow, 0, 9) == b"abc"
        assert packed_files(engine) == 1  # that of the peer
        assert engine.read(other, 0, 9) == b"de"
        engine.release(flow)
        assert packed_files(engine) == 2


def test_what_was_evicted_or_freed_since_is_not_read() -> None:
    """Of a copy that somebody still has, the bytes may be another's."""
    with started(WIDE) as engine:
        asleep_with_files(engine, 2)
        first, second, *_ = engine.list_after(0, 9)
        assert engine.remove(first).evicted
        for gone in (engine.open, engine.remove, lambda flow: engine.read(flow, 0, 1)):
            with pytest.raises(Evicted):
                gone(first)
        assert engine.about(first).packets == 0
        assert engine.read(second, 0, 9) == b"de"


@pytest.mark.parametrize("ask", ["find", "get", "list_after"])
def test_what_a_reader_was_given_is_known_of_who_stands_for_it(ask: str) -> None:
    """Names and sizes that the kernel has are told of all the same, and no others."""
    with started(WIDE) as engine:
        asleep_with_files(engine, 2)
        flow, *_ = engine.seen_after(0, 9)
        arguments = {"find": (flow.key, 0), "get": (flow.serial,), "list_after": (0, 1)}[ask]
        getattr(engine, ask)(*arguments)
        assert packed_files(engine) == 4
        engine.changes()
        for number in range(2):
            late = numbered(number, engine.now_ns)
            feed(engine, late.client(3, b"def").server(2, b"f"))
        assert [flow.serial for flow in engine.changes().grown] == [flow.serial]
        engine.flows.lay_down_all()
        engine.flows.clear()
        named = [] if ask == "get" else [flow.serial]
        assert [flow.serial for flow in engine.changes().gone] == named


def test_who_gives_its_head_is_packed_again_and_charged_for_the_rest() -> None:
    """Memory is short, and all are active: heads go, also of who sleeps."""
    with started(Limits(payload_bytes=64 * 1024, table_bytes=MIB)) as engine:
        engine.flows.drowsy_ns = SECOND_NS
        large, other = numbered(1).handshake(), numbered(2).handshake()
        for number in range(40):
            large.client(1460 * number, bytes([number]) * 1460)
        for number in range(10):
            other.client(1460 * number, bytes([number]) * 1460)
        feed(engine, large)
        pass_time(engine, SECOND_NS)
        assert packed_files(engine) == 1
        charged = engine.statistics()["table_used_bytes"]
        feed(engine, other)
        trimmed_bytes = engine.statistics()["trimmed_bytes"]
        assert 0 < trimmed_bytes < 1460 * 40
        assert packed_files(engine) == 0
        pass_time(engine, 2 * SECOND_NS)
        assert packed_files(engine) == 2
        record = engine.flows.entries[min(large.client_key(), large.server_key())]
        assert charged - 99 < record.charged_bytes < charged  # for its first blocks
        (flow, _) = engine.list_after(0, 9)
        assert flow.start == trimmed_bytes
        assert engine.read(flow, flow.start, 1 << 20)[-1460:] == bytes([39]) * 1460


# --- any order of eviction, and an archive ---------------------------------------------------------------


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_sleepers_go_in_the_order_of_the_policy(policy: str) -> None:
    """The same ones as if nobody slept, and who is not asked stays packed."""
    kept = []
    for drowsy_ns in (NEVER_NS, 1):
        with started(Limits(payload_bytes=256 * 1024, table_bytes=MIB, evict=policy)) as engine:
            engine.flows.drowsy_ns = drowsy_ns
            for number in range(40):
                size = min(1460, 500 << number % 4)
                conversation = numbered(number * 7 % 40).handshake()
                feed(engine, conversation.client(0, bytes(size)).client(size, bytes(1460)))
                pass_time(engine, SECOND_NS)
            if drowsy_ns == 1:
                assert packed_files(engine) == 40
            feed(engine, numbered(50, engine.now_ns).handshake().client(0, b"abc"))
            for number in range(130):
                late = numbered(50, engine.now_ns)
                feed(engine, late.client(3 + 1460 * number, bytes(1460)))
            assert drowsy_ns != 1 or policy == "largest" or packed_files(engine) > 10
            kept.append([(flow.serial, flow.start, flow.size) for flow in engine.seen_after(0, 99)])
            assert engine.statistics()["flows_evicted"] + engine.statistics()["trimmed_bytes"] > 0
    assert kept[0] == kept[1]


def test_what_is_saved_of_who_sleeps_is_packed_and_charged_as_that() -> None:
    """Files of which the archive still has to know stay whole until it does."""
    with started(dataclasses.replace(WIDE, archives=True)) as engine:
        unsaved = Unsaved(engine)
        feed(engine, numbered(1).handshake().client(0, b"abc").server(0, b"de"))
        feed(engine, numbered(2).handshake().client(0, b"abc").server(0, b"de").close())
        engine.flows.lay_down_all()
        assert packed_files(engine) == 2
        charged = engine.statistics()["table_used_bytes"]
        pass_time(engine, SAVE_SETTLE_NS)
        assert save_all(unsaved, engine) == [b"abc", b"de"]
        assert packed_files(engine) == 4
        assert engine.statistics()["table_used_bytes"] < charged
        assert unsaved.unsaved()[0] == 2


@pytest.mark.parametrize("awake", [False, True])
def test_at_the_end_all_is_saved_and_packed_again(awake: bool) -> None:
    """Also if connections fall asleep while a part of them is written."""
    with started(dataclasses.replace(WIDE, archives=True)) as engine:
        unsaved = Unsaved(engine)
        asleep_with_files(engine, 20)
        for number in range(20 if awake else 0):
            feed(engine, numbered(number, engine.now_ns).client_ack(2))
        assert packed_files(engine) == (0 if awake else 40)
        engine.finish()
        assert unsaved.left() == (40, 100)
        assert save_all(unsaved, engine) == [b"abc", b"de"] * 20
        assert unsaved.left() == (0, 0)
        assert unsaved.next() is None
        assert packed_files(engine) == 40
        saving = engine.store.saving
        assert saving is not None
        assert (saving.saved_flows, saving.clean_bytes) == (40, engine.statistics()["payload_used_bytes"])


def test_what_is_saved_and_wakes_up_is_saved_again() -> None:
    with started(dataclasses.replace(WIDE, archives=True)) as engine:
        unsaved = Unsaved(engine)
        feed(engine, numbered(1).handshake().client(0, b"abc").server(0, b"de").close())
        engine.flows.lay_down_all()
        pass_time(engine, SAVE_SETTLE_NS)
        save_all(unsaved, engine)
        assert packed_files(engine) == 2
        feed(engine, numbered(1, engine.now_ns).rst(7))
        assert packed_files(engine) == 0
        assert [flow.saved for flow in engine.list_after(0, 9)] == [True, True]
        engine.flows.lay_down_all()
        engine.store.evict(engine.flows.file(engine.store.get(1)))
        assert engine.statistics()["archive_lost_flows"] == 0
        assert unsaved.gone() == []


def test_what_cannot_be_saved_at_the_end_stays_packed() -> None:
    """The disk is full: there may be a million of them."""
    with started(dataclasses.replace(WIDE, archives=True)) as engine:
        unsaved = Unsaved(engine)
        asleep_with_files(engine, 20)
        engine.finish()
        charged = engine.statistics()["table_used_bytes"]
        for round_ in range(2):
            for number in range(40):
                errand = unsaved.next()
                assert errand is not None
                assert errand.flow.serial == number + 1
                if round_ == 0 and number % 2:  # it was read, and could not be written
                    assert unsaved.took(errand.flow, errand.start, errand.end)
                    unsaved.failed(errand.flow, errand.start, errand.end)
                unsaved.postpone(errand.flow)
            assert unsaved.next() is None
            assert packed_files(engine) == 40
            assert engine.statistics()["table_used_bytes"] == charged
            assert unsaved.left() == (40, 100)
            unsaved.resume()
        assert save_all(unsaved, engine) == [b"abc", b"de"] * 20
        assert unsaved.left() == (0, 0)


def test_the_first_part_of_two_is_complete() -> None:
    """The second is written and not safe: the file stays as it is."""
    with started(dataclasses.replace(WIDE, archives=True)) as engine:
        unsaved = Unsaved(engine)
        feed(engine, numbered(1).handshake().client(0, b"abc").server_ack(3))
        (flow,) = engine.list_after(0, 9)
        for size in (3, 6):
            assert unsaved.took(flow, size - 3, size)
            unsaved.handed_over(flow, size)
            feed(engine, numbered(1, engine.now_ns).client(3, b"def"))
        unsaved.completed(flow, 0, 3)
        engine.flows.lay_down_all()
        assert counted(engine) == (1, 1)
        assert packed_files(engine) == 0
        unsaved.failed(flow, 3, 6)
        assert unsaved.left() == (1, 3)
        assert unsaved.took(flow, 3, 6)
        unsaved.handed_over(flow, 6)
        unsaved.completed(flow, 3, 6)
        assert packed_files(engine) == 1


def test_saved_sleepers_go_when_memory_is_short() -> None:
    limits = Limits(payload_bytes=64 * 1024, table_bytes=MIB, archives=True)
    with started(limits) as engine:
        unsaved = Unsaved(engine)
        for number in range(20):
            conversation = numbered(number).handshake().client(0, bytes(1000)).server_ack(1000).close()
            feed(engine, conversation)
        pass_time(engine, SAVE_SETTLE_NS)
        save_all(unsaved, engine)
        engine.flows.lay_down_all()
        assert packed_files(engine) == 20
        large = numbered(50, engine.now_ns).handshake()
        for number in range(40):
            large.client(1460 * number, bytes(1460))
        feed(engine, large)
        numbers = engine.statistics()
        assert numbers["flows_evicted"] > 10
        assert numbers["archive_lost_flows"] == 0
        assert packed_files(engine) == 20 - numbers["flows_evicted"]


def test_one_of_two_files_is_open_and_removed() -> None:
    """What is packed of the other does not need it."""
    with started(WIDE) as engine:
        asleep_with_files(engine, 2)
        *_, first, second = engine.list_after(0, 9)
        flow = engine.open(first)
        engine.flows.put_back(flow)
        assert packed_files(engine) == 3
        engine.remove(flow)
        engine.release(flow)
        (seen,) = engine.list_after(3, 9)
        assert seen.serial == second.serial == 4
        assert engine.read(seen, 0, 9) == b"de"


def save_all(unsaved: Unsaved, engine: Engine) -> list[bytes]:
    """All errands that there are; returns what was read."""
    found: list[bytes] = []
    while (errand := unsaved.next()) is not None:
        assert len(found) < 100, "it does not end"
        flow, start, end, final = errand
        assert final
        engine.flows.lay_down_all()
        found.append(engine.read(flow, start, end - start))
        assert unsaved.took(flow, start, end)
        unsaved.handed_over(flow, end)
        engine.flows.lay_down_all()
        unsaved.completed(flow, start, end)
    return found

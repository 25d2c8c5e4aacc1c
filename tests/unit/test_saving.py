"""core/saving.py and what the store does with it: who can go without a loss, by a slow model."""

from __future__ import annotations

import random
from typing import Any

import pytest

from craft import ETHERNET, Conversation, Packet, batches
from engines import feed
from flowfs.core.counters import Counters
from flowfs.core.engine import Engine
from flowfs.core.flow import FIN, OPEN, Flow, extent, extent_count
from flowfs.core.limits import EVICT_POLICIES, MIB, SAVE_SETTLE_NS, Limits
from flowfs.core.saving import Saving
from flowfs.core.store import Store
from flowfs.core.unsaved import Errand, Unsaved

SMALL_BYTES = MIB
UNIT_BYTES, CLASSES, CLASS_MASK = 256, 9, 0xFF  # of core.arena and core.flow, where C hides them
REASON = 0  # of a gap


class House:
    """A store whose flows are saved, or not, by chance; and what is lost, by hand."""

    def __init__(self, seed: int, **limits: Any) -> None:
        self.chance = random.Random(seed)
        self.counters = Counters()
        self.store = Store(Limits(payload_bytes=SMALL_BYTES, archives=True, **limits), self.counters)
        assert self.store.saving is not None
        self.saving: Saving = self.store.saving
        self.flows: list[Flow] = []
        self.written: dict[Flow, int] = {}
        self.evicted_unsaved_bytes = 0
        self.now_ns = 0

    def step(self) -> None:
        self.now_ns += 10**9
        self.store.now_ns = self.now_ns
        flow = self.chance.choice(self.flows) if self.flows else self.new()
        action = self.chance.choice(
            [self.grow, self.grow, self.grow, self.skip, self.end, self.write, self.take, self.save, self.go]
        )
        if self.chance.random() < 0.2:
            self.new()
        action(flow)
        self.flows = [one for one in self.flows if not one.evicted]

    def new(self) -> Flow:
        flow = self.store.create(b"key of 12 by", len(self.flows), None)
        assert flow is not None
        self.flows.append(flow)
        return flow

    def grow(self, flow: Flow) -> None:
        count = self.chance.choice([1, 1000, 70_000, 200_000])
        self.store.append(flow, bytes(count), 0, count, self.now_ns)

    def skip(self, flow: Flow) -> None:
        self.store.skip(flow, 5000, REASON)

    def end(self, flow: Flow) -> None:
        self.store.set_state(flow, self.chance.choice([FIN, OPEN]), self.now_ns)

    def write(self, flow: Flow) -> None:
        start = self.saving.written(flow)
        self.saving.wrote(flow, self.chance.randint(start, max(start, flow.size)))

    def take(self, flow: Flow) -> None:
        """What is taken is written, or fails; meanwhile more may come, and what is taken may go."""
        start = self.saving.written(flow)
        end = self.chance.randint(start, max(start, flow.size))
        if not self.saving.take(flow, start, end):
            return
        before, lost = self.counters.archive_lost_bytes, 0
        if self.chance.random() < 0.3:
            unsaved = 0 if flow.saved else flow.size - end
            self.store.evict(flow)
            assert self.counters.archive_lost_bytes - before == unsaved
            before, lost = self.counters.archive_lost_bytes, end - start
        if self.chance.random() < 0.5:
            if flow.evicted:
                self.saving.lose(flow, start, end)
            else:
                self.store.unsave(flow)
                self.saving.fail(flow, start, end)
            assert self.counters.archive_lost_bytes - before == lost
        else:
            self.saving.wrote(flow, end)

    def save(self, flow: Flow) -> None:
        self.saving.wrote(flow, flow.size)
        self.store.save(flow)
        if self.chance.random() < 0.5:
            self.saving.complete(flow)

    def go(self, flow: Flow) -> None:
        before = self.counters.archive_lost_bytes
        unsaved = 0 if flow.saved else flow.size - self.saving.written(flow)
        if self.chance.random() < 0.5:
            self.store.remove(flow)
            unsaved = 0
        else:
            self.store.evict(flow)
        assert self.counters.archive_lost_bytes - before == unsaved

    def check(self) -> None:
        saved = [flow for flow in self.flows if flow.saved]
        assert self.saving.saved_flows == len(saved)
        for flow in self.flows:
            self.saving.wrote(flow, self.saving.written(flow))  # counts anew
        clean = sum(flow.held_bytes for flow in saved)
        clean += sum(self.clean_head(flow) for flow in self.flows if not flow.saved)
        assert self.saving.clean_bytes == clean
        assert clean <= self.store.arena.used_bytes
        assert set(self.saving.ended) <= set(self.flows)
        assert set(self.saving.drafts) <= set(self.flows)

    def clean_head(self, flow: Flow) -> int:
        """What can be freed of the blocks before the tail."""
        written, clean = self.saving.written(flow), 0
        for index in range(extent_count(flow)):
            _, reference, following = extent(flow, index)
            if following <= written and reference & CLASS_MASK != CLASSES:
                clean += UNIT_BYTES << (reference & CLASS_MASK)
        return clean


@pytest.mark.parametrize("policy", EVICT_POLICIES)
@pytest.mark.parametrize("seed", range(20))
def test_like_a_slow_model(seed: int, policy: str) -> None:
    house = House(seed, evict=policy)
    for _ in range(300):
        house.step()
        house.check()


def test_what_is_saved_goes_before_what_is_not() -> None:
    """Of 16 flows, which fill the memory, the last eight are saved."""
    house = House(0)
    for _ in range(16):
        flow = house.new()
        house.store.append(flow, bytes(60_000), 0, 60_000, 1)
        house.store.set_state(flow, FIN, 1)
    for flow in house.flows[8:]:
        house.saving.wrote(flow, flow.size)
        house.store.save(flow)
    kept = house.flows[:8]
    for _ in range(8):
        house.store.append(house.new(), bytes(60_000), 0, 60_000, 2)
    assert not any(flow.evicted for flow in kept)
    assert house.counters.archive_lost_flows == 0
    assert house.counters.flows_evicted == 8
    for _ in range(3):
        house.store.append(house.new(), bytes(60_000), 0, 60_000, 2)
    assert house.counters.archive_lost_flows == sum(flow.evicted for flow in kept) == 3


def test_only_written_blocks_of_an_open_flow_go_without_a_loss() -> None:
    house = House(0)
    flow = house.new()
    house.store.append(flow, bytes(900_000), 0, 900_000, 1)
    house.saving.wrote(flow, 500_000)
    before = flow.start
    house.store.append(flow, bytes(400_000), 0, 400_000, 2)
    assert before < flow.start <= 500_000
    assert house.counters.archive_lost_bytes == 0
    house.store.append(flow, bytes(900_000), 0, 900_000, 3)
    assert flow.start > 500_000
    assert house.counters.archive_lost_bytes == flow.start - 500_000
    assert house.counters.archive_lost_flows == 1


ORDERS = {
    "closed-first": [0, 1, 2, 3, 4, 5],  # closed in this order
    "lru": [5, 4, 3, 2, 1, 0],
    "oldest": [0, 1, 2, 3, 4, 5],
    "largest": [0, 2, 4, 1, 3, 5],
}


@pytest.mark.parametrize("are_saved", [False, True])
@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_the_policy_holds_among_saved_flows_as_well(policy: str, are_saved: bool) -> None:
    """Six flows, each of one block: those of even number are larger; the first had payload last."""
    house = House(0, evict=policy)
    store = house.store
    for number in range(6):
        size = 30_000 if number % 2 else 60_000
        assert store.append(house.new(), bytes(size), 0, size - 5_000, 1) == size - 5_000
    for second, flow in enumerate(reversed(house.flows), 10):
        store.append(flow, bytes(5_000), 0, 5_000, second * 10**9)
    for flow in house.flows:
        store.set_state(flow, FIN, 20 * 10**9)
        if are_saved:
            house.saving.wrote(flow, flow.size)
            store.save(flow)
    ranking = house.saving.ranking if are_saved else store.ranking
    order = []
    while (victim := ranking.victim(30 * 10**9, 0, None)) is not None:
        order.append(house.flows.index(victim))
        store.evict(victim)
    assert order == ORDERS[policy]


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_what_is_saved_goes_first_by_any_policy(policy: str) -> None:
    """Even where the policy would take those that are not saved: they are older, silent and closed."""
    house = House(0, evict=policy)
    store = house.store
    for number in range(16):
        flow = house.new()
        store.append(flow, bytes(60_000), 0, 60_000, number * 10**9)
        if number < 8:
            store.set_state(flow, FIN, 10**9)
        else:
            house.saving.wrote(flow, flow.size)
            store.save(flow)
    old, saved = house.flows[:8], house.flows[8:]
    for _ in range(8):
        store.append(house.new(), bytes(60_000), 0, 60_000, 20 * 10**9)
    assert not any(flow.evicted for flow in old)
    assert all(flow.evicted for flow in saved)
    assert house.counters.archive_lost_bytes == 0


# --- of which only the tail is wanted -----------------------------------------------------------


def test_what_lies_before_the_tail_that_is_wanted_is_not_lost() -> None:
    house = House(0, max_flow_bytes=100_000, keep="tail")
    flow = house.new()
    for _ in range(50):
        house.store.append(flow, bytes(10_000), 0, 10_000, 1)
    assert flow.start > 200_000
    assert house.counters.trimmed_beyond_bytes == flow.start
    assert (house.counters.archive_lost_flows, house.counters.archive_lost_bytes) == (0, 0)
    assert house.saving.written(flow) == flow.start
    house.store.skip(flow, 1_000, REASON)
    house.saving.wrote(flow, flow.size - 30_000)
    house.store.evict(flow)
    assert (house.counters.archive_lost_flows, house.counters.archive_lost_bytes) == (1, 30_000)


def test_of_the_tail_that_is_wanted_no_more_than_that_is_lost() -> None:
    """Blocks hold more than the last 100,000 bytes; and a gap may be longer than these."""
    house = House(0, max_flow_bytes=100_000, keep="tail")
    flow = house.new()
    house.store.append(flow, bytes(150_000), 0, 150_000, 1)
    assert flow.size - flow.start > 100_000
    house.store.evict(flow)
    assert (house.counters.archive_lost_flows, house.counters.archive_lost_bytes) == (1, 100_000)
    other = house.new()
    house.store.append(other, bytes(150_000), 0, 150_000, 1)
    house.store.skip(other, 200_000, REASON)
    assert other.start == 150_000
    assert house.counters.archive_lost_bytes == 100_000


def test_what_failed_is_lost_as_far_as_it_was_wanted() -> None:
    house = House(0, max_flow_bytes=100_000, keep="tail")
    gone, there = house.new(), house.new()
    for flow in (gone, there):
        house.store.append(flow, bytes(150_000), 0, 150_000, 1)
        house.saving.wrote(flow, 150_000)
    house.store.evict(gone)
    house.store.append(there, bytes(150_000), 0, 150_000, 1)
    assert there.start > 0
    house.saving.lose(gone, 0, 150_000)
    house.saving.fail(there, 0, 150_000)
    assert (house.counters.archive_lost_flows, house.counters.archive_lost_bytes) == (1, 100_000)
    assert house.saving.written(there) == there.start


def test_what_is_trimmed_for_want_of_memory_is_lost_within_the_tail() -> None:
    house = House(0, max_flow_bytes=4 * SMALL_BYTES, keep="tail")
    flow = house.new()
    house.store.append(flow, bytes(2 * SMALL_BYTES), 0, 2 * SMALL_BYTES, 1)
    assert house.counters.archive_lost_bytes == flow.start > 0


# --- what whoever saves has in hand -------------------------------------------------------------


def taken(size: int = 100_000) -> tuple[House, Flow]:
    """A flow of which all but the last 10,000 bytes were taken, and are not written yet."""
    house = House(0)
    flow = house.new()
    house.store.append(flow, bytes(size), 0, size, 1)
    assert house.saving.take(flow, 0, size - 10_000)
    return house, flow


def lost(house: House) -> tuple[int, int]:
    return house.counters.archive_lost_flows, house.counters.archive_lost_bytes


def test_what_was_taken_is_not_lost_when_it_goes() -> None:
    house, flow = taken()
    house.store.evict(flow)
    assert lost(house) == (1, 10_000)
    assert house.saving.gone == [(flow, 0)]
    house.saving.forget(flow)
    assert not house.saving.leaving


def test_what_was_taken_is_lost_when_it_cannot_be_written_then() -> None:
    house, flow = taken()
    house.store.evict(flow)
    house.saving.lose(flow, 0, 90_000)
    assert lost(house) == (1, 100_000), "of one flow"


def test_what_a_reader_removes_is_not_lost_whenever_that_fails() -> None:
    house, flow = taken()
    house.store.remove(flow)
    house.saving.lose(flow, 0, 90_000)
    assert lost(house) == (0, 0)
    assert house.saving.gone == [(flow, -1)]
    assert not house.saving.leaving


def test_what_was_taken_and_is_still_there_is_written_again() -> None:
    house, flow = taken()
    house.saving.fail(flow, 0, 90_000)
    assert house.saving.written(flow) == 0
    house.store.evict(flow)
    assert lost(house) == (1, 100_000)


def test_what_was_taken_can_be_trimmed_and_is_lost_if_it_fails_then() -> None:
    for fails in (False, True):
        house = House(0)
        flow = house.new()
        house.store.append(flow, bytes(900_000), 0, 900_000, 1)
        assert house.saving.take(flow, 0, 900_000)
        house.store.append(flow, bytes(900_000), 0, 900_000, 1)
        assert 0 < flow.start <= 900_000
        assert lost(house) == (0, 0)
        if fails:
            house.saving.fail(flow, 0, 900_000)
        else:
            house.saving.wrote(flow, 900_000)
        assert lost(house) == ((1, flow.start) if fails else (0, 0))


def test_what_was_counted_as_lost_cannot_be_taken() -> None:
    house = House(0)
    flow = house.new()
    house.store.append(flow, bytes(900_000), 0, 900_000, 1)
    house.store.append(flow, bytes(900_000), 0, 900_000, 1)
    assert flow.start > 0
    assert not house.saving.take(flow, 0, 900_000)
    house.store.evict(flow)
    assert not house.saving.take(flow, flow.start, flow.size)
    assert lost(house)[1] == 1_800_000


# --- the engine, as an archive sees it ---------------------------------------------------------


def engine_with(*conversations: Conversation, payload_bytes: int = MIB) -> Engine:
    engine = Engine(Limits(payload_bytes=payload_bytes, archives=True))
    for conversation in conversations:
        feed(engine, conversation)
    return engine


def test_a_closed_flow_is_next_once_it_has_settled() -> None:
    engine = engine_with(Conversation().handshake().client(0, b"abc").server_ack(3).close())
    unsaved = Unsaved(engine)
    (flow,) = engine.list_after(0, 9)
    assert unsaved.next() is None
    engine.tick(engine.now_ns + SAVE_SETTLE_NS)
    assert unsaved.next() == Errand(flow, 0, 3, True)
    unsaved.handed_over(flow, 3)
    assert unsaved.next() is None
    assert flow.saved
    unsaved.completed(flow, 0, 3)
    assert engine.statistics()["archive_saved_bytes"] == 3
    assert unsaved.left() == (0, 0)
    engine.close()


def test_an_open_flow_is_next_in_a_hurry_and_once_the_capture_has_ended() -> None:
    engine = engine_with(Conversation().handshake().client(0, b"abc"))
    unsaved = Unsaved(engine)
    (flow,) = engine.list_after(0, 9)
    assert unsaved.next() is None
    feed(engine, [packet for at in range(3, 600_000, 60_000) for packet in one_more(at)])
    size = flow.size
    assert unsaved.next() == Errand(flow, 0, size, False)
    unsaved.wrote(flow, size)
    assert unsaved.next() is None
    assert flow.saved
    assert engine.statistics()["flows_open"] == 1
    engine.finish()
    assert unsaved.next() == Errand(flow, size, size, True)
    unsaved.settled(flow, size)
    assert unsaved.next() is None
    engine.close()


def one_more(at: int) -> list[Packet]:
    conversation = Conversation().handshake().client(0, b"abc")
    conversation.packets.clear()
    return list(conversation.client(at, bytes(60_000)).packets)


def test_what_failed_is_next_again_and_what_went_meanwhile_is_lost() -> None:
    first, second = (
        Conversation(client_port=port).handshake().client(0, b"abc").server_ack(3).close() for port in (1, 2)
    )
    engine = engine_with(first, second)
    unsaved = Unsaved(engine)
    engine.tick(engine.now_ns + SAVE_SETTLE_NS)
    flows = engine.list_after(0, 9)
    for flow in flows:
        unsaved.handed_over(flow, 3)
    engine.store.evict(flows[0])
    engine.flows.collect()
    assert engine.statistics()["archive_lost_flows"] == 0
    for flow in flows:
        unsaved.failed(flow, 0, 3)
    statistics = engine.statistics()
    assert (statistics["archive_lost_flows"], statistics["archive_lost_bytes"]) == (1, 3)
    assert unsaved.next() == Errand(flows[1], 0, 3, True)
    assert unsaved.gone() == [(flows[0], 3)]
    assert unsaved.gone() == []
    engine.close()


def test_a_patient_feeder_takes_no_more_than_can_be_kept() -> None:
    """It stops by itself, loses nothing, and goes on once something is saved."""
    engine = Engine(Limits(payload_bytes=MIB, archives=True))
    unsaved = Unsaved(engine)
    taken = 0
    for port in range(60):
        conversation = Conversation(client_port=1000 + port).handshake()
        for at in range(0, 50_000, 1000):
            conversation.client(at, bytes(1000))
        ((frames, meta),) = batches(conversation.packets, 1000)
        taken = 0
        while (taken := engine.feed(frames, meta, ETHERNET, 0, 1000, taken, True)) < len(meta) // 16:
            assert engine.is_short()
            errand = unsaved.next()
            assert errand is not None, "it would wait for ever"
            unsaved.wrote(errand.flow, errand.end)
    statistics = engine.statistics()
    assert statistics["stored_bytes"] == 60 * 50_000
    assert statistics["archive_lost_bytes"] == 0
    assert statistics["flows_evicted"] > 20
    engine.close()


def test_what_is_postponed_lets_others_go_first() -> None:
    """Closed ones, and then those that are open."""
    closed = [
        Conversation(client_port=port).handshake().client(0, b"abc").server_ack(3).close() for port in (1, 2)
    ]
    going = [Conversation(client_port=port).handshake().client(0, b"abc") for port in (3, 4)]
    engine = engine_with(*closed, *going)
    engine.finish()
    unsaved = Unsaved(engine)
    flows = engine.list_after(0, 9)
    for round_ in range(2):
        seen = []
        while (errand := unsaved.next()) is not None:
            assert errand.final
            seen.append(errand.flow)
            if errand.flow in (flows[0], flows[2]):
                unsaved.postpone(errand.flow)
            else:
                unsaved.handed_over(errand.flow, 3)
        assert seen == (flows if round_ == 0 else [flows[0], flows[2]])
        assert unsaved.left() == (2, 6)
        unsaved.resume()
    for flow in flows:
        unsaved.handed_over(flow, 3)
    assert unsaved.next() is None
    engine.close()


def test_an_open_flow_that_is_written_is_not_next_instead_of_what_is_postponed() -> None:
    """There is nothing to be done for it, and it would be next for ever."""
    talks = [Conversation(client_port=port).handshake() for port in (1, 2)]
    for talk in talks:
        for at in range(0, 360_000, 60_000):
            talk.client(at, bytes(60_000))
    engine = engine_with(*talks)
    unsaved = Unsaved(engine)
    first, second = engine.list_after(0, 9)
    assert unsaved.next() == Errand(first, 0, first.size, False)
    unsaved.wrote(first, first.size)
    feed(engine, [Packet(1, b"", 0)])
    while (errand := unsaved.next()) is not None and errand.flow is second:
        unsaved.postpone(second)
    assert errand is None
    engine.close()


def test_what_is_not_saved_is_found_behind_any_number_of_others() -> None:
    talks = [Conversation(client_port=1 + port).handshake().client(0, b"a") for port in range(5_000)]
    engine = engine_with(*talks, payload_bytes=4 * MIB)
    unsaved = Unsaved(engine)
    *others, last = engine.list_after(0, 9_999)
    assert len(others) == 4_999
    for flow in others:
        unsaved.handed_over(flow, 1)
        unsaved.completed(flow, 0, 1)
    engine.finish()
    assert unsaved.next() == Errand(last, 0, 1, True)
    engine.close()


def test_without_an_archive_nobody_waits() -> None:
    engine = Engine(Limits(payload_bytes=MIB))
    for port in range(60):
        conversation = Conversation(client_port=1000 + port).handshake()
        for at in range(0, 50_000, 1000):
            conversation.client(at, bytes(1000))
        ((frames, meta),) = batches(conversation.packets, 1000)
        assert engine.feed(frames, meta, ETHERNET, patient=True) == len(meta) // 16
    assert engine.finish(True)
    assert engine.statistics()["archive_lost_bytes"] == 0
    engine.close()

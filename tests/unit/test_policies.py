"""core/policies.py: each order against a slow model, and who goes whole or by the head."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowfs.core.counters import Counters
from flowfs.core.evict import Ranking
from flowfs.core.flow import FIN, OPEN, Evicted, Flow
from flowfs.core.limits import EVICT_POLICIES, IDLE_VICTIM_NS, KIB, MIB, SECOND_NS, Limits
from flowfs.core.policies import ranking_of
from flowfs.core.store import Store

BLOCK_BYTES = 64 * KIB
LARGE_BYTES = 2 * BLOCK_BYTES
NO_LIMIT = 1 << 62
ORDERED = ("lru", "oldest", "largest")
IDLE_S = IDLE_VICTIM_NS // SECOND_NS


class House:
    """A store with flows in order of appearance, and what the slow model knows of them."""

    def __init__(self, policy: str, blocks: int = 1024, max_flows: int = 0) -> None:
        self.counters = Counters()
        limits = Limits(payload_bytes=blocks * BLOCK_BYTES, evict=policy, max_flows=max_flows)
        self.store = Store(limits, self.counters)
        self.flows: list[Flow] = []
        self.touched_ns: dict[Flow, int] = {}
        self.now_ns = self.store.now_ns = 100 * SECOND_NS

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)
        self.store.now_ns = self.now_ns

    def create(self, count: int = 1) -> Flow:
        flow = self.store.create(len(self.flows).to_bytes(12, "big"), 0, None)
        assert flow is not None
        self.flows.append(flow)
        self.touched_ns[flow] = self.now_ns
        self.append(flow, count)
        return flow

    def append(self, flow: Flow, count: int) -> None:
        if self.now_ns - self.touched_ns[flow] >= SECOND_NS:
            self.touched_ns[flow] = self.now_ns
        assert self.store.append(flow, bytes(count), 0, count, self.now_ns) == count

    def close(self, flow: Flow) -> None:
        self.store.set_state(flow, FIN, self.now_ns)

    def there(self) -> list[Flow]:
        return [flow for flow in self.flows if not flow.evicted]

    def first(self, keep: Flow | None = None, held_limit_bytes: int = NO_LIMIT) -> tuple[Flow | None, bool]:
        """Who would give memory, and whether it is only the head."""
        victim = self.store.ranking.victim(self.now_ns, held_limit_bytes, keep)
        return victim, self.store.ranking.head_is_enough

    def is_over(self, flow: Flow) -> bool:
        return flow.state != OPEN or self.now_ns - flow.last_ns >= IDLE_VICTIM_NS

    def empty(self) -> None:
        for flow in self.flows:
            self.store.evict(flow)


def key(house: House, policy: str, flow: Flow) -> int:
    """The slow model: the least goes first, of several anyone."""
    if policy == "lru":
        return house.touched_ns[flow] // SECOND_NS
    return flow.serial if policy == "oldest" else -flow.held_bytes


STEPS = st.lists(
    st.tuples(
        st.sampled_from("create create append append close reopen open release evict wait".split()),
        st.integers(0, 30),
        st.sampled_from([1, 300, 5000, BLOCK_BYTES, 200_000]),
    ),
    max_size=60,
)


def take(house: House, what: str, which: int, count: int) -> None:
    flows = house.there()
    flow = flows[which % len(flows)] if flows else None
    if what == "create" or flow is None:
        house.create(count)
    elif what == "append":
        house.append(flow, count)
    elif what == "close":
        house.close(flow)
    elif what == "reopen":
        house.store.set_state(flow, OPEN, house.now_ns)
    elif what == "open":
        house.store.open(flow)
    elif what == "release" and flow.opens:
        house.store.release(flow)
    elif what == "evict":
        house.store.evict(flow)
    elif what == "wait":
        house.wait(which / 3)


@pytest.mark.parametrize("policy", ORDERED)
@settings(max_examples=100)
@given(steps=STEPS)
def test_like_sorting(policy: str, steps: list[tuple[str, int, int]]) -> None:
    house = House(policy)
    for what, which, count in steps:
        take(house, what, which, count)
        check_first(house, policy, None)
        for flow in house.there()[:3]:
            check_first(house, policy, flow)
        check_leaver(house, policy)
    house.empty()


def check_first(house: House, policy: str, keep: Flow | None) -> None:
    victim, head = house.first(keep)
    small = keep is not None and (keep.state != OPEN or keep.held_bytes < LARGE_BYTES)
    free = [flow for flow in house.there() if not flow.opens and not (small and flow is keep)]
    if not free:
        assert victim is None or (victim.opens and head)
        return
    assert victim is not None
    assert not victim.opens
    assert key(house, policy, victim) == min(key(house, policy, flow) for flow in free)
    assert head == (policy == "largest" or victim is keep or not house.is_over(victim))


def check_leaver(house: House, policy: str) -> None:
    leaver = house.store.ranking.leaver(house.now_ns)
    free = [flow for flow in house.there() if not flow.opens]
    if leaver is None:
        assert all(flow.state == OPEN for flow in free)
        return
    assert house.is_over(leaver)
    least = min(key(house, policy, flow) for flow in free)
    if all(house.is_over(flow) for flow in free if key(house, policy, flow) == least):
        assert key(house, policy, leaver) == least


def test_every_policy_has_a_ranking() -> None:
    rankings = {type(ranking_of(policy, 1)) for policy in EVICT_POLICIES}
    assert len(rankings) == 4
    assert type(ranking_of("closed-first", 1)) is Ranking
    with pytest.raises(AssertionError):
        ranking_of("fifo", 1)


# --- what goes, and how much of it --------------------------------------------------------------


@pytest.mark.parametrize("policy", ["lru", "oldest"])
def test_a_closed_one_goes_whole_and_an_active_one_by_the_head(policy: str) -> None:
    house = House(policy, blocks=12)
    first, second, third = (house.create(4 * BLOCK_BYTES) for _ in range(3))
    house.append(third, BLOCK_BYTES)
    assert (first.start, first.size, first.evicted) == (BLOCK_BYTES, 4 * BLOCK_BYTES, False)
    house.close(first)
    house.append(third, BLOCK_BYTES)
    assert (first.evicted, second.start) == (True, 0)
    assert house.counters.trimmed_bytes == BLOCK_BYTES
    assert house.counters.evicted_bytes == 3 * BLOCK_BYTES
    house.empty()


@pytest.mark.parametrize("policy", ["lru", "oldest"])
def test_an_idle_one_goes_whole(policy: str) -> None:
    house = House(policy, blocks=4)
    first = house.create(2 * BLOCK_BYTES)
    house.wait(IDLE_S)
    house.create(2 * BLOCK_BYTES + 1)
    assert first.evicted
    house.empty()


def test_lru_knows_when_one_appeared_that_has_no_payload_yet() -> None:
    house = House("lru")
    older = house.create()
    house.wait(2)
    assert house.store.create(b"empty", 0, None) is not None
    assert house.first()[0] is older


def test_lru_does_not_care_who_is_closed() -> None:
    house = House("lru")
    flows = []
    for _ in range(4):
        flows.append(house.create())
        house.wait(2)
    house.close(flows[3])
    house.append(flows[0], 1)
    assert house.first()[0] is flows[1]
    house.close(flows[1])
    assert house.first()[0] is flows[1]
    house.empty()


@pytest.mark.parametrize("policy", ["lru", "oldest"])
def test_whoever_was_read_stands_where_it_stood(policy: str) -> None:
    house = House(policy)
    flows = []
    for _ in range(3):
        flows.append(house.create())
        house.wait(2)
    for flow in (flows[1], flows[0]):
        house.store.open(flow)
    for flow in (flows[0], flows[1]):
        house.store.release(flow)
    order = []
    while (first := house.first()[0]) is not None:
        order.append(first)
        house.store.evict(first)
    assert order == flows


def test_largest_levels() -> None:
    """Heads are taken until all hold the same; nobody goes while one has more than a block."""
    house = House("largest", blocks=32)
    flows = [house.create(blocks * BLOCK_BYTES) for blocks in (1, 2, 4, 20)]
    house.close(flows[3])
    newcomer = house.create()
    for _ in range(12):
        house.append(newcomer, BLOCK_BYTES)
    assert [flow.held_bytes // BLOCK_BYTES for flow in flows[:3]] == [1, 2, 4]
    assert abs(flows[3].held_bytes - newcomer.held_bytes) <= 2 * BLOCK_BYTES
    assert house.counters.flows_evicted == 0
    house.empty()


def test_largest_takes_a_single_block_last() -> None:
    house = House("largest", blocks=2)
    first, second = house.create(BLOCK_BYTES), house.create(BLOCK_BYTES)
    house.create()
    assert (first.evicted, second.evicted) == (True, False)
    house.empty()


@pytest.mark.parametrize("policy", ORDERED)
def test_who_is_written_gives_its_own_head(policy: str) -> None:
    house = House(policy, blocks=4)
    flow = house.create()
    for _ in range(20):
        house.append(flow, BLOCK_BYTES)
    assert not flow.evicted
    assert flow.held_bytes == 4 * BLOCK_BYTES
    assert flow.size == 20 * BLOCK_BYTES + 1
    house.empty()


@pytest.mark.parametrize("policy", ORDERED)
def test_who_is_read_goes_last_and_pins_its_share(policy: str) -> None:
    house = House(policy, blocks=8)
    read = house.create(2 * BLOCK_BYTES)
    house.store.open(read)
    other = house.create(6 * BLOCK_BYTES)
    house.close(read)
    house.close(other)
    last = house.create(3 * BLOCK_BYTES)
    assert (read.evicted, read.start) == (False, 0)
    house.store.evict(read)
    assert house.store.pinned_bytes == 2 * BLOCK_BYTES
    assert house.store.read(read, 0, 5) == bytes(5)
    house.append(last, 20 * BLOCK_BYTES)
    assert house.store.read(read, 0, 5) == bytes(5)
    house.store.release(read)
    assert house.store.pinned_bytes == 0
    house.empty()
    assert house.store.arena.used_bytes == 0


@pytest.mark.parametrize("policy", ORDERED)
def test_who_is_read_and_holds_more_than_its_share_goes_first(policy: str) -> None:
    house = House(policy, blocks=8)
    other = house.create(3 * BLOCK_BYTES)
    read = house.create(5 * BLOCK_BYTES)
    house.store.open(read)
    house.create(BLOCK_BYTES)
    assert (other.start, read.start) == (0, BLOCK_BYTES)
    with pytest.raises(Evicted):
        house.store.read(read, 0, 1)
    house.store.release(read)
    house.empty()


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_a_place_is_made_by_who_is_over(policy: str) -> None:
    house = House(policy, max_flows=3)
    flows = [house.create(1000 * (3 - index)) for index in range(3)]
    assert house.store.create(b"-" * 12, 0, None) is None
    assert house.counters.flows_refused == 1
    house.close(flows[2])
    house.create()
    assert flows[2].evicted
    house.wait(IDLE_S)
    house.append(flows[1], 1)
    house.create()
    assert (flows[0].evicted, flows[1].evicted) == (True, False)
    house.empty()


@pytest.mark.parametrize("policy", EVICT_POLICIES)
@settings(max_examples=30)
@given(steps=STEPS)
def test_never_above_the_budget(policy: str, steps: list[tuple[str, int, int]]) -> None:
    """With memory short all the time, and no flow in the way of itself."""
    house = House(policy, blocks=3)
    for what, which, count in steps:
        flows = house.there()
        if what == "append" and flows:
            flow = flows[which % len(flows)]
            before = flow.size
            stored = house.store.append(flow, bytes(count), 0, count, house.now_ns)
            assert flow.size == before + stored
            assert not flow.evicted or stored == 0
        elif what != "create":
            take(house, what, which, 1) if flows else None
        else:
            flow_or_none = house.store.create(len(house.flows).to_bytes(12, "big"), 0, None)
            assert flow_or_none is not None
            house.flows.append(flow_or_none)
            house.touched_ns[flow_or_none] = house.now_ns
        assert house.store.arena.used_bytes == sum(flow.held_bytes for flow in house.flows)
    house.empty()


@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_a_million_bytes_each(policy: str) -> None:
    """What is left of many that come one after another, each closed: the last of them."""
    house = House(policy, blocks=8 * MIB // BLOCK_BYTES)
    for _ in range(40):
        house.close(house.create(MIB))
        house.wait(1)
    left = house.there()
    if policy == "largest":
        assert (
            max(flow.held_bytes for flow in left) - min(flow.held_bytes for flow in left) <= 4 * BLOCK_BYTES
        )
    else:
        assert left == house.flows[-8:]
    house.empty()

"""What an eviction costs with a thousand flows and with a million, by policy.

Owns the clock and a store for each number of flows. What is timed is choosing the victim and freeing it, in
chunks; between them as many flows come. The small stores are many, so that they take as much memory as the
large one, and the processor's caches make no difference: what is left is what the order costs. With `--hot`
there is a single small store, which fits into the caches.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from flowfs.core import compiled
from flowfs.core.counters import Counters
from flowfs.core.flow import FIN
from flowfs.core.limits import EVICT_POLICIES, IDLE_VICTIM_NS, Limits
from flowfs.core.store import Store

BLOCK_BYTES = 65536
CHUNK = 200  # evictions that are timed at once
NO_LIMIT = 1 << 62
DATA = bytes(700)
KEY = bytes(12)


class Herd:
    """A store with `count` flows of 1 to 700 bytes, none of them read, of which this share is closed."""

    def __init__(self, policy: str, count: int, seed: int, closed: float) -> None:
        limits = Limits(payload_bytes=(count + CHUNK) * 1024 + BLOCK_BYTES, evict=policy)
        self.store = Store(limits, Counters())
        self.random = random.Random(seed)
        self.closed = closed
        self.now_ns = 10**18
        for _ in range(count):
            self.add()

    def add(self) -> None:
        """One more flow, at its time; some are closed, and now and then one that is there goes on."""
        store, chance = self.store, self.random.random()
        self.now_ns += 1_000_000
        store.now_ns = self.now_ns
        flow = store.create(KEY, 0, None)
        assert flow is not None
        store.append(flow, DATA, 0, 1 + int(chance * 699), self.now_ns)
        if chance < self.closed:
            store.set_state(flow, FIN, self.now_ns)
        elif chance > 0.9 and (other := store.get(flow.serial - int(chance * 1000))):
            store.append(other, DATA, 0, 1, self.now_ns)

    def evict(self, count: int) -> float:
        """Evict so many; returns the seconds that took of this thread's time."""
        store, ranking, now_ns = self.store, self.store.ranking, self.now_ns + IDLE_VICTIM_NS
        begin = time.thread_time()
        for _ in range(count):
            store.evict(ranking.victim(now_ns, NO_LIMIT, None))
        return time.thread_time() - begin

    def clear(self) -> None:
        """Let go of all flows."""
        for flow in self.store.list_after(0, self.store.count):
            self.store.evict(flow)
        self.store.orphans = []


@dataclass
class Cost:
    """Microseconds an eviction, by the median of the chunks."""

    small_us: float
    large_us: float

    @property
    def ratio(self) -> float:
        """How many times as much it costs among many."""
        return self.large_us / self.small_us


def measure(policy: str, small: int, large: int, chunks: int, herds: int = 1, closed: float = 0.5) -> Cost:
    """The cost with `small` and with `large` flows, by turns, so that both have the same neighbours."""
    many = [Herd(policy, small, seed, closed) for seed in range(herds)]
    one = Herd(policy, large, 0, closed)
    times: tuple[list[float], list[float]] = ([], [])
    for chunk in range(chunks):
        for herd, found in zip((many[chunk % herds], one), times, strict=True):
            found.append(herd.evict(CHUNK))
            herd.store.orphans = []
            for _ in range(CHUNK):
                herd.add()
    for herd in (*many, one):
        herd.clear()
    small_us, large_us = (statistics.median(found) / CHUNK * 1e6 for found in times)
    return Cost(small_us, large_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--chunks", type=int, default=1000, help=f"of {CHUNK} evictions")
    parser.add_argument("--hot", action="store_true", help="a single small store")
    parser.add_argument("--only", choices=EVICT_POLICIES)
    parser.add_argument("--closed", type=float, default=0.5, help="so many of the flows are closed (0.5)")
    options = parser.parse_args()
    print(f"core: {'compiled' if compiled() else 'interpreted'}")
    herds = 1 if options.hot else max(1, options.large // options.small)
    for policy in (options.only,) if options.only else EVICT_POLICIES:
        cost = measure(policy, options.small, options.large, options.chunks, herds, options.closed)
        print(
            f"{policy:>12}: {cost.small_us:.3f} µs of {options.small:,}, {cost.large_us:.3f} µs of"
            f" {options.large:,} flows, ratio {cost.ratio:.2f}"
        )


if __name__ == "__main__":
    main()

"""An eviction costs as much among very many flows as among a thousand, whatever the policy.

`contrib/bench/evict` measures it with a million; here it must be told from a search only.
"""

from __future__ import annotations

from types import ModuleType

import pytest

import flowfs.core
from benches import bench_module
from flowfs.core.limits import EVICT_POLICIES

SMALL = 1000
LARGE = 200_000 if flowfs.core.compiled() else 50_000
CHUNKS = 50
# A search would cost fifty times as much, or more; memory that is in no cache, up to three times as much.
MOST = 6
ATTEMPTS = 3  # the best counts: other load only adds


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return bench_module("evict")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [0.0, 0.5])
@pytest.mark.parametrize("policy", EVICT_POLICIES)
def test_many_evict_as_fast_as_a_thousand(bench: ModuleType, policy: str, closed: float) -> None:
    ratios = []
    for _ in range(ATTEMPTS):
        ratios.append(bench.measure(policy, SMALL, LARGE, CHUNKS, closed=closed).ratio)
        if ratios[-1] <= MOST:
            return
    pytest.fail(f"{policy}: among {LARGE} an eviction costs {ratios} times as much as among {SMALL}")

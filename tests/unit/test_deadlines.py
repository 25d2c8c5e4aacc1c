"""core/deadlines.py against heapq, of whose tuples it has the order."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.deadlines import Deadlines
from flowfs.core.limits import NEVER_NS

PUT, TAKE, KEEP_EVEN = range(3)


@given(
    st.lists(
        st.tuples(st.sampled_from([PUT, PUT, PUT, TAKE, TAKE, KEEP_EVEN]), st.integers(0, 9)), max_size=300
    )
)
def test_like_heapq(steps: list[tuple[int, int]]) -> None:
    """Equal times come as they were put, also after some were left out."""
    deadlines = Deadlines()
    heap: list[tuple[int, int, bytes]] = []
    for order, (what, time_ns) in enumerate(steps):
        if what == PUT:
            key = b"%d" % order
            deadlines.put(time_ns, key)
            heappush(heap, (time_ns, order, key))
        elif what == TAKE and heap:
            assert deadlines.take() == heappop(heap)[2]
        elif what == KEEP_EVEN:
            deadlines.keep([entry for entry in deadlines.entries() if int(entry[2]) % 2 == 0])
            heap = [entry for entry in heap if int(entry[2]) % 2 == 0]
            heapify(heap)
        assert len(deadlines) == len(heap)
        assert deadlines.first_ns() == (heap[0][0] if heap else NEVER_NS)
    while heap:
        assert deadlines.take() == heappop(heap)[2]
    assert len(deadlines) == 0

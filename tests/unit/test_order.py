"""core/order.py against plain lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.order import Link, Queue, leave

MEMBERS = 6


def members(queue: Queue) -> list[Link]:
    """From the oldest on; the way back must be the same."""
    forth, back = [], []
    link = queue.oldest
    while link is not None:
        assert link.queue is queue
        forth.append(link)
        link = link.newer
    link = queue.newest
    while link is not None:
        back.append(link)
        link = link.older
    assert forth == back[::-1]
    assert len(forth) == queue.length
    return forth


def test_of_one() -> None:
    queue, link = Queue(), Link()
    leave(link)
    assert members(queue) == []
    queue.append(link)
    queue.append(link)
    assert members(queue) == [link]
    leave(link)
    leave(link)
    assert members(queue) == []
    assert link.queue is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, MEMBERS - 1)), max_size=60))
def test_like_lists(steps: list[tuple[int, int]]) -> None:
    """Queue 2 is none: leave."""
    queues = [Queue(), Queue()]
    links = [Link() for _ in range(MEMBERS)]
    plain: list[list[Link]] = [[], []]
    for target, index in steps:
        link = links[index]
        for known in plain:
            if link in known:
                known.remove(link)
        if target < 2:
            queues[target].append(link)
            plain[target].append(link)
        else:
            leave(link)
        assert [members(queue) for queue in queues] == plain
    for link in links:  # circles are broken by hand
        leave(link)

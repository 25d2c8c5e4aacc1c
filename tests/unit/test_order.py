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


@given(
    st.lists(st.tuples(st.sampled_from(("append", "leave", "pass", "replace")), st.integers(0, MEMBERS - 1)))
)
def test_who_was_passed_over(steps: list[tuple[str, int]]) -> None:
    """Fresh are those behind the last that was passed over; another in the place of one was looked at."""
    queue = Queue()
    links = [Link() for _ in range(MEMBERS)]
    order: list[Link] = []
    fresh: list[Link] = []
    for number, (what, which) in enumerate(steps):
        link = links[which]
        if what == "append":
            link.touched_ns = number
            order = [one for one in order if one is not link] + [link]
            fresh = [one for one in fresh if one is not link] + [link]
            queue.append(link)
        elif what == "leave":
            order = [one for one in order if one is not link]
            fresh = [one for one in fresh if one is not link]
            leave(link)
        elif what == "pass" and fresh:
            fresh = fresh[1:]
            queue.pass_over()
        elif what == "replace" and link in order and link not in fresh[1:]:
            other = links[which] = Link()
            order[order.index(link)] = other
            fresh = [one for one in fresh if one is not link]
            queue.replace(link, other)
            assert link.queue is None
            assert other.touched_ns == link.touched_ns
        assert members(queue) == order
        assert queue.length == len(order)
        assert queue.fresh is (fresh[0] if fresh else None)
    for link in links:  # circles are broken by hand
        leave(link)

"""Listings in pieces: whatever is there throughout comes exactly once, everything else at most once."""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft import Conversation
from tree.direct import Direct
from tree.doors import Door, Entry, Listing

PLACES = ["", ".flowfs", *(f".flowfs/{name}" for name in ("meta", "conversations", "follow", "by-port/80"))]
PLACES += [f".flowfs/{name}" for name in ("by-host", "by-port", "by-state", "by-time", "by-host/10.0.0.2")]


def in_pieces(listing: Listing, count: int) -> Iterator[Entry]:
    while piece := listing.take(count):
        yield from piece


@pytest.mark.parametrize("names", ["", "%a%C%c", "%A/%B/%a"])
def test_a_listing_goes_on_where_it_was(opens: Callable[..., Door], names: str) -> None:
    """In every directory that there is, whatever the pieces."""
    door = opens(names=names) if names else opens()
    for number in range(20):
        conversation = door.flow(40_000 + number, server_address=f"10.0.0.{2 + number % 3}")
        if number % 2:
            door.feed(conversation.server(0, b"def"))
    places = {*PLACES, *(path for path, entry in door.walk() if stat.S_ISDIR(entry.kind))}
    for place in sorted(places):
        with door.listing(place) as listing:
            whole = listing.take(1000)
            assert listing.take(1) == [], "the end stays"
        assert [entry.name for entry in whole[:2]] == [".", ".."]
        for count in (1, 2, 3, 7, len(whole)):
            with door.listing(place) as listing:
                assert list(in_pieces(listing, count)) == whole, place


def test_dots_lead_up(door: Door) -> None:
    door.flow()
    for place in PLACES:
        above = place.rpartition("/")[0]
        with door.listing(place) as listing:
            dots = listing.take(2)
        assert [(entry.name, entry.kind) for entry in dots] == [(".", stat.S_IFDIR), ("..", stat.S_IFDIR)]
        assert dots[0].inode == door.stat(place).inode
        assert place.count("/") or dots[1].inode == door.stat(above).inode


def test_a_list_of_groups_is_of_one_moment(door: Door) -> None:
    conversations = [door.flow(port) for port in range(1, 6)]
    with door.listing(".flowfs/by-port") as listing:
        found = listing.take(4)
        door.evict(conversations[0])
        door.flow(7)
        found += listing.take(100)
    assert [entry.name for entry in found] == [".", "..", "1", "80", "2", "3", "4", "5"]


def test_a_group_that_is_listed_while_its_flows_go(door: Door) -> None:
    conversations = [door.flow(port) for port in range(1, 6)]
    with door.listing(".flowfs/by-port/80") as listing:
        found = listing.take(4)
        for conversation in conversations[:3]:
            door.evict(conversation)
        found += listing.take(100)
        names = [conversations[number].client_name() for number in (0, 1, 3, 4)]
        assert [entry.name for entry in found] == [".", "..", *names]
    with door.listing(".flowfs/by-port/80") as listing:
        for conversation in conversations[3:]:
            door.evict(conversation)
        assert [entry.name for entry in listing.take(100)] == [".", ".."]


# --- flows come and go meanwhile ---------------------------------------------------------------------

Step = tuple[int, list[int], int]  # entries taken at once, numbers of those that go, how many come


def churn(door: Door, place: str, count: int, steps: list[Step]) -> None:
    conversations = {number: door.flow(1000 + number) for number in range(count)}
    throughout, following, found = set(conversations), count, []
    suffix = ".json" if place.endswith("meta") else ""
    with door.listing(place) as listing:
        for taken, going, coming in [*steps, (1000, [], 0)]:
            found += listing.take(taken)
            for number in going:
                if number in conversations:
                    door.evict(conversations.pop(number))
                    throughout.discard(number)
            for number in range(following, following + coming):
                conversations[number] = door.flow(1000 + number)
            following += coming
    names = [entry.name for entry in found if entry.name not in (".", "..")]
    order = [Conversation(client_port=1000 + number).client_name() + suffix for number in range(following)]
    places = [order.index(name) for name in names]
    assert places == sorted(set(places)), "in order of appearance, none twice"
    assert throughout <= set(places)
    with door.listing(place) as listing:
        left = [order[number] for number in sorted(conversations)]
        assert [entry.name for entry in listing.take(1000)[2:]] == left


@settings(max_examples=60)
@given(
    st.sampled_from(["", ".flowfs/meta", ".flowfs/follow"]),
    st.integers(0, 12),
    st.lists(
        st.tuples(st.integers(1, 6), st.lists(st.integers(0, 20), max_size=4), st.integers(0, 3)), max_size=12
    ),
)
def test_each_flow_comes_once_whatever_happens(place: str, count: int, steps: list[Step]) -> None:
    door = Direct()
    churn(door, place, count, steps)
    door.engine.close()


@pytest.mark.parametrize("place", ["", ".flowfs/meta", ".flowfs/conversations", ".flowfs/follow"])
def test_each_flow_comes_once(door: Door, place: str) -> None:
    chance = random.Random(place)
    steps = [
        (chance.randrange(1, 7), chance.sample(range(80), chance.randrange(4)), chance.randrange(3))
        for _ in range(20)
    ]
    churn(door, place, 30, steps)


def test_a_long_listing_that_is_continued(door: Door) -> None:
    """Over more than one answer of the mount, while every seventh of those listed goes, and others come."""
    conversation = Conversation()
    for port in range(2000, 3500):
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"abc")
    door.feed(conversation)
    following, found = 3500, []
    with door.listing() as listing:
        assert [entry.name for entry in listing.take(2)] == [".", ".."]
        while piece := listing.take(300):
            found += [entry.name for entry in piece]
            for name in found[-300::7]:
                door.unlink(name)
            if following < 3540:
                for port in range(following, following + 10):
                    door.flow(port)
                following += 10
    names = [Conversation(client_port=port).client_name() for port in range(2000, following)]
    assert found == names

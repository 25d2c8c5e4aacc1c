"""Scenarios 48 and 53, and what else is told of a file beside its bytes."""

from __future__ import annotations

from craft import BAD, Conversation, wscale
from engines import feed, run, started
from flowfs.core.limits import MAX_CONFLICTS, MAX_URGENT, MIB, SECOND_NS, Limits
from flowfs.core.notes import About, Conflict

NAME = Conversation().client_name()


def about(conversation: Conversation, number: int = 0) -> About:
    with started() as engine:
        feed(engine, conversation)
        return engine.about(engine.list_after(0, 9)[number])


def test_48_urgent() -> None:
    conversation = Conversation().handshake().client(0, b"aXb", flags="PAU", urgent=2)
    conversation.client(3, b"cYd", flags="PAU", urgent=2).client(3, b"cYd", flags="PAU", urgent=2)
    assert run(conversation).files() == {NAME: b"aXbcYd"}
    assert about(conversation).urgent == [1, 4]


def test_48_urgent_without_sense() -> None:
    """A pointer that points nowhere in the segment, or without the flag, lists nothing."""
    conversation = Conversation().handshake().client(0, b"abc", flags="PAU", urgent=0)
    conversation.client(3, b"def", flags="PAU", urgent=4).client(6, b"ghi", urgent=1)
    assert about(conversation).urgent == []


def test_48_urgent_is_bounded() -> None:
    conversation = Conversation().handshake()
    for offset in range(0, 2 * MAX_URGENT + 40, 2):
        conversation.client(offset, b"xU", flags="AU", urgent=2)
    assert about(conversation).urgent == list(range(1, 2 * MAX_URGENT, 2))


def test_53_ttl_insertion() -> None:
    conversation = Conversation().handshake().client(0, b"abc").client(3, b"evil", ttl=1)
    conversation.client(3, b"good").wait(1).client(0, b"xbc", ttl=9)
    assert run(conversation).files() == {NAME: b"abcevil"}
    first, second = about(conversation).conflicts
    assert first == Conflict(3, 4, first.time_ns, 1, 64)
    assert second == Conflict(0, 3, second.time_ns, 64, 9)
    assert SECOND_NS <= second.time_ns - first.time_ns < 2 * SECOND_NS


def test_53_ttl_insertion_behind_a_hole() -> None:
    conversation = Conversation().handshake().client(0, b"a").client(2, b"evil", ttl=3).client(2, b"good")
    (conflict,) = about(conversation.client(1, b"b")).conflicts
    assert (conflict.offset, conflict.first_ttl, conflict.ttl) == (2, 3, 64)


def test_53_whose_byte_waited_first() -> None:
    """A second one for a place out of order, with another TTL, is not the one that was kept [O1]."""
    conversation = Conversation().handshake().client(0, b"a").client(2, b"good").client(1, b"evil!!", ttl=3)
    conversation.client(1, b"x").client(6, b"more")
    conflicts = [(c.offset, c.first_ttl, c.ttl) for c in about(conversation).conflicts]
    assert conflicts == [(2, 64, 3), (1, 3, 64), (6, 3, 64)]


def test_53_what_was_not_kept_has_no_ttl() -> None:
    """It lay beyond the window."""
    conversation = Conversation().handshake(wscale(0)).server_ack(0).client(0, b"a")
    conversation.client(70_000, b"evil", ttl=3).client(1, bytes(50_000)).server_ack(50_001)
    conversation.client(50_001, bytes(30_000)).client(70_001, b"x", ttl=9)
    conflicts = [(c.offset, c.first_ttl, c.ttl) for c in about(conversation).conflicts]
    assert conflicts == [(70_001, 64, 9)]


def test_53_a_ttl_in_every_packet() -> None:
    """So many differ that the first is not known any more; nothing else changes, and it is bounded."""
    conversation = Conversation().handshake()
    for index in range(300):
        conversation.client(index, b"x", ttl=1 + index % 2 * 9)
    conversation.client(280, b"yy", ttl=5)
    (conflict,) = about(conversation).conflicts
    assert (conflict.offset, conflict.first_ttl, conflict.ttl) == (280, -1, 5)


def test_as_many_conflicts_as_are_told() -> None:
    conversation = Conversation().handshake().client(0, b"a" * 300)
    for offset in range(100):
        conversation.client(offset, b"zz")
    assert len(about(conversation).conflicts) == MAX_CONFLICTS


def test_what_became_of_the_bytes() -> None:
    """By the names of the counters, for each direction by itself; nothing is told where there is nothing."""
    conversation = Conversation().handshake().client(0, b"abc").client(0, b"abc").client(2, b"c")
    conversation.server(0, b"quiet").client(6, b"ghi").client(-2, b"12").client(2**30, b"far", ack=500_001)
    conversation.client(6, b"zzz", checksum=BAD).server_ack(9).wait(0.3).other().client(3, b"def")
    conversation.client(9, b"", flags="").client(9, b"no", flags="").rst(9, payload=b"bye")
    told = about(conversation)
    assert told.bytes_by_fate == {
        "duplicate_bytes": 3,
        "late_bytes": 3,
        "keepalive_bytes": 1,
        "dropped_pre_start_bytes": 2,
        "dropped_window_bytes": 3,
        "dropped_rst_bytes": 3,
        "dropped_tentative_bytes": 3,
        "dropped_unacknowledging_bytes": 2,
    }
    assert told.holes == [(3, 3, "ack")]
    assert not told.unverified
    assert about(conversation, 1) == About(0, False, False, [], [], [], {}, 0, 0, packets=3, role="server")


def test_the_beginning_and_the_end() -> None:
    picked_up = Conversation().client(5, b"abc").wait(0.2).other().server_ack(20).rst(20)
    told = about(picked_up)
    assert (told.partial, told.tail_missing_bytes) == (True, 12)


def test_it_is_told_as_long_as_the_file_is_there() -> None:
    """Also after another connection has taken its addresses; then it is forgotten, and the charge with it."""
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation().handshake().client(0, b"abc").client(0, b"xyz").close()
        feed(engine, conversation.again(5_000_000, 6_000_000).wait(1).handshake().client(0, b"DEF"))
        engine.tick(engine.now_ns + 700 * SECOND_NS)
        flow = engine.list_after(0, 9)[0]
        assert len(engine.about(flow).conflicts) == 1
        assert engine.statistics()["notes_used_bytes"] > 0
        engine.remove(flow)
        assert engine.about(flow).conflicts == []
        assert engine.statistics()["notes_used_bytes"] == 0


def test_conflicts_from_before_the_base_was_known() -> None:
    """Their offsets count from the stream's first byte, too."""
    conversation = Conversation().client(10, b"second").client(10, b"SECOND").client(0, b"0123456789")
    conversation.wait(0.3).other()
    assert run(conversation).before.files() == {NAME: b"0123456789second"}
    assert [conflict.offset for conflict in about(conversation).conflicts] == [10]

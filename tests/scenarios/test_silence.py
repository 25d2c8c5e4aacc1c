"""What falls due in silence is seen to at its own time, not at that of the next packet [R10]."""

from __future__ import annotations

import pytest

from craft import ETHERNET, Conversation, Packet, fragment, ip, link
from engines import feed, file_of, run, started
from flowfs.core.limits import ACKED_HOLE_NS, DUE_PER_TICK, ONE_WAY_NS, SECOND_NS, SETTLE_NS

NAME = Conversation().client_name()
AGAIN = Conversation().client_name(1)
SILENCE_S = 600


def lacking(*, opened: bool) -> Conversation:
    """`abc`, a hole of three bytes and `ghi`, all of it acknowledged."""
    conversation = Conversation()
    if opened:
        conversation.handshake()
    return conversation.client(0, b"abc").client(6, b"ghi").server_ack(9)


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("silence_s", [0.4, 1, 50, SILENCE_S, 36_000])
def test_another_connection_after_silence(silence_s: float, opened: bool) -> None:
    """Picked up midway, lacking bytes, closed both ways: all that is over before another one begins."""
    conversation = lacking(opened=opened).close().wait(silence_s)
    conversation.again(1200, 500_100).handshake().client(0, b"second")
    outcome = run(conversation)
    assert outcome.before.files() == {NAME: b"abc\0\0\0ghi", AGAIN: b"second"}
    assert outcome.before.gaps(AGAIN) == []
    assert outcome.before.state(NAME) == "fin"


@pytest.mark.parametrize("silence_s", [61, SILENCE_S])
@pytest.mark.parametrize("opened", [True, False])
def test_another_connection_without_a_handshake_after_silence(silence_s: float, opened: bool) -> None:
    """Its numbers are near those of the one before, which was over for longer than it is remembered [L9]."""
    conversation = lacking(opened=opened).close().wait(silence_s)
    conversation.client(500, b"second").server_ack(506)
    outcome = run(conversation)
    assert outcome.files() == {NAME: b"abc\0\0\0ghi", AGAIN: b"second"}
    assert outcome.gaps(AGAIN) == []


def test_steps_that_follow_each_other_have_their_own_times() -> None:
    """The base settles, then the hole is lost, then the connection is closed [L3 H1 L4]."""
    conversation = lacking(opened=False).close()
    begin_ns = conversation.packets[0].time_ns
    with started() as engine:
        feed(engine, conversation)
        engine.tick(engine.now_ns + SILENCE_S * SECOND_NS)
        (flow,) = engine.list_after(0, 9)
        file = file_of(engine, flow)
        assert file.content == b"abc\0\0\0ghi"
        assert file.last_ns == file.changed_ns == begin_ns + SETTLE_NS + ACKED_HOLE_NS


def test_holes_one_way_have_their_own_times() -> None:
    """Each is waited for; those that the silence was too short for are there yet [H3]."""
    conversation = Conversation().syn()
    for index in range(100):
        conversation.client(2 * index, b"x")
    begin_ns = conversation.packets[2].time_ns
    with started() as engine:
        feed(engine, conversation)
        engine.tick(begin_ns + 10 * ONE_WAY_NS)
        (flow,) = engine.list_after(0, 9)
        assert flow.gaps() == [(2 * index + 1, 1, "one-way") for index in range(10)]
        assert flow.last_ns == begin_ns + 10 * ONE_WAY_NS


@pytest.mark.parametrize("after_s, files", [(61.9, {NAME: b"abc"}), (62.1, {NAME: b"abc", AGAIN: b"xyz"})])
def test_an_rst_that_waits_closes_in_its_time(after_s: float, files: dict[str, bytes]) -> None:
    """[L5] and whoever comes a minute after that is another connection [L9]."""
    conversation = Conversation().handshake().client(0, b"abc").rst(7).wait(after_s).client(500, b"xyz")
    assert run(conversation).files() == files


def test_fragments_are_let_go_of_before_the_next_packet() -> None:
    """All of them, though they are more than a slice [G3]."""
    count = 3 * DUE_PER_TICK + 5
    conversation = Conversation()
    for ident in range(count):
        whole = ip(f"10.0.1.{ident % 99}", "10.0.0.2", bytes(48))
        frame = link(ETHERNET, fragment(whole, 0, 24, ident=ident))
        conversation.packets.append(Packet(conversation.clock_ns, frame, len(frame)))
    outcome = run(conversation.wait(SILENCE_S).syn())
    assert outcome.before.statistics["fragments_expired"] == count

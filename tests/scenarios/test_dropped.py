"""What a flow says of packets that the kernel dropped: those of its life, of where its packets came by."""

from __future__ import annotations

from craft import Conversation, batch
from engines import started
from flowfs.core.engine import Engine
from flowfs.core.limits import SECOND_NS

BEGIN_NS = 1_700_000_000 * SECOND_NS


def conversation(port: int = 40_000, begin_ns: int = BEGIN_NS) -> Conversation:
    return Conversation(client_port=port, clock_ns=begin_ns).handshake().client(0, b"abc").server_ack(3)


def feed(engine: Engine, talk: Conversation, source: int = 0) -> None:
    frames, meta = batch(talk.packets)
    engine.feed(frames, meta, talk.link_type, source)
    talk.packets.clear()


def dropped(engine: Engine) -> list[int]:
    """What each file says, in order of appearance."""
    return [engine.about(flow).dropped_packets for flow in engine.list_after(0, 99)]


def lose(engine: Engine, count: int = 5, source: int = 0) -> None:
    """In the second that begins a second from here."""
    engine.drop(source, engine.now_ns + SECOND_NS, engine.now_ns + 2 * SECOND_NS, count)


def test_only_those_that_lived_then() -> None:
    with started() as engine:
        before = conversation(1).close()
        during = conversation(2)
        feed(engine, before)
        feed(engine, during)
        lose(engine)
        assert dropped(engine) == [0, 5]
        after = conversation(3, engine.now_ns + 3 * SECOND_NS)
        feed(engine, after)
        assert dropped(engine) == [0, 5, 0]
        lose(engine, 7)
        assert dropped(engine) == [0, 12, 7]
        feed(engine, during.wait(20).close())
        feed(engine, after.wait(20).close())
        lose(engine)
        assert dropped(engine) == [0, 12, 7]
        assert engine.statistics()["dropped_packets"] == 17
        assert engine.statistics()["drop_intervals"] == 3


def test_a_connection_that_ended_for_silence_lived_until_then() -> None:
    with started() as engine:
        feed(engine, conversation())
        lose(engine)
        engine.tick(engine.now_ns + 700 * SECOND_NS)
        assert dropped(engine) == [5]
        lose(engine)
        assert dropped(engine) == [5]


def test_what_was_picked_up_midway_may_have_begun_before() -> None:
    """Its handshake may be what was dropped; that of one whose handshake was seen was not."""
    with started() as engine:
        feed(engine, conversation(1).close())
        lose(engine)
        midway = Conversation(client_port=2, clock_ns=engine.now_ns + 5 * SECOND_NS)
        feed(engine, midway.client(500, b"abc").server_ack(503).wait(1).client(503, b"def"))
        assert dropped(engine) == [0, 5]


def test_another_interface_is_another_matter() -> None:
    with started() as engine:
        feed(engine, conversation(1), source=0)
        feed(engine, conversation(2), source=1)
        lose(engine, 3, source=0)
        lose(engine, 4, source=1)
        lose(engine, 9, source=2)
        assert dropped(engine) == [3, 4]


def test_each_direction_by_a_tap_of_its_own() -> None:
    with started() as engine:
        talk = Conversation()
        feed(engine, talk.syn(), source=0)
        feed(engine, talk.syn_ack(), source=1)
        feed(engine, talk.client_ack(0).client(0, b"abc"), source=0)
        feed(engine, talk.server(0, b"def"), source=1)
        lose(engine, 3, source=0)
        lose(engine, 4, source=1)
        assert dropped(engine) == [7, 7]


def test_each_direction_by_a_tap_of_its_own_and_picked_up_midway() -> None:
    with started() as engine:
        talk = Conversation()
        feed(engine, talk.client(0, b"abc"), source=2)
        feed(engine, talk.server(0, b"def"), source=1)
        feed(engine, talk.wait(1).client(3, b"abc"), source=2)
        lose(engine, 4, source=1)
        assert dropped(engine) == [4, 4]


def test_a_file_that_was_removed_still_knows() -> None:
    with started() as engine:
        feed(engine, conversation())
        (flow,) = engine.list_after(0, 9)
        lose(engine)
        engine.open(flow)
        engine.remove(flow)
        assert engine.about(flow).dropped_packets == 5
        engine.release(flow)

"""Connections that end and begin again in ways that no honest host would choose."""

from __future__ import annotations

from craft import Conversation, wscale
from engines import feed, started
from flowfs.core.limits import MIB, SECOND_NS, UNKNOWN_WINDOW_BYTES, Limits


def again(isn: int, data: bytes) -> Conversation:
    """The same addresses and ports, only the client's packets seen."""
    return Conversation(client_isn=isn, server_isn=isn << 16).syn().client(0, data)


def test_no_number_of_a_generation_is_used_twice() -> None:
    """Its files may be evicted in any order [R8]."""
    with started(Limits(payload_bytes=MIB)) as engine:
        feed(engine, again(1000, b"a"))
        feed(engine, again(2000, b"b"))
        engine.tick(engine.now_ns + 700 * SECOND_NS)
        first, second = engine.list_after(0, 9)
        assert (first.generation, second.generation) == (0, 1)
        engine.remove(first)
        for isn in (3000, 4000, 5000):
            feed(engine, again(isn, b"x"))
        flows = engine.list_after(0, 9)
        assert len({flow.generation for flow in flows}) == len(flows) == 4
        for flow in flows:
            engine.remove(flow)
        assert engine.statistics()["payload_used_bytes"] == 0


def test_nothing_grows_behind_a_fin_that_was_acknowledged() -> None:
    """The bytes before it were lost: what is readable then is final [R7], and its memory is not forgotten."""
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation().handshake(wscale(7)).server_ack(0)
        conversation.client(0, b"x" * 10).fin(8_000_000)
        for _ in range(41):
            conversation.server_ack(8_000_001)
        feed(engine, conversation)
        (flow,) = engine.list_after(0, 9)
        assert (flow.state, flow.size) == (1, 10)
        feed(engine, Conversation().client(10, b"y" * 1400))
        assert flow.size == 10
        engine.finish()
        assert flow.size == 10
        assert engine.statistics()["dropped_after_fin_bytes"] == 1400


def test_a_new_start_knows_nothing_of_the_old_one() -> None:
    """A direction that had sent nothing but a FIN, and the same ports with other ISNs [L1]."""
    with started(Limits(payload_bytes=MIB)) as engine:
        feed(engine, Conversation().handshake().fin(0).server_ack(1))
        later = Conversation(client_isn=900_000, server_isn=77).handshake().client(0, b"request")
        feed(engine, later.server_ack(7).client(7, b" and more"))
        (flow,) = engine.list_after(0, 9)
        assert engine.read(flow, 0, 99) == b"request and more"
        assert flow.state == 0


def test_a_fin_acknowledged_before_the_base_was_known() -> None:
    """A pickup in the middle that ends at once [L3 L4]."""
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation().client(50, b"abc").fin(53).server_ack(54)
        feed(engine, conversation.wait(0.2).other())
        (flow,) = engine.list_after(0, 9)
        assert (engine.read(flow, 0, 9), flow.state) == (b"abc", 1)


def test_a_new_start_has_its_own_windows_and_ttl() -> None:
    """[L1 Q2 O1] The window of the SYN/ACK holds for whichever SYN it answers; nothing else is left."""
    with started() as engine:
        conversation = Conversation(client_isn=900_000, server_window=1000)
        conversation.syn(isn=5000).syn_ack(ack=5001).syn().syn_ack()
        feed(engine, conversation)
        stream = engine.flows.stream_of(conversation.client_key())
        assert stream is not None
        assert stream.isn == 900_000
        assert (stream.reach_bytes, stream.reach_known) == (1000, True)
        stream.closed, stream.reach_bytes, stream.ttl = True, 1 << 30, 3
        stream.restart(5000)
        assert (stream.closed, stream.reach_known, stream.ttl) == (False, False, -1)
        assert stream.reach_bytes == UNKNOWN_WINDOW_BYTES

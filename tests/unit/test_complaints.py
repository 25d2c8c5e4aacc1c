"""complaints.py: each line once, and none without a reason."""

from __future__ import annotations

from craft import BAD, Conversation, cut
from engines import feed, started
from flowfs.complaints import Complaints
from flowfs.config import Config
from flowfs.core.limits import MIB, Limits


def config(limits: Limits, passing: str = "", interface: str = "") -> Config:
    interfaces, files = ((interface,), ()) if interface else ((), ("a.pcap",))
    return Config("/mnt", interfaces=interfaces, files=files, limits=limits, filter=passing)


def two(size: int) -> list[Conversation]:
    return [
        Conversation(client_port=port).handshake().client(0, bytes(size)).server_ack(size) for port in (1, 2)
    ]


def test_nothing_to_complain_of() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        assert complaints.fresh() == []
        feed(engine, two(100)[0])
        engine.finish()
        assert complaints.fresh() == []


def test_what_did_not_fit_is_said_when_all_is_read() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        for conversation in two(0):
            for number in range(60):
                conversation.client(20_000 * number, bytes(20_000))
            feed(engine, conversation)
        assert complaints.fresh() == []
        engine.finish()
        (line,) = complaints.fresh()
        assert line.endswith("did not fit into --max-memory 1M and are freed; a larger one keeps more")
        assert complaints.fresh() == []


def test_packets_without_data() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        feed(engine, Conversation().handshake())
        assert complaints.fresh() == []
        engine.finish()
        assert complaints.fresh() == ["there is no flow to be shown: no TCP segment has data"]


def test_data_that_nobody_takes() -> None:
    with started(Limits(payload_bytes=MIB, checksum="strict")) as engine:
        complaints = Complaints(config(engine.limits), engine)
        feed(engine, Conversation().client(0, b"wrong", checksum=BAD))
        engine.finish()
        assert complaints.fresh() == ["there is no flow to be shown: what data there is, no receiver takes"]


def test_what_is_removed_was_not_too_much() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        feed(engine, Conversation().handshake().client(0, bytes(60_000)))
        engine.remove(engine.list_after(0, 1)[0])
        engine.finish()
        assert complaints.fresh() == []


def test_an_interface_frees_what_is_old_without_a_word() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits, interface="eth0"), engine)
        feed(engine, Conversation().handshake().client(0, bytes(60_000)))
        engine.remove(engine.list_after(0, 1)[0])
        assert complaints.fresh() == []


def test_refusals() -> None:
    """One file that goes on, and one for which there is no place."""
    with started(Limits(payload_bytes=MIB, max_flows=1)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        for conversation in two(10):
            feed(engine, conversation)
        line = "flows are refused, --max-flows 1 of active ones are there"
        assert (complaints.fresh(), complaints.fresh()) == ([line], [])


def test_cut_packets() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        complaints = Complaints(config(engine.limits), engine)
        feed(engine, [cut(packet, 96) for packet in two(1000)[0].packets])
        assert ["cut at 96 bytes" in line for line in complaints.fresh()] == [True]


def test_nothing_in_it() -> None:
    for passing, line in (("udp", "no packet passes the filter"), ("", "there are no packets to be shown")):
        with started(Limits(payload_bytes=MIB)) as engine:
            complaints = Complaints(config(engine.limits, passing), engine)
            engine.finish()
            assert complaints.fresh() == [line]

"""core/roster.py, through the engine whose files are listed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from craft import Conversation
from engines import evict, feed, started
from flowfs.core.limits import HOT_NS, MIB, Limits
from flowfs.core.roster import Row, ends_of


@given(st.binary(min_size=12, max_size=14))
def test_ends_are_spelled_in_full(key: bytes) -> None:
    source, destination = (b".".join(b"%03d" % octet for octet in key[at : at + 4]) for at in (0, 4))
    ports = [int.from_bytes(key[at : at + 2], "big") for at in (8, 10)]
    assert ends_of(key) == b"%b.%05d-%b.%05d" % (source, ports[0], destination, ports[1])


def test_a_row_says_what_the_file_says() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        for port in range(1, 6):
            feed(engine, Conversation(client_port=port).handshake().client(0, bytes(port)).wait(port).close())
        files = engine.list_after(0, 99)
        rows = engine.rows_after(0, 99)
        assert len(rows) == len(files) == 5
        for row, file in zip(rows, files, strict=True):
            numbers = file.size, file.held_bytes, file.first_ns, file.last_ns, file.changed_ns
            assert row == (file.serial, file.key, file.generation, *numbers, True)
        assert [row[3] for row in rows] == [1, 2, 3, 4, 5]
        assert rows[2:4] == engine.rows_after(rows[1][0], 2)


def test_growth_and_end_of_what_was_in_a_row_are_told() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation().handshake().client(0, b"abc")
        feed(engine, conversation)
        engine.tick(engine.now_ns + 2 * HOT_NS)
        engine.changes()
        ((serial, *_, lasts),) = engine.rows_after(0, 9)
        assert lasts
        late = Conversation(clock_ns=engine.now_ns).client(3, b"def")
        feed(engine, late)
        assert [flow.serial for flow in engine.changes().grown] == [serial]
        (flow,) = engine.list_after(0, 9)
        engine.store.evict(flow)
        engine.flows.collect()
        assert [flow.serial for flow in engine.changes().gone] == [serial]


def test_the_size_of_what_has_just_grown_does_not_last() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        feed(engine, Conversation().handshake().client(0, b"abc"))
        assert [row[-1] for row in engine.rows_after(0, 9)] == [False]
        engine.finish()
        assert [row[-1] for row in engine.rows_after(0, 9)] == [True]


def test_rows_of_who_sleeps_are_those_of_who_is_awake() -> None:
    """Both files of one may be in a row of their own, or one behind the other."""
    with started(Limits(payload_bytes=MIB)) as engine:
        for port in range(1, 9):
            talk = Conversation(client_port=port).handshake().client(0, bytes(port))
            feed(engine, talk.server(0, bytes(2 * port)) if port % 2 else talk)
        late = Conversation(client_port=2, clock_ns=engine.now_ns + HOT_NS).server_ack(2).server(0, b"late")
        feed(engine, late)
        engine.tick(engine.now_ns + 2 * HOT_NS)
        awake = engine.rows_after(0, 99)
        assert len(awake) == 13
        engine.changes()
        engine.flows.lay_down_all()
        assert engine.statistics()["connections_asleep"] == 8
        for count in (1, 2, 3, 99):
            rows: list[Row] = []
            while more := engine.rows_after(rows[-1][0] if rows else 0, count):
                rows += more
            assert [row[:4] + row[5:] for row in rows] == [row[:4] + row[5:] for row in awake]
        serial = awake[-1][0]  # of port 2, whose other file is far in front of it
        evict(engine, late.server_key())
        assert [flow.serial for flow in engine.changes().gone] == [serial]

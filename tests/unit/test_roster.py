"""core/roster.py, through the engine whose files are listed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from craft import Conversation, Tag
from engines import evict, feed, started
from flowfs.core.engine import Engine
from flowfs.core.limits import HOT_NS, MIB, Limits
from flowfs.core.roster import Entry, Roster, ends_of

FIRST_INODE, MODE, LASTING_S = 1 << 40, 0o100400, 7.5


def spelled(key: bytes, generation: int) -> bytes:
    return b"%s %d" % (key.hex().encode(), generation)


ROSTER = Roster(FIRST_INODE, MODE, LASTING_S, spelled, list)


def but_blocks(entry: Entry) -> object:
    """What sleep does not change."""
    name, attributes, inode = entry
    return name, attributes[:2], attributes[3:], inode


def entries_after(engine: Engine, serial: int, count: int) -> list[Entry]:
    return engine.entries_after(serial, count, ROSTER)


@given(st.binary(min_size=12, max_size=14))
def test_ends_are_spelled_in_full(key: bytes) -> None:
    source, destination = (b".".join(b"%03d" % octet for octet in key[at : at + 4]) for at in (0, 4))
    ports = [int.from_bytes(key[at : at + 2], "big") for at in (8, 10)]
    assert ends_of(key) == b"%b.%05d-%b.%05d" % (source, ports[0], destination, ports[1])


def test_an_entry_says_what_the_file_says() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        for port in range(1, 6):
            data = bytes(600 * port)
            feed(engine, Conversation(client_port=port).handshake().client(0, data).wait(port).close())
        files = engine.list_after(0, 99)
        entries = entries_after(engine, 0, 99)
        assert len(entries) == len(files) == 5
        for (name, attributes, inode), file in zip(entries, files, strict=True):
            assert (name, inode) == (ends_of(file.key), FIRST_INODE + file.serial)
            assert attributes[:3] == [inode, file.size, -(-file.held_bytes // 512)]
            assert attributes[3:6] == [file.first_ns, file.last_ns, file.changed_ns]
            assert attributes[6:] == [MODE, 1, LASTING_S, LASTING_S]
        assert [attributes[1] for _, attributes, _ in entries] == [600, 1200, 1800, 2400, 3000]
        assert entries[2:4] == entries_after(engine, entries[1][2] - FIRST_INODE, 2)


def test_who_lists_spells_rarer_names() -> None:
    """IPv6, a VLAN, and a second connection of the same ends."""
    with started(Limits(payload_bytes=MIB)) as engine:
        ends = ("2001:db8::1", "2001:db8::2")
        feed(engine, Conversation(*ends).handshake().client(0, b"a"))
        feed(engine, Conversation(tags=[Tag(7)]).handshake().client(0, b"b"))
        twice = Conversation().handshake().client(0, b"c").close()
        feed(engine, twice.wait(2000).again(9_000_000, 8_000_000).handshake().client(0, b"d"))
        files = engine.list_after(0, 9)
        names = [name for name, _, _ in entries_after(engine, 0, 9)]
        assert [len(file.key) for file in files] == [36, 14, 12, 12]
        assert names[:2] == [spelled(file.key, 0) for file in files[:2]]
        assert names[2:] == [ends_of(files[2].key), spelled(files[3].key, 1)]


def test_growth_and_end_of_what_was_in_a_row_are_told() -> None:
    with started(Limits(payload_bytes=MIB)) as engine:
        conversation = Conversation().handshake().client(0, b"abc")
        feed(engine, conversation)
        engine.tick(engine.now_ns + 2 * HOT_NS)
        engine.changes()
        ((_, attributes, inode),) = entries_after(engine, 0, 9)
        assert attributes[8] == LASTING_S
        serial = inode - FIRST_INODE
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
        assert [attributes[8:] for _, attributes, _ in entries_after(engine, 0, 9)] == [[0, LASTING_S]]
        engine.finish()
        assert [attributes[8:] for _, attributes, _ in entries_after(engine, 0, 9)] == [
            [LASTING_S, LASTING_S]
        ]


def test_entries_of_who_sleeps_are_those_of_who_is_awake() -> None:
    """Both files of one may be asked for one by one, or one behind the other."""
    with started(Limits(payload_bytes=MIB)) as engine:
        for port in range(1, 9):
            talk = Conversation(client_port=port).handshake().client(0, bytes(port))
            feed(engine, talk.server(0, bytes(2 * port)) if port % 2 else talk)
        late = Conversation(client_port=2, clock_ns=engine.now_ns + HOT_NS).server_ack(2).server(0, b"late")
        feed(engine, late)
        engine.tick(engine.now_ns + 2 * HOT_NS)
        awake = entries_after(engine, 0, 99)
        assert len(awake) == 13
        engine.changes()
        engine.flows.lay_down_all()
        assert engine.statistics()["connections_asleep"] == 8
        for count in (1, 2, 3, 99):
            entries: list[Entry] = []
            while more := entries_after(engine, entries[-1][2] - FIRST_INODE if entries else 0, count):
                entries += more
            assert [but_blocks(entry) for entry in entries] == [but_blocks(entry) for entry in awake]
        serial = awake[-1][2] - FIRST_INODE  # of port 2, whose other file is far in front of it
        evict(engine, late.server_key())
        assert [flow.serial for flow in engine.changes().gone] == [serial]

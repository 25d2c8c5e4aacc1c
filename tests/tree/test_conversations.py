"""`.flowfs/conversations/NAME`: both sides by turns, under the name of each direction."""

from __future__ import annotations

import errno
import random
import stat
from collections.abc import Callable

import pytest

from conversing import parsed
from craft import Conversation
from flowfs.core.limits import KIB, MIB
from tree.doors import ALL, Door, File, refused
from waiting import eventually

PLACE = ".flowfs/conversations"


def talk() -> Conversation:
    return Conversation().handshake().client(0, b"GET /\n").server(0, b"200").client(6, b"thanks").close()


def path(conversation: Conversation, server: bool = False) -> str:
    return f"{PLACE}/{conversation.server_name() if server else conversation.client_name()}"


class Reading:
    """Reads on as tail(1) does; what was there must be there still."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.text = b""

    def go_on(self) -> bytes:
        assert self.file.stat().size >= len(self.text)
        text = self.file.pread(0, ALL)
        assert text.startswith(self.text)
        assert self.file.stat().size == len(text)
        self.text = text
        return text


def test_the_very_text(door: Door) -> None:
    capture = door.feed(talk())
    text = door.read(path(capture))
    assert text.decode() == (
        "=== 2023-11-14T22:13:20.000300000Z 010.000.000.001.40000 > 010.000.000.002.00080 6 bytes\n"
        "GET /\n"
        "\n"
        "=== 2023-11-14T22:13:20.000400000Z 010.000.000.002.00080 > 010.000.000.001.40000 3 bytes\n"
        "200\n"
        "=== 2023-11-14T22:13:20.000500000Z 010.000.000.001.40000 > 010.000.000.002.00080 6 bytes\n"
        "thanks\n"
    )
    assert door.read(path(capture, server=True)) == text
    assert door.stat(path(capture)).size == door.stat(path(capture, server=True)).size == len(text)


def test_names(door: Door) -> None:
    capture = door.feed(talk())
    entries = door.entries(PLACE)
    assert [entry.name for entry in entries] == [capture.client_name(), capture.server_name()]
    assert [door.stat(f"{PLACE}/{entry.name}").inode for entry in entries] == [
        entry.inode for entry in entries
    ]
    assert {entry.kind for entry in entries} == {stat.S_IFREG}
    for name in ("x", capture.client_name() + "c1", capture.client_name() + ".json"):
        with refused(errno.ENOENT):
            door.stat(f"{PLACE}/{name}")


def test_any_part_of_it(door: Door) -> None:
    chance, capture, ends = random.Random(3), Conversation().handshake(), [0, 0]
    for at in range(60):
        data = chance.randbytes(chance.choice((1, 10, 1400)))
        (capture.server if at % 2 else capture.client)(ends[at % 2], data)
        ends[at % 2] += len(data)
    name = path(door.feed(capture.server_ack(ends[0]).client_ack(ends[1]).close()))
    text = door.read(name)
    assert b"".join(turn.data for turn in parsed(text)[::2]) == door.read(capture.client_name())
    with door.open(name) as file:
        for _ in range(100):
            offset, size = chance.randrange(len(text)), chance.choice((1, 7, 89, 90, 91, 4096, ALL))
            assert file.pread(offset, size) == text[offset : offset + size]
        assert file.pread(len(text), 10) == b""


def test_what_is_open_only_grows(door: Door) -> None:
    capture = door.flow()
    with door.open(path(capture)) as file:
        reading = Reading(file)
        assert reading.go_on() == b""
        door.feed(capture.server(0, b"xyz"))
        assert [turn.data for turn in parsed(reading.go_on())] == [b"abc"]
        door.feed(capture.client(3, b"def").close())
        assert [turn.data for turn in parsed(reading.go_on())] == [b"abc", b"xyz", b"def"]


@pytest.mark.parametrize("server", [False, True])
def test_what_is_open_stays_when_a_flow_goes(door: Door, server: bool) -> None:
    """Whoever opens it afterwards is told of what went."""
    capture = Conversation().handshake().client(0, b"abc").server(0, b"xyz").client(3, b"d")
    door.feed(capture)
    with door.open(path(capture, server)) as file:
        reading = Reading(file)
        assert [turn.data for turn in parsed(reading.go_on())] == [b"abc", b"xyz"]
        door.evict(capture)
        door.feed(capture.server(3, b"!").client(4, b"e").close())
        assert [(turn.data, turn.notes) for turn in parsed(reading.go_on())] == [
            *((b"abc", {}), (b"xyz", {}), (b"", {"not held": 1}), (b"!", {}), (b"e", {})),
        ]
        assert file.stat().links == int(server)
    later = parsed(door.read(path(capture, server=True)))
    assert later[0].notes == {"not held": 3}
    assert [turn.data for turn in later] == [b"", b"xyz", b"", b"!", b"e"]
    assert eventually(lambda: door.statistics()["pinned_bytes"] == 0)  # close(2) waits for nobody


def test_bytes_that_were_freed_are_an_error(opens: Callable[..., Door]) -> None:
    """The pin limit is too small; what stands before and behind them is there."""
    door = opens(payload_bytes=64 * KIB, table_bytes=MIB)
    capture = Conversation().handshake().client(0, b"c" * 30_000).server(0, b"s" * 100).client(30_000, b"!")
    door.feed(capture.server(100, b"?"))
    with door.open(path(capture, server=True)) as file:
        text = Reading(file).go_on()
        heading = text.index(b"\n") + 1
        door.evict(capture)
        assert file.pread(0, heading) == text[:heading]
        for offset in (heading, heading + 29_999):
            with refused(errno.EIO):
                file.pread(offset, 1000)
        behind = heading + 30_000
        assert file.pread(behind, 250) == text[behind : behind + 250]
        assert file.stat().size == len(text)


def test_it_goes_with_the_flow_of_its_name(door: Door) -> None:
    capture = door.feed(talk())
    door.evict(capture)
    with refused(errno.ENOENT):
        door.stat(path(capture))
    assert door.names(PLACE) == [capture.server_name()]
    assert [turn.notes for turn in parsed(door.read(path(capture, server=True)))] == [
        *({"not held": 6}, {}, {"not held": 6}),
    ]
    door.evict(capture, server=True)
    assert door.names(PLACE) == []

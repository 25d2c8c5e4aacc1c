"""The files in `.flowfs`: what they say, and that whoever opened one reads what it was at that moment."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from craft import Conversation
from flowfs.core.notes import About
from flowfs.tree.roll import BLOCK_BYTES
from tree.doors import ALL, Door, refused

STATUS, METRICS, FLOWS, EVENTS = (
    f".flowfs/{name}" for name in ("status.json", "metrics", "flows.jsonl", "events.jsonl")
)


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- of one moment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [STATUS, METRICS, FLOWS, ".flowfs/meta/{name}.json"])
def test_it_stays_what_it_was_when_it_was_opened(door: Door, path: str) -> None:
    conversation = door.flow(7)
    path = path.format(name=conversation.client_name())
    with door.open(path) as file:
        before, beginning = door.read(path), file.pread(0, 10)
        for port in range(8, 30):
            door.flow(port)
        door.feed(conversation.client(3, b"def"))
        text = file.pread(0, ALL)
        assert text[:10] == beginning
        assert len(text) == len(before)
        assert path == FLOWS or door.read(path) != text  # a list is kept for those who ask together
        for offset, size in ((7, 11), (0, 1), (len(text) - 1, 9), (len(text) // 2, ALL)):
            assert file.pread(offset, size) == text[offset : offset + size]
        assert file.pread(len(text), 9) == file.pread(len(text) + 1000, 9) == b""


def test_status(door: Door) -> None:
    with door.open(STATUS) as before:
        door.flow()
        status, later = json.loads(before.pread(0, ALL)), json.loads(door.read(STATUS))
    assert (status["finished"], status["statistics"]["flows"]) == (False, 0)
    assert (later["statistics"]["flows"], later["statistics"]["payload_bytes"]) == (1, 3)
    assert later["statistics"] == door.statistics()
    assert door.stat(STATUS).size == len(door.read(STATUS))
    door.finish()
    assert json.loads(door.read(STATUS))["finished"] is True


def test_status_tells_what_others_know(opens: Callable[..., Door]) -> None:
    door = opens(sources=("lö", "eth0"))
    text = door.read(STATUS)
    assert json.loads(text)["sources"] == ["lö", "eth0"]
    assert door.stat(STATUS).size == len(text)


def test_metrics(door: Door) -> None:
    assert b"\nflowfs_flows_total 0\n" in door.read(METRICS)
    door.flow()
    assert b"\nflowfs_flows_total 1\n" in door.read(METRICS)
    assert door.stat(METRICS).size == len(door.read(METRICS))


def test_the_guide(door: Door) -> None:
    """It names whatever there is, and what is known of a flow."""
    door.flow()
    text = door.read(".flowfs/README")
    (record,) = lines(door.read(FLOWS))
    assert all(re.search(rf"\b{field}\b".encode(), text) for field in record)
    assert door.stat(".flowfs/README").size == len(text)
    assert all(name.encode() in text for name in door.names(".flowfs") if name != "README")


# --- flows.jsonl -------------------------------------------------------------------------------------


def test_all_flows_in_lines(opens: Callable[..., Door]) -> None:
    """Of whoever was there, a part at a time."""
    door = opens(sources=("eth0",))
    first, conversation = door.flow(1), Conversation()
    for port in range(2, 1000):
        conversation.again(1000, 500_000, client_port=port).handshake().client(0, b"abc")
    door.feed(conversation)
    size = door.stat(FLOWS).size
    with door.open(FLOWS) as file:
        door.evict(first)
        text = b"".join(file.pread(at, 1000) for at in range(0, size + 1000, 1000))
    assert len(text) == size > BLOCK_BYTES
    records = lines(text)
    assert [record["name"] for record in records] == [
        Conversation(client_port=port).client_name() for port in range(1, 1000)
    ]
    assert {(record["state"], record["size"], record["source"]) for record in records} == {
        ("open", 3, "eth0")
    }


# --- meta --------------------------------------------------------------------------------------------


def meta(conversation: Conversation) -> str:
    return f".flowfs/meta/{conversation.client_name()}.json"


def test_what_is_known_of_a_flow(opens: Callable[..., Door]) -> None:
    door = opens(sources=("eth0",))
    conversation = door.flow()
    (entry,) = door.entries(".flowfs/meta")
    found, text = door.stat(meta(conversation)), door.read(meta(conversation))
    assert (entry.name, entry.inode) == (conversation.client_name() + ".json", found.inode)
    assert found.size == len(text)
    known = json.loads(text)
    assert known["name"] == conversation.client_name()
    assert (known["source"], known["state"], known["size"]) == ("eth0", "open", 3)
    assert set(About._fields) <= set(known)


def test_what_is_known_changes_with_the_flow(door: Door) -> None:
    conversation = door.flow()
    for size in range(3, 9):
        assert json.loads(door.read(meta(conversation)))["size"] == size
        assert door.stat(meta(conversation)).size == len(door.read(meta(conversation)))
        door.feed(conversation.client(size, b"x"))
    door.feed(conversation.server_ack(9).close())
    assert json.loads(door.read(meta(conversation)))["state"] == "fin"


def test_what_is_known_goes_with_the_flow(door: Door) -> None:
    conversation = door.flow()
    name, path = conversation.client_name(), meta(conversation)
    for other in (name, ".json", "x.json", "status.json", f"{name}.json.json"):
        with refused(errno.ENOENT):
            door.stat(f".flowfs/meta/{other}")
    with door.hold(path) as held:
        with door.open(name), door.open(path) as file:
            door.evict(conversation)
            assert json.loads(file.pread(0, ALL))["size"] == 3
            with held.open() as again:
                assert json.loads(again.pread(0, ALL))["size"] == 3, "while the flow is open"
        for ask in (held.stat, held.open):
            with refused(errno.ESTALE):
                ask()
    with refused(errno.ENOENT):
        door.stat(path)
    assert door.names(".flowfs/meta") == []


# --- events.jsonl ------------------------------------------------------------------------------------


def test_what_happens_to_flows(door: Door) -> None:
    """From the first look on, in a file that grows."""
    before = door.flow(1)
    with door.open(EVENTS) as file:
        assert file.pread(0, ALL) == b""
        one, other, third, fourth = (door.flow(port) for port in (2, 3, 4, 5))
        door.feed(one.server_ack(3).close())
        door.feed(other.server_ack(3).rst())
        known = file.pread(0, ALL)
        door.evict(before)
        door.evict(third)
        door.unlink(fourth.client_name())
        text = file.pread(0, ALL)
        assert text.startswith(known)
        assert file.pread(len(known), ALL) == text[len(known) :]
        assert file.stat().size == door.stat(EVENTS).size == len(text)
    assert [(line["event"], line["name"], line["size"]) for line in lines(text)] == [
        *(("new", conversation.client_name(), 0) for conversation in (one, other, third, fourth)),
        ("fin", one.client_name(), 3),
        ("rst", other.client_name(), 3),
        ("evicted", before.client_name(), 3),
        ("evicted", third.client_name(), 3),
        ("removed", fourth.client_name(), 3),
    ]
    assert door.read(EVENTS) == text
    door.finish()
    assert door.read(EVENTS) == text

"""An engine and the archive that its flows are saved in; what is fed, how the disk hangs, what is found."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from craft import ETHERNET, Conversation, Packet, batches
from flowfs.archive import Archive, part
from flowfs.core.engine import Engine
from flowfs.core.limits import MIB, Limits
from flowfs.templates import DEFAULT
from flowfs.tree import directories

PACKET_BYTES = 16  # of a batch's description
STEP_BYTES = 1000  # of data in a packet


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def talk(data: bytes, port: int = 40_000, close: bool = True) -> Conversation:
    conversation = Conversation(client_port=port).handshake()
    for at in range(0, len(data), STEP_BYTES):
        conversation.client(at, data[at : at + STEP_BYTES])
    conversation.server_ack(len(data))
    return conversation.close() if close else conversation


class Archived:
    """An engine that is fed like a file is: it waits for the archive."""

    def __init__(self, place: Path, names: str = DEFAULT, **limits: Any) -> None:
        self.place = place
        self.engine = Engine(Limits(**{"payload_bytes": MIB, **limits}, archives=True))
        self.directories = directories(self.engine, names)
        self.archive = Archive(str(place), self.engine, ["here"], self.directories)

    def feed(self, capture: Conversation | list[Packet], patient: bool = True, size: int = 256) -> None:
        packets = capture.packets if isinstance(capture, Conversation) else capture
        for frames, meta in batches(list(packets), size):
            taken, count = 0, len(meta) // PACKET_BYTES
            while taken < count:
                taken = self.engine.feed(frames, meta, ETHERNET, 0, 1000, taken, patient)
                if taken < count:
                    self.archive.poke()
                    time.sleep(0.001)  # as the capture's thread does

    def end(self, within_s: float = 20) -> None:
        """The capture has ended: wait until all is saved."""
        while not self.engine.finish(True):
            time.sleep(0.001)  # as the capture's thread does
        self.archive.stop()
        assert self.archive.wait(within_s), self.archive.about()

    def numbers(self) -> tuple[int, int]:
        """How many bytes are saved, and how many are lost."""
        counters = self.engine.counters
        return counters.archive_saved_bytes, counters.archive_lost_bytes


@contextmanager
def archived(place: Path, names: str = DEFAULT, **limits: Any) -> Iterator[Archived]:
    """With the worker at work."""
    made = Archived(place, names, **limits)
    made.archive.start()
    try:
        yield made
    finally:
        made.archive.break_off()
        assert made.archive.wait(10)
        made.engine.close()


def is_written(one: Archived) -> bool:
    """Whether memory of the flow that is there can be freed without a loss, though it is open."""
    saving = one.engine.store.saving
    return saving is not None and saving.clean_bytes > 0


def hanging(
    monkeypatch: pytest.MonkeyPatch, owner: object = part, name: str = "_write"
) -> tuple[threading.Event, threading.Event]:
    """From here on the disk hangs until the first event is set; the second says that somebody waits."""
    goes_on, stands = threading.Event(), threading.Event()
    work = getattr(owner, name)

    def hang(*arguments: Any) -> Any:
        stands.set()
        assert goes_on.wait(60)
        return work(*arguments)

    monkeypatch.setattr(owner, name, hang)
    return goes_on, stands


def hanging_sync(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """As `hanging`, in the making safe of a part that is written."""
    return hanging(monkeypatch, part.Part, "sync")


def records(place: Path) -> list[dict[str, Any]]:
    """The lines of the journal; those that are torn are left out."""
    found = []
    for line in (place / "flows.jsonl").read_text().split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def has_records(place: Path) -> bool:
    return (place / "flows.jsonl").exists() and bool(records(place))


def check(place: Path) -> list[dict[str, Any]]:
    """Each file has a line, each line a file, and both say the same; nothing else is there."""
    lines = records(place)
    files = (path for path in place.rglob("*") if not path.is_dir())
    names = sorted(str(path.relative_to(place)) for path in files)
    names.remove("flows.jsonl")
    assert names == sorted(line["file"] for line in lines)
    for line in lines:
        path = place / line["file"]
        data = path.read_bytes()
        assert (len(data), digest(data)) == (line["size"], line["sha256"]), line
        assert path.stat().st_mode & 0o777 == 0o600
        for hole in line["holes"]:
            assert data[hole["offset"] :][: hole["length"]] == bytes(hole["length"])
    return lines


def by_turns(one: Archived, talks: list[Conversation], datas: list[bytes]) -> None:
    """Each says 6000 bytes, and then the next does, until all have said what they have; all say as much."""
    for at in range(0, len(datas[0]), 6000):
        for data, conversation in zip(datas, talks, strict=True):
            conversation.packets.clear()
            conversation.wait(0.01).client(at, data[at : at + 6000])
            one.feed(conversation)


def joined(place: Path) -> dict[str, bytes]:
    """The stream of each flow, from its parts; zeros where none has it."""
    streams: dict[str, bytearray] = {}
    for line in check(place):
        stream = streams.setdefault(line["name"], bytearray())
        data = (place / line["file"]).read_bytes()
        stream += bytes(max(0, line["origin"] - len(stream)))
        stream[line["origin"] : line["origin"] + len(data)] = data
    return {name: bytes(stream) for name, stream in streams.items()}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

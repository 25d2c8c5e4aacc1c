"""A flow that grows while tools read it, and what tools are asked with.

A feeder grows the flow all the while a tool runs. What a tool writes is compared with what it writes of an
ordinary file of the same bytes, or is a beginning of them; a zero too many would show.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from craft import Conversation
from mounted.served import Served

LINES = [b"%07d line\n" % number for number in range(30_000)]
DATA = b"".join(LINES)
SEGMENT_BYTES = 1300  # a hundred lines
STEP_BYTES = 10 * SEGMENT_BYTES
FIRST_BYTES = 5 * STEP_BYTES
PAUSE_S = 0.002  # so that all of it takes longer than most tools


class Growing:
    """A flow of DATA that has its first part, and gets the rest by and by."""

    def __init__(self, mount: Served, port: int = 40_000) -> None:
        self._mount = mount
        self.conversation = Conversation(client_port=port).handshake()
        self.sent = 0
        self._lock = threading.Lock()
        self.path = mount.client(self.conversation)
        self.send(FIRST_BYTES)

    def send(self, count: int) -> None:
        with self._lock:
            end = min(len(DATA), self.sent + count)
            for at in range(self.sent, end, SEGMENT_BYTES):
                self.conversation.client(at, DATA[at : min(end, at + SEGMENT_BYTES)])
            self.sent = end  # before anybody sees it
            self._mount.feed(self.conversation.server_ack(end))

    def finish(self) -> None:
        self.send(len(DATA))
        self._mount.feed(self.conversation.close())

    @contextmanager
    def grows(self) -> Iterator[None]:
        """All the while; at most up to the whole."""
        with all_grow([self]):
            yield


@contextmanager
def all_grow(flows: Sequence[Growing]) -> Iterator[None]:
    """By turns, all the while."""
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(PAUSE_S) and any(flow.sent < len(DATA) for flow in flows):
            for flow in flows:
                flow.send(SEGMENT_BYTES)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
        assert feeder.is_alive() or all(flow.sent == len(DATA) for flow in flows), "the feeder failed"
    finally:
        stop.set()
        feeder.join()


def output(command: Sequence[str | Path], given: bytes | None = None) -> bytes:
    words = list(map(str, command))
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, input=given, capture_output=True, timeout=30, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(command: Sequence[str], **values: str | Path) -> list[str]:
    """The words of a command, with values in the place of names such as FLOW."""
    words = []
    for word in command:
        for name, value in values.items():
            word = word.replace(name, str(value))
        words.append(word)
    return words


def is_beginning(data: bytes) -> bool:
    return len(data) >= FIRST_BYTES and DATA.startswith(data)


def is_part(data: bytes, begin: int) -> bool:
    """Whether it is from `begin` on what there was at some time, all that was there at first included."""
    return len(data) >= FIRST_BYTES - begin and DATA.startswith(data, begin)

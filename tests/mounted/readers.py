"""Processes that read flows, heard while they run; and a flow that is larger than the memory for flows."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from craft import Conversation
from mounted.served import Served, served

SOON_S = 1.0  # a notice takes 0.1 ms; two busy cores take longer
MIB = 1 << 20


def heard(process: subprocess.Popen[bytes], word: bytes, within_s: float = 10) -> bytes:
    """What it says up to the word."""
    assert process.stdout is not None
    seen, deadline = b"", time.monotonic() + within_s
    while word not in seen:
        assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], seen
        piece = os.read(process.stdout.fileno(), 65536)
        assert piece, seen
        seen += piece
    return seen


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Its exit status, and what it still said; it must end by itself."""
    out, err = process.communicate(timeout=5)
    return process.returncode, out, err


@contextmanager
def larger_than_memory(path: Path) -> Iterator[tuple[Served, Conversation, bytes]]:
    """A mount of 1 MiB with a flow of more than three, of which the head was freed; all that was sent."""
    with served(path, payload_bytes=MIB) as mount:
        conversation = Conversation().handshake()
        pieces = [b"%05d\n" % number * 10_000 for number in range(60)]
        for number, piece in enumerate(pieces):
            conversation.client(len(piece) * number, piece)
        mount.feed(conversation)
        yield mount, conversation, b"".join(pieces)

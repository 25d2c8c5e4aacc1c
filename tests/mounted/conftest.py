"""The fixture `mount`: a mount to read from, and to feed; and `conversation`: a flow in it, "abc\\n"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, served


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "flows") as mount:
        yield mount


@pytest.fixture
def conversation(mount: Served) -> Conversation:
    conversation = Conversation().handshake().client(0, b"abc\n")
    mount.feed(conversation)
    return conversation

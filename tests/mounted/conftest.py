"""The fixtures `conversation`: a flow in the mount, "abc\\n", and `place`: where the program may mount."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from craft import Conversation
from live.mounting import clean_up
from mounted.served import Served


@pytest.fixture
def conversation(mount: Served) -> Conversation:
    conversation = Conversation().handshake().client(0, b"abc\n")
    mount.feed(conversation)
    return conversation


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "flows"
    path.mkdir()
    yield path
    clean_up(path)

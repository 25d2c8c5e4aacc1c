"""The fixture `conversation`: a flow in the mount, "abc\\n"."""

from __future__ import annotations

import pytest

from craft import Conversation
from mounted.served import Served


@pytest.fixture
def conversation(mount: Served) -> Conversation:
    conversation = Conversation().handshake().client(0, b"abc\n")
    mount.feed(conversation)
    return conversation

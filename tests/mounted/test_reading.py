"""Reading as only a mount does: while its interpreter is busy, and what it is asked too often."""

from __future__ import annotations

import os

import pytest

from craft import Conversation
from mounted.served import Served

pytestmark = pytest.mark.needs("fuse")


def test_ls_l_asks_for_attributes_once_a_device(mount: Served) -> None:
    """Extended attributes asked for file by file make `ls -l` 30 × slower."""
    mount.feed(Conversation().handshake().client(0, b"abc"))
    with pytest.raises(OSError, match="not supported"):
        os.getxattr(next(mount.path.iterdir()), "security.selinux")
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(next(mount.path.iterdir()), "user.none")


def test_reading_while_the_interpreter_is_busy(mount: Served) -> None:
    conversation, data = Conversation().handshake(), b"".join(b"%07d\n" % line for line in range(40_000))
    for at in range(0, len(data), 1460):
        conversation.client(at, data[at : at + 1460])
    mount.feed(conversation)
    mount.ask("spin", True)
    for _ in range(20):
        assert mount.client(conversation).read_bytes() == data
    mount.ask("spin", False)

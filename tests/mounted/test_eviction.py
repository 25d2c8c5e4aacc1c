"""Flows that go by `rm`, or just before somebody opens them."""

from __future__ import annotations

import pytest

from craft import Conversation
from mounted.served import Served, run

pytestmark = pytest.mark.needs("fuse")


def flow(mount: Served, port: int = 40_000, size: int = 100_000) -> Conversation:
    conversation = Conversation(client_port=port).handshake()
    for at in range(0, size, 1000):
        conversation.client(at, b"%07d\n" % at * 125)
    mount.feed(conversation)
    return conversation


def test_rm_evicts(mount: Served) -> None:
    first, second = flow(mount, 40_001), flow(mount, 40_002)
    assert run("rm", "-f", mount.client(first)).stderr == ""
    assert mount.names() == [second.client_name()]
    assert not mount.client(first).exists()
    statistics = mount.statistics()
    assert (statistics["flows_removed"], statistics["flows"]) == (1, 1)
    assert (statistics["flows_evicted"], statistics["evicted_bytes"]) == (0, 0)
    assert "No such file" in run("rm", mount.client(first)).stderr
    assert run("sh", "-c", f"rm -f {mount.path}/*").returncode == 0
    assert mount.names() == []
    assert mount.statistics()["payload_used_bytes"] == 0


def test_opening_what_was_evicted_just_now_says_that_it_is_not_there(mount: Served) -> None:
    for port in range(40_000, 40_050):
        conversation = flow(mount, port, 1000)
        path = mount.client(conversation)
        assert path.exists()
        mount.evict(conversation)  # the kernel still has the name
        with pytest.raises(FileNotFoundError):
            path.open()

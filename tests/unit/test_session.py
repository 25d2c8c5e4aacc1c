"""How a mount ends when the kernel says so in the middle of a request."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import cast

import pyfuse3
import pytest
import trio

from flowfs.mount import Mount
from flowfs.mount.notifier import Notifier
from flowfs.mount.operations import Operations
from flowfs.mount.streams import Streams


def served(fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of which pyfuse3 meets this, in a task of its own, as it does."""

    async def meet() -> None:
        raise fault

    async def main(max_tasks: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(meet)
            nursery.start_soon(trio.sleep_forever)

    monkeypatch.setattr(pyfuse3, "main", main)
    for_ever = SimpleNamespace(run=trio.sleep_forever)
    operations = SimpleNamespace(ready=trio.Event(), look_after_waiters=trio.sleep_forever)
    mount = Mount(
        "/nowhere",
        cast(Operations, operations),
        cast(Notifier, for_ever),
        cast(Streams, for_ever),
        [],
    )
    trio.run(mount.serve)


def test_a_connection_that_is_aborted_is_an_end_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of files that were closed just before, requests still come."""
    served(OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)), monkeypatch)


def test_what_else_the_kernel_says_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseExceptionGroup) as loud:
        served(OSError(errno.EIO, os.strerror(errno.EIO)), monkeypatch)
    assert loud.group_contains(OSError, match="Input/output error")

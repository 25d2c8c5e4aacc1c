"""What a service manager is told, by a test that listens in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowfs.summary import in_short
from flowfs.systemd import Background, Service


@pytest.fixture(params=["notify", "user@1000", "@flowfs-test"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """At a path, or in the abstract namespace: that alone begins with an @."""
    is_abstract = request.param.startswith("@")
    name = f"{request.param}-{os.getpid()}" if is_abstract else str(tmp_path / request.param)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield manager


def told(manager: socket.socket) -> list[str]:
    return manager.recv(65536).decode().split("\n")


def test_a_life(manager: socket.socket) -> None:
    service = Service()
    service.progress(1, 4, "loading")
    assert told(manager) == ["STATUS=loading: 25 %", "EXTEND_TIMEOUT_USEC=30000000"]
    service.ready("0 flows")
    assert told(manager) == ["READY=1", "STATUS=0 flows"]
    service.status("7 flows")
    assert told(manager) == ["STATUS=7 flows"]
    service.ending()
    assert told(manager) == ["STOPPING=1", "STATUS=ending"]
    service.progress(0, 0, "saving")
    assert told(manager) == ["STATUS=saving: 0 %", "EXTEND_TIMEOUT_USEC=30000000"]


def test_the_background_tells_nothing(manager: socket.socket) -> None:
    """Or a script's service would be ready as soon as a mount of the script is."""
    Background().ready("x")
    Background().ending()
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


@pytest.mark.parametrize(
    "address", [None, "", "/nonexistent/notify", "vsock:2:1234", "@nobody-listens", "/" * 200]
)
def test_nobody_listens(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    Service().ready("x")


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket) -> None:
    for _ in range(10_000):
        Service().status("x" * 1000)
    assert told(manager) == ["STATUS=" + "x" * 1000]


def test_one_line_says_how_it_stands() -> None:
    numbers = {"flows": 1234, "payload_used_bytes": 1_500_000, "payload_limit_bytes": 1 << 28}
    assert in_short(numbers, 5) == "1,234 flows, 1.4 MiB of 256 MiB held, 5 packets dropped"

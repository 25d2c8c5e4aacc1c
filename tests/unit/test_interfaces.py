"""The interfaces that the kernel tells of, against what iproute2 says, and from messages that are made up."""

from __future__ import annotations

import json
import socket
import struct
import subprocess

import pytest

from flowfs import interfaces as module
from flowfs.interfaces import Interface, interfaces, may_capture


def message(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + padded


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(index: int, name: bytes, kind: int, flags: int) -> bytes:
    return message(16, struct.pack("=BxHiII", 0, kind, index, flags, 0) + attribute(3, name + b"\0"))


def address(index: int, family: int, prefix: int, *attributes: bytes) -> bytes:
    return message(20, struct.pack("=BBBBI", family, prefix, 0, 0, index) + b"".join(attributes))


DONE = message(3, bytes(4))


class Kernel:
    """A socket that answers a dump of links and one of addresses."""

    parts: dict[int, list[bytes]]

    def __init__(self, *_: int) -> None: ...

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None: ...

    def bind(self, _: object) -> None: ...

    def send(self, request: bytes) -> None:
        self.answers = iter(self.parts[struct.unpack_from("=H", request, 4)[0]])

    def recv(self, _: int) -> bytes:
        return next(self.answers)


def told(monkeypatch: pytest.MonkeyPatch, links: list[bytes], addresses: list[bytes]) -> list[Interface]:
    Kernel.parts = {18: links, 22: addresses}
    monkeypatch.setattr(socket, "socket", Kernel)
    return interfaces()


def test_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """In several parts; of a link with a peer, the address is ours."""
    one, other = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")
    six = socket.inet_pton(socket.AF_INET6, "fd00::1")
    found = told(
        monkeypatch,
        [link(1, b"lo", 772, 0x10001), link(2, b"eth0", 1, 0x1) + link(3, b"tun0", 65534, 0), DONE],
        [
            address(3, socket.AF_INET, 32, attribute(1, other), attribute(2, one))
            + address(3, socket.AF_INET6, 64, attribute(1, six))
            + DONE
        ],
    )
    assert found == [
        Interface("lo", "up", "loopback", ()),
        Interface("eth0", "no carrier", "Ethernet", ()),
        Interface("tun0", "down", "raw IP", ("10.0.0.1/32", "fd00::1/64")),
        Interface("any", "up", "all of them", ()),
    ]


def test_a_link_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, [link(1, b"x", 4000, 0), DONE], [DONE])[0].link == "link type 4000 of Linux"


def test_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="netlink refuses"):
        told(monkeypatch, [message(2, struct.pack("=i", -1))], [DONE])


def test_lengths_that_lie_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither may a length of 0 keep it for ever."""
    empty = struct.pack("=IHHII", 0, 7, 0, 0, 0)
    assert [one.name for one in told(monkeypatch, [empty + DONE], [DONE])] == ["any"]
    body = struct.pack("=BxHiII", 0, 1, 1, 0, 0) + bytes(4) + attribute(3, b"x\0")
    assert told(monkeypatch, [message(16, body), DONE], [DONE])[0].name == "x"


def test_it_agrees_with_the_system() -> None:
    names = [name for _, name in socket.if_nameindex()]
    found = {one.name: one for one in interfaces()}
    assert sorted(found) == sorted([*names, "any"])
    assert {"127.0.0.1/8"} <= set(found["lo"].addresses) or found["lo"].state == "down"


@pytest.mark.needs("netns")
def test_it_agrees_with_iproute2() -> None:
    told = json.loads(subprocess.run(["ip", "-j", "address"], capture_output=True, check=True).stdout)
    for one in told:
        same = next(found for found in interfaces() if found.name == one["ifname"])
        addresses = [f"{known['local']}/{known['prefixlen']}" for known in one["addr_info"]]
        assert sorted(same.addresses) == sorted(addresses)
        assert (same.state == "down") == ("UP" not in one["flags"])


def test_the_right_to_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: int) -> object:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.socket, "socket", denied)  # type: ignore[attr-defined]
    assert not may_capture()

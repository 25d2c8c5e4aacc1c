"""The network interfaces of this machine, as its kernel knows them, and whether we may capture on them.

Asks by netlink (rtnetlink(7)), and not /sys: that shows those of another network namespace, where one entered
only the network. Knows no libpcap, and needs no right.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .config import ANY

_NETLINK_ROUTE = 0
_RTM_GETLINK, _RTM_NEWLINK, _RTM_GETADDR, _RTM_NEWADDR = 18, 16, 22, 20  # <linux/rtnetlink.h>
_DONE, _ERROR = 3, 2
_REQUEST, _DUMP = 1, 0x300
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index
_IFLA_IFNAME, _IFA_ADDRESS, _IFA_LOCAL = 3, 1, 2
_UP, _LOWER_UP = 0x1, 0x10000  # netdevice(7)
_PART_BYTES = 1 << 16

# ARPHRD_* of <linux/if_arp.h>: those that come up, as who captures knows them.
_LINKS = {
    1: "Ethernet",
    32: "InfiniBand",
    280: "CAN",
    512: "PPP",
    513: "Cisco HDLC",
    768: "IP in IP",
    769: "IPv6 in IP",
    772: "loopback",
    776: "IPv6 in IP",
    778: "GRE",
    801: "802.11",
    802: "802.11",
    803: "802.11 with radiotap",
    823: "GRE over IPv6",
    824: "netlink",
    826: "nlmon",
    65534: "raw IP",
}


class Interface(NamedTuple):
    """One of them. `state`: up, down, or "no carrier": up, and nothing at its other end."""

    name: str
    state: str
    link: str
    addresses: tuple[str, ...]  # with the length of their prefix


def interfaces() -> list[Interface]:
    """Those of this network namespace in the kernel's order, and `any` behind them. Raises OSError."""
    addresses = _addresses()
    found = []
    for body in _dump(_RTM_GETLINK, _RTM_NEWLINK):
        _, kind, index, flags, _ = _LINK.unpack_from(body)
        name = _attributes(body, _LINK.size)[_IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "surrogateescape")
        state = "down" if not flags & _UP else "up" if flags & _LOWER_UP else "no carrier"
        link = _LINKS.get(kind, f"link type {kind} of Linux")
        found.append(Interface(name, state, link, tuple(addresses.get(index, ()))))
    return [*found, Interface(ANY, "up", "all of them", ())]


def may_capture() -> bool:
    """Whether the kernel gives us packets, as libpcap asks for them (CAP_NET_RAW). Raises OSError."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()  # of protocol 0, which takes none
    except PermissionError:
        return False
    return True


def _addresses() -> dict[int, list[str]]:
    """By the index of the interface."""
    found: dict[int, list[str]] = {}
    for body in _dump(_RTM_GETADDR, _RTM_NEWADDR):
        family, prefix, _, _, index = _ADDRESS.unpack_from(body)
        attributes = _attributes(body, _ADDRESS.size)
        # Where there is a peer, _IFA_ADDRESS is the peer's: rtnetlink(7).
        address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        if address and family in (socket.AF_INET, socket.AF_INET6):
            found.setdefault(index, []).append(f"{socket.inet_ntop(family, address)}/{prefix}")
    return found


def _dump(request: int, answer: int) -> Iterator[bytes]:
    """The bodies of all messages of a kind that the kernel has."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        length = _HEADER.size + _LINK.size
        kernel.send(_HEADER.pack(length, request, _REQUEST | _DUMP, 1, 0) + bytes(_LINK.size))
        while True:
            part = kernel.recv(_PART_BYTES)
            for kind, body in _messages(part):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0] or errno.EIO, "netlink refuses")
                if kind == answer:
                    yield body


def _messages(part: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of the messages in one part: netlink(7)."""
    at = 0
    while at + _HEADER.size <= len(part):
        length, kind, *_ = _HEADER.unpack_from(part, at)
        yield kind, part[at + _HEADER.size : at + length]
        at += max(_HEADER.size, length + 3 & ~3)


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    """By their type: rtnetlink(3)."""
    found = {}
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        found[kind] = body[at + 4 : at + length]
        at += max(4, length + 3 & ~3)
    return found

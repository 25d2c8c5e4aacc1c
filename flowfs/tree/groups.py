"""What flows are grouped by in `.flowfs/by-*`: hosts, ports, states, hours.

Owns the numbers and the spelling of groups; knows no directory. Always true: a group has one spelling, and a
flow is in each of its groups at any moment, for which nothing is kept: who lists a group goes through all
flows (`survey`). Only addresses that are too long for an inode number are kept, the last MAX_HOSTS of them.
"""

from __future__ import annotations

import calendar
import re
import threading
import time
from abc import ABC, abstractmethod
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from ..core.flow import OPEN, Flow
from .names import IPV4_KEY_BYTES, IPV6_KEY_BYTES, MAX_PORT

MAX_HOSTS = 65536  # IPv6 addresses, ~200 bytes each
_FIRST_HOST = 1 << 32  # below are IPv4 addresses

_HOUR_NS = 3600 * 10**9
_HOUR_FORMAT = "%Y-%m-%dT%H"
_HOUR = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}")
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


class Groups(ABC):
    """One way of grouping. Numbers are below 2**48."""

    always: tuple[int, ...] = ()
    """Those that are there without a flow in them."""

    @abstractmethod
    def of(self, flow: Flow) -> tuple[int, ...]:
        """The groups of a flow, each once."""

    def has(self, number: int, flow: Flow) -> bool:
        """Whether a flow is in a group."""
        return number in self.of(flow)

    @abstractmethod
    def name(self, number: int) -> bytes | None:
        """How a group is spelled; None for what is none, or none any more."""

    @abstractmethod
    def number(self, name: bytes) -> int | None:
        """The group that is spelled so."""


class Hosts(Groups):
    """Both ends of a flow, as inet_ntop(3) writes them."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}  # of IPv6
        self._addresses: dict[int, bytes] = {}
        self._next = _FIRST_HOST
        self._giving = threading.Lock()  # numbers, of which several threads may want some

    def of(self, flow: Flow) -> tuple[int, ...]:
        numbers = (self._number(address) for address in _addresses(flow.key))
        return tuple(dict.fromkeys(numbers))

    def has(self, number: int, flow: Flow) -> bool:
        """As for others; but no other address takes the place of the one that is asked for."""
        return self._address(number) in _addresses(flow.key)

    def name(self, number: int) -> bytes | None:
        address = self._address(number)
        if address is None:
            return None
        return inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address).encode()

    def number(self, name: bytes) -> int | None:
        try:
            address = inet_pton(AF_INET6 if b":" in name else AF_INET, name.decode("ascii"))
        except (OSError, ValueError):
            return None
        number = self._number(address)
        return number if self.name(number) == name else None

    def _address(self, number: int) -> bytes | None:
        return number.to_bytes(4, "big") if number < _FIRST_HOST else self._addresses.get(number)

    def _number(self, address: bytes) -> int:
        if len(address) == 4:
            return int.from_bytes(address, "big")
        with self._giving:
            number = self._numbers.get(address)
            if number is None:
                number, self._next = self._next, self._next + 1
                self._numbers[address] = number
                self._addresses[number] = address
                if len(self._numbers) > MAX_HOSTS:
                    oldest = next(iter(self._numbers))
                    del self._addresses[self._numbers.pop(oldest)]
            return number


def _addresses(key: bytes) -> tuple[bytes, bytes]:
    if len(key) < IPV6_KEY_BYTES:
        return key[:4], key[4:8]
    return key[:16], key[16:32]


class Ports(Groups):
    """Both ends of a flow."""

    def of(self, flow: Flow) -> tuple[int, ...]:
        at = (IPV4_KEY_BYTES if len(flow.key) < IPV6_KEY_BYTES else IPV6_KEY_BYTES) - 4
        source, destination = flow.key[at : at + 2], flow.key[at + 2 : at + 4]
        ends = (source,) if source == destination else (source, destination)
        return tuple(int.from_bytes(end, "big") for end in ends)

    def name(self, number: int) -> bytes | None:
        return b"%d" % number if number <= MAX_PORT else None

    def number(self, name: bytes) -> int | None:
        return int(name) if _PORT.fullmatch(name) and int(name) <= MAX_PORT else None


class States(Groups):
    """Whether more may come."""

    _NAMES = (b"open", b"closed")
    always = (0, 1)

    def of(self, flow: Flow) -> tuple[int, ...]:
        return (int(flow.state != OPEN),)

    def name(self, number: int) -> bytes | None:
        return self._NAMES[number] if number in self.always else None

    def number(self, name: bytes) -> int | None:
        return self._NAMES.index(name) if name in self._NAMES else None


class Hours(Groups):
    """When a flow's first packet came, in UTC."""

    def of(self, flow: Flow) -> tuple[int, ...]:
        return (flow.first_ns // _HOUR_NS,)

    def name(self, number: int) -> bytes | None:
        return time.strftime(_HOUR_FORMAT, time.gmtime(number * 3600)).encode()

    def number(self, name: bytes) -> int | None:
        if not _HOUR.fullmatch(name):
            return None
        try:
            seconds = calendar.timegm(time.strptime(name.decode(), _HOUR_FORMAT))
        except ValueError:
            return None
        return seconds // 3600 if seconds >= 0 else None

"""Sources: whatever gives batches of packets. Here what all have in common, and interfaces.

An interface owns a capture handle, and the kernel's drop counts. Always true: a batch of its holds at most
BATCH_PACKETS packets and, unless they are few, about BATCH_BYTES bytes. Those of files may be larger, for the
engine takes them in slices.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import pcapy

BATCH_PACKETS = 256  # fast enough, and no larger than a slice of the engine
BATCH_BYTES = 1 << 20  # packets of 64 KiB (loopback, offload) come in smaller batches
MIN_BATCH_PACKETS = 8
META_BYTES = 16  # a packet: sec, fraction, offset, captured length, each a native uint32
MICROSECOND_NS = 1000

# netdevice(7): what asks for the flags of an interface, the shape of `struct ifreq` with them, and a flag.
_SIOCGIFFLAGS, _IFREQ, _IFF_UP = 0x8913, "16sH22x", 0x1

_NOT_FOUND = "disappeared"  # in libpcap's words for it


class Damage(Exception):
    """A source cannot be read further; str() is one line."""


class Batch(NamedTuple):
    """Packets as the engine takes them: `meta` says where in `frames` they lie. See Engine.feed."""

    frames: bytes
    meta: memoryview
    link_type: int
    fraction_ns: int


NO_BATCH = Batch(b"", memoryview(b""), 0, 1)


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets that passed the filter, and those lost before in the kernel and in the interface."""

    received: int = 0
    kernel: int = 0
    interface: int = 0


class Lost(NamedTuple):
    """What was dropped between two moments."""

    packets: int
    since_ns: int
    until_ns: int


class Source:
    """One interface, file or stream, open for reading."""

    live = False

    def __init__(self, name: str, number: int, link_type: int) -> None:
        self.name = name
        self.number = number
        self.link_type = link_type
        self.packets = 0
        """Those given on: they passed the filter, and are of a link type that can be read."""
        self.left_out = 0
        """Packets of link types that cannot be read, or not filtered, beside others."""
        self.note = ""
        """What only the curious want to know."""
        self.complaints: list[str] = []
        """What people should know, a line each; whoever shows them takes them out."""

    def next_batch(self) -> Batch:
        """What has come, empty if nothing has. Raises Damage."""
        raise NotImplementedError

    def drops(self) -> Drops:
        """What became of the packets so far."""
        return Drops(received=self.packets)

    def close(self) -> None:
        """Let go of the handle."""


class Interface(Source):
    """A network interface, or `any`."""

    live = True

    def __init__(self, name: str, number: int, reader: Any) -> None:
        super().__init__(name, number, reader.datalink())
        self._is_bound = _index(name) != 0  # to one interface, as `any` is not
        self._reader = reader
        reader.setnonblock(1)
        self.descriptor: int = reader.getfd()
        self.gone = False  # nothing will ever come
        self.full = False
        """Whether the last batch was as large as it may be, so that more is likely to wait."""
        self._batch_packets = MIN_BATCH_PACKETS  # until it is known how large packets are
        self._raw = (0, 0)
        self._lost = [0, 0]
        self._counted_ns = time.time_ns()

    def next_batch(self) -> Batch:
        """See Source."""
        frames, meta, error = b"", b"", ""
        try:
            frames, meta = self._reader.next_batch(self._batch_packets)
        except pcapy.PcapError as raised:
            error = str(raised)
        count = len(meta) // META_BYTES
        if not count:
            self._check(error)
        self.packets += count
        self.full = count >= self._batch_packets
        if frames:  # the next one is made to fit if it is like this one
            fitting = BATCH_BYTES * count // len(frames)
            self._batch_packets = max(MIN_BATCH_PACKETS, min(BATCH_PACKETS, fitting))
        return Batch(frames, memoryview(meta), self.link_type, MICROSECOND_NS)

    def _check(self, error: str) -> None:
        """Nothing came: find out whether that is for good, and raise Damage if there is a reason.

        libpcap is silent when an interface goes down, and then takes one that got another name for gone.
        """
        not_found, is_down = _NOT_FOUND in error, False
        self.gone = not_found
        if self._is_bound:
            self.gone, is_down = _gone_or_down(self.descriptor)
        if self.gone:
            raise Damage(f"interface {self.name} has gone: what was captured stays")
        if is_down:
            raise Damage(f"interface {self.name} is down: nothing comes before it is up again")
        if error and not not_found:
            raise Damage(f"interface {self.name} cannot be read for now ({error})")

    def count(self) -> Lost:
        """Read the kernel's counters, which must not go round between two calls; what is new in them.

        The kernel stamps packets by the clock that is read here, so a dropped one's stamp would lie between.
        """
        begun_ns, since_ns = time.time_ns(), self._counted_ns
        try:
            raw = self._reader.stats()[1:]
        except (pcapy.PcapError, ValueError):  # gone or closed; what was counted stays
            return Lost(0, since_ns, begun_ns)
        fresh = [(new - old) & 0xFFFFFFFF for new, old in zip(raw, self._raw, strict=True)]
        self._lost = [lost + more for lost, more in zip(self._lost, fresh, strict=True)]
        self._raw = raw
        self._counted_ns = begun_ns
        return Lost(sum(fresh), since_ns, time.time_ns())

    def drops(self) -> Drops:
        # libpcap's own count of what was received has the packets of `lo` twice.
        return Drops(self.packets, *self._lost)

    def close(self) -> None:
        self._reader.close()


def interfaces() -> list[str]:
    """The names of this machine's network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def _index(name: str) -> int:
    """The number of an interface; 0 for one that is not there, as `any`."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _gone_or_down(descriptor: int) -> tuple[bool, bool]:
    """Whether the interface of a packet socket has gone for good, and whether it was set down.

    The socket knows it by any name, and lets go of it for good. Neither where nothing can be asked: without a
    descriptor to spare, or of a name that is no text.
    """
    with suppress(OSError, UnicodeError), socket.socket(fileno=os.dup(descriptor)) as bound:
        name = bound.getsockname()[0]
        if not name:
            return True, False
        asked = struct.pack(_IFREQ, name.encode(), 0)
        flags: int = struct.unpack(_IFREQ, fcntl.ioctl(bound, _SIOCGIFFLAGS, asked))[1]
        return False, not flags & _IFF_UP
    return False, False


def same_interface(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that are of one interface: it may have several (altname in ip-link(8))."""
    known: dict[int, str] = {}
    for name in names:
        index = _index(name)
        if index in known:
            return known[index], name
        if index:
            known[index] = name
    return None


# Those that come up; pcapy does not pass on the names that libpcap has.
_LINK_NAMES = {
    3: "AX.25",
    6: "IEEE 802.5",
    7: "ARCNET",
    8: "SLIP",
    10: "FDDI",
    11: "ATM",
    107: "Frame Relay",
    117: "PF log",
    122: "IP over Fibre Channel",
    138: "IP over FireWire",
    143: "DOCSIS",
    166: "PPP with direction",
    187: "Bluetooth",
    189: "USB",
    195: "802.15.4",
    201: "Bluetooth",
    220: "USB",
    227: "CAN",
    242: "IP over InfiniBand",
    247: "InfiniBand",
    249: "USB",
    251: "Bluetooth LE",
    253: "netlink",
}


def link_name(link_type: int) -> str:
    """What a link type is called, with its number."""
    return f"{_LINK_NAMES.get(link_type, 'an unknown link layer')} (link type {link_type})"

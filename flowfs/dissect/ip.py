"""IPv4 and IPv6: what protocol a packet carries, and where.

Owns the chain of IPv6's extension headers (RFC 8200, 4) and AH (RFC 4302), which are taken out before TCP.
Knows no layer above. Always true: a packet that carries TCP, and is no fragment, comes back with TCP right
behind its header; the payload of any other lies within the length that the header states, and the header's
checksum holds.
"""

import struct
from typing import Any

from dpkt.ip6 import IP6HopOptsHeader

from flowfs.core.limits import MAX_EXTENSIONS

from .kinds import NO_NEXT_HEADER, TCP

Carried = tuple[int, bytes, bytes | None]
"""The protocol that a packet carries, the packet, and its payload: None for TCP, and for a fragment."""

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS = 0, 43, 44, 51, 60
MOBILITY, HOST_IDENTITY, SHIM6 = 135, 139, 140

EXTENSIONS = frozenset(
    (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HOST_IDENTITY, SHIM6)
)
MAY_HIDE_TCP = EXTENSIONS
"""Protocols that are left only in a fragment, where nobody can say yet what is behind them."""

_SEGMENT_ROUTING = 4  # RFC 8754 lists the segments backwards
_MAX_PAYLOAD = 0xFFFF  # what IPv6's payload length can say
_MAX_JUMBO_HEADER_BYTES = 64  # eight do; dpkt takes 0.3 ms for 2048 bytes of options
_WORDS = struct.Struct("!10H")


def _nothing(packet: bytes) -> Carried:
    return NO_NEXT_HEADER, packet, b""


def ipv4(packet: bytes) -> Carried:
    """RFC 791."""
    header_bytes = (packet[0] & 0x0F) << 2
    if packet[0] >> 4 != 4 or header_bytes < 20:
        return _nothing(packet)
    protocol = packet[9]
    if protocol == TCP or (packet[6] << 8 | packet[7]) & 0x3FFF:
        return protocol, packet, None
    total = packet[2] << 8 | packet[3]
    if not checksum_holds(packet):
        return _nothing(packet)
    payload = packet[header_bytes : total or None]  # 0: all of it, left to the network card
    if protocol == AUTHENTICATION:
        return _behind_authentication(packet[:header_bytes], total, payload)
    return protocol, packet, payload


def checksum_holds(packet: bytes) -> bool:
    """Whether the checksum of an IPv4 header is right, or was left (0) to the network card."""
    total = sum(_WORDS.unpack_from(packet))
    header_bytes = (packet[0] & 0x0F) << 2
    if header_bytes > 20:
        if header_bytes > len(packet):
            return False
        total += sum(struct.unpack_from(f"!{header_bytes // 2 - 10}H", packet, 20))
    return total % 0xFFFF == 0 or not packet[10] | packet[11]


def _behind_authentication(header: bytes, total: int, payload: bytes) -> Carried:
    """What AH stands before. A second one would be a fault of who sent it."""
    following, length = payload[0], _length(AUTHENTICATION, payload, 0)
    if following == AUTHENTICATION or length > len(payload):
        return _nothing(header)
    if following != TCP:
        return following, header, payload[length:]
    left = struct.pack("!H", total - length if total else 0)
    start = header[:2] + left + header[4:9] + bytes([TCP]) + b"\0\0" + header[12:]
    return TCP, start + payload[length:], None


def ipv6(packet: bytes) -> Carried:
    """RFC 8200."""
    following = packet[6]
    if packet[0] >> 4 != 6 or len(packet) < 40:
        return _nothing(packet)
    if following == TCP:
        return TCP, packet, None
    if following in EXTENSIONS:
        return _Chain(packet).follow()
    stated = packet[4] << 8 | packet[5]
    return following, packet, packet[40 : 40 + stated if stated else None]


class _Chain:
    """The extension headers of a packet, passed one by one."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        stated = packet[4] << 8 | packet[5]
        self.end = 40 + stated if stated else None  # None: a jumbogram, or left to the network card
        self.destination = packet[24:40]
        self.told = 6  # where the byte stands that says what `at` is
        self.at = 40
        self.atomic: list[tuple[int, int]] = []  # `told` and `at` of the atomic fragment headers passed

    def follow(self) -> Carried:
        """What the packet carries."""
        for _ in range(MAX_EXTENSIONS):
            kind = self.packet[self.told]
            if kind not in EXTENSIONS:
                break
            if kind == FRAGMENT and not self._is_atomic():
                return self._fragment()
            self._pass(kind)
        return self._behind()

    def _fragment(self) -> Carried:
        if self.end is not None and self.at + 8 > self.end:
            return _nothing(self.packet)
        return self.packet[self.at], self._without_atomic(), None

    def _without_atomic(self) -> bytes:
        """The packet, in which the true fragment header is the only one."""
        packet, at = self.packet, self.at
        if not self.atomic:
            return packet
        stated = packet[4] << 8 | packet[5]
        left = struct.pack("!H", stated - 8 * len(self.atomic) if stated else 0)
        chain = packet[:4] + left + packet[6:at]
        for told, begin in reversed(self.atomic):
            chain = chain[:told] + chain[begin : begin + 1] + chain[told + 1 : begin] + chain[begin + 8 :]
        return chain + packet[at:]

    def _is_atomic(self) -> bool:
        """RFC 6946: a fragment header on a packet that is whole."""
        packet, at = self.packet, self.at
        return (packet[at + 2] << 8 | packet[at + 3]) & 0xFFF9 == 0

    def _pass(self, kind: int) -> None:
        """Go behind the extension header that stands here."""
        packet, at = self.packet, self.at
        end = at + _length(kind, packet, at)
        if kind == FRAGMENT:
            self.atomic.append((self.told, at))
        elif kind == HOP_BY_HOP and at == 40 and self.end is None and end - at <= _MAX_JUMBO_HEADER_BYTES:
            jumbo_bytes = _jumbo_bytes(IP6HopOptsHeader(packet[at:end]))
            self.end = 40 + jumbo_bytes if jumbo_bytes else None
        elif kind == ROUTING:
            self.destination = _final_destination(packet[at:end]) or self.destination
        self.told, self.at = at, end

    def _behind(self) -> Carried:
        packet, at, end = self.packet, self.at, self.end
        kind = packet[self.told]
        if at >= min(end or at + 1, len(packet)) or kind in EXTENSIONS:  # nothing there, or too many
            return _nothing(packet)
        if kind != TCP:
            return kind, packet, packet[at:end]
        left = end - at if end else 0
        start = struct.pack("!HBB", left if left <= _MAX_PAYLOAD else 0, TCP, packet[7])
        return TCP, b"".join((packet[:4], start, packet[8:24], self.destination, packet[at:end])), None


def _length(kind: int, data: bytes, at: int) -> int:
    """The bytes of an extension header that begins at `at`."""
    if kind == FRAGMENT:
        return 8
    if kind == AUTHENTICATION:
        return (data[at + 1] + 2) * 4  # RFC 4302, 2.2
    return (data[at + 1] + 1) * 8


def _jumbo_bytes(hop_by_hop: Any) -> int:
    """The payload length of a jumbogram (RFC 2675), 0 if it is none."""
    for option in hop_by_hop.options:
        if option["type"] == 0xC2 and option["opt_length"] == len(option["data"]) == 4:
            length = int.from_bytes(option["data"], "big")
            return length if length > _MAX_PAYLOAD else 0
    return 0


def _final_destination(routing: bytes) -> bytes | None:
    """Where a packet that is still on its way is going; its TCP checksum means that (RFC 8200, 8.1)."""
    count, kind, segments_left = routing[1] // 2, routing[2], routing[3]
    if not count or not segments_left:
        return None
    first = 8 if kind == _SEGMENT_ROUTING else 16 * count - 8
    address = routing[first : first + 16]
    return address if len(address) == 16 else None

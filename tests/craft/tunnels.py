"""What carries packets: tunnels, labels, PPP and LLC, each written field by field as its standard names them.

Owns the bytes of one header and what it carries; `outer` puts IP and Ethernet around them. Knows no TCP.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .frames import ETHERNET, Tag, ip, link_header

IPV4, IPV6, TRANSPARENT_ETHERNET = 0x0800, 0x86DD, 0x6558
OUTER4, OUTER6 = ("192.0.2.1", "192.0.2.2"), ("2001:db8:ff::1", "2001:db8:ff::2")


def ethertype(packet: bytes) -> int:
    """The Ethernet type of an IP packet."""
    return IPV6 if packet[0] >> 4 == 6 else IPV4


def frame_of(packet: bytes, tags: Sequence[Tag] = ()) -> bytes:
    """An Ethernet frame around an IP packet, not padded."""
    return link_header(ETHERNET, packet, tags) + packet


def ethernet(kind: int, data: bytes) -> bytes:
    """An Ethernet frame of any type, or length."""
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + struct.pack("!H", kind) + data


def outer(protocol: int, payload: bytes, *, version: int = 4, tags: Sequence[Tag] = ()) -> bytes:
    """An Ethernet frame with an IP packet of `protocol`."""
    if version == 4:
        return frame_of(ip(*OUTER4, payload, protocol=protocol), tags)
    return frame_of(ip(*OUTER6, payload, next_header=protocol), tags)


def udp(dport: int, payload: bytes, *, sport: int = 50000, length: int | None = None) -> bytes:
    """RFC 768, without a checksum, as tunnels are sent."""
    return struct.pack("!4H", sport, dport, 8 + len(payload) if length is None else length, 0) + payload


def gre(
    kind: int,
    payload: bytes,
    *,
    checksum: bool = False,
    key: int | None = None,
    sequence: int | None = None,
    routing: bool = False,
    version: int = 0,
) -> bytes:
    """RFC 2784 and 2890; `routing` is a bit of RFC 1701."""
    flags = checksum << 15 | routing << 14 | (key is not None) << 13 | (sequence is not None) << 12 | version
    optional = b"\x12\x34\0\0" if checksum or routing else b""
    optional += b"".join(struct.pack("!I", field) for field in (key, sequence) if field is not None)
    return struct.pack("!HH", flags, kind) + optional + payload


def pptp(payload: bytes, *, acknowledgment: int | None = None, length: int | None = None) -> bytes:
    """Enhanced GRE of RFC 2637, 4.1, with PPP in it."""
    flags = 0x3001 | (acknowledgment is not None) << 7
    header = struct.pack("!HHHHI", flags, 0x880B, len(payload) if length is None else length, 7, 1)
    return header + (b"" if acknowledgment is None else struct.pack("!I", acknowledgment)) + payload


def erspan2(frame: bytes, *, version: int = 1) -> bytes:
    """A type II header: version and VLAN, flags and session, index."""
    return struct.pack("!HHI", version << 12 | 7, 1, 2) + frame


def erspan3(frame: bytes, *, version: int = 2, platform: bool = False) -> bytes:
    """A type III header, with or without the part of the platform."""
    header = struct.pack("!HHIHH", version << 12 | 7, 1, 0xABCD, 0, platform)
    return header + bytes(8 * platform) + frame


def vxlan(data: bytes, *, flags: int = 0x08, policy: int = 0, next_protocol: int = 0) -> bytes:
    """RFC 7348; `policy` and `next_protocol` stand where its extensions put them."""
    return struct.pack("!BBHI", flags, 0, policy | next_protocol, 42 << 8) + data


def geneve(kind: int, data: bytes, *, options: bytes = b"", version: int = 0, control: bool = False) -> bytes:
    """RFC 8926."""
    return (
        struct.pack("!BBHI", version << 6 | len(options) // 4, control << 7, kind, 42 << 8) + options + data
    )


def gtp_user(
    packet: bytes,
    *,
    sequence: int | None = None,
    extensions: Sequence[tuple[int, bytes]] = (),
    message: int = 255,
    first: int = 0x30,
) -> bytes:
    """A G-PDU of 3GPP TS 29.281; an extension is its type and its content, 4n + 2 bytes."""
    flags = first | (bool(extensions) << 2) | (sequence is not None) << 1
    optional = b""
    if flags & 7:
        kinds = [kind for kind, _ in extensions] + [0]
        optional = struct.pack("!HBB", sequence or 0, 0, kinds[0])
        for (_, content), after in zip(extensions, kinds[1:], strict=True):
            optional += bytes([(len(content) + 2) // 4]) + content + bytes([after])
    return struct.pack("!BBHI", flags, message, len(optional) + len(packet), 0xBEEF) + optional + packet


def teredo(
    packet: bytes, *, authentication: tuple[bytes, bytes] | None = None, origin: bool = False
) -> bytes:
    """RFC 4380, 5.1.1; authentication is the client's identifier and the value."""
    header = b""
    if authentication is not None:
        client, value = authentication
        header += bytes([0, 1, len(client), len(value)]) + client + value + bytes(8) + b"\0"
    if origin:
        header += struct.pack("!HH4s", 0, 0x1234, b"\x3f\xff\xff\xfe")
    return header + packet


def authentication_header(protocol: int, payload: bytes) -> bytes:
    """RFC 4302, with 12 bytes of ICV."""
    return struct.pack("!BBHII", protocol, 4, 0, 1, 2) + bytes(12) + payload


def labels(*values: int) -> bytes:
    """An MPLS label stack (RFC 3032), the last label at its bottom."""
    bottom = len(values) - 1
    return b"".join(
        struct.pack("!I", value << 12 | (number == bottom) << 8 | 64) for number, value in enumerate(values)
    )


def ppp(protocol: int, packet: bytes, *, compressed: bool = False, address: bool = False) -> bytes:
    """RFC 1661, with HDLC's address and control field (RFC 1662) if asked."""
    number = bytes([protocol]) if compressed else struct.pack("!H", protocol)
    return (b"\xff\x03" if address else b"") + number + packet


def ppp_ip(packet: bytes, *, compressed: bool = False, address: bool = False) -> bytes:
    """`ppp` with the protocol of an IP packet."""
    return ppp(0x57 if packet[0] >> 4 == 6 else 0x21, packet, compressed=compressed, address=address)


def pppoe(payload: bytes, *, code: int = 0, length: int | None = None, version_type: int = 0x11) -> bytes:
    """RFC 2516."""
    return struct.pack("!BBHH", version_type, code, 1, len(payload) if length is None else length) + payload


def snap(kind: int, packet: bytes) -> bytes:
    """LLC and SNAP (RFC 1042)."""
    return b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + packet

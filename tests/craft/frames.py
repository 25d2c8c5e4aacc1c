"""TCP in IPv4 or IPv6 in a link layer: every field in reach, lengths and checksums right unless told.

Owns the bytes of a frame. Knows no captures and no connections.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

# Link types as pcapy's Reader.datalink() reports them on Linux.
NULL, ETHERNET, RAW, LOOP, SLL, SLL2 = 0, 1, 12, 108, 113, 276

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
_FLAG = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG, "E": ECE, "C": CWR}

GOOD, BAD, PSEUDO = "good", "bad", "pseudo"  # TCP checksums: right, wrong, left to the hardware

PADDING = b"\x55"  # not zero, so that padding taken for payload cannot pass for a hole


class Tag(NamedTuple):
    """One VLAN tag (IEEE 802.1Q)."""

    vid: int
    pcp: int = 0
    tpid: int = 0x8100


class Extension(NamedTuple):
    """An IPv6 extension header: its number, and its bytes after the next-header byte."""

    number: int
    body: bytes


# --- TCP ---------------------------------------------------------------------------------------


def ones_sum(data: bytes) -> int:
    """The ones' complement sum of RFC 1071, not complemented, 0 ... 0xffff."""
    number = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return number % 0xFFFF or (0xFFFF if number else 0)


def pseudo_header(src: str, dst: str, length: int, protocol: int = 6) -> bytes:
    """The pseudo header of RFC 9293, 3.1 (IPv4) or RFC 8200, 8.1 (IPv6)."""
    if ":" in src:
        return packed(src) + packed(dst) + struct.pack("!IxxxB", length, protocol)
    return packed(src) + packed(dst) + struct.pack("!xBH", protocol, length)


def mss(size: int = 1460) -> bytes:
    return struct.pack("!BBH", 2, 4, size)


def wscale(shift: int) -> bytes:
    return struct.pack("!BBB", 3, 3, shift)


def sack_permitted() -> bytes:
    return b"\x04\x02"


def timestamps(value: int, echo: int = 0) -> bytes:
    return struct.pack("!BBII", 8, 10, value, echo)


def flag_bits(flags: str | int) -> int:
    """The bits of flags written as letters of `FSRPAUEC`."""
    return flags if isinstance(flags, int) else sum(_FLAG[letter] for letter in set(flags))


def tcp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    *,
    seq: int = 0,
    ack: int = 0,
    flags: str | int = "A",
    window: int = 65535,
    options: bytes = b"",
    urgent: int = 0,
    payload: bytes = b"",
    data_offset: int | None = None,
    checksum: str | int = GOOD,
) -> bytes:
    """One TCP segment. `options` are padded with NOPs; `data_offset` counts 32-bit words."""
    options += b"\x01" * (-len(options) % 4)
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    start = struct.pack("!HHII", sport, dport, seq % 2**32, ack % 2**32)
    start += struct.pack("!BBH", (words & 15) << 4, flag_bits(flags), window)
    end = struct.pack("!H", urgent) + options + payload
    pseudo = pseudo_header(src, dst, len(start) + 2 + len(end))
    return start + struct.pack("!H", _tcp_checksum(checksum, pseudo, start + b"\0\0" + end)) + end


def _tcp_checksum(wanted: str | int, pseudo: bytes, segment: bytes) -> int:
    if isinstance(wanted, int):
        return wanted
    if wanted == PSEUDO:
        return ones_sum(pseudo)
    return ~ones_sum(pseudo + segment) & 0xFFFF ^ (0x5A5A if wanted == BAD else 0)


# --- IP ----------------------------------------------------------------------------------------


def ipv4(
    src: str,
    dst: str,
    payload: bytes,
    *,
    protocol: int = 6,
    ttl: int = 64,
    ident: int = 0,
    fragment: int = 0x4000,
    options: bytes = b"",
    tos: int = 0,
    version: int = 4,
    ihl: int | None = None,
    total_length: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """An IPv4 packet. `fragment` is the whole 16-bit field (flags and offset in units of 8)."""
    options += b"\x01" * (-len(options) % 4)
    words = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if total_length is None else total_length
    start = struct.pack("!BBHHHBB", version << 4 | words, tos, length, ident, fragment, ttl, protocol)
    end = packed(src) + packed(dst) + options
    value = ~ones_sum(start + end) & 0xFFFF if checksum is None else checksum
    return start + struct.pack("!H", value) + end + payload


def ipv6(
    src: str,
    dst: str,
    payload: bytes,
    *,
    next_header: int = 6,
    extensions: Sequence[Extension] = (),
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
    version: int = 6,
    payload_length: int | None = None,
) -> bytes:
    """An IPv6 packet; `extensions` stand in their order before `payload`."""
    numbers = [extension.number for extension in extensions] + [next_header]
    chain = b"".join(
        bytes([after]) + extension.body for extension, after in zip(extensions, numbers[1:], strict=True)
    )
    length = len(chain) + len(payload) if payload_length is None else payload_length
    first = version << 28 | traffic_class << 20 | flow_label
    start = struct.pack("!IHBB", first, length, numbers[0], hop_limit)
    return start + packed(src) + packed(dst) + chain + payload


def hop_by_hop() -> Extension:
    return Extension(0, b"\x00\x01\x04\0\0\0\0")


def routing() -> Extension:
    return Extension(43, b"\x00\x04\x00\0\0\0\0")


def destination_options() -> Extension:
    return Extension(60, b"\x00\x01\x04\0\0\0\0")


def fragment_header(offset: int = 0, more: bool = False, ident: int = 1) -> Extension:
    """The fragment header; `offset` in bytes, a multiple of 8."""
    return Extension(44, struct.pack("!xHI", offset | more, ident))


def ip(src: str, dst: str, payload: bytes, **fields: Any) -> bytes:
    """IPv4 or IPv6 by the look of the address; `fields` are those of `ipv4` or `ipv6`."""
    return (ipv6 if ":" in src else ipv4)(src, dst, payload, **fields)


def packed(address: str) -> bytes:
    """The 4 or 16 bytes of an address."""
    return ipaddress.ip_address(address).packed


# --- link layers -------------------------------------------------------------------------------


def ethernet(packet: bytes, tags: Sequence[Tag] = (), *, pad_to: int = 60) -> bytes:
    """An Ethernet II frame without its check sequence, padded to the least size of a frame."""
    frame = link_header(ETHERNET, packet, tags) + packet
    return frame + PADDING * (pad_to - len(frame))


def link(link_type: int, packet: bytes, tags: Sequence[Tag] = ()) -> bytes:
    """`packet` in any of the link layers above. Raises ValueError for a tag that has no place there."""
    if link_type == ETHERNET:
        return ethernet(packet, tags)
    return link_header(link_type, packet, tags) + packet


def link_header(
    link_type: int, packet: bytes, tags: Sequence[Tag] = (), *, family: int | None = None
) -> bytes:
    """What stands before `packet`; `family` overrides the address family of NULL and LOOP."""
    if link_type in (ETHERNET, SLL, SLL2):
        return _with_ethertype(link_type, _ethertypes(packet, tags))
    if tags:
        raise ValueError(f"link type {link_type} carries no VLAN tags")
    if link_type == RAW:
        return b""
    if family is None:
        family = 30 if packet[0] >> 4 == 6 else 2
    # NULL is in the byte order of the capturing host, LOOP in that of the network.
    return struct.pack({NULL: "=I", LOOP: "!I"}[link_type], family)


def _with_ethertype(link_type: int, ethertypes: bytes) -> bytes:
    if link_type == ETHERNET:
        return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + ethertypes
    if link_type == SLL:
        return struct.pack("!HHH8s", 0, 1, 6, b"\x02\0\0\0\0\x01") + ethertypes
    rest = struct.pack("!HIHBB8s", 0, 2, 1, 0, 6, b"\x02\0\0\0\0\x01")
    return ethertypes[:2] + rest + ethertypes[2:]


def _ethertypes(packet: bytes, tags: Sequence[Tag]) -> bytes:
    ethertype = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
    chain = b"".join(struct.pack("!HH", tag.tpid, tag.pcp << 13 | tag.vid) for tag in tags)
    return chain + struct.pack("!H", ethertype)

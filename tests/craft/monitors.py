"""Link layers with a header about the capture: 802.11 and what monitors put before it, NFLOG, PPI, HDLC."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from .tunnels import ethertype, snap

ADDRESS = b"\x02\0\0\0\0\x01"
FCS = b"\xfc\x5f\xfc\x5f"


def ieee80211(
    body: bytes,
    *,
    kind: int = 2,
    qos: bool = False,
    flags: int = 0x01,
    no_data: bool = False,
    fragment: int = 0,
    aggregated: bool = False,
    padded: bool = False,
) -> bytes:
    """A frame of IEEE 802.11, 9.3.2; `flags` is the second byte of frame control, `kind` 2 is data."""
    header = bytes([kind << 2 | no_data << 6 | qos << 7, flags]) + bytes(2) + 3 * ADDRESS
    header += struct.pack("<H", 5 << 4 | fragment)
    if flags & 3 == 3:
        header += ADDRESS
    if qos:
        header += bytes([aggregated << 7, 0])
        header += bytes(4) if flags & 0x80 else b""
    return header + bytes(-len(header) % 4 if padded else 0) + body


def wifi(packet: bytes, **fields: Any) -> bytes:
    """An IP packet in LLC and SNAP in a data frame."""
    return ieee80211(snap(ethertype(packet), packet), **fields)


def subframes(*packets: bytes) -> bytes:
    """An A-MSDU: each but the last is padded to four bytes."""
    parts = []
    for packet in packets:
        data = snap(ethertype(packet), packet)
        parts.append(2 * ADDRESS + struct.pack("!H", len(data)) + data)
    padded = [part + bytes(-len(part) % 4) for part in parts[:-1]]
    return b"".join([*padded, parts[-1]])


def radiotap(frame: bytes, *, flags: int | None = None, time: bool = False, words: int = 1) -> bytes:
    """A header with the fields given, `words` bitmaps, and two bytes of antenna and signal behind them."""
    first = time | (flags is not None) << 1
    bitmaps = [first | (words > 1) << 31] + [(number < words - 1) << 31 for number in range(1, words)]
    fields = struct.pack(f"<{words}I", *bitmaps)
    if time:
        fields += bytes(-(4 + len(fields)) % 8) + b"\xff" * 8
    fields += (b"" if flags is None else bytes([flags])) + b"\xee\xee"
    return struct.pack("<BBH", 0, 0, 4 + len(fields)) + fields + frame


def prism(frame: bytes, byte_order: str = "<") -> bytes:
    """The header of 144 bytes."""
    return struct.pack(byte_order + "II", 0x44, 144) + b"wlan0".ljust(16, b"\0") + bytes(120) + frame


def avs(frame: bytes, version: int = 1) -> bytes:
    """The header of 64 bytes."""
    return struct.pack("!II", 0x80211000 | version, 64) + bytes(56) + frame


def ppi(link_type: int, frame: bytes, fields: bytes = b"", version: int = 0) -> bytes:
    """Per-packet information."""
    return struct.pack("<BBHI", version, 0, 8 + len(fields), link_type) + fields + frame


def nflog(packet: bytes, before: Sequence[tuple[int, bytes]] = (), version: int = 0) -> bytes:
    """Attributes, the packet's (9) last; lengths are in the byte order of the host."""
    parts = [bytes([2, version, 0, 7])]
    for kind, value in (*before, (9, packet)):
        attribute = struct.pack("=HH", 4 + len(value), kind) + value
        parts.append(attribute + (bytes(-len(value) % 4) if kind != 9 else b""))
    return b"".join(parts)


def cisco_hdlc(kind: int, packet: bytes, address: int = 0x0F) -> bytes:
    """Address, control, and an Ethernet type."""
    return struct.pack("!BBH", address, 0, kind) + packet

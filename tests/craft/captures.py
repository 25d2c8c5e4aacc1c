"""Captured packets in a list, as a pcap file, and as the batches that pcapy's next_batch returns."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

from .frames import ETHERNET, RAW

_LINKTYPE_IN_FILE = {RAW: 101}  # the one whose number in a file is not that of the system


class Packet(NamedTuple):
    """One captured packet; `frame` may be shorter than `wire_len` (snaplen)."""

    time_ns: int
    frame: bytes
    wire_len: int


def cut(packet: Packet, captured: int) -> Packet:
    """The packet as a snaplen of `captured` bytes leaves it."""
    return packet._replace(frame=packet.frame[:captured])


def pcap(
    packets: Iterable[Packet],
    link_type: int = ETHERNET,
    *,
    nanoseconds: bool = False,
    byte_order: str = "<",
    snaplen: int = 262144,
) -> bytes:
    """A capture file (draft-ietf-opsawg-pcap), with µs or ns and in either byte order."""
    unit = 1 if nanoseconds else 1000
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    number = _LINKTYPE_IN_FILE.get(link_type, link_type)
    parts = [struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, number)]
    record = struct.Struct(byte_order + "IIII")
    for time_ns, frame, wire_len in packets:
        sec, nsec = divmod(time_ns, 10**9)
        parts += (record.pack(sec, nsec // unit, len(frame), wire_len), frame)
    return b"".join(parts)


def write_pcap(path: Path, packets: Iterable[Packet], link_type: int = ETHERNET, **how: Any) -> Path:
    """Writes `pcap(...)` to `path` and returns `path`."""
    path.write_bytes(pcap(packets, link_type, **how))
    return path


def batch(packets: Iterable[Packet]) -> tuple[bytes, bytes]:
    """`(frames, meta)` as pcapy's next_batch: sec, usec, offset, caplen a packet, native uint32."""
    frames, meta, offset = [], [], 0
    for time_ns, frame, _ in packets:
        sec, nsec = divmod(time_ns, 10**9)
        frames.append(frame)
        meta.append(struct.pack("=4I", sec, nsec // 1000, offset, len(frame)))
        offset += len(frame)
    return b"".join(frames), b"".join(meta)


def batches(packets: Sequence[Packet], sizes: int | Iterable[int] = 256) -> Iterator[tuple[bytes, bytes]]:
    """Cuts packets into batches of one size, or of the sizes given (the last batch takes what is left)."""
    begin, counts = 0, repeat(sizes) if isinstance(sizes, int) else iter(sizes)
    while begin < len(packets):
        end = begin + max(1, next(counts, len(packets)))
        yield batch(packets[begin:end])
        begin = end


def merge(*captures: Iterable[Packet]) -> list[Packet]:
    """Several lists of packets as one, by time; equal times keep the order of the arguments."""
    return sorted((packet for capture in captures for packet in capture), key=lambda packet: packet.time_ns)

"""Segments of TCP with timestamps and valid checksums, as frames of a capture file.

Owns the bytes of a packet, over IPv4, IPv6, or IPv4 in a VLAN; knows nothing of what is said in a connection.
Standard library only; some 0.1 M packets/s, since what is the same in many packets is made once.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

FIN, SYN, PSH, ACK = 1, 2, 8, 16
WINDOW = 502  # with a shift of 7, as Linux starts out
VID = 42  # of the frames that have a VLAN

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
_RECORD = struct.Struct("<IIII")
_TCP = struct.Struct("!IIIIIII")  # from the sequence number on, with timestamps
_SYN_OPTIONS = struct.Struct("!IIIII")
_MACS = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01"
_MOST_HEADS = 4  # of a direction: full segments and bare acknowledgements come again and again


class Chunk(NamedTuple):
    """Payload, and its part of a checksum (modulo 0xffff; payload begins at an even offset)."""

    data: bytes
    sum: int


class Packet(NamedTuple):
    """A segment to be sent; `seq` and `ack` are any integers, taken modulo 2**32."""

    end: End
    seq: int
    ack: int
    flags: int
    chunk: Chunk


def chunk_of(data: bytes) -> Chunk:
    return Chunk(data, int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF)


NOTHING = chunk_of(b"")


class End:
    """One direction: who sends to whom, and what of its packets never changes."""

    __slots__ = ("isn", "tcp_sum", "_link", "_between", "_ends", "_ip_sum", "_heads")

    def __init__(
        self, network: str, source: bytes, destination: bytes, sport: int, dport: int, isn: int
    ) -> None:
        ports = struct.pack("!HH", sport, dport)
        self.isn = isn
        # 2**16 is 1 modulo 0xffff: any field adds itself to a ones' complement sum.
        ends = int.from_bytes(source + destination, "big")
        self.tcp_sum = ends % 0xFFFF + 6 + sport + dport
        if network == "ipv6":
            self._link = _MACS + b"\x86\xdd\x60\0\0\0"
            self._between = b"\x06\x40"
            self._ip_sum = -1
        else:
            tag = struct.pack("!HH", 0x8100, VID) if network == "vlan" else b""
            self._link = _MACS + tag + b"\x08\x00\x45\x00"
            self._between = b"\0\0\x40\0\x40\x06"
            self._ip_sum = 0x4500 + 0x4000 + 0x4006 + ends % 0xFFFF
        self._ends = source + destination + ports
        self._heads: dict[int, bytes] = {}

    def head(self, length: int) -> bytes:
        """The frame up to the ports, where `length` bytes of TCP are in it."""
        if head := self._heads.get(length):
            return head
        if self._ip_sum < 0:
            head = self._link + length.to_bytes(2, "big") + self._between + self._ends
        else:
            total = 20 + length
            checksum = (-(self._ip_sum + total) % 0xFFFF).to_bytes(2, "big")
            head = self._link + total.to_bytes(2, "big") + self._between + checksum + self._ends
        if len(self._heads) < _MOST_HEADS:
            self._heads[length] = head
        return head


class Writer:
    """Appends packets to a capture file, `gap_us` microseconds apart."""

    def __init__(self, file: BinaryIO, gap_us: int) -> None:
        self.packets = 0
        self._file = file
        self._parts = [FILE_HEADER]
        self._now = 1_700_000_000 * 10**6
        self._gap_us = gap_us

    def send(self, packet: Packet) -> None:
        """One packet, with the time as its timestamp; a SYN has the options that Linux sends."""
        end, seq, ack, flags, (data, data_sum) = packet
        if flags & SYN:
            self._syn(end, ack, flags)
            return
        length = 32 + len(data)
        now = self._now = self._now + self._gap_us
        stamp = now // 1000 & 0xFFFFFFFF
        seq &= 0xFFFFFFFF
        ack &= 0xFFFFFFFF
        flags_window = 0x8000_0000 | flags << 16 | WINDOW
        tcp_sum = end.tcp_sum + length + seq + ack + flags_window + 0x0101080A + 2 * stamp + data_sum
        head = end.head(length)
        size = len(head) + 28 + len(data)
        self._parts += (
            _RECORD.pack(now // 1_000_000, now % 1_000_000, size, size),
            head,
            _TCP.pack(seq, ack, flags_window, -tcp_sum % 0xFFFF << 16, 0x0101080A, stamp, stamp),
            data,
        )
        self.packets += 1
        if len(self._parts) > 6000:
            self.flush()

    def _syn(self, end: End, ack: int, flags: int) -> None:
        """MSS, SACK, timestamps, window scale."""
        self._now += self._gap_us
        sec, usec = divmod(self._now, 1_000_000)
        options = _SYN_OPTIONS.pack(0x020405B4, 0x0402080A, self._now // 1000 % 2**32, 0, 0x01030307)
        flags_window, ack = 0xA000_0000 | flags << 16 | 64240, ack % 2**32
        tcp_sum = end.tcp_sum + 40 + end.isn + ack + flags_window + int.from_bytes(options, "big")
        head = end.head(40)
        size = len(head) + 36
        fixed = _TCP.pack(end.isn, ack, flags_window, -tcp_sum % 0xFFFF << 16, 0, 0, 0)[:16]
        self._parts += (_RECORD.pack(sec, usec, size, size), head, fixed, options)
        self.packets += 1

    def flush(self) -> None:
        self._file.write(b"".join(self._parts))
        self._parts = []

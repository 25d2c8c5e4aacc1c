"""The two formats of capture files, as far as their headers go: pcap and pcapng.

Knows bytes only, and no file; where packets lie in them says `core.records`. Always true: any bytes give
packets, a block that is passed over, or Unreadable.
"""

import struct
from collections.abc import Iterator

from flowfs.core.limits import LARGEST_BLOCK_BYTES
from flowfs.core.records import Records

_PCAP_BYTES = 24
# Magic number: (big endian, ns in a fraction, bytes of a record's header). The third is of a patched libpcap.
_PCAP = {
    bytes.fromhex(magic): (order == ">", fraction_ns, header_bytes)
    for magic, order, fraction_ns, header_bytes in (
        ("d4c3b2a1", "<", 1000, 16),
        ("a1b2c3d4", ">", 1000, 16),
        ("4d3cb2a1", "<", 1, 16),
        ("a1b23c4d", ">", 1, 16),
        ("34cdb2a1", "<", 1000, 24),
        ("a1b2cd34", ">", 1000, 24),
    )
}
_LINK_TYPE_MASK = 0x03FFFFFF  # above: whether frames end with a check sequence, which the IP length cuts off
_RAW_IN_FILES, _RAW = 101, 12  # the one type whose number in files is not libpcap's on this system

_INTERFACE = 1
_SECTION_START = bytes.fromhex("0a0d0d0a")
_BIG, _LITTLE = bytes.fromhex("1a2b3c4d"), bytes.fromhex("4d3c2b1a")
_RESOLUTION, _OFFSET = 9, 14  # options of an interface
_MICRO = 6


class Unreadable(Exception):
    """No capture, or none that can be read; str() goes on behind the name of the file."""


class Format:
    """How the packets of one file are found. `fraction_ns`: of the second number in `records.meta`."""

    fraction_ns = 1

    def __init__(self) -> None:
        self.records = Records()

    def scan(self, piece: bytes, start: int) -> int:
        """Note the next packets of a piece in `records`; returns where the first byte is that is not used.

        `records.count` is 0 if more bytes are needed for the next packet. Raises Unreadable for damage, after
        what comes before it was given.
        """
        raise NotImplementedError


class Pcap(Format):
    """draft-ietf-opsawg-pcap."""

    def __init__(self, start: bytes) -> None:
        big_endian, self.fraction_ns, self._header_bytes = _PCAP[start[:4]]
        order = ">" if big_endian else "<"
        major, minor, *_, kind = struct.unpack(order + "4xHHiIII", start[:_PCAP_BYTES])
        if (major, minor) < (2, 4) or major > 2:
            raise Unreadable(f"is pcap of version {major}.{minor}; editcap converts it to 2.4")
        self.records = Records(big_endian, _ours(kind & _LINK_TYPE_MASK))

    def scan(self, piece: bytes, start: int) -> int:
        """See Format."""
        records = self.records
        start = records.scan_pcap(piece, start, len(piece), self._header_bytes)
        if records.count == 0 and not records.wants_more():
            raise Unreadable("has a packet of an impossible length")
        return start


class Pcapng(Format):
    """draft-ietf-opsawg-pcapng. Sections may differ in byte order, interfaces in link type and clock."""

    def scan(self, piece: bytes, start: int) -> int:
        """See Format."""
        records = self.records
        while True:
            begin = start
            start = records.scan_pcapng(piece, start, len(piece))
            if records.count or records.wants_more():
                return start
            if not records.is_at_other_block():
                raise Unreadable("has a block of packets that contradicts itself")
            start = self._pass_over(piece, begin)
            if start == begin:
                return start

    def _pass_over(self, piece: bytes, start: int) -> int:
        """A block that holds no packet; returns where it ends, or `start` if it is not whole."""
        head = piece[start : start + 12]
        if head[:4] == _SECTION_START:
            if head[8:] not in (_BIG, _LITTLE):
                raise Unreadable("has a section of pcapng without its byte order")
            self.records.begin_section(head[8:] == _BIG)
        order = ">" if self.records.big_endian else "<"
        kind: int = struct.unpack_from(order + "I", head)[0]
        total: int = struct.unpack_from(order + "I", head, 4)[0]
        if not 12 <= total <= LARGEST_BLOCK_BYTES or total % 4:
            raise Unreadable("has a block of an impossible length")
        if start + total > len(piece):
            return start
        if kind == _INTERFACE:
            self._add_interface(piece[start + 8 : start + total - 4], order)
        return start + total

    def _add_interface(self, body: bytes, order: str) -> None:
        if len(body) < 8:
            raise Unreadable("has an interface of pcapng that is cut short")
        link_type, _, snaplen = struct.unpack_from(order + "HHI", body)
        ticks, offset_s = 10**_MICRO, 0
        for code, value in _options(body[8:], order):
            if code == _RESOLUTION and len(value) == 1:
                ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _OFFSET and len(value) == 8:
                (offset_s,) = struct.unpack(order + "q", value)
        if ticks >= 1 << 64:
            raise Unreadable("has an interface of pcapng whose clock ticks too fast")
        if not self.records.add_interface(_ours(link_type), snaplen, ticks, offset_s):
            raise Unreadable("has too many interfaces")


def _options(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(code, value) of each option, as far as they are whole."""
    position = 0
    while position + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, position)
        if code == 0:
            return
        yield code, data[position + 4 : position + 4 + length]
        position += 4 + length + -length % 4


def _ours(link_type: int) -> int:
    return _RAW if link_type == _RAW_IN_FILES else link_type


def header_bytes(start: bytes) -> int:
    """How many bytes of a file tell its format, as far as `start` (at least four of them) shows."""
    return _PCAP_BYTES if start[:4] in _PCAP else 12


def is_beginning(start: bytes) -> bool:
    """Whether a file that so far holds `start` may be the beginning of a header that is not whole."""
    if len(start) >= header_bytes(start):
        return False
    return any(magic.startswith(start[:4]) for magic in (*_PCAP, _SECTION_START))


def format_of(start: bytes) -> tuple[Format, int]:
    """The format of a file that begins so, and where its first record or block begins. Raises Unreadable."""
    if start[:4] in _PCAP:
        return Pcap(start), _PCAP_BYTES
    if start[:4] == _SECTION_START and start[8:12] in (_BIG, _LITTLE):
        return Pcapng(), 0
    raise Unreadable("is not a capture file (pcap or pcapng)")

# cython: boundscheck=False, wraparound=False, cdivision=True
"""Where the packets lie in a piece of a capture file: records of pcap, packet blocks of pcapng.

Reads the headers of records in place and copies nothing; the engine then finds the packets where they are.
Knows the two formats (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng) as far as packets go; no file, no
header of a file, no other block. Always true: what is noted lies within the piece; of any bytes something is
noted, or it is known why not, and nothing raises.
"""

from array import array

import cython

if not cython.compiled:
    from .memory import word, word_little

from .limits import LARGEST_BLOCK_BYTES

CAPACITY = 4096  # packets that are noted at once
MAX_FRAME_BYTES = 262144  # libpcap's limit, too: more is damage, not a packet
MAX_INTERFACES = 1024

# Why scanning went no further.
MORE, FULL, OTHER, DAMAGED = range(4)

SIMPLE_BLOCK, ENHANCED_BLOCK, OLD_BLOCK = 3, 6, 2  # pcapng's types of blocks that hold a packet

_SECOND_NS = 1_000_000_000
_FINEST = (1 << 64) // 1_000_000_000
_LAST_SECOND = 0xFFFFFFFF
_SMALLEST_BLOCK_BYTES = 12
_LARGEST_BLOCK_BYTES = LARGEST_BLOCK_BYTES  # a C integer when compiled


class Records:
    """What was noted of one piece. `meta`: four uint32 a packet (sec, fraction, offset, length).

    In pcap the fraction is what the file has, µs or ns; of pcapng it is made ns.
    """

    __slots__ = (
        "_link_types",
        "_meta",
        "_offsets_s",
        "_snaplens",
        "_ticks",
        "big_endian",
        "count",
        "interfaces",
        "link_type",
        "meta",
        "stopped",
    )

    def __init__(self, big_endian: bool = False, link_type: int = -1) -> None:
        room = array("I", bytes(16 * CAPACITY))
        self._meta = memoryview(room)
        self.meta = memoryview(room).cast("B")
        self.big_endian = big_endian
        self.count = 0
        self.stopped = MORE
        # The interfaces of a section of pcapng, by number.
        self.interfaces = 0
        self.link_type = link_type  # of all that was noted
        self._link_types = memoryview(array("i", bytes(4 * MAX_INTERFACES)))
        self._ticks = memoryview(array("Q", bytes(8 * MAX_INTERFACES)))
        self._offsets_s = memoryview(array("q", bytes(8 * MAX_INTERFACES)))
        self._snaplens = memoryview(array("I", bytes(4 * MAX_INTERFACES)))

    def begin_section(self, big_endian: bool) -> None:
        """A section of pcapng with this byte order, without interfaces yet."""
        self.big_endian = big_endian
        self.interfaces = 0

    def add_interface(self, link_type: int, snaplen: int, ticks: int, offset_s: int) -> bool:
        """The next interface: `ticks` a second, from `offset_s` on. False: there are too many."""
        number = self.interfaces
        if number == MAX_INTERFACES:
            return False
        self._link_types[number] = link_type
        self._snaplens[number] = snaplen
        self._ticks[number] = ticks
        self._offsets_s[number] = max(-_LAST_SECOND, min(offset_s, _LAST_SECOND))
        self.interfaces += 1
        return True

    def scan_pcap(self, piece: bytes, start: int, end: int, header_bytes: int) -> int:
        """Note records of piece[start:end]; returns where the first begins that is not noted."""
        self.count = 0
        self.stopped = MORE
        while start + header_bytes <= end:
            length = self._word(piece, start + 8)
            if length > MAX_FRAME_BYTES:
                self.stopped = DAMAGED
                break
            frame = start + header_bytes
            if frame + length > end:
                break
            if self.count == CAPACITY:
                self.stopped = FULL
                break
            self._note(self._word(piece, start), self._word(piece, start + 4), frame, length)
            start = frame + length
        return start

    def scan_pcapng(self, piece: bytes, start: int, end: int) -> int:
        """Note the packets of piece[start:end] that have one link type, up to a block of another kind.

        Returns where the first block begins that is not noted; wants_more() and
        is_at_other_block() say what that is.
        """
        self.count = 0
        self.stopped = MORE
        while start + _SMALLEST_BLOCK_BYTES <= end:
            kind = self._word(piece, start)
            if kind != ENHANCED_BLOCK and kind != SIMPLE_BLOCK and kind != OLD_BLOCK:
                self.stopped = OTHER
                break
            total = self._word(piece, start + 4)
            if total < 16 or total & 3 or total > _LARGEST_BLOCK_BYTES:
                self.stopped = DAMAGED
                break
            if start + total > end:
                break
            if self.count == CAPACITY:
                self.stopped = FULL
                break
            self._note_block(piece, start, start + total - 4, kind)
            if self.stopped != MORE:
                break
            start += total
        return start

    def wants_more(self) -> bool:
        """Whether all packets that are whole were noted."""
        return self.stopped == MORE

    def is_at_other_block(self) -> bool:
        """Whether a block that holds no packet comes next."""
        return self.stopped == OTHER

    def _note_block(self, piece: bytes, start: int, end: int, kind: int) -> None:
        """Note the packet of the block piece[start:end], or say in `stopped` why not."""
        header_bytes = 12 if kind == SIMPLE_BLOCK else 28
        room = end - start - header_bytes
        interface = 0
        length = 0
        if room >= 0 and kind == SIMPLE_BLOCK:
            length = min(self._word(piece, start + 8), room)
            if self._snaplens[0]:
                length = min(length, self._snaplens[0])
        elif room >= 0:
            interface = (
                self._word(piece, start + 8) if kind == ENHANCED_BLOCK else self._half(piece, start + 8)
            )
            length = self._word(piece, start + 20)
        if room < 0 or length > room or length > MAX_FRAME_BYTES or interface >= self.interfaces:
            self.stopped = DAMAGED
        elif self.count and self._link_types[interface] != self.link_type:
            self.stopped = FULL
        else:
            self.link_type = self._link_types[interface]
            ticks = 0
            if kind != SIMPLE_BLOCK:
                ticks = self._word(piece, start + 12)  # in C a word shifted by 32 would be gone
                ticks = ticks << 32 | self._word(piece, start + 16)
            self._note_at(ticks, interface, start + header_bytes, length)

    def _note_at(self, ticks: int, interface: int, offset: int, length: int) -> None:
        """Note a packet whose time is given in ticks of an interface."""
        each = self._ticks[interface]
        seconds = min(ticks // each, _LAST_SECOND) + self._offsets_s[interface]
        rest = ticks % each
        while each > _FINEST:  # a clock of more than 10 GHz, whose product with a second would not fit
            each >>= 1
            rest >>= 1
        fraction = min(rest * _SECOND_NS // each, _SECOND_NS - 1)
        self._note(min(max(seconds, 0), _LAST_SECOND), fraction, offset, length)

    def _note(self, seconds: int, fraction: int, offset: int, length: int) -> None:
        row = 4 * self.count
        self._meta[row] = seconds
        self._meta[row + 1] = fraction
        self._meta[row + 2] = offset
        self._meta[row + 3] = length
        self.count += 1

    def _word(self, piece: bytes, position: int) -> int:
        """Four bytes in the file's byte order."""
        return word(piece, position) if self.big_endian else word_little(piece, position)

    def _half(self, piece: bytes, position: int) -> int:
        """Two bytes in the file's byte order."""
        if self.big_endian:
            return piece[position] << 8 | piece[position + 1]
        return piece[position + 1] << 8 | piece[position]

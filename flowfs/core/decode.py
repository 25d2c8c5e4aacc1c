# cython: boundscheck=False, wraparound=False, cdivision=True
"""A frame → the TCP segment inside. Reads headers in place; copies nothing but the connection's key.

Knows link layers, VLAN tags, IPv4 and IPv6 without extension headers, TCP and its checksum, and of tunnels
where there may be one; no connection, no stream, and so not what a wrong checksum means for one [V2].
Always true of a decoded segment: start ≤ end ≤ wire_end, and [start, end) lies within the frame or is
empty. Any bytes give a verdict, never an error: each index was compared with the end of the frame
before it was used.
"""

import cython

if not cython.compiled:
    from .memory import adds_up, ones_sum, split_of, swapped, word

# Verdicts on a frame.
SEGMENT, NOT_TCP, RARE, UNKNOWN, BAD_HEADER, BAD_FLAGS, FRAGMENT, CUT_SHORT = range(8)

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20

# What is known of a segment's checksums: not looked at, or cut off; right; the sum over the pseudo-header
# alone, not complemented, as the network card was to find it or as it left merged segments; wrong.
UNCHECKED, VALID, OFFLOADED, WRONG = range(4)

# Link types by libpcap's DLT numbers, which for RAW and LOOP differ from the LINKTYPE numbers in files.
ETHERNET, RAW, RAW_BSD = 1, 12, 14
NULL, LOOP = 0, 108
LINUX_SLL, LINUX_SLL2 = 113, 276
IPV4_ONLY, IPV6_ONLY = 228, 229
PPP, PPP_SERIAL, PPPOE, CISCO_HDLC, NFLOG = 9, 50, 51, 104, 239
IEEE802_11, PRISM, RADIOTAP, AVS, PPI = 105, 119, 127, 163, 192
LINK_TYPES = frozenset(
    {ETHERNET, RAW, RAW_BSD, NULL, LOOP, LINUX_SLL, LINUX_SLL2, IPV4_ONLY, IPV6_ONLY}
    | {PPP, PPP_SERIAL, PPPOE, CISCO_HDLC, NFLOG, IEEE802_11, PRISM, RADIOTAP, AVS, PPI}
)

_TYPE_IPV4, _TYPE_IPV6 = 0x0800, 0x86DD
_TYPE_VLAN, _TYPE_QINQ, _TYPE_QINQ_OLD, _TYPE_QINQ_OLDER = 0x8100, 0x88A8, 0x9100, 0x9200
_TYPE_MPLS, _TYPE_MPLS_MULTICAST, _TYPE_PPPOE = 0x8847, 0x8848, 0x8864
_MAX_LLC_LENGTH = 1500  # below this the type field is a length, and LLC follows (IEEE 802.3)
_PROTOCOL_TCP, _PROTOCOL_FRAGMENT = 6, 44
_PROTOCOL_IPV4, _PROTOCOL_UDP, _PROTOCOL_IPV6, _PROTOCOL_GRE, _PROTOCOL_AH = 4, 17, 41, 47, 51
_PORT_VXLAN, _PORT_VXLAN_GPE, _PORT_VXLAN_LINUX = 4789, 4790, 8472
_PORT_GENEVE, _PORT_GTP_USER, _PORT_TEREDO = 6081, 2152, 3544


class Segment:
    """What decode() found; one object serves a whole capture.

    Addresses and ports stand together, as src, dst, sport, dport, in the `key_bytes` bytes from `key_start`
    on, and key_of() makes the key of them; if they do not, `key_bytes` is 0, and `key` was made here.
    The payload that was captured is [start, end) of the frames; on the wire it went to `wire_end`. The TCP
    header begins at `header`; its options, 20 bytes further, were captured up to `options_end`. `verify`, set
    once, says whether checksums are looked at. Of a FRAGMENT only this is there: its IP packet begins at
    `start`, on the VLAN `vlan`.
    """

    __slots__ = (
        *(
            "ack",
            "checksum",
            "end",
            "flags",
            "header",
            "key",
            "key_bytes",
            "key_split",
            "key_start",
            "low_key",
        ),
        *("options_end", "seq", "start", "ttl", "verify", "vlan", "window", "wire_end"),
    )

    def __init__(self, verify: bool = True) -> None:
        self.verify = verify
        self.checksum = UNCHECKED
        self.header = self.options_end = self.ttl = 0
        self.key = b""
        self.low_key = b""  # of both directions the one that the table knows a connection by
        self.key_start = self.key_bytes = 0
        self.key_split = 0  # bytes of one address
        self.seq = self.ack = 0
        self.flags = self.window = 0
        self.start = self.end = self.wire_end = 0
        self.vlan = 0

    def is_taken(self) -> bool:
        """Whether it is an ACK, with or without data, that a receiver takes; no SYN or RST."""
        return self.flags & (SYN | RST) == 0 and self.flags & ACK != 0 and self.checksum != WRONG


def decode(base: bytes, start: int, end: int, link_type: int, segment: Segment) -> int:
    """Decode the frame base[start:end] into `segment`; returns a verdict."""
    if link_type == ETHERNET:
        return _from_type(base, start + 12, start + 14, end, segment)
    if link_type == LINUX_SLL:
        return _from_type(base, start + 14, start + 16, end, segment)
    if link_type == LINUX_SLL2:
        return _from_type(base, start, start + 20, end, segment)
    if link_type == NULL or link_type == LOOP:
        return decode_ip(base, start + 4, end, 0, segment)  # the family's numbers differ by system
    return decode_ip(base, start, end, 0, segment) if _is_bare(link_type) else RARE


def _is_bare(link_type: int) -> bool:
    """Whether frames are IP packets with nothing before them."""
    if link_type == RAW or link_type == RAW_BSD:
        return True
    return link_type == IPV4_ONLY or link_type == IPV6_ONLY


def _from_type(base: bytes, at: int, position: int, end: int, segment: Segment) -> int:
    """Go on at `position`, as the Ethernet type that stands at `at` says.

    Of VLAN tags the innermost id counts, without its priority bits.
    """
    vlan = 0
    while position <= end:
        kind = base[at] << 8 | base[at + 1]
        if kind == _TYPE_IPV4 or kind == _TYPE_IPV6:
            return decode_ip(base, position, end, vlan, segment)
        older = kind == _TYPE_QINQ_OLD or kind == _TYPE_QINQ_OLDER
        if kind != _TYPE_VLAN and kind != _TYPE_QINQ and not older:
            return RARE if _is_for_dissection(kind) else UNKNOWN
        if position + 4 > end:
            break
        vlan = (base[position] << 8 | base[position + 1]) & 0x0FFF
        at = position + 2
        position += 4
    return CUT_SHORT


def _is_for_dissection(kind: int) -> bool:
    """Whether there may be IP behind this type: MPLS, PPPoE, or, for a length, LLC."""
    if kind == _TYPE_MPLS or kind == _TYPE_MPLS_MULTICAST or kind == _TYPE_PPPOE:
        return True
    return kind <= _MAX_LLC_LENGTH


def decode_ip(base: bytes, start: int, end: int, vlan: int, segment: Segment) -> int:
    """Decode the IP packet that begins at `start`; what lies beyond its length is link-layer padding [V1]."""
    if start + 20 > end:
        return CUT_SHORT
    version = base[start] >> 4
    if version == 4:
        return _ipv4(base, start, end, vlan, segment)
    if version == 6:
        return _ipv6(base, start, end, vlan, segment)
    return UNKNOWN


def _ipv4(base: bytes, start: int, end: int, vlan: int, segment: Segment) -> int:
    fragmented = (base[start + 6] << 8 | base[start + 7]) & 0x3FFF
    if base[start + 9] != _PROTOCOL_TCP and not (fragmented and _may_carry_tcp(base[start + 9])):
        return _beside_tcp(base, base[start + 9], start + ((base[start] & 0x0F) << 2), end)
    header_bytes = (base[start] & 0x0F) << 2
    total_bytes = base[start + 2] << 8 | base[start + 3]
    if header_bytes < 20 or (total_bytes and total_bytes < header_bytes):
        return BAD_HEADER
    if start + header_bytes > end:
        return CUT_SHORT
    segment.checksum = UNCHECKED
    if not _checksum_holds(base, start, header_bytes):
        segment.checksum = WRONG
    if fragmented:
        return BAD_HEADER if segment.checksum == WRONG else _fragment(start, vlan, segment)
    segment.key_split = 4
    segment.ttl = base[start + 8]
    segment.key_bytes = 12 if header_bytes == 20 else 0
    # Length 0: the network card was to cut this up, so all that was captured belongs to it.
    wire_end = start + total_bytes if total_bytes else end
    return _tcp(base, start + header_bytes, end, wire_end, vlan, start + 12, segment)


def _ipv6(base: bytes, start: int, end: int, vlan: int, segment: Segment) -> int:
    if start + 40 > end:
        return CUT_SHORT
    following = base[start + 6]
    if following == _PROTOCOL_FRAGMENT:
        if start + 44 > end:
            return CUT_SHORT
        atomic = (base[start + 42] << 8 | base[start + 43]) & 0xFFF9 == 0
        return RARE if atomic else _fragment(start, vlan, segment)  # [G2]
    if following != _PROTOCOL_TCP:
        # Hop-by-hop, routing, authentication, destination options, mobility, HIP, shim6.
        if following in (0, 43, 51, 60, 135, 139, 140):
            return RARE
        return _beside_tcp(base, following, start + 40, end)
    payload_bytes = base[start + 4] << 8 | base[start + 5]
    segment.key_split = 16
    segment.ttl = base[start + 7]
    segment.checksum = UNCHECKED
    segment.key_bytes = 36
    wire_end = start + 40 + payload_bytes if payload_bytes else end
    return _tcp(base, start + 40, end, wire_end, vlan, start + 8, segment)


def _may_carry_tcp(protocol: int) -> bool:
    """Whether TCP may stand further in: IP in IP, UDP (tunnels), IPv6, GRE, AH."""
    return protocol in (4, 17, 41, 47, 51)


def _fragment(start: int, vlan: int, segment: Segment) -> int:
    segment.start = start
    segment.vlan = vlan
    return FRAGMENT


def _checksum_holds(base: bytes, start: int, header_bytes: int) -> bool:
    """Whether the IPv4 header's checksum is right, or was left (0) to the network card."""
    if adds_up(base, start, start, start, start + header_bytes, 0):
        return True
    return (base[start + 10] | base[start + 11]) == 0


def _beside_tcp(base: bytes, protocol: int, start: int, end: int) -> int:
    """The verdict on a packet with another protocol, whose header is at `start`: TCP may be in a tunnel."""
    if protocol == _PROTOCOL_UDP and start + 4 <= end:
        return RARE if _is_tunnel(base, start) or _is_tunnel(base, start + 2) else NOT_TCP
    if protocol == _PROTOCOL_IPV4 or protocol == _PROTOCOL_IPV6 or protocol == _PROTOCOL_GRE:
        return RARE
    return RARE if protocol == _PROTOCOL_AH else NOT_TCP


def _is_tunnel(base: bytes, position: int) -> bool:
    """Whether the port at `position` is that of a tunnel."""
    port = base[position] << 8 | base[position + 1]
    if port == _PORT_VXLAN or port == _PORT_VXLAN_GPE or port == _PORT_VXLAN_LINUX:
        return True
    return port == _PORT_GENEVE or port == _PORT_GTP_USER or port == _PORT_TEREDO


def _tcp(
    base: bytes, start: int, frame_end: int, wire_end: int, vlan: int, addresses: int, segment: Segment
) -> int:
    """Read the TCP header at `start`. The packet ends at `wire_end`, the capture at `frame_end`.

    The IP addresses stand at `addresses`.
    """
    end = min(frame_end, wire_end)
    if start + 20 > wire_end:
        return BAD_HEADER
    if start + 20 > end:
        return CUT_SHORT
    data = start + ((base[start + 12] >> 4) << 2)
    if data < start + 20 or data > wire_end:
        return BAD_HEADER
    flags = base[start + 13]
    if flags & SYN and flags & (FIN | RST):
        return BAD_FLAGS
    segment.vlan = vlan
    segment.key_start = addresses
    if segment.key_bytes == 0:
        segment.key = _with_vlan(base[addresses : addresses + 8] + base[start : start + 4], vlan)
    segment.flags = flags
    segment.seq = word(base, start + 4)
    segment.ack = word(base, start + 8)
    segment.window = base[start + 14] << 8 | base[start + 15]
    segment.start = data
    segment.end = max(data, end)  # the options may have been cut off: nothing of the payload is here then
    segment.wire_end = wire_end
    segment.header = start
    segment.options_end = min(data, end)
    if not segment.verify:
        segment.checksum = UNCHECKED
    elif segment.checksum == UNCHECKED and wire_end <= frame_end:
        segment.checksum = _checksum_of(base, start, wire_end, addresses, 2 * segment.key_split)
    return SEGMENT


def _checksum_of(base: bytes, start: int, end: int, addresses: int, address_bytes: int) -> int:
    """What the checksum of the segment base[start:end] is (RFC 9293, 3.1; RFC 8200, 8.1) [V2].

    Sums are taken modulo 0xFFFF, in which a length above 16 bits adds up as it should.
    """
    rest = _PROTOCOL_TCP + end - start
    if adds_up(base, start, end, addresses, addresses + address_bytes, rest):
        return VALID
    pseudo = ones_sum(base, addresses, addresses + address_bytes) + rest
    if (pseudo - (base[start + 16] << 8 | base[start + 17])) % 0xFFFF == 0:
        return OFFLOADED
    return WRONG


def key_of(base: bytes, segment: Segment) -> bytes:
    """What the table knows a direction by: src, dst, sport, dport, and the VLAN id if it is not 0."""
    if segment.key_bytes == 0:
        return segment.key
    return _with_vlan(base[segment.key_start : segment.key_start + segment.key_bytes], segment.vlan)


def _with_vlan(key: bytes, vlan: int) -> bytes:
    return key if vlan == 0 else key + bytes((vlan >> 8, vlan & 0xFF))


def reverse_key(key: bytes, length: int, split: int) -> bytes:
    """The key of the other direction, from one of `length` bytes in which an address takes `split`."""
    return swapped(key, length, split)


def turned(key: bytes) -> bytes:
    """The key of the other direction, however long an address is."""
    return swapped(key, len(key), split_of(key))

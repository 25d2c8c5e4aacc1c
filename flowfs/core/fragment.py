# cython: boundscheck=False, wraparound=False, cdivision=True
"""One IP fragment → which datagram it belongs to, and its place there; a datagram's pieces → the IP packet.

Knows the headers of IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200, 4); no other fragment and
no time. Any bytes give a verdict, never an error. Always true of a WHOLE one: [start, end) lies within the
packet and is not empty, and is a multiple of 8 bytes long if more is to follow; the first one of IPv6 holds
all headers down to and including TCP's [G2].
"""

from .limits import MAX_DATAGRAM_BYTES, MAX_EXTENSIONS

# Verdicts on a fragment.
WHOLE, NO_FRAGMENT, CUT = range(3)

_TCP, _FRAGMENT, _AUTHENTICATION = 6, 44, 51
_IPV6_BYTES, _FRAGMENT_BYTES, _TCP_BYTES = 40, 8, 20
_MAX_EXTENSIONS = MAX_EXTENSIONS  # C integers when compiled
_MAX_DATAGRAM_BYTES = MAX_DATAGRAM_BYTES


class Fragment:
    """What read_fragment() found; one object serves a whole capture.

    `key`: both addresses, the id, the VLAN id, and of IPv4 the protocol (of IPv6 that of the first fragment
    counts, whatever others say: RFC 8200, 4.5). `source`: the sender's address and the VLAN id. The data are
    [start, end) of `base`, and go to `offset` in the datagram, behind a header of `header_bytes`.
    """

    __slots__ = (
        "end",
        "following",
        "header_bytes",
        "key",
        "more",
        "next_at",
        "offset",
        "source",
        "start",
        "version",
    )

    def __init__(self) -> None:
        self.key = self.source = b""
        self.version = 0
        self.start = self.end = 0
        self.offset = 0
        self.more = False
        self.header_bytes = 0
        # IPv6: where the fragment header is announced, and what it announces.
        self.next_at = self.following = 0


def read_fragment(base: bytes, start: int, end: int, vlan: int, fragment: Fragment) -> int:
    """Read the IP packet base[start:end] into `fragment`; returns a verdict."""
    if start + 20 > end:
        return CUT
    if base[start] >> 4 == 4:
        verdict = _read_ipv4(base, start, end, vlan, fragment)
    else:
        verdict = _read_ipv6(base, start, end, vlan, fragment)
    if verdict != WHOLE:
        return verdict
    count = fragment.end - fragment.start
    return NO_FRAGMENT if count <= 0 or (fragment.more and count & 7) else WHOLE


def is_too_long(fragment: Fragment) -> bool:
    """Whether it would end beyond what IP's length field can say, as the ping of death did."""
    past = fragment.offset + fragment.end - fragment.start
    return past > room_for_data(fragment.header_bytes, fragment.version)


def room_for_data(header_bytes: int, version: int) -> int:
    """How much a datagram can hold behind such a header; IPv6's own 40 bytes are not in its length field."""
    return _MAX_DATAGRAM_BYTES - header_bytes + (_IPV6_BYTES if version == 6 else 0)


def _read_ipv4(base: bytes, start: int, end: int, vlan: int, fragment: Fragment) -> int:
    header_bytes = (base[start] & 0x0F) << 2
    total_bytes = base[start + 2] << 8 | base[start + 3]
    if header_bytes < 20 or total_bytes < header_bytes:
        return NO_FRAGMENT
    if start + total_bytes > end:
        return CUT
    tag = bytes((vlan >> 8, vlan & 0xFF))
    flags = base[start + 6] << 8 | base[start + 7]
    fragment.version = 4
    fragment.key = (
        base[start + 12 : start + 20] + base[start + 4 : start + 6] + base[start + 9 : start + 10] + tag
    )
    fragment.source = base[start + 12 : start + 16] + tag
    fragment.offset = (flags & 0x1FFF) << 3
    fragment.more = flags & 0x2000 != 0
    fragment.header_bytes = header_bytes
    fragment.start = start + header_bytes
    fragment.end = start + total_bytes
    return WHOLE


def _read_ipv6(base: bytes, start: int, end: int, vlan: int, fragment: Fragment) -> int:
    if start + _IPV6_BYTES > end:
        return CUT
    payload_bytes = base[start + 4] << 8 | base[start + 5]  # never 0: no jumbogram is one (RFC 2675, 4)
    end_here = start + _IPV6_BYTES + payload_bytes
    if base[start] >> 4 != 6:
        return NO_FRAGMENT
    if end_here > end:
        return CUT
    passed = _find_header(base, start, end_here, fragment)
    if passed < 0:
        return NO_FRAGMENT
    at = start + fragment.header_bytes
    tag = bytes((vlan >> 8, vlan & 0xFF))
    flags = base[at + 2] << 8 | base[at + 3]
    fragment.version = 6
    fragment.key = base[start + 8 : start + 40] + base[at + 4 : at + 8] + tag
    fragment.source = base[start + 8 : start + 24] + tag
    fragment.offset = flags & 0xFFF8
    fragment.more = flags & 1 != 0
    fragment.following = base[at]
    fragment.start = at + _FRAGMENT_BYTES
    fragment.end = end_here
    if fragment.offset == 0 and not _holds_chain(base, fragment.start, end_here, fragment.following, passed):
        return NO_FRAGMENT
    return WHOLE


def _find_header(base: bytes, start: int, end: int, fragment: Fragment) -> int:
    """Find the fragment header in the chain; returns how many headers there are up to it, -1 for none."""
    at = start + 6
    position = start + _IPV6_BYTES
    passed = 1
    while position + _FRAGMENT_BYTES <= end and passed <= _MAX_EXTENSIONS:
        if base[at] == _FRAGMENT:
            fragment.next_at = at - start
            fragment.header_bytes = position - start
            return passed
        header_bytes = _extension_bytes(base[at], base[position + 1])
        if header_bytes == 0:
            break
        at = position
        position += header_bytes
        passed += 1
    return -1


def _holds_chain(base: bytes, position: int, end: int, kind: int, passed: int) -> bool:
    """Whether the chain of headers that begins at `position` ends before `end`, TCP's included (RFC 7112)."""
    while position + 2 <= end:
        header_bytes = _extension_bytes(kind, base[position + 1])
        if header_bytes == 0:
            break
        passed += 1
        if passed > _MAX_EXTENSIONS:
            return False
        kind = base[position]
        position += header_bytes
    return position + (_TCP_BYTES if kind == _TCP else 1) <= end


def _extension_bytes(kind: int, length: int) -> int:
    """How long an extension header that says `length` is (RFC 8200, 4; RFC 4302, 2.2); 0: `kind` is none."""
    if kind == _FRAGMENT:
        return _FRAGMENT_BYTES
    if kind == _AUTHENTICATION:
        return (length + 2) << 2
    # Hop-by-hop, routing, destination options, mobility, HIP, shim6.
    if kind == 0 or kind == 43 or kind == 60 or kind == 135 or kind == 139 or kind == 140:
        return (length + 1) << 3
    return 0


# --- the whole ---------------------------------------------------------------------------------


def header_of(base: bytes, fragment: Fragment) -> bytes:
    """What precedes the data of the whole datagram, from its first fragment; the length is filled in later.

    IPv4's header has lost its flags and its checksum, which 0 leaves unsaid. IPv6's chain has lost the
    fragment header (RFC 8200, 4.5).
    """
    start = fragment.start - fragment.header_bytes
    if fragment.version == 4:
        rest = base[start + 12 : fragment.start]
        return base[start : start + 6] + b"\0\0" + base[start + 8 : start + 10] + b"\0\0" + rest
    start -= _FRAGMENT_BYTES
    at = start + fragment.next_at
    return base[start:at] + bytes((fragment.following,)) + base[at + 1 : start + fragment.header_bytes]


def joined(header: bytes, chunks: list[bytes], data_bytes: int) -> bytes:
    """The IP packet of header_of() the first fragment, and these data."""
    at, length = 2, len(header) + data_bytes
    if header[0] >> 4 == 6:
        at, length = 4, length - _IPV6_BYTES
    return b"".join((header[:at], bytes((length >> 8, length & 0xFF)), header[at + 2 :], *chunks))

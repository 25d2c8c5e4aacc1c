"""IP packets that carry others: IP in IP, GRE, and what goes over UDP.

Knows the tunnels' headers, from the payload of the outer IP packet to the layer within. Always true: a header
with a version or an optional part that is not known here gives NOTHING, since where it ends is not known.
"""

from collections.abc import Callable

from .kinds import ETHERNET, IPV4, IPV6, MPLS, NOTHING, PPP, UDP, Layer, by_version, ethernet
from .shims import ppp
from .wireless import ieee80211

_ERSPAN, _ERSPAN_3 = 0x88BE, 0x22EB
_ARUBA = 0x8200  # 802.11 frames from Aruba's access points
_GRE_CHECKSUM, _GRE_ROUTING, _GRE_KEY, _GRE_SEQUENCE = 0x8000, 0x4000, 0x2000, 0x1000
_GRE_ACKNOWLEDGMENT = 0x0080
_GRE_FIELDS = (
    _GRE_CHECKSUM | _GRE_KEY | _GRE_SEQUENCE,
    _GRE_CHECKSUM | _GRE_KEY | _GRE_SEQUENCE | _GRE_ACKNOWLEDGMENT,
)
"""By version, the flags of fields of four bytes."""

_VXLAN_INSTANCE, _VXLAN_NEXT_PROTOCOL, _VXLAN_OAM = 0x08, 0x04, 0x01
_VXLAN_PROTOCOLS = {1: IPV4, 2: IPV6, 3: ETHERNET, 5: MPLS}

_GENEVE_CONTROL = 0x80

_GTP_EXTENSION, _GTP_ANY_OPTION = 0x04, 0x07
_GTP_PACKET = 255  # G-PDU: the message that carries a user's packet
_MAX_GTP_EXTENSIONS = 8  # 3GPP defines seven kinds
_TEREDO_ORIGIN, _TEREDO_AUTHENTICATION = b"\0\0", b"\0\1"


def _ip_in_ip(payload: bytes) -> Layer:
    """RFC 2003, and RFC 2473 from within IPv6."""
    return IPV4, payload


def _ipv6_in_ip(payload: bytes) -> Layer:
    """RFC 4213, and RFC 2473 from within IPv6."""
    return IPV6, payload


def _inside(kind: int, data: bytes) -> Layer:
    """The layer in a tunnel; an Ethernet frame belongs to the tunnel and is no layer of its own."""
    return ethernet(data) if kind == ETHERNET else (kind, data)


# --- GRE -------------------------------------------------------------------------------------------


def _gre(data: bytes) -> Layer:
    """RFC 2784 and 2890, and with version 1 PPTP's (RFC 2637)."""
    flags = data[0] << 8 | data[1]
    kind = data[2] << 8 | data[3]
    version = flags & 7
    if flags & _GRE_ROUTING or version > 1:
        return NOTHING
    start = 4 + 4 * (flags & _GRE_FIELDS[version]).bit_count()
    if version == 1:
        return _pptp(flags, kind, data, start)
    if kind == _ERSPAN or kind == _ERSPAN_3:
        return _erspan(kind, data[start:], bool(flags & _GRE_SEQUENCE))
    if kind == _ARUBA:
        return ieee80211(data[start:])
    return _inside(kind, data[start:])


def _pptp(flags: int, kind: int, data: bytes, start: int) -> Layer:
    """The key's first half is the payload's length (RFC 2637, 4.1)."""
    if kind != PPP or not flags & _GRE_KEY or not flags & _GRE_SEQUENCE:
        return NOTHING
    return ppp(data[start : start + (data[4] << 8 | data[5])])


def _erspan(kind: int, data: bytes, sequenced: bool) -> Layer:
    """A mirrored frame (draft-foschiano-erspan): type I has no sequence number, and then no header."""
    if kind == _ERSPAN and not sequenced:
        return ethernet(data)
    version = data[0] >> 4
    if kind == _ERSPAN:
        return ethernet(data[8:]) if version == 1 else NOTHING
    if version != 2:
        return NOTHING
    return ethernet(data[20:] if data[11] & 1 else data[12:])  # with the platform's part, or without it


# --- over UDP --------------------------------------------------------------------------------------


def _udp(data: bytes) -> Layer:
    """RFC 768. A length of 0 is all that is there (RFC 2675, 4)."""
    inside = _PORTS.get(data[2] << 8 | data[3]) or _PORTS.get(data[0] << 8 | data[1])
    length = data[4] << 8 | data[5]
    return NOTHING if inside is None else inside(data[8 : length or None])


def _vxlan(data: bytes) -> Layer:
    """RFC 7348, with the bits of draft-ietf-nvo3-vxlan-gpe; a group policy changes nothing for who reads."""
    flags = data[0]
    if not flags & _VXLAN_INSTANCE:
        return NOTHING
    if not flags & _VXLAN_NEXT_PROTOCOL:
        return ethernet(data[8:])
    if flags & _VXLAN_OAM:
        return NOTHING
    kind = _VXLAN_PROTOCOLS.get(data[3])
    return NOTHING if kind is None else _inside(kind, data[8:])


def _geneve(data: bytes) -> Layer:
    """RFC 8926. What control packets carry is for the tunnel's ends."""
    if data[0] >> 6 or data[1] & _GENEVE_CONTROL:
        return NOTHING
    return _inside(data[2] << 8 | data[3], data[8 + 4 * (data[0] & 0x3F) :])


def _gtp_user(data: bytes) -> Layer:
    """3GPP TS 29.281, 5. A user's packet is IP, and says itself which."""
    flags = data[0]
    if flags >> 4 != 3 or data[1] != _GTP_PACKET:  # version 1, not GTP'
        return NOTHING
    message = data[: 8 + (data[2] << 8 | data[3])]
    if not flags & _GTP_ANY_OPTION:
        return by_version(message[8:])
    following, start = message[11] if flags & _GTP_EXTENSION else 0, 12
    for _ in range(_MAX_GTP_EXTENSIONS):
        if not following:
            return by_version(message[start:])
        length = 4 * message[start]
        if not length:
            return NOTHING
        start += length
        following = message[start - 1]
    return NOTHING if following else by_version(message[start:])


def _teredo(data: bytes) -> Layer:
    """RFC 4380, 5.1.1: authentication, then the origin, both at will."""
    if data[:2] == _TEREDO_AUTHENTICATION:
        data = data[13 + data[2] + data[3] :]
    if data[:2] == _TEREDO_ORIGIN:
        data = data[8:]
    return IPV6, data


_PORTS: dict[int, Callable[[bytes], Layer]] = {
    4789: _vxlan,
    4790: _vxlan,  # IANA's for VXLAN-GPE
    8472: _vxlan,  # Linux's before there was one of IANA
    6081: _geneve,
    2152: _gtp_user,
    3544: _teredo,
}

TUNNELS: dict[int, Callable[[bytes], Layer]] = {4: _ip_in_ip, 41: _ipv6_in_ip, 47: _gre, UDP: _udp}
"""IP protocols that carry packets: from the payload of an IP packet to the layer within."""

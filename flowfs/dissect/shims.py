"""What stands between a link layer and IP: LLC, MPLS, PPP and PPPoE. (VLAN tags are read in `descent`.)

Always true: what is returned lies within the lengths that the headers state.
"""

from collections.abc import Callable

from .ip import checksum_holds
from .kinds import (
    IPV4,
    IPV6,
    LLC,
    MPLS,
    MPLS_MULTICAST,
    NOTHING,
    PPPOE,
    VLAN_TAGS,
    Layer,
    by_version,
    ethernet,
)
from .kinds import PPP as PPP_TYPE

_MAX_LABELS = 16  # hardware pushes ten at the most
_SNAP = b"\xaa\xaa\x03\0\0\0"
_PPP_PROTOCOLS = {0x21: IPV4, 0x57: IPV6, 0x281: MPLS, 0x283: MPLS_MULTICAST}


def llc(data: bytes) -> Layer:
    """IEEE 802.2, with SNAP (RFC 1042) or straight before IP."""
    if data[:6] == _SNAP:
        return data[6] << 8 | data[7], data[8:]
    return (IPV4, data[3:]) if data[:3] == b"\x06\x06\x03" else NOTHING


def ppp(data: bytes) -> Layer:
    """RFC 1661 with its protocol in one byte or two (6.5), with or without HDLC's address and control."""
    start = 2 if data[:2] == b"\xff\x03" else 0
    width = 1 if data[start] & 1 else 2
    number = int.from_bytes(data[start : start + width], "big")
    kind = _PPP_PROTOCOLS.get(number)
    return NOTHING if kind is None else (kind, data[start + width :])


def pppoe(data: bytes) -> Layer:
    """A session of RFC 2516; discovery carries no packets."""
    if data[0] != 0x11 or data[1] != 0:
        return NOTHING
    return ppp(data[6 : 6 + (data[4] << 8 | data[5])])


def mpls(data: bytes) -> Layer:
    """A label stack (RFC 3032), which does not say what follows."""
    for at in range(0, 4 * _MAX_LABELS, 4):
        if data[at + 2] & 1:
            return _behind_labels(data[at + 4 :])
    return NOTHING


def _behind_labels(data: bytes) -> Layer:
    """IP says it itself (RFC 4928), unless it is an Ethernet address: a pseudowire (RFC 4448)."""
    version = data[0] >> 4
    if version == 6 or (version == 4 and checksum_holds(data)):
        return by_version(data)
    readings = [data]
    if data[:2] == b"\0\0":
        readings.append(data[4:])  # behind the control word (RFC 4448, 4.6), or it is a card of 00:00
    frames = [frame for frame in readings if _is_frame(frame)]
    return ethernet(frames[0]) if len(frames) == 1 else by_version(data)


def _is_frame(frame: bytes) -> bool:
    """Whether this is an Ethernet frame with something in it that is known here."""
    if len(frame) < 15:
        return False
    kind, version = frame[12] << 8 | frame[13], frame[14] >> 4
    if kind == IPV4 or kind == IPV6:
        return version == (4 if kind == IPV4 else 6)
    return kind in VLAN_TAGS or kind in SHIMS


SHIMS: dict[int, Callable[[bytes], Layer]] = {
    LLC: llc,
    MPLS: mpls,
    MPLS_MULTICAST: mpls,
    PPPOE: pppoe,
    PPP_TYPE: ppp,
}

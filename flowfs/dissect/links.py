"""Link layers, by libpcap's DLT numbers: from a frame to the layer within.

Owns the list of what can be read: the same that `core.decode` calls LINK_TYPES, as a test holds.
"""

import struct
from collections.abc import Callable

from dpkt.sll import SLL
from dpkt.sll2 import SLL2

from . import wireless
from .kinds import LLC, NOTHING, Layer, by_version, ethernet, read, typed
from .shims import ppp, pppoe

_COOKED_LLC = 4  # as protocol of a cooked frame: LLC follows, and how long it is nobody says
_CISCO_ADDRESSES = frozenset({0x0F, 0x8F})  # HDLC's unicast and broadcast, in no frame of PPP

_NFLOG_ATTRIBUTE = struct.Struct("=HH")  # in the order of this machine: libpcap turns those of foreign files
_NFLOG_PAYLOAD = 9
_MAX_NFLOG_ATTRIBUTES = 64  # Linux writes at most 20

_PPI_HEADER = struct.Struct("<BBHI")
_PPI = 192


def _cooked(frame: bytes) -> Layer:
    header = read(SLL, frame)
    return (LLC if header.ethtype == _COOKED_LLC else header.ethtype), header.data


def _cooked_2(frame: bytes) -> Layer:
    header = read(SLL2, frame)
    return (LLC if header.ethtype == _COOKED_LLC else header.ethtype), header.data


def _with_family(frame: bytes) -> Layer:
    """BSD's loopback: the family's number differs by system and byte order, and IP says it again."""
    return by_version(frame[4:])


def _serial(frame: bytes) -> Layer:
    """PPP, or Cisco's HDLC, which routers change to while a capture runs."""
    return _cisco_hdlc(frame) if frame[0] in _CISCO_ADDRESSES else ppp(frame)


def _cisco_hdlc(frame: bytes) -> Layer:
    """Address, control, and an Ethernet type (RFC 1547, 4.3.1)."""
    return typed(frame[2] << 8 | frame[3], frame[4:])


def _nflog(frame: bytes) -> Layer:
    """Attributes of netlink, one of which is the packet."""
    if frame[1] != 0:  # another version
        return NOTHING
    at = 4
    for _ in range(_MAX_NFLOG_ATTRIBUTES):
        length, kind = _NFLOG_ATTRIBUTE.unpack_from(frame, at)
        if length < 4:
            break
        if kind == _NFLOG_PAYLOAD:
            return by_version(frame[at + 4 : at + length])
        at += length + 3 & ~3
    return NOTHING


def _per_packet(frame: bytes) -> Layer:
    """PPI: fields about the packet, and its link type, which must not be PPI again."""
    version, _, length, link_type = _PPI_HEADER.unpack_from(frame)
    link = LINKS.get(link_type)
    if version != 0 or length < _PPI_HEADER.size or link is None or link_type == _PPI:
        return NOTHING
    return link(frame[length:])


LINKS: dict[int, Callable[[bytes], Layer]] = {
    0: _with_family,
    1: ethernet,
    9: _serial,
    12: by_version,
    14: by_version,
    50: _serial,
    51: pppoe,
    104: _cisco_hdlc,
    105: wireless.ieee80211,
    108: _with_family,
    113: _cooked,
    119: wireless.prism,
    127: wireless.radiotap,
    163: wireless.avs,
    _PPI: _per_packet,
    228: by_version,
    229: by_version,
    239: _nflog,
    276: _cooked_2,
}

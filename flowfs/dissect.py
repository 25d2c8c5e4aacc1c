"""The rare frames: whatever stands between the link layer and TCP that `core.decode` leaves to others.

Knows VLAN tags, LLC/SNAP, MPLS, PPPoE, and IPv6's extension headers; no TCP, no connection, and puts no
fragments together. The only module that imports dpkt. Always true: any bytes give a packet or None, never an
error; what is returned lies within the lengths that the headers state; an IPv6 packet comes back with TCP
right behind its header, or is a fragment as it stands.

dpkt's classes unpack the layers within as well, at many times the cost and with errors of their own.
So each header is read alone (`_header`), and the way down is ours.
"""

import struct
from collections.abc import Callable
from typing import Any

from dpkt import UnpackError
from dpkt.dpkt import Packet
from dpkt.ethernet import Ethernet, MPLSlabel, VLANtag8021Q
from dpkt.ip import IP
from dpkt.ip6 import (
    IP6,
    IP6AHHeader,
    IP6DstOptsHeader,
    IP6FragmentHeader,
    IP6HopOptsHeader,
    IP6RoutingHeader,
)
from dpkt.llc import LLC
from dpkt.pppoe import PPPoE
from dpkt.sll import SLL
from dpkt.sll2 import SLL2

IPV4, IPV6, _UNKNOWN = 0x0800, 0x86DD, 0xFFFF  # Ethernet types; the last is reserved
_TCP = 6
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS = 0, 43, 44, 51, 60

_MAX_LAYERS = 8  # tags and encapsulations above IP; real networks stack four
_MAX_LABELS = 16  # MPLS; hardware pushes ten at the most
_MAX_EXTENSIONS = 8  # rule G2
_MAX_LLC_BYTES = 1500  # an Ethernet type up to this is a length, and LLC follows (IEEE 802.3)
_MAX_PAYLOAD = 0xFFFF  # what IPv6's payload length can say

Layer = tuple[int, bytes]
"""An Ethernet type, and the bytes that it describes."""


def dissect(link_type: int, frame: bytes, vlan: int = 0, layers: int = 0) -> tuple[int, bytes, int] | None:
    """The VLAN id (0: none), the IP packet with TCP in `frame`, and the layers passed; None if there is none.

    `link_type` is libpcap's DLT number; `vlan` and `layers` are those of the datagram that `frame` was in.
    An IPv6 packet has lost its extension headers; its payload length is 0, meaning all that is there, where
    the number would not fit. A fragment comes as it stands, unless it is an atomic one of IPv6.
    """
    try:
        return _network_layer(*_link_layer(link_type, frame), vlan, layers)
    except (struct.error, UnpackError, IndexError):
        return None  # cut short, or nonsense


def _header(kind: type[Any], data: bytes) -> Any:
    """The header of class `kind` at the start of `data`, its payload left as bytes."""
    header = kind()
    Packet.unpack(header, data)
    return header


def _link_layer(link_type: int, frame: bytes) -> Layer:
    if link_type == 1:
        header = _header(Ethernet, frame)
        return header.type, header.data
    if link_type == 113:
        header = _header(SLL, frame)
        return header.ethtype, header.data
    if link_type == 276:
        header = _header(SLL2, frame)
        return header.ethtype, header.data
    return _by_version(frame[4:] if link_type in (0, 108) else frame)


def _by_version(packet: bytes) -> Layer:
    return {4: IPV4, 6: IPV6}.get(packet[0] >> 4, _UNKNOWN), packet


def _network_layer(kind: int, data: bytes, vlan: int, layers: int) -> tuple[int, bytes, int] | None:
    for passed in range(layers + 1, _MAX_LAYERS + 1):
        if kind in (IPV4, IPV6):
            packet = _ipv4(data) if kind == IPV4 else _ipv6(data)
            return None if packet is None else (vlan, packet, passed)
        if kind in _TAGS:
            tag = _header(VLANtag8021Q, data)
            vlan, kind, data = tag.id, tag.type, tag.data  # the innermost id counts
        elif kind <= _MAX_LLC_BYTES:
            kind, data = _llc(data[:kind])
        elif kind in _ENCAPSULATIONS:
            kind, data = _ENCAPSULATIONS[kind](data)
        else:
            break
    return None


def _llc(data: bytes) -> Layer:
    """IEEE 802.2, with or without SNAP (RFC 1042)."""
    header = _header(LLC, data)
    if header.dsap == header.ssap == 0x06:
        return IPV4, header.data
    if not header.is_snap or header.data[:3] != b"\0\0\0":
        return _UNKNOWN, b""
    return int.from_bytes(header.data[3:5], "big"), header.data[5:]


def _mpls(data: bytes) -> Layer:
    """The label stack does not say what follows; an IP packet says it itself (RFC 4928)."""
    for _ in range(_MAX_LABELS):
        label = _header(MPLSlabel, data)
        data = label.data
        if label.s:
            return _by_version(data)
    return _UNKNOWN, b""


def _pppoe(data: bytes) -> Layer:
    """A session of RFC 2516, with PPP's protocol number in one byte or two (RFC 1661, 6.5)."""
    header = _header(PPPoE, data)
    payload = header.data[: header.len]
    width = 1 if payload[0] & 1 else 2
    kinds = {0x21: IPV4, 0x57: IPV6} if header.code == 0 else {}
    return kinds.get(int.from_bytes(payload[:width], "big"), _UNKNOWN), payload[width:]


_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_ENCAPSULATIONS: dict[int, Callable[[bytes], Layer]] = {0x8847: _mpls, 0x8848: _mpls, 0x8864: _pppoe}


def _ipv4(packet: bytes) -> bytes | None:
    header = _header(IP, packet)
    fragmented = header.mf or header.offset
    return packet if header.v == 4 and (header.p == _TCP or fragmented) else None


def _ipv6(packet: bytes) -> bytes | None:
    """`packet` without its extension headers (RFC 8200, 4), if TCP follows them."""
    header = _header(IP6, packet)
    chain = _extensions(header)
    if header.v != 6 or chain is None:
        return None
    if chain and _is_fragment(chain[-1]):
        return packet
    stated, destination = header.plen, header.dst
    passed = sum(extension.length for extension in chain)
    for extension in chain:
        if isinstance(extension, IP6HopOptsHeader):
            stated = stated or _jumbo_bytes(extension)
        elif isinstance(extension, IP6RoutingHeader):
            destination = _final_destination(extension) or destination
    if stated and stated <= passed:
        return None
    left = stated - passed if stated else 0
    start = struct.pack(">IHBB", header._v_fc_flow, left if left <= _MAX_PAYLOAD else 0, _TCP, header.hlim)
    return b"".join((start, header.src, destination, header.data[passed : stated or None]))


def _extensions(header: Any) -> list[Any] | None:
    """The extension headers between `header` and TCP, or up to a fragment's; None if that is not so."""
    payload = header.data[: header.plen or None]  # 0: a jumbogram, or left to the network card
    chain: list[Any] = []
    kind = header.nxt
    while kind != _TCP:
        parse = _EXTENSIONS.get(kind)
        if parse is None or len(chain) == _MAX_EXTENSIONS:
            return None
        chain.append(parse(payload))
        if _is_fragment(chain[-1]):
            break
        kind = chain[-1].nxt
        payload = payload[chain[-1].length :]
    return chain if payload else None


_EXTENSIONS: dict[int, type[Any]] = {
    _HOP_BY_HOP: IP6HopOptsHeader,
    _ROUTING: IP6RoutingHeader,
    _FRAGMENT: IP6FragmentHeader,
    _AUTHENTICATION: IP6AHHeader,
    _DESTINATION_OPTIONS: IP6DstOptsHeader,
}


def _is_fragment(extension: Any) -> bool:
    """Whether it makes the packet a fragment, unlike an atomic one's header (RFC 6946)."""
    return isinstance(extension, IP6FragmentHeader) and bool(extension.frag_off or extension.m_flag)


def _jumbo_bytes(hop_by_hop: Any) -> int:
    """The payload length of a jumbogram (RFC 2675), 0 if it is none."""
    for option in hop_by_hop.options:
        if option["type"] == 0xC2 and option["opt_length"] == len(option["data"]) == 4:
            length = int.from_bytes(option["data"], "big")
            return length if length > _MAX_PAYLOAD else 0
    return 0


def _final_destination(routing: Any) -> bytes | None:
    """Where a packet that is still on its way is going; its TCP checksum means that (RFC 8200, 8.1)."""
    addresses = [address for address in routing.addresses if len(address) == 16]
    if not routing.segs_left or not addresses:
        return None
    return bytes(addresses[0] if routing.type == 4 else addresses[-1])  # RFC 8754 lists them backwards

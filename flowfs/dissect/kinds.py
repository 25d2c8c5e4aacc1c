"""The numbers of the layers, and the few headers that stand at several places.

Knows no way down. Always true: a header that is cut short raises IndexError, struct.error or dpkt's
UnpackError, which `descent` alone catches; one that says nonsense gives NOTHING.
"""

from typing import Any

from dpkt.dpkt import Packet

Layer = tuple[int, bytes]
"""An Ethernet type, LLC or A_MSDU, and the bytes that it describes."""

IPV4, IPV6 = 0x0800, 0x86DD
MPLS, MPLS_MULTICAST = 0x8847, 0x8848
PPPOE, PPP = 0x8864, 0x880B
ETHERNET = 0x6558  # transparent Ethernet bridging: a whole frame (RFC 1701)
VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
LLC = 0x10000  # no Ethernet type
A_MSDU = 0x10001  # several frames in one of IEEE 802.11
UNKNOWN = 0xFFFF  # reserved

NOTHING: Layer = (UNKNOWN, b"")

MAX_LLC_BYTES = 1500  # an Ethernet type up to this is a length, and LLC follows (IEEE 802.3)

TCP, UDP = 6, 17
NO_NEXT_HEADER = 59


def read(kind: type[Any], data: bytes) -> Any:
    """The header of dpkt's class `kind` at the start of `data`, its payload left as bytes.

    dpkt's constructors unpack the layers within as well, at many times the cost and with errors of their own.
    """
    header = kind()
    Packet.unpack(header, data)
    return header


def typed(kind: int, data: bytes) -> Layer:
    """What an Ethernet type, which may be a length, says of `data`."""
    if kind > MAX_LLC_BYTES:
        return kind, data
    return LLC, data[:kind]


def ethernet(frame: bytes) -> Layer:
    """An Ethernet frame without preamble (IEEE 802.3)."""
    return typed(frame[12] << 8 | frame[13], frame[14:])


def by_version(packet: bytes) -> Layer:
    """An IP packet, which says itself what it is."""
    version = packet[0] >> 4
    if version == 4:
        return IPV4, packet
    return (IPV6, packet) if version == 6 else NOTHING

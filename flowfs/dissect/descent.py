"""The way down from a frame to the innermost IP packet.

Owns the bound on nesting. Always true: each turn passes a layer, and a layer is what stands before an IP
packet: a tag, a label stack, a header of PPP or LLC, or a tunnel with the IP packet that carries it; or it is
an aggregate of frames, and the end of this way.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from dpkt import UnpackError

from .ip import MAY_HIDE_TCP, ipv4, ipv6
from .kinds import A_MSDU, IPV4, IPV6, TCP, VLAN_TAGS, typed
from .links import LINKS
from .shims import SHIMS
from .tunnels import TUNNELS
from .wireless import IEEE802_11, frames_of

if TYPE_CHECKING:  # an engine is not needed to run
    from flowfs.core.engine import Dissected

MAX_LAYERS = 8  # real networks stack five


def dissect(
    link_type: int, frame: bytes, vlan: int = 0, layers: int = 0, *, tunnels: bool = True
) -> Dissected:
    """The VLAN id (0: none), the IP packet with the innermost TCP in `frame`, the layers passed, and whether
    there was a tunnel; or, if `frame` is an aggregate, the same arguments and that for each frame in it.

    None if there is no TCP to be had. `link_type` is libpcap's DLT number. An IP fragment that may belong to
    TCP comes as it stands; reassembled, it goes on with link type RAW, and the `vlan` and `layers` that it
    came with. Any other packet has TCP right behind its header: the extension headers of IPv6, atomic
    fragments among them, and IPv4's AH are taken out. A payload length of 0 means all that is there; a header
    checksum of 0, that nobody computed one. Without `tunnels`, IP packets that carry others are left alone.
    """
    link = LINKS.get(link_type)
    if link is None:
        return None
    try:
        kind, data = link(frame)
        return _descend(kind, data, vlan, layers, tunnels)
    except (struct.error, UnpackError, IndexError):
        return None  # cut short, or nonsense


def _descend(kind: int, data: bytes, vlan: int, layers: int, tunnels: bool) -> Dissected:
    tunnelled = False
    while layers <= MAX_LAYERS:
        if kind == IPV4 or kind == IPV6:
            protocol, packet, payload = ipv4(data) if kind == IPV4 else ipv6(data)
            tunnel = TUNNELS.get(protocol) if tunnels else None
            if payload is None:  # the end of the way, or a fragment
                found = protocol == TCP or protocol in MAY_HIDE_TCP or tunnel is not None
                return (vlan, packet, layers, tunnelled) if found else None
            if tunnel is None:
                return None
            kind, data = tunnel(payload)
            tunnelled = True
        elif kind in VLAN_TAGS:
            # Of several, also across tunnels, the innermost id counts, without its priority bits.
            vlan = (data[0] << 8 | data[1]) & 0x0FFF
            kind, data = typed(data[2] << 8 | data[3], data[4:])
        elif kind == A_MSDU:
            return [(IEEE802_11, frame, vlan, layers + 1, tunnelled) for frame in frames_of(data)]
        else:
            shim = SHIMS.get(kind)
            if shim is None:
                return None
            kind, data = shim(data)
        layers += 1
    return None

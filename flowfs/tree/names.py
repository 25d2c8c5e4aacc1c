"""Names of flows: tcpflow's `%A.%a-%B.%b%V%v%C%c`, bytes sent from A port a to B port b.

Owns both directions: `name_of` writes a name, `parse` reads one. Knows no flow and keeps no index: a name is
written when it is asked for and read when it is looked up.

Always true: every flow has one name, and only that name finds it. `parse(name_of(key, generation))` gives
`(key, generation)` back, and what `parse` accepts `name_of` writes again byte for byte, so that two spellings
(`2001:DB8::1`, `10.0.0.1`, `--042`, `c0`) never stand for one file. Any bytes may be parsed; none raise.
"""

import re
import struct
from socket import AF_INET6, inet_ntop, inet_pton
from typing import Protocol

from ..core.roster import ends_of

IPV4_KEY_BYTES = 12  # source, destination, source port, destination port, as on the wire
IPV6_KEY_BYTES = 36
MAX_VLAN = 4095  # IEEE 802.1Q: 12 bits
MAX_PORT = 65535

# Nine digits keep a generation within 32 bits, whatever name is made up.
_NAME = re.compile(
    rb"(?P<src>[0-9a-f.:]{2,45})\.(?P<sport>[0-9]{5})-(?P<dst>[0-9a-f.:]{2,45})\.(?P<dport>[0-9]{5})"
    rb"(?:--(?P<vlan>[1-9][0-9]{0,3}))?(?:c(?P<generation>[1-9][0-9]{0,8}))?"
)
_OCTETS = {b"%03d" % octet: octet for octet in range(256)}
_PORTS = struct.Struct("!2H")


class Keyed(Protocol):
    """What of a flow, or of what happened to one, says which flow it is."""

    @property
    def key(self) -> bytes: ...
    @property
    def generation(self) -> int: ...
    @property
    def serial(self) -> int: ...


def name_of(key: bytes, generation: int) -> bytes:
    """The file name of the flow with this `Flow.key` and `Flow.generation`."""
    if len(key) < IPV6_KEY_BYTES:
        name = ends_of(key)
        vlan = key[IPV4_KEY_BYTES:]
    else:
        name = _ipv6_name(key)
        vlan = key[IPV6_KEY_BYTES:]
    if vlan:
        name += b"--%d" % int.from_bytes(vlan, "big")
    return name + b"c%d" % generation if generation else name


def reversed_key(key: bytes) -> bytes:
    """The key of the other direction."""
    if len(key) < IPV6_KEY_BYTES:
        return key[4:8] + key[:4] + key[10:12] + key[8:10] + key[12:]
    return key[16:32] + key[:16] + key[34:36] + key[32:34] + key[36:]


def _ipv6_name(key: bytes) -> bytes:
    # inet_ntop writes RFC 5952, 4; for mapped addresses the mixed form of its section 5 (::ffff:192.0.2.1).
    sport, dport = _PORTS.unpack_from(key, 32)
    src, dst = inet_ntop(AF_INET6, key[:16]), inet_ntop(AF_INET6, key[16:32])
    return f"{src}.{sport:05}-{dst}.{dport:05}".encode("ascii")


def parse(name: bytes) -> tuple[bytes, int] | None:
    """`(key, generation)` of a canonical name, None for any other bytes."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    src, sport, dst, dport, vlan, generation = match.groups()
    source, destination = _packed(src), _packed(dst)
    if source is None or destination is None or len(source) != len(destination):
        return None
    if int(sport) > MAX_PORT or int(dport) > MAX_PORT or int(vlan or 0) > MAX_VLAN:
        return None
    key = source + destination + _PORTS.pack(int(sport), int(dport))
    if vlan:
        key += int(vlan).to_bytes(2, "big")
    found = key, int(generation or 0)
    # Only an IPv6 address has several spellings that inet_pton reads.
    return found if len(source) == 4 or name_of(*found) == name else None


def _packed(address: bytes) -> bytes | None:
    if b":" in address:
        try:
            return inet_pton(AF_INET6, address.decode("ascii"))
        except OSError:
            return None
    octets = [_OCTETS.get(octet, -1) for octet in address.split(b".")]
    return bytes(octets) if len(octets) == 4 and -1 not in octets else None

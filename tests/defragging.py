"""A table of fragments that is looked at after each of them, and packets to cut.

Owns what must hold of core/defrag.py at any time: every fragment has one fate [R9], and what is charged is
what is there, within the budget and within each source's share [G3].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from craft import ip, tcp
from flowfs.core.counters import FRAGMENT_FATES, Counters
from flowfs.core.defrag import Defrag
from flowfs.core.limits import MAX_DATAGRAMS, MIB, REASSEMBLE_IPV4_NS, REASSEMBLE_IPV6_NS, SECOND_NS

SRC4, DST4, SRC6, DST6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
ENDS = {4: (SRC4, DST4), 6: (SRC6, DST6)}
TIMEOUT_NS = {4: REASSEMBLE_IPV4_NS, 6: REASSEMBLE_IPV6_NS}


class Table:
    """A Defrag, and the time; what it says is checked after each fragment."""

    def __init__(self, limit_bytes: int = 4 * MIB) -> None:
        self.counters = Counters()
        self.defrag = Defrag(limit_bytes, self.counters)
        self.now_ns = SECOND_NS

    def take(self, packet: bytes, vlan: int = 0) -> bytes | None:
        """From within a batch, with padding behind."""
        base = b"\xa5" * 7 + packet + b"\x55" * 9
        whole = self.defrag.take(base, 7, len(base), vlan, self.now_ns)
        self.check()
        return whole

    def take_all(self, packets: Iterable[bytes], vlan: int = 0) -> list[bytes]:
        """The whole datagrams that came of them."""
        return [whole for packet in packets if (whole := self.take(packet, vlan)) is not None]

    def fates(self) -> dict[str, int]:
        """What became of fragments, without the zeros, and how many wait."""
        found = {name.removeprefix("fragments_"): getattr(self.counters, name) for name in FRAGMENT_FATES}
        return {name: count for name, count in found.items() if count}

    def check(self) -> None:
        """Fragments are all there or accounted for, and the budget is what is charged."""
        defrag = self.defrag
        assert sum(self.fates().values()) + defrag.waiting == self.counters.fragments
        datagrams = [*defrag.ipv4.values(), *defrag.ipv6.values()]
        assert len(datagrams) <= MAX_DATAGRAMS
        assert defrag.used_bytes == sum(datagram.charged_bytes for datagram in datagrams)
        assert defrag.used_bytes <= defrag.limit_bytes
        sources = defrag.sources.values()
        assert sum(source.charged_bytes for source in sources) == defrag.used_bytes
        assert sum(source.datagrams.length for source in sources) == len(datagrams)
        assert all(0 < source.charged_bytes <= defrag.share_bytes for source in sources)

    def empty(self) -> bool:
        return not (self.defrag.used_bytes or self.defrag.waiting or self.defrag.sources)


def packet(version: int, count: int = 100, source: str = "", **fields: Any) -> bytes:
    """A whole packet with `count` bytes behind the IP header, as reassembly gives it back."""
    src, dst = ENDS[version]
    payload = bytes(range(1, 251)) * (count // 250 + 1)
    data = tcp(*ENDS[version], 40000, 80, seq=7, payload=payload[: max(0, count - 20)])[:count]
    if version == 4:
        fields = {"ident": 1, "fragment": 0, "checksum": 0} | fields
    return ip(source or src, dst, data, **fields)

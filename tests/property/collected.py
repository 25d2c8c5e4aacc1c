"""Captures from the wild, read by libpcap.

The packets of a file that is damaged are those before the damage; a file that is no capture has none.
"""

from __future__ import annotations

from pathlib import Path

import pcapy

from craft import ETHERNET, Packet, batches
from flowfs.core.limits import Limits
from property import cores
from property.playing import check_counters

LIMITS = Limits(payload_bytes=16 << 20, out_of_order_bytes=1 << 20, table_bytes=1 << 20)


def packets_of(path: Path) -> tuple[list[Packet], int]:
    """All packets, and their link type."""
    found: list[Packet] = []
    try:
        reader = pcapy.open_offline(str(path))
    except pcapy.PcapError:
        return found, ETHERNET
    link_type: int = reader.datalink()
    try:
        while True:
            header, frame = reader.next()
            if header is None:
                break
            seconds, microseconds = header.getts()
            found.append(Packet(seconds * 10**9 + microseconds * 1000, frame, header.getlen()))
    except pcapy.PcapError:
        pass
    finally:
        reader.close()
    return found, link_type


def loaded(core: cores.Core, packets: list[Packet], size: int, link_type: int) -> list[cores.Tree]:
    """What is to be seen before the end of the capture and after it, with batches of one size."""
    engine = core.start(LIMITS)
    for batch in batches(packets, size):
        engine.feed(*batch, link_type)
    before = cores.tree(engine)
    engine.finish()
    check_counters(engine)
    seen = [before, cores.tree(engine)]
    engine.close()
    return seen

"""The text of `.flowfs/status.json`: one moment of the mount, for people and for scripts.

Knows no directory and no format of its own beyond JSON: what the counters mean is with those who count.

What `about` says of packets means the same for interfaces and files, as far as libpcap tells:
 - received_packets passed the filter and went to the engine, whose `packets` they are. How many did not pass
   nobody says of interfaces, where the kernel filters, so it is not said of files either;
 - left_out_packets are of files alone: their link type, of one interface among several in a file of pcapng,
   cannot be read or not be filtered. An interface of that kind is refused before it gives any;
 - dropped_by_kernel and dropped_by_interface are of interfaces alone, and the kernel counts them before the
   filter or behind it, as its driver has it (pcap_stats(3pcap)). `interfaces` has them of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .. import __version__
from ..core.engine import Engine


def status(engine: Engine, about: Mapping[str, object]) -> dict[str, object]:
    """One moment: `version`, `finished`, what `about` adds, and `statistics`.

    `statistics` is one atomic snapshot of the engine's counters and gauges, by name.
    """
    return {
        "version": __version__,
        "finished": engine.finished,
        **about,
        "statistics": engine.statistics(),
    }


def status_json(status: Mapping[str, object]) -> bytes:
    """UTF-8 JSON, one object, a line each."""
    return json.dumps(status, indent=2, ensure_ascii=False).encode() + b"\n"

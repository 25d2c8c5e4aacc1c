"""Interfaces, capture files and standard input → batches of packets for the engine.

Knows neither TCP nor a file system; of the engine it calls feed, tick, finish and changed. The only room
that imports pcapy.

    opening    what can go wrong, in words     sources   interfaces → batches    thread   who reads, and when
    savefile   files and streams → batches     merge     several as one          formats  pcap and pcapng
    inputs     descriptors → bytes           following   what becomes of a file that is still written
    ahead      memory before it is needed
"""

from .ahead import Ahead
from .opening import DIRECTIONS, CaptureError, FilterError, open_file, open_interface
from .sources import Drops, Source, same_interface
from .thread import Capture

__all__ = [
    "DIRECTIONS",
    "Ahead",
    "Capture",
    "CaptureError",
    "Drops",
    "FilterError",
    "Source",
    "open_file",
    "open_interface",
    "same_interface",
]

"""The rare frames: whatever stands between the link layer and TCP that `core.decode` leaves to others.

Knows link layers, tags, labels and tunnels; no TCP, no connection, and of fragments that they are some.
Always true: any bytes give a packet or None, never an error; what is returned lies within the lengths that
the headers state; at most MAX_LAYERS layers are passed, and what a layer costs does not grow with the frame,
but for the copying of it.

    links ──▶ descent ◀──▶ shims     tags, LLC, MPLS, PPP          wireless   802.11 and what stands before it
    wireless ─┘       ◀──▶ ip        IPv4, IPv6 and its chain      kinds      numbers, and what a layer is
                      ◀──▶ tunnels   GRE, and those in UDP

A layer is a number that says what the bytes are (an Ethernet type, since nearly every layer here has one),
and the bytes. A header gives the layer behind it. dpkt's classes take 3 to 5 µs a header, and tunnelled
captures go through here whole: the headers that they are full of are read in place, and dpkt reads those
that are rare and short.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an engine is not needed to run
    from flowfs.core.engine import Dissected


@cache
def load() -> Callable[..., Dissected]:
    """Import all of it, which takes 25 ms for dpkt: so the first rare frame does, if it was not done before.

    It must be done before rights are given up: nobody knows who may read the installation.
    """
    from .descent import dissect as descend

    return descend


def dissect(
    link_type: int, frame: bytes, vlan: int = 0, layers: int = 0, *, tunnels: bool = True
) -> Dissected:
    """What is inside a frame, see descent.dissect()."""
    return load()(link_type, frame, vlan, layers, tunnels=tunnels)

"""Dissection of frames that hold one packet at the most, as most tests of it want it."""

from __future__ import annotations

from flowfs import dissect as room


def dissect(
    link_type: int, frame: bytes, vlan: int = 0, layers: int = 0, *, tunnels: bool = True
) -> tuple[int, bytes, int] | None:
    """The VLAN id, the IP packet and the layers passed."""
    found = room.dissect(link_type, frame, vlan, layers, tunnels=tunnels)
    if found is None:
        return None
    assert isinstance(found, tuple), "an aggregate of frames"
    return found[:3]


def dissect_all(link_type: int, frame: bytes, vlan: int = 0, layers: int = 0) -> list[tuple[int, bytes, int]]:
    """The same of all packets in a frame, aggregates within aggregates included."""
    found = room.dissect(link_type, frame, vlan, layers)
    if isinstance(found, list):
        return [packet for inside in found for packet in dissect_all(*inside[:4])]
    return [found[:3]] if found is not None else []

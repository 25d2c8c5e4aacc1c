"""What other programs see in a capture: tshark's segments, and tcpflow's files.

Knows how to ask them, and nothing of how flowfs works. Always true: tshark puts fragments together and takes
tunnels apart, but no stream; that is done in `together`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_FIELDS = (
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "vlan.id",
    "tcp.seq_raw",
    "tcp.flags",
    "tcp.payload",
)
_OPTIONS = (
    "tcp.desegment_tcp_streams:false",
    "tcp.analyze_sequence_numbers:true",  # else there is no tcp.seq_raw
    "tcp.relative_sequence_numbers:true",
    "tcp.check_checksum:false",
    "ip.defragment:true",
)
_QUOTING = frozenset(("icmp", "icmpv6", "sflow"))  # these carry the start of packets that are on no wire
_SYN = 0x02


class Seen(NamedTuple):
    """A segment, by the innermost headers of its packet."""

    vlan: int
    src: str
    sport: int
    dst: str
    dport: int
    seq: int
    syn: bool
    payload: bytes


def seen_by_tshark(path: Path) -> list[Seen]:
    """The segments of a capture, in its order."""
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "occurrence=l"]
    for option in _OPTIONS:
        command += ["-o", option]
    for field in _FIELDS:
        command += ["-e", field]
    # 2: a capture that is cut short, which tshark reads as far as it goes
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode in (0, 2), told.stderr
    found = (_seen(line.split("\t")) for line in told.stdout.splitlines())
    return [seen for seen in found if seen is not None]


def _seen(row: list[str]) -> Seen | None:
    """A row as a segment; None for a quoted one, and for one of which the header was not captured."""
    protocols, src4, dst4, src6, dst6, sport, dport, vlan, seq, flags, payload = row
    layers = protocols.split(":")
    layers = layers[: len(layers) - layers[::-1].index("tcp")]
    if _QUOTING & set(layers) or not seq or not flags:
        return None
    network = [layer for layer in layers if layer in ("ip", "ipv6")][-1]
    src, dst = (src4, dst4) if network == "ip" else (src6, dst6)
    syn = bool(int(flags, 16) & _SYN)
    ends = src, int(sport), dst, int(dport)
    return Seen(int(vlan or "0", 0), *ends, int(seq), syn, bytes.fromhex(payload))


def files_of_tcpflow(path: Path, folder: Path, *options: str) -> dict[str, bytes]:
    """What tcpflow writes for a capture, by name, or path where options make directories."""
    subprocess.run(["tcpflow", "-r", str(path), "-o", str(folder), *options], capture_output=True, check=True)
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "report.xml")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}

"""The inputs that a fuzzer begins with, from crafted packets: `python tests/fuzz/seeds.py` writes them.

In the corpus they are the files `seed-NAME`; those called `found-HASH` are of a fuzzer, for the branches that
they take. Always true: the same calls give the same bytes, and no input is from a capture of someone else.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from craft import (
    ETHERNET,
    LOOP,
    NULL,
    RAW,
    SLL,
    SLL2,
    Conversation,
    Extension,
    Packet,
    Tag,
    destination_options,
    fragment_header,
    fragments,
    hop_by_hop,
    ip,
    link,
    pcap,
    routing,
    tcp,
    timestamps,
)
from craft.pcapng import block, enhanced, interface, old, pcapng, section, simple
from fuzz.fragments import OFFSET_BY
from fuzz.frames import ACT, FLUSH, TICK, Framed, written
from fuzz.targets import CORPUS

V4, V6 = ("10.0.0.1", "10.0.0.2"), ("fe80::1", "fe80::2")


def talk(link_type: int = ETHERNET, tags: tuple[Tag, ...] = (), ends: tuple[str, str] = V4) -> Conversation:
    """A short conversation, with a segment out of order and one that is sent twice."""
    spoken = Conversation(*ends, link_type=link_type, tags=tags)
    spoken.handshake(timestamps(1)).client(3, b"def").client(0, b"abc").server_ack(6)
    return spoken.server(0, b"reply").server(0, b"reply").client_ack(5).close()


def framed(packets: Iterable[Packet], link_type: int = ETHERNET, before: int = 0) -> list[Framed]:
    return [Framed(packet.frame, link_type, before=before) for packet in packets]


# --- frames --------------------------------------------------------------------------------------


def frames_seeds() -> dict[str, bytes]:
    seeds = {f"link-{number}": written(framed(talk(number).packets, number)) for number in LINKS}
    seeds |= {f"v6-link-{number}": written(framed(talk(number, ends=V6).packets, number)) for number in LINKS}
    seeds |= {name: written([Framed(frame)]) for name, frame in wrapped().items()}
    seeds["vlan"] = written(framed(talk(tags=(Tag(42, 5),)).packets))
    seeds["qinq"] = written(framed(talk(tags=(Tag(7, tpid=0x88A8), Tag(42))).packets))
    for name, before in (
        ("batches", FLUSH),
        ("ticks", TICK),
        ("acts", ACT | 2 << 3),
        ("opens", ACT | 1 << 3),
    ):
        seeds[name] = written(framed(talk().packets, before=before), limits=1)
    seeds["hole"] = written(hole(), limits=2)
    seeds["fragments"] = written(map(ethernet, fragments(segment(V4, b"x" * 100), 24)))
    seeds["fragments-v6"] = written(map(ethernet, fragments(segment(V6, b"x" * 100), 24)))
    return seeds


LINKS = (ETHERNET, NULL, RAW, LOOP, SLL, SLL2)


def ethernet(packet: bytes) -> Framed:
    return Framed(link(ETHERNET, packet))


def segment(ends: tuple[str, str], payload: bytes = b"abc", extensions: Iterable[Extension] = ()) -> bytes:
    """An IP packet with one segment."""
    fields: dict[str, Any] = {"extensions": list(extensions)} if extensions else {}
    return ip(*ends, tcp(*ends, 40000, 80, seq=1001, ack=1, payload=payload), **fields)


def hole() -> list[Framed]:
    """What waits for a byte that never comes, and then long enough."""
    packets = Conversation().handshake().client(0, b"abc").client(6, b"ghi").server_ack(9).other().packets
    return [Framed(packet.frame, wait=min(number, 8)) for number, packet in enumerate(packets)]


def wrapped() -> dict[str, bytes]:
    """Frames that take the long way."""
    v4, v6 = segment(V4), segment(V6)
    macs = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01"
    snap = b"\xaa\xaa\x03\0\0\0\x08\0" + v4
    chain = (hop_by_hop(), routing(), destination_options(), fragment_header())
    udp_vxlan = b"\x12\xb5\x12\xb5" + (16 + 14 + len(v4)).to_bytes(2, "big") + bytes(2) + b"\x08" + bytes(7)
    return {
        "mpls": macs + b"\x88\x47" + b"\0\x01\x01\x40" + v4,
        "mpls-twice": macs + b"\x88\x47" + b"\0\x01\0\x40\0\x02\x01\x40" + v6,
        "pppoe": macs + b"\x88\x64\x11\0\0\x01" + (len(v4) + 2).to_bytes(2, "big") + b"\0\x21" + v4,
        "snap": macs + len(snap).to_bytes(2, "big") + snap,
        "v6-headers": link(ETHERNET, segment(V6, extensions=chain)),
        "ipip": link(ETHERNET, ip("192.0.2.1", "192.0.2.2", v4, protocol=4)),
        "6in4": link(ETHERNET, ip("192.0.2.1", "192.0.2.2", v6, protocol=41)),
        "gre": link(ETHERNET, ip("192.0.2.1", "192.0.2.2", b"\0\0\x08\0" + v4, protocol=47)),
        "vxlan": link(ETHERNET, ip("192.0.2.1", "192.0.2.2", udp_vxlan + macs + b"\x08\0" + v4, protocol=17)),
    }


# --- captures ------------------------------------------------------------------------------------


def captures_seeds() -> dict[str, bytes]:
    packets = talk().packets
    times = [(packet.time_ns, packet.frame) for packet in packets]
    whole, frame = pcap(packets), packets[3].frame
    seeds = {f"packed-{how}": bytes([how]) + whole for how in range(7)}
    files = {
        "big-endian": pcap(packets, byte_order=">"),
        "nanoseconds": pcap(packets, nanoseconds=True),
        "sll2": pcap(talk(SLL2).packets, SLL2),
        "patched": bytes.fromhex("34cdb2a1") + whole[4:24] + whole[24:40] + bytes(8) + packets[0].frame,
        "cut": whole[:-5],
        "header-alone": whole[:24],
        "pcapng": pcapng(times),
        "pcapng-big-endian": pcapng(times, ">"),
        "pcapng-blocks": several_interfaces(frame),
        "pcapng-cut": pcapng(times)[:-7],
        "pcapng-damaged": pcapng(times[:2]) + block(6, b"\xff" * 32),
        "gzip-magic": b"\x1f\x8b\x08\0",
        "empty": b"",
    }
    seeds |= {f"chunks-{how}-{name}": bytes([7 * how]) + files[name] for how in (1, 2, 3) for name in CHUNKED}
    return seeds | {name: b"\0" + data for name, data in files.items()}


CHUNKED = ("big-endian", "cut", "pcapng", "pcapng-blocks")


def several_interfaces(frame: bytes) -> bytes:
    """Blocks of each kind, in two sections; interfaces of two link types and clocks."""
    first = section() + interface(resolution=9) + interface(12, resolution=0x8A, offset_s=-5)
    first += enhanced(frame, 10**18) + enhanced(frame[14:], 1 << 40, 1) + old(frame, 10**18)
    second = section(">") + interface(snaplen=60, order=">") + simple(frame, order=">")
    return first + block(5, bytes(12)) + second + enhanced(frame, 1 << 50, order=">")


# --- fragments -----------------------------------------------------------------------------------

SERVER, CLIENT, VLAN, V6_CONNECTION = 0, 1, 10, 12  # the last two are to be added
SEGMENT, RUN, PIECES, FORGED = 0x30, 0x80, 0xA0, 0xE0
_FLAGS = {"PA": 0, "A": 0x10, "FA": 0x12, "S": 0x13, "SA": 0x14, "R": 0x16}
SEVEN, LONG, FAR = 4, 7, 0xA0  # lengths, and 256 KiB further on


def step(
    who: int, flags: str, offset: int, acked: int, shape: int = 0, kind: int = SEGMENT, *rest: int
) -> bytes:
    """A step of the grammar that asks for a segment, or for fragments of it with `rest`."""
    fields = struct.pack("!BBHH", shape, _FLAGS[flags], offset + OFFSET_BY, acked + OFFSET_BY)
    return bytes([kind | who]) + fields + bytes(rest)


def opening(connection: int = 0) -> bytes:
    return step(connection | CLIENT, "S", -1, -1) + step(connection | SERVER, "SA", -1, 0)


def data(offset: int, shape: int = SEVEN, kind: int = SEGMENT, *rest: int, connection: int = 0) -> bytes:
    return step(connection | CLIENT, "PA", offset, 0, shape, kind, *rest)


def fragments_seeds() -> dict[str, bytes]:
    a_while, half_a_minute = b"\x05", b"\x07"
    acked = step(SERVER, "A", 0, 21)
    steps = {
        "talk": opening() + data(7) + data(0) + acked + step(CLIENT, "FA", 14, 0) + step(SERVER, "FA", 0, 15),
        "hole": opening() + data(14) + acked + a_while + step(SERVER, "A", 0, 21) + data(0),
        "many-holes": opening() + b"".join(data(100 * number) for number in range(1, 20)) + a_while + acked,
        "long": opening() + data(60_000 % 0x3000, LONG, RUN, 7) + data(0, LONG, RUN, 3) + a_while + acked,
        "full": opening() + data(0, LONG, RUN, 11) + opening(VLAN) + data(0, LONG, RUN, 7, connection=VLAN),
        "full-and-open": opening()
        + data(0)
        + b"\x21\0"
        + data(7, LONG, RUN, 11)
        + opening(VLAN)
        + data(0, LONG, RUN, 11, connection=VLAN),
        "idle": opening()
        + data(0, LONG, RUN, 2)
        + half_a_minute
        + opening(VLAN)
        + data(0, LONG, RUN, 11, connection=VLAN),
        "reset": opening() + data(0) + step(SERVER, "R", 0, 7) + opening() + data(0),
        "pieces": opening() + data(0, SEVEN, PIECES, 0, 0, 0, 0) + data(7, SEVEN, PIECES, 1, 0x10, 0, 0),
        "pieces-differ": opening() + data(0, SEVEN, PIECES, 0, 0x28, 0, 0),
        "pieces-lost": opening() + data(0, SEVEN, PIECES, 0, 0, 0, 2) + half_a_minute + data(7),
        "crowd": b"\xf1\0\x1f\x10\xf2\0\x1f\xb2\xf3\x08\x1f\xb2" + half_a_minute + b"\xf1\x05\x08\x01",
        "pieces-flood": b"".join(
            data(0, LONG, PIECES, 0, ident, 0, 2, connection=connection)
            for ident in range(3)
            for connection in (0, 8, VLAN, V6_CONNECTION)
        ),
        "pieces-v6": opening(V6_CONNECTION) + data(0, LONG, PIECES, 2, 0x31, 0, 0, connection=V6_CONNECTION),
        "forged": opening()
        + data(0, SEVEN, FORGED, 0, 0, 8, 0, 0)
        + data(0, LONG, FORGED, 3, 0, 40, 0xFF, 0xF8),
        "actions": opening() + data(0) + b"\x21\0" + data(7) + b"\x22\0\x21\0" + data(14) + b"\x20\0\x22\0",
        "vlan": opening(VLAN) + data(0, connection=VLAN),
        "far": opening() + data(0) + data(7, SEVEN | FAR) + data(14, SEVEN | FAR) + a_while + acked,
    }
    return {
        f"{name}-{limits}": bytes([limits]) + found
        for name, found in steps.items()
        for limits in (range(4) if name.startswith(("pieces", "crowd")) else range(2))
    }


SEEDS: dict[str, Callable[[], dict[str, bytes]]] = {
    "captures": captures_seeds,
    "fragments": fragments_seeds,
    "frames": frames_seeds,
}


def main() -> None:
    for target, seeds in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("seed-*"):
            path.unlink()
        for name, data in seeds().items():
            (folder / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()

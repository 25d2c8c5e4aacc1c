"""The target `fragments`: a small grammar of bytes that gives segments and fragments which meet each other.

An input is a byte that chooses the limits, then steps of a byte each and what it asks for: segments of
`property.hostile`'s connections (IPv4, IPv6, a VLAN, numbers that wrap), whole or in fragments, forged
fragments, fragments of many senders, time, and what readers do. Unlike `frames`, each byte of an input means
something, so that a fuzzer gets behind the headers. Each input is played twice, packet by packet and in one
batch between two actions, which must give the same tree [R10].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from craft import ETHERNET, Packet, fragment, ip, link
from engines import Tree, file_of
from flowfs.core.flow import Flow
from fuzz.cursor import Cursor
from fuzz.watching import KIB, LIMITS, Watched
from property.hostile import BASE_NS, FLAGS, WAITS_NS, Action, Header, Piece, written

MOST_PACKETS = 300
MOST_PIECES = 24  # of one segment
LARGEST_CROWD = 32
LONGEST_RUN = 12  # such a one of long segments fills the payload of any of LIMITS

_CONNECTIONS = (0, 0, 0, 0, 1, 2, 3, 4)
OFFSET_BY = 0x10  # so that a few offsets are below 0
_JUMPS = (0, 0, 0, 0, 64 * KIB, 256 * KIB, 16384 * KIB, 1 << 31)  # how far away from what is there
_ISNS = (0, 0, 0, 0, 0, 1, 500, 1 << 31)
_LENGTHS = (0, 1, 1, 2, 7, 100, 1460, 30_000)
_ACTIONS = ("open", "release", "evict")

Script = list[Packet | Action]
What = Header | Piece | bytes


def run(data: bytes) -> None:
    """Play what the input says. Raises AssertionError where a promise is broken."""
    cursor = Cursor(data)
    limits = LIMITS[cursor.byte() % len(LIMITS)]
    script = script_of(cursor)
    trees = [played(Watched(limits), script, size) for size in (1, 1000)]
    assert trees[0] == trees[1], "batches make a difference"


def played(watched: Watched, script: Script, size: int) -> Tree:
    """What is there of a script in the end, with batches of `size`."""
    packets: list[Packet] = []
    for item in script:
        if isinstance(item, Action):
            feed(watched, packets, size)
            packets = []
            watched.act(_ACTIONS.index(item.what) + 3 * item.which)
        else:
            packets.append(item)
    feed(watched, packets, size)
    watched.engine.finish()
    engine = watched.engine
    files = [file_of(engine, flow) for flow in engine.list_after(0, 100) if is_small(flow)]
    tree = Tree(files, engine.statistics())
    watched.finish()
    return tree


def feed(watched: Watched, packets: list[Packet], size: int) -> None:
    for start in range(0, len(packets), size):
        watched.feed(packets[start : start + size], ETHERNET)


def is_small(flow: Flow) -> bool:
    """Whether it is cheap to read: gaps of gigabytes are had for three packets."""
    return flow.size - flow.start < 4096 * KIB


# --- the grammar ---------------------------------------------------------------------------------


def script_of(cursor: Cursor) -> Script:
    """The packets and actions that an input asks for."""
    script: Script = []
    time_ns = BASE_NS
    while cursor.more and len(script) < MOST_PACKETS:
        step = cursor.byte()
        if step < 0x20:
            time_ns += WAITS_NS[step % len(WAITS_NS)]
        elif step < 0x30:
            script.append(Action(_ACTIONS[step % 3], cursor.byte() % 6))
        else:
            for what in packets_of(step, cursor):
                time_ns += 10_000
                frame = frame_of(what)
                script.append(Packet(time_ns, frame, len(frame)))
    return script


@lru_cache(maxsize=500)
def frame_of(what: What) -> bytes:
    """A frame; inputs that a fuzzer makes of one another share most of theirs."""
    return what if isinstance(what, bytes) else written(what, ETHERNET)


def packets_of(step: int, cursor: Cursor) -> Iterator[What]:
    """A segment, several in a row, the fragments of one, a single forged fragment, or those of a crowd."""
    if step >= 0xF0:
        yield from crowd(step & 3, cursor)
        return
    header = header_of(step, cursor)
    if step < 0x80:
        yield header
    elif step < 0xA0:
        for number in range(1 + cursor.byte() % LONGEST_RUN):
            yield header._replace(offset=header.offset + number * header.length)
    elif step < 0xE0:
        yield from pieces_of(header._replace(length=min(header.length, 400)), cursor)
    else:
        start, end, offset = cursor.byte() * 8, cursor.half(), cursor.half() & 0xFFF8
        yield Piece(header, step & 3, start, start + end % 1500, offset, (None, True, False)[end % 3])


def header_of(step: int, cursor: Cursor) -> Header:
    """A segment; `step` says of which connection and direction."""
    shape, flags = cursor.byte(), cursor.byte()
    offset, acked = cursor.half() % 0x3000 - OFFSET_BY, cursor.half() % 0x3000 - OFFSET_BY
    length = _LENGTHS[shape & 7] + (cursor.byte() if shape & 8 else 0)
    return Header(
        connection=_CONNECTIONS[step >> 1 & 7],
        from_client=bool(step & 1),
        isn_by=_ISNS[flags >> 5],
        offset=offset + _JUMPS[shape >> 5],
        length=length,
        acked=acked,
        flags=FLAGS[flags % len(FLAGS)] if flags & 0x10 else "PA",
        captured=cursor.byte() if shape & 0x10 else None,
    )


def pieces_of(header: Header, cursor: Cursor) -> Iterator[Piece]:
    """A segment in fragments: in any order, some twice, some not at all, some with other bytes."""
    size, order, spared = (1 + cursor.byte() % 16) * 8, cursor.byte(), cursor.half()
    starts = list(range(0, 20 + header.length, size))[:MOST_PIECES]
    ident = 1 + order % 3
    if order & 0x10:
        starts.reverse()
    turn = (order >> 5) % len(starts)
    for number, start in enumerate(starts[turn:] + starts[:turn]):
        if not spared >> (number % 16) & 1:
            yield Piece(header, ident, start, start + size, start, None)
        if order & 0x08 and number % 3 == 1:  # what differs in the sequence number alone
            yield Piece(header._replace(acked=0), ident, start, start + size, start, None)


def crowd(ident: int, cursor: Cursor) -> Iterator[bytes]:
    """First fragments of many senders, of whom each has a share of the budget; the rest never comes."""
    first, count, size = cursor.byte(), 1 + cursor.byte() % LARGEST_CROWD, 8 * (1 + cursor.byte() % 180)
    for number in range(count):
        packet = ip(f"10.1.0.{(first + number) % 256}", "10.0.0.2", bytes(size + 8))
        yield link(ETHERNET, fragment(packet, 0, size, ident=ident))

"""Packets as an attacker, a broken card or a torn cable sends them, and what a mount's readers do meanwhile.

Owns the strategies `scripts` (packets and actions in one list) and `tiny_limits`. Few addresses, few initial
sequence numbers and small offsets, so that packets meet each other; time goes in jumps that reach each
timeout. Always true: unless `broken` frames and fragments were asked for, each payload byte that is sent is
not 0.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from hypothesis import strategies as st

from craft import ETHERNET, LOOP, NULL, RAW, SLL, SLL2, Packet, Tag, fragment, ip, link, tcp
from flowfs.core.limits import CONNECTION_BYTES, EVICT_POLICIES, KEEP_ENDS, UNLIMITED_BYTES, Limits

BASE_NS = 1_700_000_000 * 10**9
BLOCK = 1 << 16
SPACE = 1 << 32
WINDOW = 16 << 20  # where none is known [Q2]


class Action(NamedTuple):
    """What a reader does between packets, to the flow that is number `which` of those there are."""

    what: str  # open, release, evict
    which: int


class Ends(NamedTuple):
    client: str
    server: str
    port: int
    tags: tuple[Tag, ...]
    isns: tuple[int, int]


CONNECTIONS = (
    Ends("10.0.0.1", "10.0.0.2", 1000, (), (1000, 5_000_000)),
    Ends("10.0.0.1", "10.0.0.2", 1001, (), (SPACE - 5, 7)),
    Ends("10.0.0.1", "10.0.0.2", 1000, (Tag(42),), (SPACE // 2, SPACE - 20_000)),
    Ends("fe80::1", "fe80::2", 1000, (), (0, SPACE // 2)),
    Ends("10.0.0.1", "10.0.0.1", 1000, (), (1000, 1000)),  # land: both sides look the same
)
IP_ONLY = (14, 228, 229, 147)  # the last is none that the core knows
LINK_TYPES = (ETHERNET, ETHERNET, ETHERNET, SLL, SLL2, RAW, NULL, LOOP, *IP_ONLY)

LAND_PORT = 1000
SERVER_PORT = 80

WAITS_NS = (0, 1_000, 1_000_000, 110_000_000, 300_000_000, 3_100_000_000, 11 * 10**9, 31 * 10**9, 61 * 10**9)
FLAGS = ("A", "PA", "A", "PA", "FA", "S", "SA", "RA", "R", "", "F", "SF", "SR", "UA")


class Header(NamedTuple):
    """What one segment says; offsets count from the first byte behind the ISN."""

    connection: int
    from_client: bool
    isn_by: int  # another ISN than the connection's usual one
    offset: int
    length: int
    acked: int
    flags: str | int
    captured: int | None  # of the payload


class Piece(NamedTuple):
    """A fragment of a segment: where it begins and ends, and where it says that it stands."""

    of: Header
    ident: int
    start: int
    end: int
    offset: int
    more: bool | None


class Shot(NamedTuple):
    """A frame, spoken of or as it is."""

    time_ns: int
    what: Header | Piece | bytes

    def packet(self, link_type: int) -> Packet:
        frame = self.what if isinstance(self.what, bytes) else written(self.what, link_type)
        return Packet(self.time_ns, frame, len(frame))


Script = list[Shot | Action]
Late = tuple[int, Header | Piece | bytes]  # so many ns after the one before


def written(what: Header | Piece, link_type: int = ETHERNET) -> bytes:
    header = what.of if isinstance(what, Piece) else what
    tags = CONNECTIONS[header.connection].tags if link_type in (ETHERNET, SLL, SLL2) else ()
    packet = packet_of(header)
    if isinstance(what, Piece):
        packet = fragment(packet, what.start, what.end, ident=what.ident, more=what.more, offset=what.offset)
    frame = link(RAW if link_type in IP_ONLY else link_type, packet, tags)
    if header.captured is None:
        return frame
    return frame[: max(0, len(frame) - max(0, header.length - header.captured))]


def packet_of(header: Header) -> bytes:
    ends = CONNECTIONS[header.connection]
    sport, dport = ends.port, LAND_PORT if ends.client == ends.server else SERVER_PORT
    src, dst = ends.client, ends.server
    own, peer = ends.isns
    if not header.from_client:
        src, dst, sport, dport, own, peer = dst, src, dport, sport, peer, own
    segment = tcp(
        src,
        dst,
        sport,
        dport,
        seq=own + header.isn_by + 1 + header.offset,
        ack=peer + 1 + header.acked,
        flags=header.flags,
        payload=payload(header),
        checksum=0,
    )
    return ip(src, dst, segment)


def payload(header: Header) -> bytes:
    """Bytes by their place, none of them 0, and others where the ISN differs."""
    first = (header.offset + header.isn_by) * 7
    pattern = bytes(1 + (first + place) % 255 for place in range(min(header.length, 255)))
    return (pattern * (header.length // 255 + 1))[: header.length]


# --- strategies ----------------------------------------------------------------------------------

SMALL = st.integers(0, 12)
OFFSETS = st.one_of(
    SMALL,
    st.integers(-3, 3000),
    st.sampled_from(
        [1 << 16, 1 << 17, (1 << 18) + 5, (16 << 20) + 3, (16 << 20) + 4, SPACE // 2, -(1 << 20)]
    ),
)
LENGTHS = st.one_of(st.integers(0, 3), SMALL, st.integers(0, 3000), st.sampled_from([30_000, 60_000]))
HEADERS = st.builds(
    Header,
    connection=st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
    from_client=st.booleans(),
    isn_by=st.sampled_from([0, 0, 0, 0, 0, 1, 500, 70_000, 1 << 31]),
    offset=OFFSETS,
    length=LENGTHS,
    acked=OFFSETS,
    flags=st.one_of(st.sampled_from(FLAGS), st.integers(0, 255)),
    captured=st.one_of(st.none(), st.none(), st.none(), SMALL),
)


@st.composite
def talk(draw: st.DrawFn) -> list[Late]:
    """A connection as it should be, of which the capture lacks something; or a part of it."""
    connection, by = draw(st.sampled_from([0, 0, 0, 1, 2, 3])), draw(st.sampled_from([0, 0, 0, 500]))
    found: list[Late] = []
    sent = [0, 0]

    def say(side: int, flags: str, length: int = 0, captured: int | None = None, wait_ns: int = 0) -> None:
        by_side = (by, 0) if side == 0 else (0, by)
        acked = sent[1 - side] + by_side[1]
        found.append(
            (wait_ns, Header(connection, side == 0, by_side[0], sent[side], length, acked, flags, captured))
        )
        sent[side] += length + ("F" in flags)

    sent[0] = sent[1] = -1
    say(0, "S")
    sent[0] = 0
    say(1, "SA")
    sent[1] = 0
    say(0, "A")
    begun = draw(st.integers(0, 3))
    for side, lacking, length, captured, wait_ns in draw(st.lists(TURNS, max_size=8)):
        sent[side] += lacking
        say(side, "PA", length, captured, wait_ns)
    for side, flags in draw(st.sampled_from(ENDINGS)):
        say(side, flags)
    return found[begun:]


TURNS = st.tuples(
    st.sampled_from([0, 1]),
    st.sampled_from([0, 0, 0, 1, 1460]),
    LENGTHS,
    st.one_of(st.none(), st.none(), SMALL),
    st.sampled_from([0, 0, 0, 300_000_000, 11 * 10**9]),
)
ENDINGS: tuple[tuple[tuple[int, str], ...], ...] = (
    (),
    ((0, "FA"), (1, "FA"), (0, "A")),
    ((0, "FA"), (1, "A"), (1, "PA")),
    ((0, "RA"),),
    ((1, "R"),),
)


@st.composite
def run(draw: st.DrawFn) -> list[Late]:
    """One direction's bytes in a row: what fills blocks, and holes that stay."""
    header = draw(HEADERS)._replace(flags="A", captured=None, acked=draw(SMALL))
    step = header.length + draw(st.sampled_from([0, 0, 1, 1460]))
    count = draw(st.integers(2, 12))
    return [(0, header._replace(offset=header.offset + number * step)) for number in range(count)]


@st.composite
def pieces(draw: st.DrawFn) -> list[Late]:
    """The fragments of a segment, in any order; some not at all, twice, or somewhere else."""
    header = draw(HEADERS)._replace(length=draw(st.integers(0, 150)))
    size, ident = draw(st.sampled_from([8, 24, 32, 64])), draw(st.integers(1, 2))
    places = list(range(0, 20 + header.length, size))
    found: list[Late] = []
    for start in draw(st.one_of(st.just(places), st.permutations([*places, *places[:3]]))):
        by = draw(st.sampled_from([0] * 20 + [8, -8, 65528]))
        more = draw(st.sampled_from([None] * 20 + [True, False]))
        wait_ns = draw(st.sampled_from([0] * 20 + [31 * 10**9]))
        found.append(
            (wait_ns, Piece(header, ident, start, start + size, max(0, min(start + by, 65528)), more))
        )
    return found[draw(st.sampled_from([0, 0, 0, 1])) :]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A frame with some bytes changed, cut anywhere, or nonsense altogether."""
    frame = bytearray(written(draw(HEADERS))[:300])
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=3)):
        if place < len(frame):
            frame[place] = byte
    whole = bytes(frame[: draw(st.one_of(st.just(1 << 16), st.integers(0, 100)))])
    return draw(st.one_of(st.just(whole), st.binary(max_size=100)))


ACTIONS = st.builds(
    Action, what=st.sampled_from(["open", "open", "release", "evict"]), which=st.integers(0, 5)
)


@st.composite
def scripts(draw: st.DrawFn, *, with_broken: bool = True, with_actions: bool = True) -> Script:
    kinds: list[st.SearchStrategy[Any]] = [
        st.tuples(st.sampled_from(WAITS_NS), HEADERS).map(_alone),
        talk(),
        run(),
    ]
    if with_broken:
        kinds += [st.tuples(st.just(0), broken()).map(_alone), pieces()]
    if with_actions:
        kinds.append(ACTIONS)
    script: Script = []
    time_ns = BASE_NS
    some = st.lists(st.one_of(kinds), max_size=8)
    for drawn in draw(st.lists(some, max_size=4).map(chain.from_iterable)):
        if isinstance(drawn, Action):
            script.append(drawn)
            continue
        for wait_ns, what in drawn:
            time_ns += wait_ns + 10_000
            script.append(Shot(time_ns, what))
    return script


def _alone(late: Late) -> list[Late]:
    return [late]


TINY_LIMITS = st.builds(
    Limits,
    payload_bytes=st.sampled_from([1, 2, 3, 5, 8]).map(lambda blocks: blocks * BLOCK),
    out_of_order_bytes=st.sampled_from([1 << 20, 0, 1000, 6000, 100_000]),
    table_bytes=st.sampled_from([100, 1, 2, 3, 4]).map(lambda connections: connections * CONNECTION_BYTES),
    fragment_bytes=st.sampled_from([1 << 20, 1 << 20, 100_000, 20_000, 0]),
    max_flows=st.sampled_from([0, 0, 1, 2, 3]),
    evict=st.sampled_from(EVICT_POLICIES),
    max_flow_bytes=st.sampled_from([UNLIMITED_BYTES, UNLIMITED_BYTES, 1, 1000, BLOCK + 1]),
    keep=st.sampled_from(KEEP_ENDS),
    idle_ns=st.sampled_from([600 * 10**9, 5 * 10**9]),
)

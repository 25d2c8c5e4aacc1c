"""Every number that bounds memory or time, with the reason for its value; and what a checksum means.

Letters and digits in brackets name the rule, see the heads of `stream` and `flows`. Times are packet
time in nanoseconds.
"""

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
NEVER_NS = 1 << 62  # later than any time


CHECKSUM_MODES = ("auto", "strict", "off")
EVICT_POLICIES = ("closed-first", "lru", "oldest", "largest")
KEEP_ENDS = ("head", "tail")
UNLIMITED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Limits:
    """The budgets of one mount, and its choice of rules. Sizes in bytes, times in nanoseconds."""

    payload_bytes: int = 256 * MIB
    """Readable payload, by capacity of the blocks that hold it [M1]."""

    out_of_order_bytes: int = 64 * MIB
    """Payload that waits behind a hole, overhead included [M1]."""

    table_bytes: int = 128 * MIB
    """Connections and what is known of their files [M1]."""

    fragment_bytes: int = 4 * MIB
    """IP fragments that wait for the rest of their datagram, overhead included [G3 M1]."""

    max_flows: int = 0
    """Files at the most; 0: as many as the table holds."""

    evict: str = "closed-first"
    """Who goes first when there is no room for payload, one of EVICT_POLICIES: see `policies` [M3]."""

    max_flow_bytes: int = UNLIMITED_BYTES
    """What is kept of each direction's stream, at the end that `keep` says."""

    keep: str = "head"
    """Which end max_flow_bytes is about, one of KEEP_ENDS: the first bytes, or at least the last."""

    idle_ns: int = 600 * SECOND_NS
    """A connection without a packet for so long is over [L9]."""

    links: bool = False
    """Of each connection the Ethernet addresses of who opened it are kept, and its number."""

    archives: bool = False
    """Flows are saved elsewhere before they go."""

    checksum: str = "auto"
    """What a wrong TCP checksum means, one of CHECKSUM_MODES [V2]."""


# One slice of feed() holds readers off for at most this much work: ≤ 0.5 ms, compiled.
SLICE_PACKETS = 256
BRIEF_PACKETS = 64  # while others want their turn: some 30 µs, which is less than a request takes
SLICE_BYTES = MIB  # copied at ~5 GB/s: 0.2 ms
SLICES = 8  # of the memory, at the least, and of the places for connections, where flows are saved
SLICE_RARE = 16  # dissection takes 2 to 10 µs a frame; an aggregate has up to 65, and ends a slice
# Dissections and reassemblies by turns for one frame; a tunnel with fragments on both sides takes 3.
MAX_PASSES = 5

LEAP_NS = 86400 * SECOND_NS  # [R10] no capture is silent for so long
LEAP_PACKETS = 3  # in a row that agree on a time beyond; fewer are a broken clock or a damaged file

PREPARED_BYTES = 4 * MIB  # memory that is made ready at once: two pages of the largest kind, ~1 ms

TICK_NS = 100 * MILLISECOND_NS  # how often fragments, and who stands in the wrong order, are looked for

ACKED_HOLE_NS = 250 * MILLISECOND_NS  # [H1] a capture reorders by less
ACKED_HOLE_PACKETS = 32  # [H1]
WIDE_HOLE_BYTES = MIB  # [H1 H3 H4] one that two forged packets must not make
LOWER_ECHOES = 3  # [Q3] in a row: the peer never took what it was said to have echoed
STALE_STAMP_NS = 24 * 86400 * SECOND_NS  # [Q3] silent for so long: times say nothing (RFC 7323, 5.5)
LOWER_ACKS = 3  # [H1] in a row and for as long as a capture reorders: the peer does not have more
FLOW_OUT_OF_ORDER_BYTES = MIB  # [H2]
FLOW_OUT_OF_ORDER_SEGMENTS = 3072  # [H2]
ONE_WAY_NS = 3 * SECOND_NS  # [H3] no ACK will ever come
ONE_WAY_BYTES = 256 * KIB  # [H3]

FORGED_GAP_NS = 2 * SECOND_NS  # [Q2] several round trips: hosts that are elsewhere have said so by then
FORGED_RST_NS = 2 * SECOND_NS  # [L5] several round trips: a connection that goes on has said so by then

UNKNOWN_WINDOW_BYTES = 16 * MIB  # [Q2] the largest that Linux advertises unless told otherwise: 6 MiB
# [Q2 L3] in a row far away, [L4 L5] behind an end, [L2] for a rival that is contested, [H1 H3 H4] that show a
# wide hole: a host goes on, and who forges packets can send one or two.
RESYNC_SEGMENTS = 3

SETTLE_NS = 100 * MILLISECOND_NS  # [L3]
SETTLE_SEGMENTS = 8  # [L3]; [H1 H3 H4] so many show a wide hole, though they are not in a row
LONE_BYTES = (
    64 * KIB
)  # [L3] farther than that from all others, one packet tells of no base; the largest segment

HALF_OPEN_NS = 30 * SECOND_NS  # [L9]
REMEMBER_NS = 60 * SECOND_NS  # [L9] twice RFC 9293's customary segment lifetime on today's networks
# A connection that stands in its place for so long goes to sleep: nearly all that last speak within a few
# seconds. Who speaks later wakes up, which takes 1 µs.
HOT_NS = 250 * MILLISECOND_NS  # so long after its last byte a flow has just grown, and grows on
DROWSY_NS = 5 * SECOND_NS
# What fell due is seen to in slices: a million half-open connections must not end in one long pause.
STEPS_PER_SLICE = 4096  # a connection ends in one
LOOK_STEPS = 16  # a look at what waits takes up to 1 µs, or gives up holes
DUE_PER_TICK = 256  # datagrams that are too old

MAX_DATAGRAM_BYTES = 65535  # what IP's length field can say
MAX_EXTENSIONS = 8  # [G2] IPv6 extension headers of a packet, the fragment header among them
MAX_DATAGRAMS = 8192  # [G3] those that were discarded and are remembered included
MAX_FRAGMENTS = 128  # [G3] a datagram
SOURCE_SHARE = 8  # [G3] one source gets 1/8 of what fragments have
LIGHT_SHARE = 8  # sources below 1/8 of that weigh the same: see `defrag`
REASSEMBLE_IPV4_NS = 30 * SECOND_NS  # [G3]
REASSEMBLE_IPV6_NS = 60 * SECOND_NS  # [G3] RFC 8200, 4.5

STAT_BLOCK_BYTES = 512  # of st_blocks, see stat(2)

LARGEST_BLOCK_BYTES = 1 << 24  # a block of pcapng, as libpcap has it: more is damage

TURN_SILENCE_NS = SECOND_NS  # then a side's next bytes are another turn, though the other said nothing
TURN_NS = 5 * SECOND_NS  # no turn is longer: of a log or a download nothing could be shown for hours
IDLE_VICTIM_NS = 10 * SECOND_NS  # [M3] a flow is called idle, and goes before the head of a large one
TOUCH_NS = SECOND_NS  # order of activity is kept to the second: moving on every packet costs 10 %
# A FIN or RST that was forged is found out by then, see FORGED_RST_NS; what goes on later is another part.
SAVE_SETTLE_NS = 2 * SECOND_NS
HURRY_SHARE = 2  # open flows are saved, too, once less than 1/2 of the memory is to be had without a loss
PINNED_SHARE = 4  # [M3] open files pin up to 1/4 of the payload budget

# What Python objects take, as tests/unit/test_limits.py measures it.
CONNECTION_BYTES = 2150  # two streams, what is uncommon of them, two files, dictionary entries, keys
SLEEPER_BYTES = 280  # one that sleeps, but for its numbers, keys and files: a record, an entry
SLEEPING_FILE_BYTES = 280  # a file of such a one, and its row
NUMBER_BYTES = 4  # each of the numbers; the same for each, since what hosts draw must not change who has room
PACKED_FILE_BYTES = 100  # one that is a part of the record: its numbers, its place in the order, and its row
GAPS_BYTES = 340  # of either, for the first gap in it: the others are paid for by blocks of their own
LINK_BYTES = 160  # the addresses of the hosts on their link, where names have them
PACKED_EXTENT_BYTES = 8  # each of its blocks before the last
PACKED_EXTENTS = 32  # blocks of such a file; one that has more takes 16 KiB for them
TURNS_BYTES = 80  # of who spoke when, where that is more than two turns, beside 16 for each
QUEUE_BYTES = 640  # a queue of waiting segments, and its place in the ranking
CHUNK_OVERHEAD_BYTES = 128  # of each waiting segment
DATAGRAM_BYTES = 900  # a datagram of which fragments wait, and its sender, who may have no other
NOTE_BYTES = 200  # a recorded conflict, cut or TTL
NOTES_BYTES = 480  # what is counted for one stream, once there is something to count
URGENT_BYTES = 16  # a recorded offset of urgent data
RIVALS_SHARE = 32  # [M2 L2] of the table is for rivals alone, when it is full of active connections
# [M2] Half-open connections have a share of the table before closed ones go, and one-way ones another: where
# a capture sees one way only, all are such.
HALF_OPEN_SHARE, ONE_WAY_SHARE = 8, 2
TURNS_SHARE = 8  # turns have 1/8 of what the table has, beside it: eight of each connection nearly fit
FIRST_TURNS = 8  # there is room for so many at once, where a question and an answer are not all
GROWN_TURNS_SHARE = 2  # room for more is taken from 1/2 of that only: who talks much leaves some for others
MAX_TURNS = 4096  # of one connection, 64 KiB; the latest 2,048 stay: more than anybody reads through
NOTES_SHARE = 8  # notes have 1/8 of what the table has, beside it; what is beyond is counted only
MAX_CONFLICTS = 64  # [O1] recorded a stream; the rest is counted
MAX_COMPARED_HOLES = 64  # [O1] within one segment that comes again: each takes 0.3 µs
MAX_TTLS = 64  # [O1] ranges that came with another TTL than the stream's first segment
MAX_URGENT = 256  # [L8]
MAX_DROP_INTERVALS = 1024  # of one interface: 100 s in which the kernel drops all the time, then coarser
MAX_CUTS = 64  # [H6] ranges cut by the snapshot length that are remembered until passed

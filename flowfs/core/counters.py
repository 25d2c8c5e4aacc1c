"""What was seen and what became of it. Every byte and packet that is not shown has its number here.

[R9] With nothing waiting out of order, payload_bytes is the sum of PAYLOAD_FATES; with no fragment waiting,
`fragments` is the sum of FRAGMENT_FATES. `tests/property` holds the core to that.
"""

PAYLOAD_FATES = (
    "stored_bytes",
    "duplicate_bytes",  # was there already, or waiting
    "late_bytes",  # for a hole that was given up [H6]
    "keepalive_bytes",  # probes [L6]
    "dropped_after_fin_bytes",  # behind an acknowledged FIN
    "dropped_after_close_bytes",  # of a connection that is over [L9]
    "dropped_pre_start_bytes",  # before the first byte of a stream picked up midway [L3]
    "dropped_window_bytes",  # beyond any window [Q2]
    "dropped_out_of_order_bytes",  # no room to wait, or in vain, alone behind a wide hole [H4]
    "dropped_memory_bytes",  # no room to be stored
    "dropped_refused_bytes",  # of a flow that was refused [M2]
    "dropped_rst_bytes",  # payload of a RST [L5]
    "dropped_syn_bytes",  # data in a SYN that was not accepted [L7]
    "dropped_tentative_bytes",  # in doubt, and not confirmed by the peer [T1]
    "dropped_checksum_bytes",  # of a segment with a wrong checksum [V2 strict]
    "dropped_unacknowledging_bytes",  # a segment without ACK is no part of a connection (RFC 9293, 3.10.7.4)
    "dropped_beyond_bytes",  # behind the first --max-flow-bytes of a stream
)

FRAGMENT_FATES = (
    "fragments_reassembled",  # part of a datagram that became whole
    "fragments_duplicate",  # all of it was there already [G1]
    "fragments_discarded",  # of a datagram that was: overlap, two ends, beyond 65535 [G1], too many [G3]
    "fragments_expired",  # the rest of the datagram did not come in time [G3]
    "fragments_evicted",  # no room [G3]
    "fragments_bad",  # lengths that cannot be; a first one of IPv6 that lacks headers, or has too many [G2]
    "fragments_cut_short",  # by the snapshot length
)

NAMES = (
    "packets",
    "captured_bytes",
    "dropped_packets",  # by the kernel or the interface, before they came here
    "doubted_times",  # packets whose time stamp lies too far ahead to be believed alone
    "segments",
    "tunnelled",  # segments that came out of a tunnel
    "dissected",  # frames that went the long way, each of an aggregate by itself
    "unknown_frames",  # no TCP in IPv4 or IPv6 found inside, as far as known
    "not_tcp",
    "fragments",  # of IP, also those within tunnels and within other fragments
    *FRAGMENT_FATES,
    "fragments_different",  # of the discarded ones, those with other bytes than what was there
    "datagrams_reassembled",  # each goes on as a frame does: it is counted by what it holds
    "bad_headers",  # lengths out of bounds, a fragment with a wrong IP checksum
    "bad_flags",  # SYN+FIN, SYN+RST
    "cut_short",  # too short for the TCP header: the snapshot length
    "cut_bytes",  # payload that segments had by their IP length, and that was not captured
    "bad_checksums",  # segments with a wrong checksum of TCP or of the IPv4 header [V2]
    "payload_bytes",
    *PAYLOAD_FATES,
    "unverified_bytes",  # stored all the same, since nothing better came [T1]
    "conflicts",
    "conflict_bytes",
    "lost_bytes",  # holes that were given up: they read as zeros
    "tail_missing_bytes",  # acknowledged at the end of a stream, never seen
    "retransmitted_syns",
    "bad_acks",  # of what cannot have been sent [Q4], and what lower ones showed to be untrue [H1]
    "resynchronised",
    "rst_ignored",  # outside the window, or the connection went on
    "fin_retracted",  # what followed showed that it, or the ACK that made it count, was forged [L4 H1]
    "rst_forged",  # what it had closed went on, and was opened again [L5]
    "old_timestamps",  # segments [Q3]
    "stray_packets",  # of no connection that is known
    "late_packets",  # of a connection that is over
    "connections",
    "connections_refused",  # times that there was no room for one: once a segment
    "connections_expired",
    "flows_total",
    "flows_refused",  # times that there was no room for a file: once a segment
    "flows_evicted",
    "evicted_bytes",
    "flows_removed",  # by whoever reads: that is no loss
    "removed_bytes",
    "trimmed_bytes",  # of flows that are there, since memory was short
    "trimmed_beyond_bytes",  # before the last --max-flow-bytes of a flow, which keeps its tail
    "turns_forgotten",  # who spoke when: more than is kept of a connection, or there was no room
    "archive_saved_flows",  # parts of flows that are complete there
    "archive_saved_bytes",
    "archive_lost_flows",  # evicted or trimmed before they were saved
    "archive_lost_bytes",
)


class Counters:
    """One number a name; see NAMES."""

    __slots__ = NAMES

    def __init__(self) -> None:
        self.packets = self.captured_bytes = self.dropped_packets = 0
        self.segments = self.dissected = self.unknown_frames = 0
        self.not_tcp = self.fragments = self.bad_headers = self.bad_flags = self.cut_short = 0
        self.fragments_reassembled = self.fragments_duplicate = self.fragments_discarded = 0
        self.fragments_expired = self.fragments_evicted = self.fragments_bad = self.fragments_cut_short = 0
        self.fragments_different = self.datagrams_reassembled = 0
        self.payload_bytes = self.stored_bytes = self.duplicate_bytes = self.late_bytes = 0
        self.keepalive_bytes = self.dropped_after_fin_bytes = self.dropped_after_close_bytes = 0
        self.dropped_pre_start_bytes = self.dropped_window_bytes = self.dropped_out_of_order_bytes = 0
        self.dropped_memory_bytes = self.dropped_refused_bytes = self.dropped_rst_bytes = 0
        self.dropped_syn_bytes = self.dropped_unacknowledging_bytes = 0
        self.dropped_tentative_bytes = self.dropped_checksum_bytes = self.unverified_bytes = 0
        self.doubted_times = self.tunnelled = self.cut_bytes = 0
        self.bad_checksums = self.fin_retracted = self.rst_forged = self.old_timestamps = 0
        self.conflicts = self.conflict_bytes = self.lost_bytes = self.tail_missing_bytes = 0
        self.retransmitted_syns = self.bad_acks = self.resynchronised = self.rst_ignored = 0
        self.stray_packets = self.late_packets = self.connections = self.connections_refused = 0
        self.connections_expired = self.flows_total = self.flows_refused = self.flows_evicted = 0
        self.flows_removed = self.evicted_bytes = self.removed_bytes = self.trimmed_bytes = 0
        self.dropped_beyond_bytes = self.trimmed_beyond_bytes = 0
        self.turns_forgotten = self.archive_saved_flows = self.archive_saved_bytes = 0
        self.archive_lost_flows = self.archive_lost_bytes = 0

    def as_dict(self) -> dict[str, int]:
        """A copy of all numbers, by name."""
        return {name: getattr(self, name) for name in NAMES}

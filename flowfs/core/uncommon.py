"""What is known of few directions, in objects of their own: streams of a million connections are to be small.

A direction of which nothing of a kind is known shares one object that says so, which nobody changes; whoever
has something to say gives it one of its own first. Knows no rule: what each number means for a stream is told
where it is used. Compiled, a stream takes less than 512 bytes, for which Python has memory at hand.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER


@cython.no_gc
@cython.cclass
class OddEnd:
    """Of an end that is more than one FIN, or something else: see `ends`."""

    __slots__ = (
        *("claimed_ack", "fin_moved", "late_fin", "later_fin"),
        *("reset_at", "reset_end", "reset_known", "reset_ns", "reset_overtook", "reset_packets"),
    )

    def __init__(self) -> None:
        self.fin_moved = 0  # how far `fin` lies before the FIN, since the tail was never seen [H5]
        self.later_fin = NEVER  # where another FIN was, behind the one that counts
        self.claimed_ack = NEVER  # of the peer, within what is in doubt, and below peer_ack
        self.late_fin = NEVER  # where one was that came after the connection had been closed
        self.reset_at = NEVER  # the offset of a RST that is not exact, and may be forged [L5]
        # Since when time counts for it, or when the one came that closed it, and what was known then.
        self.reset_ns = self.reset_known = self.reset_packets = 0
        self.reset_overtook = False  # it came before what was sent earlier, perhaps: time alone tells of it
        self.reset_end = NEVER  # the offset of the RST of this side that closed it


@cython.no_gc
@cython.cclass
class OddAcks:
    """Of ACKs that are lower than one before, or acknowledge what nobody sent: see `stream`."""

    __slots__ = ("low_ack", "low_count", "low_limit", "low_ns", "strange_count", "strange_packets")

    def __init__(self) -> None:
        self.low_count = 0  # ACKs in a row that are lower than peer_ack
        self.low_ack = self.low_ns = self.low_limit = 0  # the highest of them; of the first, as for acked_ns
        # Packets in a row with ACKs of what nobody sent, and which packet of this side the last one was.
        self.strange_count = self.strange_packets = 0


@cython.no_gc
@cython.cclass
class Beyond:
    """Of what came from beyond any window: see `afar`."""

    __slots__ = ("ack_packets", "fin", "packets", "peer_packets", "said", "since_ns")

    def __init__(self) -> None:
        self.since_ns = 0  # since when something waits there
        self.fin = NEVER  # the offset of a FIN there
        self.said = 0  # the number that the last segment there acknowledges
        # How many packets of this side there were with the last one from afar, and of the peer with its last
        # ACK of what is there, and when the first segment came.
        self.packets = self.ack_packets = self.peer_packets = 0


NO_ODD_END, NO_ODD_ACKS, NOTHING_BEYOND = OddEnd(), OddAcks(), Beyond()

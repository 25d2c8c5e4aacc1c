# cython: boundscheck=False, wraparound=False, cdivision=True
"""How far a direction may reach, and how old its segments may be: what the peer says of windows and times.

[Q2] The largest window that the peer advertised, scaled as both SYNs say; UNKNOWN_WINDOW_BYTES while that
is not certain. [Q3] PAWS (RFC 7323, 5) by what the peer echoes, which is what it compares with: times that
were said, in segments that may be its own; what it takes back several times holds no more. [H2] Who sees the
peer wait knows that all within its window may wait.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from .assembly import NEVER, Room
    from .exchange import Owner
    from .memory import word
    from .pickup import Pickup
    from .seq import distance
    from .window import ABSENT, scale_of, timestamps_at

from .limits import (
    FLOW_OUT_OF_ORDER_BYTES,
    LOWER_ECHOES,
    UNKNOWN_WINDOW_BYTES,
    WIDE_HOLE_BYTES,
)

_WINDOW_BYTES = UNKNOWN_WINDOW_BYTES
_WIDE_BYTES = WIDE_HOLE_BYTES
_SHARE_BYTES = FLOW_OUT_OF_ORDER_BYTES
_NO_SYN = -2  # as a scale: the SYN was not seen; ABSENT: it had none


@cython.no_gc
@cython.cclass
class Reach(Pickup):
    """A direction and the limits that its peer sets."""

    __slots__ = (
        *("answers", "closed", "echo", "far_ack", "low_echoes", "offers_stamps", "paws", "reach_bytes"),
        *("reach_known", "said_stamp", "said_window", "scale", "stamp", "syn_window", "value"),
    )

    def __init__(self, key: bytes, owner: Owner, room: Room) -> None:
        self.unlimited(key, owner, room)

    def unlimited(self, key: bytes, owner: Owner, room: Room) -> None:
        """Begin without a limit. Subclasses call this, see Link.unlinked()."""
        self.unknown(key, owner, room)
        self.reach_bytes = _WINDOW_BYTES
        self.far_ack = NEVER  # the peer's last ACK beyond all windows
        self.scale = _NO_SYN  # of the windows that this side advertises
        self.said_window = ABSENT  # the field of its last segment
        self.syn_window = 0  # the field of its SYN
        self.stamp = ABSENT  # the newest time of this side that the peer has echoed
        self.said_stamp = ABSENT  # the newest that this side said
        self.low_echoes = 0  # in a row that are older than `stamp`
        self.value = self.echo = ABSENT  # TSval and TSecr of this side's last segment
        self.reach_known = self.closed = self.offers_stamps = self.paws = False
        self.answers = False  # its SYN was a SYN/ACK

    def forget_syn(self) -> None:
        """What this side's SYN said holds no more, nor what the peer said of windows since."""
        self.reach_bytes = _WINDOW_BYTES
        self.far_ack = NEVER
        self.reach_known = self.closed = False
        self.scale = _NO_SYN
        self.said_window = self.stamp = self.said_stamp = ABSENT
        self.offers_stamps = self.paws = False

    def read_syn(self, base: bytes, start: int, end: int, window: int, peer: Reach) -> None:
        """This side's SYN had the options base[start:end], and a window that is never scaled."""
        at = timestamps_at(base, start, end)
        if self.scale != _NO_SYN:
            if at != ABSENT and self.offers_stamps:
                self.say_time(word(base, at))
            return  # sent again
        self.scale = scale_of(base, start, end)
        self.said_window = self.syn_window = window
        self.offers_stamps = at != ABSENT
        if at != ABSENT:
            self.said_stamp = word(base, at)
        if self.offers_stamps and peer.offers_stamps:
            self.paws = peer.paws = True
            peer.heed(word(base, at + 4))
        if peer.scale != _NO_SYN:
            self._begin_at(peer.syn_window)
            peer._begin_at(window)
            self.said_window = peer.said_window = ABSENT  # the same field means more from here on

    def _begin_at(self, window_bytes: int) -> None:
        """Both SYNs were seen: this is the window that the peer began with."""
        self.reach_known = False
        self.allow(window_bytes)

    def has_syn(self) -> bool:
        """Whether this side's SYN was read."""
        return self.scale != _NO_SYN

    def advertise(self, window: int, peer: Reach) -> None:
        """This side says with a segment that so much may be sent to it."""
        self.said_window = window
        peer.closed = window == 0
        if self.scale == ABSENT or peer.scale == ABSENT:
            peer.allow(window)
        elif self.scale >= 0 and peer.scale >= 0:
            peer.allow(window << self.scale)

    def allow(self, window_bytes: int) -> None:
        """The peer takes so much beyond what it acknowledged; the largest counts, since segments overtake."""
        if not self.reach_known or window_bytes > self.reach_bytes:
            self.reach_bytes = window_bytes
        self.reach_known = True

    def heed(self, echo: int) -> None:
        """The peer echoes this time; 0 is none. What nobody said, or it takes back, does not count."""
        if echo == 0 or distance(echo, self.said_stamp) > 0:
            return
        ahead = 1 if self.stamp == ABSENT else distance(echo, self.stamp)
        self.low_echoes = self.low_echoes + 1 if ahead < 0 else 0
        if ahead > 0 or self.low_echoes >= LOWER_ECHOES:
            self.stamp = echo

    def is_old(self, base: bytes, start: int, end: int) -> bool:
        """Whether a segment with the options base[start:end] is older than one that the peer took [Q3]."""
        at = timestamps_at(base, start, end)
        self.value = self.echo = ABSENT
        if at == ABSENT:
            return False
        self.value = word(base, at)
        self.echo = word(base, at + 4)
        return self.stamp != ABSENT and distance(self.value, self.stamp) < 0

    def keep_time(self, peer: Reach) -> None:
        """The segment that is_old() looked at last is one that the peer may take (RFC 7323, 4.3)."""
        if self.value == ABSENT:
            return
        self.say_time(self.value)
        peer.heed(self.echo)

    def say_time(self, value: int) -> None:
        """This side says that it is so late."""
        if distance(value, self.said_stamp) > 0:
            self.said_stamp = value

    def limit(self) -> int:
        """The last offset that the peer may take [Q2]."""
        return max(self.rcv_nxt, self.peer_ack) + self.reach_bytes

    def is_within(self, seq: int) -> bool:
        """Whether a number can be of this direction: within the window, or one window ago."""
        offset = self.offset_of(seq)
        return self.rcv_nxt - self.reach_bytes <= offset <= self.limit()

    def is_foreign(self, seq: int) -> bool:
        """Whether a number cannot be of this direction; False while it is not known where that is."""
        if self.anchored:
            return not self.is_within(seq)
        return not self.can_be_of(seq)

    def can_be_of(self, seq: int) -> bool:
        """Whether a number can be of this direction, as far as it is known where that is, and goes on."""
        offset = self.offset_of(seq)
        if self.anchored:
            return 0 <= offset <= self.limit()
        return -_WINDOW_BYTES <= offset <= _WINDOW_BYTES or not (self.settling or self.hinted)

    def is_apart(self, seq: int) -> bool:
        """Whether a number cannot go with the only packet there is: no hole is as wide [L3], and what comes
        from before the base, but for a probe, is of another, or shows that the base is none.
        """
        if not self.anchored:
            return not self.can_be_of(seq)
        offset = self.offset_of(seq)
        if 0 <= offset <= _WIDE_BYTES:
            return False
        return offset < (0 if self.isn == NEVER else -1) or offset > self.known_end() + _WIDE_BYTES

    def known_end(self) -> int:
        """Behind the last byte that was seen, also in doubt."""
        end = self.rcv_nxt if self.pending is None else max(self.rcv_nxt, self.pending.end())
        return end if self.tentative is None else max(end, self.tentative.end())

    def see_peer_wait(self, ack: int) -> None:
        """The peer says again that the first hole is its own: it has all behind that in its window [H2]."""
        if self.pending is not None and ack < self.pending.first():
            self.share_by_reach()

    def share_by_reach(self) -> None:
        """All that the peer's window allows may wait: without an ACK, no more will be sent [H2]."""
        if self.reach_known:
            self.share_bytes = max(_SHARE_BYTES, min(self.reach_bytes, _WINDOW_BYTES))

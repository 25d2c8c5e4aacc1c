"""The times that two hosts tell each other (RFC 7323), and which of them a tap can call old.

Owns what makes a segment old [Q3]: its sender was seen to say a later time that its peer was seen to echo.
Knows no byte. What is always true here: times are numbers without end, which only a packet wraps; a host's
never go back, unless it is said so; no time is 0 on the wire, where that says that there is none.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from craft import timestamps
from property.cuttings import SPACE

LOWER_ECHOES = 3  # [Q3] in a row: the peer took back what it was said to have echoed
HALF = SPACE // 4  # in ticks, of which each is two on the wire: what is older than that looks newer
BEGINNINGS = st.sampled_from([1000, 0, SPACE // 2 - 1, SPACE // 2 - 4, HALF - 2, HALF])
AGES = st.sampled_from([1, 1, 2, 50, 100_000, HALF])


class Stamp(NamedTuple):
    """The times of one segment."""

    value: int
    echo: int | None

    def option(self, raised: tuple[int, int]) -> bytes:
        """As a TCP option, with the times of this side and of the other raised so much."""
        own, other = raised
        echo = 0 if self.echo is None else on_the_wire(self.echo, other)
        return timestamps(on_the_wire(self.value, own), echo)


def on_the_wire(time: int, raised: int) -> int:
    """Always odd."""
    return (2 * (time + raised) + 1) % SPACE


class Clock:
    """The times of one host, and of the other's those that it took."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.segments = 0
        self.recent: int | None = None  # TS.Recent
        self.acked = -1  # Last.ACK.sent

    def stamp(self, acked: int) -> Stamp:
        """For the next segment, which acknowledges so much; two of them have the same time."""
        self.segments += 1
        self.acked = acked
        return Stamp(self.newest(), self.recent)

    def newest(self) -> int:
        """The time of its last segment."""
        return self.begin + self.segments // 2

    def takes(self, value: int, offset: int) -> bool:
        """A segment with this time arrives: whether it is taken (RFC 7323, 5.3), and remembered (4.3)."""
        if self.recent is not None and value < self.recent:
            return False
        if offset <= self.acked:
            self.recent = value
        return True


class Told:
    """The times of one side, as far as the tap knows of them."""

    def __init__(self) -> None:
        self.said: int | None = None  # the newest
        self.echoed: int | None = None  # the newest that the other side echoed, and did not take back
        self.lower = 0  # echoes of earlier ones, in a row

    def say(self, value: int) -> None:
        self.said = value if self.said is None else max(self.said, value)

    def hear(self, echo: int | None) -> None:
        """The other side echoes this; what was not seen to be said may be anyone's."""
        if echo is None or self.said is None or echo > self.said:
            return
        self.lower = self.lower + 1 if self.echoed is not None and echo < self.echoed else 0
        if self.echoed is None or echo > self.echoed or self.lower >= LOWER_ECHOES:
            self.echoed = echo

    def is_old(self, value: int) -> bool:
        return self.echoed is not None and value < self.echoed

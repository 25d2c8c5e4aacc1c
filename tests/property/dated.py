"""The machine's rules of time: segments that are too old for who gets them, and times that are forged [Q3].

What is always true: data behind all that was written is said only where the tap must know that it is too
old, since else it would be data. So it is not of a connection that may be closed, since the core has no
times of those.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from property.hosts import STREAM_BYTES, Line, Segment
from property.stamps import AGES
from property.wires import LENGTHS, LOST, SIDES, WHICH, Fate, Wire

LOST_FATES = st.sampled_from([LOST, LOST, Fate(arrives=False, times=2), Fate(arrives=False, captured=1)])
PLACES = st.one_of(st.sampled_from([0, 0, 0, 1, -1]), st.integers(-3000, 3000))


class Dated(Wire):
    """Hosts whose segments may be too old."""

    def pick_dated(self, which: int) -> Line:
        """One of the connections that last, with times if there is one."""
        lines = [line for line in self.current.values() if not line.dead]
        lines = [line for line in lines if line.has_paws] or [line for line in lines if line.stamps] or lines
        return lines[which % len(lines)]

    def past(self, line: Line, side: int, age: int) -> int:
        """A time of this side, so much before the newest that the tap knows to be echoed."""
        echoed = line.tracks[side].times.echoed
        return (line.hosts[side].clock.begin if echoed is None else echoed) - age

    @precondition(Wire.talks)
    @rule(
        which=WHICH,
        side=SIDES,
        age=st.one_of(AGES, AGES, st.just(0)),
        place=PLACES,
        count=LENGTHS,
        flags=st.sampled_from(["PA", "PA", "A", "FA"]),
        paint=st.integers(0, 2),
        fate=LOST_FATES,
    )
    def duplicate(
        self, which: int, side: int, age: int, place: int, count: int, flags: str, paint: int, fate: Fate
    ) -> None:
        """From before the numbers wrapped, or of an earlier connection: whatever it says, it is dropped."""
        line = self.pick_dated(which)
        if not line.stamps:
            return
        host, peer = line.hosts[side], line.hosts[1 - side]
        segment = dated(line.bare(side), self.past(line, side, age), peer.clock.newest() + 1)
        begin = max(0, min(host.written + place, STREAM_BYTES - count))
        if line.has_paws and line.is_old(segment) and not line.may_be_closed():
            segment = segment._replace(flags=flags, acked=peer.written + count)
        else:
            begin = min(begin, host.written)
            count = min(count, host.written - begin)
        text = line.text(side, begin, begin + count, paint)
        self.say(line, segment._replace(offset=begin, data=text), fate)

    @precondition(Wire.talks)
    @rule(which=WHICH, side=SIDES, age=AGES, count=LENGTHS, lenient=st.booleans(), acked=st.booleans())
    def write_in_the_past(
        self, which: int, side: int, age: int, count: int, lenient: bool, acked: bool
    ) -> None:
        """A host's time goes back. Who gets that drops it, or takes it all the same."""
        line = self.pick_dated(which)
        host = line.hosts[side]
        if not line.stamps or host.fin_sent or host.written + count > STREAM_BYTES:
            return
        segment = dated(line.write(side, count), self.past(line, side, age), None)
        line.arrive(segment, lenient)
        self.show(line, segment)
        if acked:
            self.say(line, line.bare(1 - side))

    @precondition(Wire.talks)
    @rule(
        which=WHICH, side=SIDES, ahead=st.sampled_from([1, 50, 100_000]), more=st.sampled_from([0, 0, 1, 50])
    )
    def forge_times(self, which: int, side: int, ahead: int, more: int) -> None:
        """A time ahead of what the host says, and an echo of it, or of one that nobody said.

        If the tap knows both, all that the host says is old, until the other side took the echo back.
        """
        line = self.pick_dated(which)
        if line.stamps:
            time = line.hosts[side].clock.newest() + ahead
            self.say(line, dated(line.bare(side), time, None), LOST)
            self.say(line, dated(line.bare(1 - side), None, time + more), LOST)


def dated(segment: Segment, value: int | None, echo: int | None) -> Segment:
    """With other times; None: as it is."""
    stamp = segment.stamp
    assert stamp is not None
    if value is not None:
        stamp = stamp._replace(value=value)
    if echo is not None:
        stamp = stamp._replace(echo=echo)
    return segment._replace(stamp=stamp)

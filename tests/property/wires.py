"""The machine that every machine is made of: a few pairs of hosts, a tap, and engines that take its capture.

Owns the rules that draw what hosts and readers do. One engine takes the capture packet by packet and is
looked at after each; one takes it in batches [R10]; one in batches and with other initial sequence numbers.
Whenever a batch ends, all three must show the same.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from craft import Packet, Tag
from flowfs.core.limits import SETTLE_NS, Limits
from property import cores
from property.cuttings import CLIENT, ISNS, SERVER, SPACE
from property.hostile import BASE_NS, Action
from property.hosts import STREAM_BYTES, Line, Segment
from property.opening import GREETINGS, NO_OFFER, Greeting, Offer, greet
from property.playing import check_closed, check_counters
from property.readers import Reader
from property.tearing import EXPIRE_NS, TEARS, Piece, Tear, pieces, version_of, whole_with

STEP_NS = 10_000
BATCH = 40  # packets at the most; less wherever something else happens


class Fate(NamedTuple):
    """What becomes of a segment on its way."""

    arrives: bool = True
    times: int = 1  # that the tap sees it
    held: bool = False  # until later; of one that is torn, only the last piece
    tear: Tear | None = None  # into IP fragments
    captured: int | None = None  # so much of its data, if it is not torn


class Held(NamedTuple):
    """What the tap sees later: a segment, or the last piece of one that came at this time."""

    line: Line
    segment: Segment
    piece: Piece | None = None
    begun_ns: int = 0


PLAIN = Fate()
UNSEEN = Fate(times=0)
LOST = Fate(arrives=False)
WHOLE_FATES = st.sampled_from(
    [PLAIN, PLAIN, PLAIN, UNSEEN, LOST, Fate(False, 0), Fate(held=True), Fate(times=2)]
)
TORN_FATES = st.builds(
    Fate,
    arrives=st.sampled_from([True, True, False]),
    times=st.sampled_from([1, 1, 2]),
    held=st.booleans(),
    tear=TEARS,
    captured=st.none(),
)
CUT_FATES = st.builds(
    Fate,
    arrives=st.sampled_from([True, True, False]),
    times=st.just(1),
    held=st.sampled_from([False, False, True]),
    tear=st.none(),
    captured=st.sampled_from([0, 1, 50, 1000]),
)
FATES = st.one_of(WHOLE_FATES, WHOLE_FATES, WHOLE_FATES, TORN_FATES, CUT_FATES)

SLOTS = (
    {"client_address": "10.0.0.1", "server_address": "10.0.0.2"},
    {"client_address": "10.0.0.1", "server_address": "10.0.0.2", "tags": (Tag(42),)},
    {"client_address": "2001:db8::1", "server_address": "2001:db8::2", "tags": (Tag(7), Tag(42, pcp=5))},
    {"client_address": "::1", "server_address": "::1", "tags": (Tag(0, pcp=3),)},
)
SIDES = st.sampled_from([CLIENT, SERVER])
WHICH = st.integers(0, 7)
LENGTHS = st.sampled_from([1, 1, 1, 2, 3, 10, 100, 1460, 2500])
WAITS_NS = (1_000_000, 1_000_000, 110_000_000, 110_000_000, 260_000_000, 260_000_000, 2_900_000_000)
FAR_OFF = st.sampled_from([70_000, 1 << 30, SPACE // 2 - STREAM_BYTES, -(1 << 20), -(1 << 30)])
AGES_NS = 601 * 10**9
LONG_WAITS_NS = (31 * 10**9, 61 * 10**9, AGES_NS)
TALK = st.lists(st.tuples(LENGTHS, FATES), min_size=1, max_size=8)
FIRST_GREETINGS = st.tuples(GREETINGS, GREETINGS)
RAISED = st.tuples(st.integers(0, SPACE - 1), st.integers(0, SPACE - 1))


class Player:
    """One engine, the packets that wait to be fed to it, and who reads from it."""

    def __init__(self, limits: Limits, raised: tuple[int, int] = (0, 0)) -> None:
        core = cores.under_test()
        self.engine = core.start(limits)
        self.reader = Reader(core, self.engine, limits, zeros_are_gaps=True)
        self.raised = raised
        self.waiting: list[Packet] = []

    def flush(self) -> None:
        cores.feed(self.engine, self.waiting)
        self.waiting = []


class Wire(RuleBasedStateMachine):
    """Hosts that talk, and readers. Whoever inherits begins it."""

    def begin(self, limits: Limits, raised: tuple[int, int], greetings: tuple[Greeting, Greeting]) -> None:
        """Before the first packet."""
        self.first = Player(limits)
        self.players = (self.first, Player(limits), Player(limits, raised))
        self.clock_ns = BASE_NS
        self.lines: list[Line] = []  # all there ever were
        self.current: dict[int, Line] = {}
        self.held: list[Held] = []
        self.idents = 0
        for slot, greeting in enumerate(greetings):
            self.open(slot, greeting, (slot * 1000, SPACE - 500), 0)

    # --- the way to the engines ----------------------------------------------------------------------

    def say(self, line: Line, segment: Segment, fate: Fate = PLAIN) -> None:
        if fate.arrives:
            line.arrive(segment)
        if fate.captured is not None and fate.captured < len(segment.data):
            segment = segment._replace(captured=fate.captured)
        torn = fate.tear and self.torn(line, segment, fate.tear)
        if torn:
            self.show_torn(line, segment, torn, fate.held)
        elif fate.held:
            self.held.append(Held(line, segment))
            return
        for _ in range(fate.times - bool(torn)):
            self.show(line, segment)

    def show(self, line: Line, segment: Segment) -> None:
        """The tap sees a segment that a host sent; where all goes one way, it never sees the server's."""
        if not self.is_hidden(line, segment):
            line.see(segment, self.clock_ns + STEP_NS)
            self.put(line, segment)

    def is_hidden(self, line: Line, segment: Segment) -> bool:
        return line.lead == "one-way" and segment.side != CLIENT

    def torn(self, line: Line, segment: Segment, tear: Tear) -> list[Piece]:
        """The fragments of a segment; none if it is too short, or hidden from the tap."""
        if self.is_hidden(line, segment):
            return []
        self.idents += 1
        return pieces(line.packet(segment, 0), line.tags, tear, self.idents)

    def show_torn(self, line: Line, segment: Segment, order: list[Piece], held: bool) -> None:
        """The tap sees fragments, of which the last that lacks makes a segment; `held`: it comes later."""
        whole_with_this = whole_with(order)
        if held:
            self.held.append(Held(line, segment, order[whole_with_this], self.clock_ns + STEP_NS))
            order = order[:whole_with_this]
        for number, piece in enumerate(order):
            if number == whole_with_this:
                line.see(segment, self.clock_ns + STEP_NS)
            self.put(line, segment, piece)

    def show_last(self, held: Held, piece: Piece) -> None:
        """The last fragment comes; in vain, if the others have been forgotten [G3]."""
        now_ns = self.clock_ns + STEP_NS
        version = version_of(held.line.packet(held.segment, 0), held.line.tags)
        if now_ns - held.begun_ns < EXPIRE_NS[version]:
            held.line.see(held.segment, now_ns)
        self.put(held.line, held.segment, piece)

    def put(self, line: Line, segment: Segment, piece: Piece | None = None) -> None:
        """A packet, or a piece of it, for every engine."""
        self.clock_ns += STEP_NS
        for player in self.players:
            packet = line.packet(segment, self.clock_ns, player.raised)
            player.waiting.append(piece.of(packet, line.tags) if piece else packet)
        self.first.flush()
        self.first.reader.look()
        self.look(line)
        if len(self.players[1].waiting) >= BATCH:
            self.flush()

    def look(self, line: Line) -> None:
        """What else must be true of a line after each of its packets."""

    def flush(self) -> None:
        """The batch ends: all engines show the same."""
        for player in self.players:
            player.flush()
        tree, batched, raised = (cores.tree(player.engine) for player in self.players)
        assert batched == tree, "other batches"
        assert raised == tree, "other sequence numbers"

    def pick(self, which: int) -> Line:
        """One of the connections that last."""
        lines = [line for line in self.current.values() if not line.dead]
        return lines[which % len(lines)]

    def talks(self) -> bool:
        return not all(line.dead for line in self.current.values())

    # --- what hosts do ---------------------------------------------------------------------------------

    @rule(
        slot=st.integers(0, len(SLOTS) - 1),
        greeting=GREETINGS,
        isns=st.tuples(ISNS, ISNS),
        by=st.sampled_from([70_000, 1 << 20, 1 << 30]),
    )
    def open(self, slot: int, greeting: Greeting, isns: tuple[int, int], by: int) -> None:
        """A connection; the next one on the same addresses and ports has ISNs behind those of the last."""
        old = self.current.get(slot)
        if old is not None:
            greeting = greeting._replace(lead="handshake")
            isns = ((old.isns[CLIENT] + by) % SPACE, (old.isns[SERVER] + by) % SPACE)
            old.dead = True
            if old.lead == "ACKs":  # any SYN counts as its own, come late [L3], until that has timed out
                self.wait(AGES_NS)
        line = Line(SLOTS[slot], isns, greeting.lead, len(self.lines) * 13, greeting.begins)
        line.stamps = greeting.stamps
        if line.stamps == "both" and line.lead == "handshake":
            line.has_paws = True if old is None else None  # a rival's SYN may be known by its ISN alone
        if old is not None and not old.carried():
            line.begun_ns = old.begun_ns  # of no account to the tap: it may take both for one
        self.current[slot] = line
        self.lines.append(line)
        if line.lead == "midway":
            self.join(line)
        else:
            self.introduce(line, NO_OFFER if line.lead == "ACKs" else greeting.offer)
        line.opened = True

    def introduce(self, line: Line, offer: Offer) -> None:
        """Both sides hear of each other; the tap sees what their lead lets it see."""
        for segment, is_seen in greet(line, offer):
            self.say(line, segment, PLAIN if is_seen else UNSEEN)

    def join(self, line: Line) -> None:
        """The capture begins while the connection lasts; its base is settled before anything else [L3]."""
        self.say(line, line.write(CLIENT, 20))
        self.say(line, line.write(SERVER, 10))
        self.clock_ns += SETTLE_NS

    @precondition(talks)
    @rule(which=WHICH, side=SIDES, talk=TALK, answer=FATES)
    def write(self, which: int, side: int, talk: list[tuple[int, Fate]], answer: Fate) -> None:
        """Some segments, and one ACK for all."""
        line = self.pick(which)
        for count, fate in talk:
            room = STREAM_BYTES - line.hosts[side].written
            if room and not line.hosts[side].fin_sent:
                self.say(line, line.write(side, min(room, count)), fate)
        self.say(line, line.bare(1 - side), answer)

    @precondition(talks)
    @rule(
        which=WHICH,
        side=SIDES,
        count=LENGTHS,
        acked=st.booleans(),
        packets=st.sampled_from([0, 0, 0, 29, 30, 31, 40]),
        wait_ns=st.sampled_from([0, 0, 240_000_000, 250_000_000, 2_900_000_000]),
    )
    def write_out_of_order(
        self, which: int, side: int, count: int, acked: bool, packets: int, wait_ns: int
    ) -> None:
        """The tap sees a segment after the next one, and after ACKs for both: as late as may be [H1]."""
        line = self.pick(which)
        if line.hosts[side].fin_sent or line.hosts[side].written + count >= STREAM_BYTES:
            return
        late = line.write(side, count)
        line.arrive(late)
        self.say(line, line.write(side, 1))
        for _ in range(packets + acked):
            self.say(line, line.bare(1 - side if acked else side))
        self.clock_ns += wait_ns
        self.show(line, late)

    @precondition(talks)
    @rule(which=WHICH, side=SIDES, start=st.integers(0, 9), count=st.integers(1, 9), fate=FATES)
    def write_again(self, which: int, side: int, start: int, count: int, fate: Fate) -> None:
        """Some tenths of what was written, cut anywhere."""
        line = self.pick(which)
        written = line.hosts[side].written
        begin, end = written * start // 10, min(written, written * (start + count) // 10)
        if begin < end:
            self.say(line, line.data(side, begin, end), fate)

    @precondition(talks)
    @rule(which=WHICH, side=SIDES, fate=FATES)
    def write_what_lacks(self, which: int, side: int, fate: Fate) -> None:
        """As TCP does it: again from the first byte that is not acknowledged."""
        line = self.pick(which)
        host, peer = line.hosts[side], line.hosts[1 - side]
        end = min(host.written, peer.rcv_nxt + 1460)
        if peer.rcv_nxt < end:
            self.say(line, line.data(side, peer.rcv_nxt, end), fate)

    @precondition(talks)
    @rule(
        which=WHICH, side=SIDES, start=st.integers(0, 9), count=st.integers(1, 3000), paint=st.integers(1, 2)
    )
    def forge(self, which: int, side: int, start: int, count: int, paint: int) -> None:
        """Other bytes in the place of what was written.

        Not behind a RST: what hosts say between that and what shows that they go on is not kept, so there
        whatever comes next is first.
        """
        line = self.pick(which)
        written = line.hosts[side].written
        begin = written * start // 10
        if begin < written and not line.reset:
            segment = line.data(side, begin, min(written, begin + count), paint)
            self.say(line, segment, LOST)

    @precondition(talks)
    @rule(which=WHICH, side=SIDES, fate=FATES)
    def acknowledge(self, which: int, side: int, fate: Fate) -> None:
        line = self.pick(which)
        self.say(line, line.bare(side), fate)

    @precondition(talks)
    @rule(which=WHICH, side=SIDES, how=st.sampled_from(["FIN", "FIN", "both", "both", "RST"]), fate=FATES)
    def end(self, which: int, side: int, how: str, fate: Fate) -> None:
        """One side has said all, or both have, which the tap sees; or one has had enough."""
        line = self.pick(which)
        if how == "RST":
            self.say(line, line.bare(side, "RA"), fate)
        elif how == "FIN":
            self.say(line, line.fin(side), fate)
        else:
            self.say(line, line.fin(side))
            self.say(line, line.fin(1 - side))
            self.say(line, line.bare(side))
            self.say(line, line.bare(1 - side))

    @precondition(talks)
    @rule(
        which=WHICH,
        side=SIDES,
        flags=st.sampled_from(["R", "RA"]),
        by=st.one_of(st.integers(2, 1000), st.integers(STREAM_BYTES + 2, 40_000), FAR_OFF),
        more=st.integers(0, 1460),
        payload=st.sampled_from([b"", b"", b"bye"]),
    )
    def forge_reset(self, which: int, side: int, flags: str, by: int, more: int, payload: bytes) -> None:
        """A blind RST, not where it would be exact, after which the host goes on in any case [L5].

        Near ahead, only if what it says next goes beyond that at once. Its ACK is blind as well: that of a
        SYN would refuse the connection.
        """
        line = self.pick(which)
        host = line.hosts[side]
        near = 0 < by <= STREAM_BYTES
        count = by + 1 + more if near else 0
        if near and (host.fin_sent or host.written + count > STREAM_BYTES):
            return
        line.see_forged_reset(self.clock_ns + STEP_NS)
        self.put(line, Segment(side, flags, host.written + by, payload, STREAM_BYTES))
        self.say(line, line.write(side, count) if near else line.bare(side))

    # --- time, the tap, readers --------------------------------------------------------------------------

    @rule(wait_ns=st.sampled_from(WAITS_NS * 3 + LONG_WAITS_NS))
    def wait(self, wait_ns: int) -> None:
        self.clock_ns += wait_ns
        for line in self.lines:
            line.dead = line.dead or line.may_be_forgotten(self.clock_ns)

    @rule()
    def tick(self) -> None:
        self.flush()
        for player in self.players:
            player.engine.tick(self.clock_ns)
        self.first.reader.look()
        self.flush()

    @precondition(lambda self: self.held)
    @rule(which=WHICH)
    def see_late(self, which: int) -> None:
        """The tap sees what it did not see in time."""
        held = self.held.pop(which % len(self.held))
        if held.line.dead:
            return
        if held.piece:
            self.show_last(held, held.piece)
        else:
            self.show(held.line, held.segment)

    @rule(what=st.sampled_from(["open", "open", "open", "release", "release", "evict"]), which=WHICH)
    def read(self, what: str, which: int) -> None:
        self.flush()
        if what == "evict":
            self.before_evicting(which)
        for player in self.players:
            player.reader.act(Action(what, which))
        self.first.reader.look()
        self.flush()

    def before_evicting(self, which: int) -> None:
        """A reader is about to evict the flow of this number."""

    # --- the end -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The capture ends."""
        self.flush()
        for player in self.players:
            player.engine.finish()
            check_counters(player.engine)
        self.first.reader.look()
        self.flush()

    def teardown(self) -> None:
        if not hasattr(self, "players"):
            return
        whole = sys.exception() is None  # else that is what is told, not what follows from it
        if whole:
            self.finish()
        for player in self.players:
            player.reader.release_all()
            player.engine.close()
            if whole:
                check_closed(player.engine)

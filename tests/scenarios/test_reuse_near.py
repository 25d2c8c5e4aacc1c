"""The same addresses and ports again, with numbers near those of the last connection: to each its bytes.

That is the common case. RFC 6528 has the ISNs of the same addresses and ports go on by some 250 a
millisecond, so the next one lies near what the last connection sent, before or behind it; who answers a SYN
in TIME-WAIT takes one 65,537 behind (Linux), and with timestamps any will do (RFC 6191). A forger's SYN looks
the same, as one packet; so what tells is what both hosts go on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from craft import Conversation, Packet, timestamps, wscale
from craft.frames import packed
from engines import SMALL, View, check_counters, feed, run, started, tree_of

NAME = Conversation().client_name()
SERVER_NAME = Conversation().server_name()

# Where an ISN lies, counted from the number that the same side would have sent next. A new connection with -1
# goes on with the very numbers of the old one.
AHEAD = [-5_000_000, -100_000, -3000, -1, 0, 1, 300, 3000, 65_537, 100_000, 5_000_000]
NEAR = 65536  # what one of the two numbers may be away, if the other one is just that of the old connection
SEGMENT_BYTES = 50_000

ENDS = ["FIN", "FIN, RST", "RST", "server's RST"]
HANDSHAKES = ["whole", "SYN twice", "SYN/ACK first", "no SYN/ACK", "no SYN"]
TALKS = ["client first", "server first", "data at once", "data overtakes the ACK"]


class Case(NamedTuple):
    """One connection and the next; sizes in bytes, of what each side sent on the old one."""

    end: str
    handshake: str
    talk: str
    client_ahead: int
    server_ahead: int
    scaled: bool
    stamped: bool
    size: int
    seconds: float

    def is_ambiguous(self, one_way: bool = False) -> bool:
        """Whether one packet of a forger, with this ISN, and an old connection that goes on look the same."""
        if "no SYN" not in self.handshake and not one_way:
            return False
        near = abs(self.client_ahead) <= NEAR and abs(self.server_ahead) <= NEAR
        return near and -1 in (self.client_ahead, self.server_ahead)

    def data(self) -> list[tuple[int, bytes]]:
        """What the client sends on the old connection: each segment, and where it begins.

        The server sends the same in lower case.
        """
        return [
            (at, bytes([65 + at // SEGMENT_BYTES]) * min(SEGMENT_BYTES, self.size - at))
            for at in range(0, self.size, SEGMENT_BYTES)
        ]


class Hosts:
    """Both hosts of a case; their clocks go on with each packet that they stamp."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.stamp = 1000
        self.talk = Conversation(client_isn=10_000_000, server_isn=90_000_000)

    def options(self, syn: bool = False) -> dict[str, Any]:
        self.stamp += 1
        parts = [wscale(7)] if syn and self.case.scaled else []
        parts += [timestamps(self.stamp, 0 if syn else self.stamp - 1)] if self.case.stamped else []
        return {"options": b"".join(parts)}

    def old(self) -> Hosts:
        """A connection from its SYN to its end."""
        talk = self.talk
        talk.syn(**self.options(True)).syn_ack(**self.options(True)).client_ack(0, **self.options())
        for at, part in self.case.data():
            talk.client(at, part, **self.options()).server_ack(at + len(part), **self.options())
            talk.server(at, part.lower(), **self.options()).client_ack(at + len(part), **self.options())
        self._end()
        return self

    def _end(self) -> None:
        talk, end = self.talk, self.case.end
        if end == "RST":
            talk.rst()
        elif end == "server's RST":
            talk.server_rst()
        else:
            talk.fin(**self.options()).server_ack(talk.client_next + 1, **self.options())
            talk.client_next += 1
            if end == "FIN":
                talk.server_fin(**self.options()).client_ack(talk.server_next + 1, **self.options())
                talk.server_next += 1
            else:
                talk.server_rst()

    def new(self) -> Hosts:
        """Another one."""
        talk, case = self.talk, self.case
        talk.wait(case.seconds).again(
            talk.client_isn + 1 + talk.client_next + case.client_ahead,
            talk.server_isn + 1 + talk.server_next + case.server_ahead,
        )
        steps = {
            "whole": "SA",
            "SYN twice": "SSA",
            "SYN/ACK first": "AS",
            "no SYN/ACK": "S",
            "no SYN": "A",
        }[case.handshake]
        stamps = {"S": self.options(True), "A": self.options(True)}
        for step in steps:
            (talk.syn if step == "S" else talk.syn_ack)(**stamps[step])
        TALK[case.talk](self)
        talk.fin(ack=talk.server_isn + 6, **self.options())
        talk.server_fin(ack=talk.client_isn + 5, **self.options()).wait(0.5).other()
        return self

    def client_first(self) -> None:
        self.talk.client_ack(0, **self.options()).client(0, b"new", **self.options())
        self.talk.server_ack(3, **self.options()).server(0, b"hello", **self.options())
        self.talk.client_ack(5, **self.options())

    def server_first(self) -> None:
        self.talk.client_ack(0, **self.options()).server(0, b"hello", **self.options())
        self.talk.client_ack(5, **self.options()).client(0, b"new", **self.options())
        self.talk.server_ack(3, **self.options())

    def at_once(self) -> None:
        """The third packet has data."""
        self.talk.client(0, b"new", **self.options())
        self.talk.server(0, b"hello", ack=self.talk.client_isn + 4, **self.options())
        self.talk.client_ack(5, **self.options())

    def overtaking(self) -> None:
        stamp = self.options()
        self.talk.client(2, b"w", **self.options()).client(0, b"ne", **stamp)
        self.talk.client_ack(0, seq=self.talk.client_isn + 1, **stamp).server_ack(3, **self.options())
        stamp = self.options()
        self.talk.server(3, b"lo", **self.options()).server(0, b"hel", **stamp)
        self.talk.client_ack(5, **self.options())


TALK: dict[str, Callable[[Hosts], None]] = dict(
    zip(TALKS, [Hosts.client_first, Hosts.server_first, Hosts.at_once, Hosts.overtaking], strict=True)
)


def _taken(packets: list[Packet]) -> View:
    with started(SMALL) as engine:
        feed(engine, packets)
        engine.finish()
        tree = tree_of(engine)
    check_counters(tree.statistics)
    return View(tree)


def wrong(case: Case) -> str:
    """What of a case is not as it was sent; nothing if all is."""
    view = _taken(Hosts(case).old().new().talk.packets)
    found = view.files()
    sent = b"".join(part for _, part in case.data())
    wanted = {NAME: sent, SERVER_NAME: sent.lower(), NAME + "c1": b"new", SERVER_NAME + "c1": b"hello"}
    if found == wanted and not any(map(view.gaps, found)):
        return ""
    return f"{case}: {[(name, len(data), data[-8:]) for name, data in found.items()]}"


def cases(end: str, handshake: str, talk: str) -> Iterator[Case]:
    """Every second pair of ISNs; what else there is varies from one to the next."""
    variants = list(product([False, True], [False, True], [5, 150_000], [0.01, 1, 50]))
    first = (ENDS.index(end) + HANDSHAKES.index(handshake) + TALKS.index(talk)) % 2
    for index, (client, server) in list(enumerate(product(AHEAD, AHEAD)))[first::2]:
        yield Case(end, handshake, talk, client, server, *variants[index * 7 % len(variants)])


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("handshake", HANDSHAKES)
@pytest.mark.parametrize("end", ENDS)
def test_each_pair_of_isns(end: str, handshake: str, talk: str) -> None:
    """A connection of which SYN and SYN/ACK were captured has all of its bytes, whatever its numbers.

    Where one of the two was not, one of its ISNs at the most is known, and any segment of the old connection,
    if what closed that was forged, has at least one number that is just what its hosts would say next. A
    segment that has one, the other less than 64 KiB away, is of the old connection: so is, by chance, one of
    the new connection if an ISN lies just one before, which is one in four billion; a forger may choose it.
    """
    faults = [wrong(case) for case in cases(end, handshake, talk) if not case.is_ambiguous()]
    assert [fault for fault in faults if fault] == []


@pytest.mark.parametrize(
    "handshake, of_server",
    [
        *((handshake, False) for handshake in HANDSHAKES if handshake != "no SYN"),
        *((handshake, True) for handshake in HANDSHAKES if handshake != "no SYN/ACK"),
    ],
)
@pytest.mark.parametrize("end", ENDS)
def test_each_pair_of_isns_where_one_side_is_captured(end: str, handshake: str, of_server: bool) -> None:
    """Its SYN was; of the other side there are but its ACKs, which say where that was."""
    for case in cases(end, handshake, TALKS[0]):
        if case.is_ambiguous(one_way=True):
            continue
        talk = Hosts(case).old().new().talk
        other = packed(talk.client_address if of_server else talk.server_address)
        found = _taken([packet for packet in talk.packets if packet.frame[26:30] != other]).files()
        name, data = (SERVER_NAME, b"hello") if of_server else (NAME, b"new")
        assert found[name + "c1"] == data, case
        assert len(found[name]) == case.size, case


@pytest.mark.parametrize("handshake", HANDSHAKES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("ahead", [(-3000, -3000), (-5, 300), (65_537, -100), (0, 1)])
def test_whatever_the_batches(handshake: str, scaled: bool, ahead: tuple[int, int]) -> None:
    case = Case("RST", handshake, TALKS[0], *ahead, scaled, scaled, 5, 1)
    outcome = run(Hosts(case).old().new().talk)
    assert outcome.files()[NAME + "c1"] == b"new"
    assert outcome.files()[SERVER_NAME + "c1"] == b"hello"
    assert outcome.statistics["dropped_tentative_bytes"] == 0


# --- a forger's pair, that lies near -----------------------------------------------------------------------

Send = Callable[[Conversation, int, bytes], object]


def in_order(talk: Conversation, send: Send, acked: Callable[[int], object], at: int) -> None:
    send(talk, at, b"s" * 100)
    send(talk, at + 100, b"t" * 100)
    acked(at + 200)


def out_of_order(talk: Conversation, send: Send, acked: Callable[[int], object], at: int) -> None:
    send(talk, at + 100, b"t" * 100)
    send(talk, at, b"s" * 100)
    acked(at + 200)


def sent_again(talk: Conversation, send: Send, acked: Callable[[int], object], at: int) -> None:
    """The first one is lost, and what was sent before comes once more, too."""
    send(talk, at + 100, b"t" * 100)
    acked(at)
    send(talk, at - 100, b"t" * 100 if at > 300 else b"0" * 100)
    send(talk, at, b"s" * 100)
    acked(at + 200)


WAYS = [in_order, out_of_order, sent_again]
BY = [-70_000, -1000, -300, -101, -100, -99, -1, 0, 1, 50, 99, 100, 101, 199, 300, 1000, 70_000]


def attacked(way: Callable[..., None], by: int, first: bool, second: bool, download: bool, kind: str) -> Any:
    """Two hosts of which one sends; `first` and `second`: whether RST and SYN are the client's.

    Of a SYN and its SYN/ACK, `first` is whether the latter lies away, too.
    """
    talk = Conversation().handshake(wscale(7) if kind == "scaled" else b"")
    talk.client(0, b"0" * 300).server_ack(300).server(0, b"0" * 300).client_ack(300)
    numbers = {True: (1301, 500_301), False: (500_301, 1301)}
    if kind != "both":
        talk.send(first, b"", seq=numbers[first][0], ack=numbers[first][1], flags="RA")
    isn = numbers[second][0] + by
    if kind == "both":
        talk.send(second, b"", seq=isn, ack=0, flags="S")
        talk.send(not second, b"", seq=numbers[second][1] - 1 + by * first, ack=isn + 1, flags="SA")
    elif kind == "SYN/ACK":
        talk.send(second, b"", seq=isn, ack=numbers[second][1], flags="SA")
    else:
        talk.send(second, b"", seq=isn, ack=0, flags="S")
    send = Conversation.server if download else Conversation.client
    for at in range(300, 1100, 200):
        way(talk, send, talk.client_ack if download else talk.server_ack, at)
    return talk


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("kind", ["plain", "scaled", "SYN/ACK", "both"])
def test_a_forgers_pair(
    way: Callable[..., None], first: bool, second: bool, download: bool, kind: str
) -> None:
    """Two packets: a RST, and a SYN or SYN/ACK that chooses where a segment of the true stream begins.

    Or, while the connection lasts, a SYN and its SYN/ACK.
    """
    sent = b"0" * 300 + (b"s" * 100 + b"t" * 100) * 4
    wanted = [sent, b"0" * 300]
    for by in BY:
        view = _taken(attacked(way, by, first, second, download, kind).packets)
        assert view.files() == {
            NAME: wanted[download],
            SERVER_NAME: wanted[not download],
        }, by

"""How two hosts begin a connection: what they say of times, and what the client puts into its SYN.

Owns the strategy `GREETINGS`, and the segments of an opening. What is always true: what the server did not
take of a SYN's data is sent again at once (RFC 7413, 4.2.1), and was something else in the SYN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import strategies as st

from property.cuttings import CLIENT, SERVER
from property.hosts import Line, Segment
from property.stamps import BEGINNINGS


class Offer(NamedTuple):
    """Data of a SYN [L7]."""

    sent: int  # so much the client sends with it
    taken: int  # so much of that the server acknowledges with its SYN/ACK
    again: str = ""  # the SYN comes twice: "whole", or "bare", as after a loss (RFC 7413, 4.1.3)
    early: int = 0  # so much the server says behind its SYN/ACK, before the client's ACK


class Greeting(NamedTuple):
    """How a connection begins, and what the tap sees of that."""

    lead: str
    stamps: str  # "both", "SYN": the SYN/ACK has none, "" for none
    begins: tuple[int, int]  # the times of both hosts
    offer: Offer


NO_OFFER = Offer(0, 0)
LEADS = (
    "handshake",
    "handshake",
    "handshake",
    "no SYN",
    "no SYN/ACK",
    "ACKs",
    "midway",
    "one-way",
    "one-way",
)
OFFERS = st.builds(
    Offer,
    sent=st.sampled_from([1, 3, 100, 1400]),
    taken=st.sampled_from([0, 1, 2, 1400, 1400]),
    again=st.sampled_from(["", "", "bare", "whole"]),
    early=st.sampled_from([0, 0, 1, 500]),
)
GREETINGS = st.builds(
    Greeting,
    lead=st.sampled_from(LEADS),
    stamps=st.sampled_from(["both", "both", "both", "both", "SYN", ""]),
    begins=st.tuples(BEGINNINGS, BEGINNINGS),
    offer=st.one_of(st.just(NO_OFFER), OFFERS),
)


def greet(line: Line, offer: Offer) -> Iterator[tuple[Segment, bool]]:
    """What is said until both sides know of each other, and whether the tap may see it."""
    taken = min(offer.taken, offer.sent)
    data = line.text(CLIENT, 0, taken) + line.text(CLIENT, taken, offer.sent, paint=2)
    sees_syn, sees_syn_ack = line.lead not in ("no SYN", "ACKs"), line.lead not in ("no SYN/ACK", "ACKs")
    line.hosts[CLIENT].written = offer.sent
    yield line.stamped(Segment(CLIENT, "S", -1, data, 0)), sees_syn
    if offer.sent and offer.again:
        yield line.stamped(Segment(CLIENT, "S", -1, data if offer.again == "whole" else b"", 0)), sees_syn
    line.hosts[SERVER].take(Segment(CLIENT, "A", 0, data[:taken], 0))
    yield line.stamped(Segment(SERVER, "SA", -1, b"", taken)), sees_syn_ack
    if offer.early:
        yield line.write(SERVER, offer.early), True
    if taken < offer.sent:
        yield line.data(CLIENT, taken, offer.sent), True
    else:
        yield line.bare(CLIENT), True
    if line.lead == "ACKs":
        yield line.bare(SERVER), True

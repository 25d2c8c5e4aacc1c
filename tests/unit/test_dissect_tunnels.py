"""Tunnels that are not what they say: versions, optional parts and lengths that are refused or bound."""

from __future__ import annotations

import struct

import pytest

import craft
from craft import monitors
from craft import tunnels as t
from dissecting import dissect
from flowfs.core.decode import Segment, decode

SRC, DST = "10.0.0.1", "10.0.0.2"
PACKET = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 80, payload=b"abcdef"))
LONG = craft.ipv4(SRC, DST, craft.tcp(SRC, DST, 1025, 80, payload=bytes(1400)))
PACKET6 = craft.ipv6("::1", "::2", craft.tcp("::1", "::2", 1025, 80, payload=b"abcdef"))
FRAME = t.frame_of(PACKET)
NOT_TCP, RARE = 1, 2

FOUND = (0, PACKET, 1)


def in_gre(payload: bytes) -> tuple[int, bytes, int] | None:
    return dissect(1, t.outer(47, payload))


def in_udp(port: int, payload: bytes) -> tuple[int, bytes, int] | None:
    return dissect(1, t.outer(17, t.udp(port, payload)))


@pytest.mark.parametrize(
    "payload",
    [
        t.gre(0x0800, PACKET, routing=True),
        t.gre(0x0800, PACKET, version=1),
        t.gre(0x0800, PACKET, version=2),
        t.gre(0x0800, PACKET, version=7),
        t.gre(0x86DD, PACKET),
        t.gre(0x0806, PACKET),
        t.gre(0, PACKET),
        t.gre(len(PACKET), PACKET),
        t.gre(0x88BE, t.erspan2(FRAME, version=2), sequence=1),
        t.gre(0x88BE, t.erspan2(FRAME, version=0), sequence=1),
        t.gre(0x22EB, t.erspan3(FRAME, version=1), sequence=1),
        t.gre(0x8200, monitors.wifi(PACKET, flags=0x41)),
        t.pptp(t.ppp_ip(PACKET), length=0),
        t.pptp(t.ppp(0xC021, PACKET)),
        t.gre(0x880B, t.ppp_ip(PACKET), version=1),
        t.gre(0x880B, t.ppp_ip(PACKET), key=100 << 16, version=1),
        t.gre(0x880B, t.ppp_ip(PACKET), sequence=100 << 16, version=1),
        t.gre(0x0800, t.ppp_ip(PACKET), key=100 << 16, sequence=1, version=1),
        b"",
    ],
    ids=lambda payload: payload[:12].hex(),
)
def test_gre_that_is_refused(payload: bytes) -> None:
    assert in_gre(payload) is None


def test_pptp_says_how_long_its_payload_is() -> None:
    assert in_gre(t.pptp(t.ppp_ip(PACKET), length=2 + len(PACKET) - 3)) == (0, PACKET[:-3], 1)
    assert in_gre(t.pptp(t.ppp_ip(PACKET), length=65535)) == FOUND
    assert in_gre(t.pptp(t.ppp_ip(LONG)) + b"padding") == (0, LONG, 1)


@pytest.mark.parametrize("kind", [0x8847, 0x8100, 0x8864])
def test_gre_carries_whatever_has_an_ethernet_type(kind: int) -> None:
    inside = {
        0x8847: t.labels(16) + PACKET,
        0x8100: b"\0\x07\x08\0" + PACKET,
        0x8864: t.pppoe(t.ppp_ip(PACKET)),
    }
    assert in_gre(t.gre(kind, inside[kind])) == (7 if kind == 0x8100 else 0, PACKET, 2)


@pytest.mark.parametrize(
    "payload",
    [
        t.vxlan(FRAME, flags=0),
        t.vxlan(FRAME, flags=0x80),
        t.vxlan(FRAME, flags=0x01),
        t.vxlan(PACKET, flags=0x0D, next_protocol=1),  # for the tunnel's end
        t.vxlan(PACKET, flags=0x0C, next_protocol=0),
        t.vxlan(PACKET, flags=0x0C, next_protocol=4),  # NSH
        t.vxlan(PACKET6, flags=0x0C, next_protocol=1),
        t.vxlan(t.ethernet(0x0806, PACKET)),
    ],
    ids=lambda payload: payload[:8].hex(),
)
def test_vxlan_that_is_refused(payload: bytes) -> None:
    assert in_udp(4789, payload) is None


def test_vxlan_gpe_with_labels() -> None:
    payload = t.vxlan(t.labels(16) + PACKET, flags=0x0C, next_protocol=5)
    assert in_udp(4790, payload) == (0, PACKET, 2)


@pytest.mark.parametrize(
    "payload",
    [
        t.geneve(0x0800, PACKET, version=1),
        t.geneve(0x0800, PACKET, control=True),
        t.geneve(0x0806, PACKET),
        t.geneve(0x0800, PACKET, options=bytes(8))[:8] + PACKET,
        t.geneve(0x0800, b"\x3f" + PACKET[1:]),
    ],
    ids=["version", "control", "type", "options that are not there", "no IP"],
)
def test_geneve_that_is_refused(payload: bytes) -> None:
    assert in_udp(6081, payload) is None


@pytest.mark.parametrize(
    ("port", "payload"),
    [
        (4789, t.vxlan(FRAME, flags=0x09)),  # OAM is a bit of GPE
        (4789, t.vxlan(FRAME, flags=0xFA)),
        (6081, t.geneve(0x0800, PACKET)[:1] + b"\x7f" + t.geneve(0x0800, PACKET)[2:]),
        (2152, t.gtp_user(PACKET, first=0x31)),  # an N-PDU number
        (2152, t.gtp_user(PACKET, first=0x33)),
        (2152, t.gtp_user(PACKET, first=0x32)[:11] + b"\x85" + PACKET),  # a type without the flag for it
        (2152, t.gtp_user(PACKET, first=0x34)),  # the flag for a type, and no type
        (2152, t.gtp_user(PACKET, first=0x38)),
    ],
)
def test_bits_that_change_nothing(port: int, payload: bytes) -> None:
    assert in_udp(port, payload) == FOUND


def test_bits_of_gre_that_change_nothing() -> None:
    """Strict source route and recursion control (RFC 1701), which RFC 2784 has no more."""
    assert in_gre(b"\x0f\0\x08\0" + PACKET) == FOUND
    assert in_gre(b"\x00\xf8\x08\0" + PACKET) == FOUND


CONTAINER = (0x85, b"\0\x09")


@pytest.mark.parametrize(
    "payload",
    [
        t.gtp_user(PACKET, message=1),
        t.gtp_user(PACKET, first=0x20),  # GTP'
        t.gtp_user(PACKET, first=0x50),
        t.gtp_user(b"\0" + PACKET),
        t.gtp_user(PACKET, extensions=[CONTAINER] * 9),
        t.gtp_user(PACKET, extensions=[CONTAINER])[:12] + b"\0" * 4 + PACKET,  # a header of no bytes
        t.gtp_user(PACKET, extensions=[CONTAINER])[:12] + b"\xff" * 4 + PACKET,
        struct.pack("!BBHI", 0x30, 255, 0, 1) + PACKET,
    ],
    ids=lambda payload: payload[:16].hex(),
)
def test_gtp_that_is_refused(payload: bytes) -> None:
    assert in_udp(2152, payload) is None


def test_gtp_with_as_many_extension_headers_as_there_are() -> None:
    assert in_udp(2152, t.gtp_user(PACKET, extensions=[CONTAINER] * 8)) == FOUND


def test_gtp_says_how_long_its_payload_is() -> None:
    assert in_udp(2152, t.gtp_user(PACKET) + b"padding") == FOUND
    assert in_udp(2152, t.gtp_user(LONG) + b"padding") == (0, LONG, 1)
    assert in_udp(2152, t.gtp_user(PACKET[:-3]) + b"abc") == (0, PACKET[:-3], 1)


@pytest.mark.parametrize(
    "payload",
    [
        t.teredo(PACKET),  # Teredo is for IPv6 alone
        t.teredo(PACKET6, origin=True)[:8] + t.teredo(PACKET6, authentication=(b"", b"")),
        b"\0\1\xff\xff" + PACKET6,
        b"\0\2" + PACKET6,
    ],
    ids=["v4", "wrong order", "authentication that is not there", "unknown"],
)
def test_teredo_that_is_refused(payload: bytes) -> None:
    assert in_udp(3544, payload) is None


# --- UDP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dport, sport", [(2152, 9), (9, 2152)])
def test_either_port_tells(dport: int, sport: int) -> None:
    assert dissect(1, t.outer(17, t.udp(dport, t.gtp_user(PACKET), sport=sport))) == FOUND


def test_the_destination_tells_first() -> None:
    """The source port of VXLAN and GENEVE is any number."""
    assert dissect(1, t.outer(17, t.udp(2152, t.gtp_user(PACKET), sport=3544))) == FOUND


@pytest.mark.parametrize("length, found", [(0, FOUND), (7, None), (8, None), (65535, FOUND)])
def test_the_length_of_udp(length: int, found: tuple[int, bytes, int] | None) -> None:
    assert dissect(1, t.outer(17, t.udp(2152, t.gtp_user(PACKET), length=length))) == found


def test_the_length_of_udp_bounds_what_follows() -> None:
    payload = t.gtp_user(PACKET)
    frame = t.outer(17, t.udp(2152, payload, length=8 + len(payload) - 3))
    assert dissect(1, frame) == (0, PACKET[:-3], 1)
    teredo = craft.ipv6("::1", "::2", craft.tcp("::1", "::2", 1, 2, payload=bytes(1400)))
    assert dissect(1, t.outer(17, t.udp(3544, teredo) + b"padding")) == (0, teredo, 1)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [53, 443, 2151, 2153, 4788, 4791, 8471, 6080, 3543])
def test_other_ports_are_none(port: int, version: int) -> None:
    frame = t.outer(17, t.udp(port, t.gtp_user(PACKET)), version=version)
    assert dissect(1, frame) is None
    assert decode(frame, 0, len(frame), 1, Segment()) == NOT_TCP


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [2152, 3544, 4789, 4790, 6081, 8472])
def test_the_core_asks_for_either_port_once_it_is_there(port: int, version: int) -> None:
    for frame in (
        t.outer(17, t.udp(port, b""), version=version),
        t.outer(17, t.udp(1, b"", sport=port), version=version),
    ):
        for cut, verdict in ((0, RARE), (4, RARE), (5, NOT_TCP), (8, NOT_TCP)):
            assert decode(frame, 0, len(frame) - cut, 1, Segment()) == verdict


@pytest.mark.parametrize("protocol, verdict", [(4, RARE), (41, RARE), (47, RARE), (51, RARE), (50, NOT_TCP)])
@pytest.mark.parametrize("version", [4, 6])
def test_the_core_asks_for_these_protocols(protocol: int, verdict: int, version: int) -> None:
    frame = t.outer(protocol, b"", version=version)
    assert decode(frame, 0, len(frame), 1, Segment()) == verdict


# --- labels, PPP, LLC --------------------------------------------------------------------------

MAC = bytes.fromhex("0211 2233 4401 0211 2233 4402")


def behind_labels(data: bytes) -> tuple[int, bytes, int] | None:
    return dissect(1, t.ethernet(0x8847, t.labels(16) + data))


@pytest.mark.parametrize("first", [0x00, 0x10, 0x40, 0x45, 0x9A])
@pytest.mark.parametrize("kind", ["ip", "vlan", "mpls"])
def test_a_pseudowire_whatever_its_address_begins_with(first: int, kind: str) -> None:
    inside = {
        "ip": b"\x08\0" + PACKET,
        "vlan": b"\x81\0\0\x07\x08\0" + PACKET,
        "mpls": b"\x88\x47" + t.labels(1) + PACKET,
    }
    frame = bytes([first]) + MAC[1:] + inside[kind]
    expected = (7 if kind == "vlan" else 0, PACKET, 1 if kind == "ip" else 2)
    assert behind_labels(frame) == expected
    assert behind_labels(b"\0\0\0\x09" + frame) == expected


def test_a_pseudowire_that_can_be_read_two_ways_is_not_read() -> None:
    """Of a tagged frame to a card of 00:00 the beginning may be a control word: IP follows as well."""
    frame = MAC[2:] + MAC[:2] + b"\x81\0\0\x07\x08\0" + PACKET
    assert behind_labels(b"\0\x01" + frame[2:]) == (7, PACKET, 2)
    assert behind_labels(b"\0\0" + frame[2:]) is None


def test_ip_behind_labels_that_looks_like_a_frame_is_ip() -> None:
    """Where a frame has its Ethernet type, a packet has addresses."""
    four = craft.ipv4("8.0.64.1", DST, PACKET[20:])
    assert behind_labels(four) == (0, four, 1)
    six = craft.ipv6("2001:db8:800:4000::1", "::2", PACKET6[40:])
    assert behind_labels(six) == (0, six, 1)


def test_labels_in_ppp() -> None:
    for protocol in (0x281, 0x283):
        payload = t.pppoe(t.ppp(protocol, t.labels(16) + PACKET))
        assert dissect(1, t.ethernet(0x8864, payload)) == (0, PACKET, 2)


def test_a_long_session_packet() -> None:
    assert dissect(1, t.ethernet(0x8864, t.pppoe(t.ppp_ip(LONG)) + b"padding")) == (0, LONG, 1)


def test_ip_behind_labels_is_ip_although_its_checksum_is_wrong() -> None:
    """Which the core then counts."""
    wrong = craft.ipv4(SRC, DST, PACKET[20:], checksum=1)
    assert behind_labels(wrong) == (0, wrong, 1)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 4, b"\0" * 18, b"\x10" + bytes(40), MAC + b"\x08\x06" + PACKET]
)
def test_labels_before_nothing(data: bytes) -> None:
    assert behind_labels(data) is None


@pytest.mark.parametrize(
    "payload",
    [
        t.pppoe(t.ppp_ip(PACKET), code=9),
        t.pppoe(t.ppp_ip(PACKET), version_type=0x12),
        t.pppoe(t.ppp_ip(PACKET), length=0),
        t.pppoe(t.ppp(0xC021, PACKET)),
        t.pppoe(t.ppp(0x57, PACKET)),
        t.pppoe(b"\0"),
    ],
    ids=["discovery", "version", "length", "LCP", "IPv6 that is none", "cut"],
)
def test_pppoe_that_is_refused(payload: bytes) -> None:
    assert dissect(1, t.ethernet(0x8864, payload)) is None


def test_pppoe_says_how_long_its_payload_is() -> None:
    payload = t.ppp_ip(PACKET)
    assert dissect(1, t.ethernet(0x8864, t.pppoe(payload) + b"padding")) == FOUND
    assert dissect(1, t.ethernet(0x8864, t.pppoe(payload, length=len(payload) - 3))) == (0, PACKET[:-3], 1)


def test_llc() -> None:
    llc = b"\x06\x06\x03" + PACKET
    assert dissect(1, t.ethernet(len(llc), llc + b"padding")) == FOUND
    assert dissect(1, t.ethernet(len(llc) - 3, llc)) == (0, PACKET[:-3], 1)
    assert dissect(1, t.ethernet(20, b"\x42\x42\x03" + bytes(17))) is None
    other = b"\xaa\xaa\x03\0\x80\xc2" + t.snap(0x0800, PACKET)[6:]
    assert dissect(1, t.ethernet(len(other), other)) is None


def test_a_length_behind_a_tag() -> None:
    snap = t.snap(0x0800, PACKET)
    frame = t.ethernet(0x8100, struct.pack("!HH", 7, len(snap)) + snap + b"padding")
    assert dissect(1, frame) == (7, PACKET, 2)

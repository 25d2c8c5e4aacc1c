"""Connections in tunnels, behind labels and on other link layers: the same files as without them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import craft
from craft import RAW, Conversation, Packet, Tag, monitors
from craft import tunnels as t
from engines import run

ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("2001:db8::1", "2001:db8::2")}
Put = Callable[[bytes], bytes]

PLACES: dict[str, Put] = {
    "ip": lambda packet: t.outer(41 if packet[0] >> 4 == 6 else 4, packet),
    "gre": lambda packet: t.outer(47, t.gre(t.ethertype(packet), packet, key=1)),
    "erspan": lambda packet: t.outer(47, t.gre(0x88BE, t.erspan2(t.frame_of(packet)), sequence=1)),
    "vxlan": lambda packet: t.outer(17, t.udp(4789, t.vxlan(t.frame_of(packet)))),
    "geneve": lambda packet: t.outer(17, t.udp(6081, t.geneve(t.ethertype(packet), packet)), version=6),
    "gtp": lambda packet: t.outer(17, t.udp(2152, t.gtp_user(packet))),
    "mpls": lambda packet: t.ethernet(0x8847, t.labels(16, 17) + packet),
    "pppoe": lambda packet: t.ethernet(0x8864, t.pppoe(t.ppp_ip(packet))),
}


def conversation(version: int = 4) -> Conversation:
    """Out of order, with a retransmission; the last frame is shorter than Ethernet's least."""
    written = Conversation(*ADDRESSES[version], link_type=RAW).handshake()
    return written.client(3, b"def").client(0, b"abc").client(0, b"abcdef").server(0, b"x").close()


def placed(written: Conversation, put: Put) -> list[Packet]:
    """The packets with `put` around them, and padding behind."""
    return [packet._replace(frame=put(packet.frame) + craft.frames.PADDING * 6) for packet in written.packets]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("place", PLACES)
def test_in_a_tunnel(place: str, version: int) -> None:
    plain = conversation(version)
    outcome = run(placed(plain, PLACES[place]))
    assert outcome.files() == {plain.client_name(): b"abcdef", plain.server_name(): b"x"}
    assert outcome.statistics["dissected"] == outcome.statistics["segments"] == len(plain.packets)
    assert outcome.statistics["tunnelled"] == (0 if place in ("mpls", "pppoe") else len(plain.packets))
    assert outcome.statistics["unknown_frames"] == 0


def test_what_was_cut_in_a_tunnel_is_counted() -> None:
    plain = Conversation(link_type=RAW).handshake().client(0, bytes(800))
    packets = placed(plain, PLACES["vxlan"])
    packets[-1] = craft.cut(packets[-1], 300)
    statistics = run(packets).statistics
    headers = 14 + 20 + 8 + 8 + 14 + 40
    assert (statistics["cut_bytes"], statistics["cut_at_bytes"]) == (800 - (300 - headers), 300)


@pytest.mark.parametrize("outside", [True, False])
def test_what_came_in_fragments_came_out_of_a_tunnel(outside: bool) -> None:
    """Fragments of the outer packet, or of the inner one."""
    plain = Conversation(link_type=RAW).handshake().client(0, bytes(800))

    def put(packet: bytes) -> list[bytes]:
        if outside:
            return [craft.ethernet(part) for part in craft.fragments(PLACES["gre"](packet)[14:], 400)]
        return [PLACES["gre"](part) for part in craft.fragments(packet, 400)]

    packets = [packet._replace(frame=part) for packet in plain.packets for part in put(packet.frame)]
    outcome = run(packets)
    assert outcome.files() == {plain.client_name(): bytes(800)}
    assert outcome.statistics["tunnelled"] == outcome.statistics["segments"] == len(plain.packets)


def test_some_segments_in_a_tunnel_and_some_not() -> None:
    """As zeek__tunnels_tunnel-direct-bypass.pcap has it: the tunnel's other end sees one connection."""
    plain = conversation()
    packets = placed(plain, PLACES["gre"])
    packets[::2] = placed(plain, t.frame_of)[::2]
    assert run(packets).files() == {plain.client_name(): b"abcdef", plain.server_name(): b"x"}


def test_the_same_addresses_in_two_overlays_are_told_apart_by_their_vlans() -> None:
    packets = []
    for vlan in (7, 8):
        written = Conversation(link_type=RAW).handshake().client(0, b"%d" % vlan)

        def put(packet: bytes, vlan: int = vlan) -> bytes:
            return t.outer(17, t.udp(4789, t.vxlan(t.frame_of(packet, [Tag(vlan)]))), tags=[Tag(99)])

        packets += placed(written, put)
    name = Conversation().client_name()
    assert run(packets).files() == {name + "--7": b"7", name + "--8": b"8"}


def test_more_layers_than_there_are_in_earnest() -> None:
    """Eight are passed, nine are counted as unknown."""

    def nested(depth: int) -> Put:
        def put(packet: bytes) -> bytes:
            for _ in range(depth):
                packet = t.outer(47, t.gre(0x0800, packet))[14:]
            return t.frame_of(packet)

        return put

    plain = conversation()
    assert run(placed(plain, nested(8))).files()[plain.client_name()] == b"abcdef"
    outcome = run(placed(plain, nested(9)))
    assert outcome.files() == {}
    assert outcome.statistics["unknown_frames"] == outcome.statistics["dissected"] == len(plain.packets)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("link_type", "put"),
    [
        (9, t.ppp_ip),
        (104, lambda packet: monitors.cisco_hdlc(t.ethertype(packet), packet)),
        (105, monitors.wifi),
        (127, lambda packet: monitors.radiotap(monitors.wifi(packet, qos=True), flags=0x10)),
        (239, monitors.nflog),
    ],
)
def test_on_a_rarer_link_layer(link_type: int, put: Put, version: int) -> None:
    plain = conversation(version)
    outcome = run(placed(plain, put), link_type=link_type)
    assert outcome.files() == {plain.client_name(): b"abcdef", plain.server_name(): b"x"}


# --- aggregates ----------------------------------------------------------------------------------


def aggregate(packets: list[bytes]) -> bytes:
    return monitors.ieee80211(monitors.subframes(*packets), qos=True, aggregated=True)


@pytest.mark.parametrize("count", [2, 3, 64])
def test_several_frames_in_one(count: int) -> None:
    """Each is a segment, all of them are one captured packet."""
    plain = conversation()
    frames = [packet.frame for packet in plain.packets]
    groups = [frames[start : start + count] for start in range(0, len(frames), count)]
    packets = [Packet(10**18, aggregate(group), 0) for group in groups]
    outcome = run(packets, link_type=105)
    assert outcome.files() == {plain.client_name(): b"abcdef", plain.server_name(): b"x"}
    numbers = outcome.statistics
    assert (numbers["packets"], numbers["segments"]) == (len(groups), len(frames))
    assert (numbers["unknown_frames"], numbers["tunnelled"]) == (0, 0)


def test_more_frames_in_one_than_are_read_are_counted() -> None:
    written = Conversation(link_type=RAW).handshake()
    for number in range(80):
        written.client(number, b"x")
    outcome = run([Packet(10**18, aggregate([packet.frame for packet in written.packets]), 0)], link_type=105)
    assert outcome.statistics["segments"] == 64
    assert outcome.statistics["unknown_frames"] == 1
    assert outcome.files() == {written.client_name(): b"x" * (64 - 3)}


def test_an_aggregate_in_a_tunnel_and_one_within_another() -> None:
    """The second is nobody's doing in earnest, and would multiply the work for a frame."""
    plain = conversation()
    whole = t.outer(47, t.gre(0x8200, aggregate([packet.frame for packet in plain.packets])))
    numbers = run([Packet(10**18, whole, 0)]).statistics
    assert numbers["segments"] == numbers["tunnelled"] == len(plain.packets)
    numbers = run([Packet(10**18, aggregate([whole[14:]] * 2), 0)], link_type=105).statistics
    assert (numbers["segments"], numbers["unknown_frames"], numbers["dissected"]) == (0, 2, 3)

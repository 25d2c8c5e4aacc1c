"""The benchmark's captures: complete connections, valid checksums, and what they claim to carry."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import dpkt
import pytest

from benches import bench_module
from craft import ones_sum, pseudo_header

captures = bench_module("captures")
shapes = bench_module("shapes")


class Seen(NamedTuple):
    """A packet, once its checksums hold."""

    flow: str
    segment: dpkt.tcp.TCP


def packets(shape: Any, path: Path) -> list[Seen]:
    """As they stand in the capture, in the order of their times."""
    written = captures.write(shape, path)
    records = list(dpkt.pcap.Reader(io.BytesIO(path.read_bytes())))
    times = [time for time, _ in records]
    assert len(times) == written
    assert times == sorted(times)
    return [checked(frame) for _, frame in records]


def checked(frame: bytes) -> Seen:
    packet = dpkt.ethernet.Ethernet(frame)
    tagged = 4 * (packet.type == dpkt.ethernet.ETH_TYPE_8021Q or hasattr(packet, "vlan_tags"))
    network = packet.data
    begin = 14 + tagged + (40 if isinstance(network, dpkt.ip6.IP6) else 20)
    if isinstance(network, dpkt.ip.IP):
        assert ones_sum(frame[14 + tagged : begin]) == 0xFFFF
        assert network.len == len(frame) - 14 - tagged
    else:
        assert network.plen == len(frame) - 54
    src, dst = (dpkt.utils.inet_to_str(address) for address in (network.src, network.dst))
    assert ones_sum(pseudo_header(src, dst, len(frame) - begin) + frame[begin:]) == 0xFFFF
    ends = [(src, network.data.sport), (dst, network.data.dport)]
    tag = f"--{captures.VID}" if tagged else ""
    return Seen("-".join(f"{padded(address)}.{port:05}" for address, port in ends) + tag, network.data)


def padded(address: str) -> str:
    return address if ":" in address else ".".join(f"{int(part):03}" for part in address.split("."))


def reassembled(seen: list[Seen]) -> dict[str, bytes]:
    """Each flow, from whatever order its packets have."""
    flows: dict[str, dict[int, bytes]] = defaultdict(dict)
    begins = {one.flow: one.segment.seq + 1 for one in seen if one.segment.flags & dpkt.tcp.TH_SYN}
    for one in seen:
        if one.segment.data:
            offset = (one.segment.seq - begins[one.flow]) % 2**32
            before = flows[one.flow].setdefault(offset, one.segment.data)
            assert before == one.segment.data
    for flow in flows.values():
        at = 0
        for offset in sorted(flow):
            assert offset == at
            at += len(flow[offset])
    return {name: b"".join(flow[offset] for offset in sorted(flow)) for name, flow in flows.items()}


@pytest.mark.parametrize(
    "shape",
    [
        captures.Shape("test", 3, 10_000, 3),
        captures.Shape("test", 70, 3072, 20),
        captures.Shape("test", 40, 0, 7, "mix"),
        captures.Shape("test", 40, 0, 7, "mix", "ipv6"),
        captures.Shape("test", 40, 0, 7, "mix", "vlan"),
        captures.Shape("test", 40, 0, 7, "mix", late=0.2, twice=0.05),
        captures.Shape("test", 40, 6144, 7, "requests"),
        captures.Shape("test", 100, 60, 7, "tiny"),
        captures.Shape("test", 100, 60, 100, "tiny"),
    ],
    ids=lambda shape: f"{shape.talk}-{shape.network}-{shape.concurrent}",
)
def test_generated_capture(shape: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "MANY", 99)  # what is beyond is written round by round
    seen = packets(shape, tmp_path / "test.pcap")
    streams = reassembled(seen)
    assert len(streams) == 2 * shape.connections
    for number in range(shape.connections):
        up, down = captures.names(shape, number)
        assert streams[up] == captures.request(shape, number)
        assert streams[down] == captures.stream(shape, number)
        assert len(streams[down]) == shape.answer_bytes or shape.talk == "mix"
    ends = Counter(one.segment.flags & 3 for one in seen)
    assert ends[dpkt.tcp.TH_SYN] == 2 * shape.connections
    assert ends[dpkt.tcp.TH_FIN] >= 2 * shape.connections


def test_a_mix_is_late_and_twice_as_often_as_it_says(tmp_path: Path) -> None:
    ordered = packets(captures.Shape("test", 60, 0, 1, "mix"), tmp_path / "ordered.pcap")
    shuffled = packets(
        captures.Shape("test", 60, 0, 1, "mix", late=0.2, twice=0.05), tmp_path / "shuffled.pcap"
    )
    assert 1.03 < len(shuffled) / len(ordered) < 1.07
    highest: dict[str, int] = {}
    late = 0
    for one in shuffled:
        if len(one.segment.data) > 1:  # what is typed wraps, and comes with others between
            late += one.segment.seq < highest.get(one.flow, 0)
            highest[one.flow] = max(highest.get(one.flow, 0), one.segment.seq)
    assert late > 0.05 * len(ordered)


def test_all_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "MANY", 99)
    seen = packets(captures.Shape("test", 100, 60, 100, "tiny"), tmp_path / "test.pcap")
    assert all(one.segment.flags & dpkt.tcp.TH_SYN for one in seen[:200])
    assert not any(one.segment.flags & dpkt.tcp.TH_SYN for one in seen[200:])


@pytest.mark.parametrize("name", shapes.LOADS)
def test_full_and_small_are_alike(name: str) -> None:
    load = shapes.LOADS[name]
    assert load.full.name == load.small.name == name
    assert load.full.connections >= load.small.connections
    for what in ("talk", "network", "late", "twice"):
        assert getattr(load.full, what) == getattr(load.small, what)


@pytest.mark.parametrize("talk", ["answer", "mix", "tiny"])
def test_as_many_connections_are_open_at_a_time_as_is_said(tmp_path: Path, talk: str) -> None:
    """Also where these are more than a connection takes steps: of five, a fifth ends in each round."""
    shape = captures.Shape("test", 600, 500, 60, talk)
    ends = [frozenset(one.flow.split("-")) for one in packets(shape, tmp_path / "test.pcap")]
    last = {connection: place for place, connection in enumerate(ends)}
    opened, most = set[frozenset[str]](), 0
    for place, connection in enumerate(ends):
        opened.add(connection)
        most = max(most, len(opened))
        if last[connection] == place:
            opened.remove(connection)
    assert 0.8 * shape.concurrent <= most <= shape.concurrent

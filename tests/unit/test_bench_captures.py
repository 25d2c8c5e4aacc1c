"""The benchmark's captures: complete connections, valid checksums, and what they claim to carry."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import dpkt
import pytest

from benches import bench_module
from craft import ones_sum, pseudo_header


@pytest.fixture(scope="module")
def captures() -> ModuleType:
    return bench_module("captures")


@pytest.mark.parametrize(("connections", "answer", "concurrent"), [(3, 10_000, 3), (70, 3072, 20)])
def test_generated_capture(
    captures: ModuleType, tmp_path: Path, connections: int, answer: int, concurrent: int
) -> None:
    shape = captures.Shape("test", connections, answer, concurrent)
    path = tmp_path / "test.pcap"
    written = captures.write(shape, path)
    streams: dict[str, bytes] = defaultdict(bytes)
    flags: Counter[int] = Counter()
    times = []
    for time, frame in dpkt.pcap.Reader(io.BytesIO(path.read_bytes())):
        times.append(time)
        name, segment = checked(frame)
        streams[name] += segment.data
        flags[segment.flags & 3] += 1
    assert len(times) == written
    assert times == sorted(times)
    for number in range(connections):
        up, down = captures.names(number)
        assert streams[up] == captures.request(number)
        assert streams[down] == captures.stream(shape, number)
        assert len(streams[down]) == answer
    assert flags[dpkt.tcp.TH_SYN] == flags[dpkt.tcp.TH_FIN] == 2 * connections == len(streams)


def checked(frame: bytes) -> tuple[str, dpkt.tcp.TCP]:
    """The flow's name and the segment, once both checksums hold."""
    packet = dpkt.ethernet.Ethernet(frame).data
    assert ones_sum(frame[14:34]) == 0xFFFF
    src, dst = (".".join(map(str, address)) for address in (packet.src, packet.dst))
    assert ones_sum(pseudo_header(src, dst, len(frame) - 34) + frame[34:]) == 0xFFFF
    ends = [(packet.src, packet.data.sport), (packet.dst, packet.data.dport)]
    name = "-".join(".".join(f"{byte:03}" for byte in address) + f".{port:05}" for address, port in ends)
    return name, packet.data

"""pcap and pcapng, whole and in pieces, in every variant; and what is neither."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import craft
from craft import pcapng as ng
from flowfs.capture.formats import Format, Unreadable, format_of, header_bytes

Row = tuple[int, bytes, int]  # time in ns, frame, link type

FRAMES = [bytes([number]) * (number * 7 % 60) for number in range(1, 40)]
TIMES_NS = [10**18 + number * 1_234_567_000 for number in range(1, 40)]
PACKETS = [craft.Packet(time_ns, frame, 99) for time_ns, frame in zip(TIMES_NS, FRAMES, strict=True)]
ROWS: list[Row] = [(packet.time_ns, packet.frame, 1) for packet in PACKETS]


def rows_of(data: bytes, step: int = 1 << 30) -> list[Row]:
    """All packets; the bytes come `step` at a time."""
    head = header_bytes(data)
    format, start = format_of(data[:head])  # noqa: A001  the word for it
    piece, found = data[:head], list[Row]()
    for given_bytes in range(head, len(data) + step, step):
        while True:
            start = format.scan(piece, start)
            found += noted(format, piece)
            if not format.records.count:
                break
        piece, start = piece[start:] + data[given_bytes : given_bytes + step], 0
    assert piece == b"", "bytes that were neither used nor refused"
    return found


def noted(format: Format, piece: bytes) -> list[Row]:  # noqa: A002  as above
    records = format.records
    rows = struct.iter_unpack("=4I", records.meta[: 16 * records.count])
    return [
        (sec * 10**9 + part * format.fraction_ns, piece[at : at + length], records.link_type)
        for sec, part, at, length in rows
    ]


@pytest.mark.parametrize("step", [1, 5, 64, 1 << 30])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap(byte_order: str, nanoseconds: bool, step: int) -> None:
    data = craft.pcap(PACKETS, byte_order=byte_order, nanoseconds=nanoseconds)
    assert rows_of(data, step) == ROWS


def test_pcap_keeps_nanoseconds() -> None:
    packet = craft.Packet(10**18 + 123_456_789, b"x", 1)
    assert rows_of(craft.pcap([packet], nanoseconds=True)) == [(packet.time_ns, b"x", 1)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_patched_libpcap_has_longer_headers(order: str) -> None:
    header = struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    record = struct.pack(order + "IIIIIHBB", 7, 8, 3, 3, 1, 0x0800, 0, 0)
    assert rows_of(header + record + b"abc") == [(7_000_008_000, b"abc", 1)]


@pytest.mark.parametrize(("in_file", "here"), [(101, 12), (1, 1), (0x24000001, 1)])
def test_link_types_by_libpcaps_numbers(in_file: int, here: int) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, in_file) + struct.pack("<IIII", 1, 0, 1, 1)
    assert rows_of(data + b"x") == [(10**9, b"x", here)]


@pytest.mark.parametrize("step", [1, 5, 64, 1 << 30])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng(order: str, step: int) -> None:
    assert rows_of(ng.pcapng([row[:2] for row in ROWS], order), step) == ROWS


def test_pcapng_with_several_interfaces() -> None:
    """Of other link types, clocks and beginnings; the section after them has the other byte order."""
    data = (
        ng.section()
        + ng.interface(1)
        + ng.interface(101, resolution=9, offset_s=100)
        + ng.block(ng.STATISTICS, bytes(40))
        + ng.enhanced(b"a", 5_000_001)
        + ng.enhanced(b"b", 6_000_000_002, 1)
        + ng.old(b"c", 7_000_000)
        + ng.interface(1, resolution=0x80 | 10)
        + ng.enhanced(b"d", 8 * 1024 + 512, 2)
        + ng.section(">")
        + ng.interface(113, resolution=3, order=">")
        + ng.enhanced(b"e", 9_500, order=">")
        + ng.old(b"f", 9_501, order=">")
    )
    assert rows_of(data) == [
        (5_000_001_000, b"a", 1),
        (106_000_000_002, b"b", 12),
        (7_000_000_000, b"c", 1),
        (8_500_000_000, b"d", 1),
        (9_500_000_000, b"e", 113),
        (9_501_000_000, b"f", 113),
    ]


@pytest.mark.parametrize(
    ("snaplen", "wire", "captured"), [(0, 5, b"abcde"), (3, 5, b"abc"), (9, 5, b"abcde")]
)
def test_simple_packets_are_as_long_as_they_can_be(snaplen: int, wire: int, captured: bytes) -> None:
    data = ng.section() + ng.interface(snaplen=snaplen) + ng.simple(b"abcde"[: snaplen or 5], wire)
    assert rows_of(data) == [(0, captured, 1)]


@pytest.mark.parametrize("resolution", [0, 11, 12, 15, 19, 0x80, 0x80 | 32, 0x80 | 63])
def test_clocks_of_any_speed(resolution: int) -> None:
    ticks_a_second = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    ticks = min(ticks_a_second * 3 // 2, 2**64 - 1)
    data = ng.section() + ng.interface(resolution=resolution) + ng.enhanced(b"x", ticks)
    ((time_ns, _, _),) = rows_of(data)
    assert abs(time_ns - ticks * 10**9 // ticks_a_second) <= 1000


@pytest.mark.parametrize("offset_s", [-(2**63), -5, 2**63 - 1])
def test_times_stay_within_what_can_be_said(offset_s: int) -> None:
    data = ng.section() + ng.interface(offset_s=offset_s) + ng.enhanced(b"x", 10**6)
    assert rows_of(data)[0][0] in (0, 0xFFFFFFFF * 10**9)


DAMAGED = {
    "length of a record": craft.pcap([]) + struct.pack("<IIII", 1, 1, 262145, 262145),
    "no interface": ng.section() + ng.enhanced(b"x", 1),
    "another interface": ng.section() + ng.interface() + ng.enhanced(b"x", 1, 1),
    "longer than its block": ng.section() + ng.interface() + ng.enhanced(b"x", 1, captured=5),
    "a simple one without interface": ng.section() + ng.simple(b"x"),
    "block of 8 bytes": ng.section() + struct.pack("<III", 6, 8, 8),
    "block of an odd length": ng.section() + struct.pack("<III", 5, 13, 0),
    "block of 4 GiB": ng.section() + struct.pack("<III", 5, 0xFFFFFFF0, 0),
    "interface cut short": ng.section() + ng.block(1, b"\1\0\0\0"),
    "a clock that is too fast": ng.section() + ng.interface(resolution=0x80 | 64),
    "section without byte order": ng.section() + ng.block(ng.SECTION, bytes(16)),
    "1025 interfaces": ng.section() + ng.interface() * 1025,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_said(data: bytes) -> None:
    with pytest.raises(Unreadable):
        rows_of(data)


def test_what_comes_before_damage_is_given() -> None:
    format, start = format_of(ng.section())  # noqa: A001  as above
    data = ng.section() + ng.interface() + ng.enhanced(b"x", 1) + ng.enhanced(b"y", 1, 9)
    start = format.scan(data, start)
    assert [row[1] for row in noted(format, data)] == [b"x"]
    with pytest.raises(Unreadable):
        format.scan(data, start)


@pytest.mark.parametrize("start", [b"", b"abc", b"\x0a\x0d\x0d\x0a" + bytes(8), b"\x7fELF" + bytes(20)])
def test_what_is_no_capture(start: bytes) -> None:
    with pytest.raises(Unreadable, match="not a capture file"):
        format_of(start)


@given(st.binary(max_size=300), st.sampled_from([craft.pcap([]), ng.section() + ng.interface()]))
def test_any_bytes_are_packets_or_refused(data: bytes, head: bytes) -> None:
    format, start = format_of(head)  # noqa: A001  as above
    piece = head + data
    try:
        while True:
            before, start = start, format.scan(piece, start)
            assert before <= start <= len(piece)
            for _, frame, _ in noted(format, piece):
                assert frame in piece
            if not format.records.count:
                break
    except Unreadable:
        pass

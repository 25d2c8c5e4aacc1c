"""The script that puts segments together is right where it is easy to see."""

from __future__ import annotations

from differential.together import Content, put_together
from differential.witnesses import Seen

ONE, OTHER = ("10.0.0.1", 1), ("10.0.0.2", 2)
NAME, BACK = "010.000.000.001.00001-010.000.000.002.00002", "010.000.000.002.00002-010.000.000.001.00001"


def sent(seq: int, payload: bytes = b"", *, syn: bool = False, back: bool = False, vlan: int = 0) -> Seen:
    ends = (*OTHER, *ONE) if back else (*ONE, *OTHER)
    return Seen(vlan, *ends, seq, syn, payload)


def test_any_order_and_twice() -> None:
    segments = [sent(9, syn=True), sent(13, b"def"), sent(10, b"abc"), sent(10, b"abc")]
    assert put_together(segments) == {NAME: Content(b"abcdef", [])}


def test_the_first_byte_wins() -> None:
    assert put_together([sent(0, syn=True), sent(3, b"cde"), sent(1, b"abX")]) == {
        NAME: Content(b"abcde", [])
    }


def test_a_hole() -> None:
    segments = [sent(0, syn=True), sent(3, b"c"), sent(6, b"f")]
    assert put_together(segments) == {NAME: Content(b"\0\0c\0\0f", [(0, 2), (3, 5)])}


def test_numbers_that_wrap() -> None:
    segments = [sent(2**32 - 3, syn=True), sent(1, b"def"), sent(2**32 - 2, b"abc")]
    assert put_together(segments) == {NAME: Content(b"abcdef", [])}


def test_a_stream_without_its_start() -> None:
    assert put_together([sent(2, b"cd"), sent(2**32 - 1, b"xyz")]) == {NAME: Content(b"xyzcd", [])}


def test_a_probe_before_the_stream() -> None:
    assert put_together([sent(9, syn=True), sent(9, b"Z"), sent(10, b"abc")]) == {NAME: Content(b"abc", [])}


def test_both_sides_and_the_same_connection_again() -> None:
    segments = [
        sent(9, syn=True),
        sent(4, syn=True, back=True),
        sent(5, b"xyz", back=True),
        sent(9, syn=True),
    ]
    again = [sent(99, syn=True), sent(100, b"abc"), sent(200, syn=True), sent(201, b"d")]
    assert put_together(segments + again) == {
        BACK: Content(b"xyz", []),
        NAME + "c1": Content(b"abc", []),
        NAME + "c2": Content(b"d", []),
    }


def test_a_connection_without_data_does_not_count() -> None:
    assert put_together([sent(9, syn=True), sent(99, syn=True), sent(100, b"a")]) == {NAME: Content(b"a", [])}


def test_a_vlan_is_another_connection() -> None:
    files = put_together([sent(1, b"a", vlan=42), sent(1, b"b")])
    assert files == {NAME + "--42": Content(b"a", []), NAME: Content(b"b", [])}

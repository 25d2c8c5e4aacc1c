"""core/window.py: options as they should be, and any bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowfs.core
from craft import mss, sack_permitted, timestamps, wscale
from flowfs.core.window import scale_of, timestamps_at


@pytest.mark.parametrize(
    "options, scale, at",
    [
        (b"", -1, -1),
        (wscale(7), 7, -1),
        (wscale(15), 14, -1),  # RFC 7323, 2.3
        (mss() + sack_permitted() + timestamps(5) + b"\x01" + wscale(3), 3, 8),
        (b"\x01\x01" + timestamps(5), -1, 4),
        (b"\0" + wscale(7), -1, -1),  # behind the end of options
        (b"\x03\x02\x07" + wscale(7), -1, -1),  # the first has the wrong length
        (b"\x05\x01" + wscale(7), -1, -1),  # a length that does not move on
        (b"\x05\x00" + wscale(7), -1, -1),
        (wscale(7)[:2], -1, -1),
        (timestamps(5)[:9], -1, -1),
        (b"\x01\x01" + timestamps(5)[:9], -1, -1),
    ],
)
def test_options(options: bytes, scale: int, at: int) -> None:
    for before in (b"", b"\x03\x03\x05"):
        base = before + options + wscale(9) + timestamps(7)
        start, end = len(before), len(before) + len(options)
        assert scale_of(base, start, end) == scale
        assert timestamps_at(base, start, end) == (at if at < 0 else start + at)


class Counted(bytes):
    """Bytes that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)


@pytest.mark.skipif(flowfs.core.compiled(), reason="the compiled core looks past what counts")
@pytest.mark.parametrize("options", [b"\x01" * 40, b"\x01\x01" * 10 + b"\x08\x02" * 10, b"\x05\x02" * 20])
def test_each_option_is_looked_at_once(options: bytes) -> None:
    for find in (scale_of, timestamps_at):
        counted = Counted(options)
        assert find(counted, 0, len(counted)) == -1
        assert 0 < counted.looks <= 2 * len(options)


@given(st.binary(max_size=40))
def test_any_bytes(options: bytes) -> None:
    assert -1 <= scale_of(options, 0, len(options)) <= 14
    at = timestamps_at(options, 0, len(options))
    assert at == -1 or 2 <= at <= len(options) - 8

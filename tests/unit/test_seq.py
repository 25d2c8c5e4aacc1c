"""core/seq.py: the one place that wraps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.seq import advance, distance

SPACE = 1 << 32
NUMBERS = st.one_of(
    st.integers(0, SPACE - 1),
    st.sampled_from([0, 1, SPACE // 2 - 1, SPACE // 2, SPACE // 2 + 1, SPACE - 2, SPACE - 1]),
)


@pytest.mark.parametrize(
    "seq, reference, expected",
    [
        (0, 0, 0),
        (0, SPACE - 1, 1),
        (SPACE - 1, 0, -1),  # what gopacket's Difference() takes for 0
        (5, SPACE - 5, 10),
        (SPACE - 5, 5, -10),
        (SPACE // 2 - 1, 0, SPACE // 2 - 1),
        (SPACE // 2, 0, -SPACE // 2),  # both ways are as long: the past
        (0, SPACE // 2, -SPACE // 2),
        (SPACE // 2 + 1, 0, -SPACE // 2 + 1),
    ],
)
def test_distance(seq: int, reference: int, expected: int) -> None:
    assert distance(seq, reference) == expected


@given(NUMBERS, NUMBERS)
def test_distance_leads_back(seq: int, reference: int) -> None:
    way = distance(seq, reference)
    assert -(SPACE // 2) <= way < SPACE // 2
    assert (reference + way) % SPACE == seq
    assert advance(reference, way) == seq
    assert distance(reference, seq) == (-way if way > -(SPACE // 2) else way)


@given(NUMBERS, st.integers(-(1 << 40), 1 << 40))
def test_advance(seq: int, count: int) -> None:
    """`count` is an offset of a stream, which may be far beyond 4 GiB, or before."""
    assert advance(seq, count) == (seq + count) % SPACE

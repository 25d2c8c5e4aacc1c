"""core/bundle.py: what went in comes out, in as few bytes as it takes."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from flowfs.core.bundle import Bundle

NUMBERS = st.integers(-(1 << 62), (1 << 62) - 1)


@hypothesis.given(st.lists(st.tuples(NUMBERS, NUMBERS) | st.booleans(), max_size=300))
def test_what_went_in_comes_out(sent: list[tuple[int, int] | bool]) -> None:
    bundle = Bundle()
    for item in sent:
        if isinstance(item, bool):
            assert bundle.flag(item) == item
        else:
            assert bundle.number(*item) == item[0]
    packed = bundle.packed()
    bundle.begin()
    bundle.number(123456, 0)
    bundle.open(packed)
    for item in sent:
        if isinstance(item, bool):
            assert bundle.flag(not item) == item
        else:
            assert bundle.number(99, item[1]) == item[0]


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 1 << 62, (1 << 63) - 1, -(1 << 63)])
def test_any_number_of_64_bits(number: int) -> None:
    bundle = Bundle()
    bundle.number(7, 0)
    bundle.number(number, 0)
    bundle.number(-9, 0)
    bundle.open(bundle.packed())
    assert [bundle.number(1, 0) for _ in range(3)] == [7, number, -9]


@pytest.mark.parametrize(
    "number, usual, size", [(5, 5, 1), (5, 6, 2), (68, 5, 2), (69, 5, 3), (0, 1 << 40, 7)]
)
def test_what_is_usual_takes_a_bit(number: int, usual: int, size: int) -> None:
    bundle = Bundle()
    for _ in range(7):
        bundle.flag(True)
    bundle.number(number, usual)
    assert len(bundle.packed()) == size

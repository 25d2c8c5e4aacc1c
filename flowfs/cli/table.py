"""A table for a terminal: as many columns as fit, the least important go first; colours if it has them.

The lines are put together here, since a Table of rich takes 0.7 ms a row, which is a minute for 100,000. What
the terminal is like, rich's Console says. Always true: no line is wider than the terminal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

Thing = TypeVar("Thing")
Paint = Callable[[str, str], str]  # a text and its style, in rich's words

_GAPS = (2, 1)
_MORE = "…"


class Column(NamedTuple, Generic[Thing]):
    """`goes`: the column with the highest number goes first, 0 stays. `style`: of a text, "" for none."""

    title: str
    text: Callable[[Thing], str]
    goes: int = 0
    to_the_right: bool = False
    style: Callable[[str], str] | None = None


def table(things: Sequence[Thing], columns: Sequence[Column[Thing]], console: Console) -> Iterator[str]:
    """The lines, with their newlines; the first is of the titles."""
    cells = [[column.text(thing) for thing in things] for column in columns]
    widths = [max(map(_wide, (column.title, *texts))) for column, texts in zip(columns, cells, strict=True)]
    kept, gap = _fitting([column.goes for column in columns], widths, console.width)
    paint = painter(console)
    space = " " * gap
    titles = (_fit(columns[at].title, widths[at], columns[at].to_the_right) for at in kept)
    yield paint(space.join(titles).rstrip(), "bold") + "\n"
    shapes = [(columns[at], widths[at]) for at in kept]
    for row in zip(*(cells[at] for at in kept), strict=True):
        shown = []
        for text, (column, width) in zip(row, shapes, strict=True):
            fitting = _fit(text, width, column.to_the_right)
            shown.append(paint(fitting, column.style(text)) if column.style else fitting)
        yield space.join(shown).rstrip() + "\n"


def _fitting(goes: Sequence[int], widths: list[int], room: int) -> tuple[list[int], int]:
    """Which columns are kept, and the gap between two. What cannot go is made narrower if it must be."""
    kept = list(range(len(widths)))

    def width(gap: int) -> int:
        return sum(widths[at] for at in kept) + gap * (len(kept) - 1)

    while width(_GAPS[-1]) > room:
        least = max(kept, key=lambda at: goes[at])
        if not goes[least]:
            widest = max(kept, key=lambda at: widths[at])
            widths[widest] = max(1, widths[widest] - (width(_GAPS[-1]) - room))
            break
        kept.remove(least)
    return kept, next((gap for gap in _GAPS if width(gap) <= room), _GAPS[-1])


def _wide(text: str) -> int:
    """How many cells of the terminal it takes."""
    return len(text) if text.isascii() else cell_len(text)


def _fit(text: str, width: int, to_the_right: bool) -> str:
    taken = _wide(text)
    if taken > width:
        return set_cell_size(text, width - 1) + _MORE
    return " " * (width - taken) + text if to_the_right else text + " " * (width - taken)


def painter(console: Console) -> Paint:
    """Gives a text its style as the console's terminal is told to, or as it is if that has no colours."""
    system = None if console.no_color else COLOR_SYSTEMS.get(console.color_system or "")

    @functools.cache
    def around(style: str) -> tuple[str, str]:
        before, _, behind = Style.parse(style).render("\0", color_system=system).partition("\0")
        return before, behind

    def paint(text: str, style: str) -> str:
        before, behind = around(style)
        return before + text + behind

    return paint

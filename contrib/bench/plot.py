"""The medians of `load` as a drawing: how many times as long as tcpdump each program takes.

Owns what is drawn, as SVG without scripts, styles or fonts from elsewhere. The same medians give the same
bytes. Written here, since what pygal draws carries a script and the day, leather has no logarithmic axis, and
drawsvg leaves the layout to its caller, which is all that there is below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

UNIT = "tcpdump"  # which does nothing but read
DRAWN: Mapping[str, str] = {
    "flowfs": "#1b6ca8",
    "copying": "#9aa5b1",
    "tshark": "#d9a441",
    "tcpflow": "#b5523b",
}
WIDTH, LEFT, RIGHT, TOP = 900, 270, 110, 66  # pixels; names stand on the left, values behind the bars
BAR, GAP = 14, 12
LEAST = 0.5  # times tcpdump's, where the axis begins

Loads = Mapping[str, Mapping[str, float]]


def draw(medians: Loads) -> str:
    """SVG; `medians` are seconds by what was loaded and program, infinite where one was ended."""
    loads = {what: programs for what, programs in medians.items() if UNIT in programs}
    rows = [(what, [one for one in DRAWN if one in programs]) for what, programs in loads.items()]
    height = TOP + sum(GAP + BAR * len(drawn) for _, drawn in rows) + GAP
    finite = [seconds / one[UNIT] for one in loads.values() for seconds in one.values() if seconds < math.inf]
    decades = max(1, math.ceil(math.log10(max(finite, default=10))))
    parts = [*_axis(decades, height), *_bars(loads, decades)]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="{WIDTH}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _x(times: float, decades: int) -> float:
    """Where a multiple of tcpdump's time stands."""
    share = math.log10(max(times, LEAST) / LEAST) / (decades - math.log10(LEAST))
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" fill="#222" {more}>{escape(text)}</text>'


def _axis(decades: int, height: int) -> Iterator[str]:
    yield _text(10, 20, f"Time to load a capture, as a multiple of {UNIT} -w /dev/null", 'font-size="15"')
    for number, (program, colour) in enumerate(DRAWN.items()):
        left = LEFT + 90 * number
        yield f'<rect x="{left}" y="29" width="12" height="12" fill="{colour}"/>'
        yield _text(left + 17, 39, program)
    for power in range(decades + 1):
        x = _x(10**power, decades)
        yield f'<path d="M{x} {TOP}V{height - GAP}" stroke="#ccc"/>'
        yield _text(x, TOP - 4, f"{10**power:,}", 'text-anchor="middle"')


def _bars(loads: Loads, decades: int) -> Iterator[str]:
    y = TOP
    for what, programs in loads.items():
        y += GAP
        yield _text(LEFT - 8, y + BAR, what, 'text-anchor="end"')
        for program, colour in DRAWN.items():
            if program in programs:
                times = programs[program] / programs[UNIT]
                ended = times == math.inf
                end = WIDTH - RIGHT if ended else _x(times, decades)
                box = f'x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 2}"'
                yield f'<rect {box} fill="{colour}"/>'
                yield _text(end + 4, y + BAR - 4, "not done in time" if ended else f"{times:.1f}")
                y += BAR

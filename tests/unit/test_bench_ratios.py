"""What the benchmark compares, judges, stores and draws."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benches import bench_module

ratios = bench_module("ratios")
plot = bench_module("plot")

MEDIANS = {
    "bulk": {"flowfs": 2.0, "tcpdump": 1.0, "tcpflow": 10.0},
    "short": {"flowfs": 2.0, "tcpdump": 1.0, "tcpflow": math.inf},
    "mix": {"flowfs": 2.0},
    "reordered": {"flowfs": 3.1},
}


def test_ratios() -> None:
    assert ratios.ratios_of(MEDIANS) == {
        "bulk: flowfs / tcpdump": 2.0,
        "bulk: flowfs / tcpflow": 0.2,
        "short: flowfs / tcpdump": 2.0,
        "short: flowfs / tcpflow": 0.0,  # ended before it was done
        "flowfs: reordered / mix": 1.55,
    }


def test_targets_that_are_missed() -> None:
    missed = ratios.missed(ratios.ratios_of(MEDIANS))
    assert [line.split(" is ")[0] for line in missed] == ["bulk: flowfs / tcpflow", "flowfs: reordered / mix"]


def test_every_target_names_a_ratio() -> None:
    loads = bench_module("shapes").LOADS
    whole = {name: {"flowfs": 1.0, "tcpdump": 1.0, "tcpflow": 1.0} for name in loads}
    assert ratios.TARGETS.keys() <= ratios.ratios_of(whole).keys()


@pytest.mark.parametrize(("now", "wrong"), [(2.29, False), (2.31, True), (1.0, False), (math.nan, True)])
def test_a_regression_is_more_than_a_seventh(now: float, wrong: bool) -> None:
    assert bool(ratios.regressions({"bulk: flowfs / tcpdump": now}, {"bulk: flowfs / tcpdump": 2.0})) == wrong


def test_stored_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    ratios.store(file, "full", ratios.ratios_of(MEDIANS), "a machine")
    ratios.store(file, "small", {"bulk: flowfs / tcpdump": 9.0}, "a machine")
    ratios.store(file, "full", {"short: flowfs / tcpdump": 1.5}, "a machine")
    assert ratios.load(file, "small") == {"bulk: flowfs / tcpdump": 9.0}
    assert ratios.load(file, "full") == {
        "bulk: flowfs / tcpdump": 2.0,
        "short: flowfs / tcpdump": 1.5,
        "flowfs: reordered / mix": 1.55,
    }


def test_drawing() -> None:
    drawn = plot.draw(
        {"some <b>": {"flowfs": 2.5, "tcpdump": 1.0, "tcpflow": math.inf}, "alone": {"flowfs": 1}}
    )
    root = ET.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"some <b>", "2.5", "not done in time"} <= set(texts)
    assert "alone" not in texts  # there is nothing to compare it with
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + len(plot.DRAWN) + 2
    assert "script" not in drawn


def test_longer_bars_for_longer_times() -> None:
    widths = [bar_width({"flowfs": seconds, "tcpdump": 1.0}) for seconds in (1.5, 3.0, 8.0)]
    assert widths == sorted(set(widths))


def bar_width(medians: dict[str, float]) -> float:
    last = list(ET.fromstring(plot.draw({"a": medians})).iter("{http://www.w3.org/2000/svg}rect"))[-1]
    return float(last.attrib["width"])

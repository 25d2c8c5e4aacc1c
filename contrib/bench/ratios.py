"""What is compared: flowfs with its peers and with itself, the targets, and what was reached before.

Owns the limits and the file of ratios. Only ratios within one run are ever compared, since seconds are those
of one machine in one minute. What is always true: a ratio is better the smaller it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

STORED = Path(__file__).with_name("ratios.json")
WORSE = 1.15  # than what is stored fails

TARGETS: Mapping[str, float] = {
    "bulk: flowfs / tcpdump": 2.5,
    "bulk: flowfs / tcpflow": 1 / 6,
    "short: flowfs / tcpdump": 3.0,
    "short: flowfs / tcpflow": 1 / 15,
    "flowfs: reordered / mix": 1.5,
    "flowfs: crowd / thousand": 1.5,  # the same packets in another order
}
"""At the most, by the name of the ratio."""

ACROSS = (("reordered", "mix"), ("crowd", "thousand"))

Medians = Mapping[str, Mapping[str, float]]
"""Seconds by load and program; infinite where a program was ended."""


def ratios_of(medians: Medians) -> dict[str, float]:
    """Whatever can be compared, by name; 0 where the other one was not done in time."""
    found = {}
    for load, programs in medians.items():
        for peer, seconds in programs.items():
            if peer != "flowfs" and "flowfs" in programs:
                found[f"{load}: flowfs / {peer}"] = programs["flowfs"] / seconds
    for load, other in ACROSS:
        if "flowfs" in medians.get(load, {}) and "flowfs" in medians.get(other, {}):
            found[f"flowfs: {load} / {other}"] = medians[load]["flowfs"] / medians[other]["flowfs"]
    return found


def missed(ratios: Mapping[str, float]) -> list[str]:
    """The targets that were missed, a line each."""
    return [
        f"{name} is {ratios[name]:.3f}, and may be {limit:.3f}"
        for name, limit in TARGETS.items()
        if name in ratios and not ratios[name] <= limit
    ]


def load(file: Path, size: str) -> dict[str, float]:
    """What is stored for the captures of a size, full or small. Raises OSError, ValueError."""
    stored = json.loads(file.read_text())[size]["ratios"]
    return {name: float(value) for name, value in stored.items()}


def store(file: Path, size: str, ratios: Mapping[str, float], where: str) -> None:
    """Keep those that are steady, in place of the same ones before. Raises OSError, ValueError."""
    whole = json.loads(file.read_text()) if file.exists() else {}
    before = whole.get(size, {}).get("ratios", {})
    steady = {name: round(value, 3) for name, value in ratios.items() if is_steady(name)}
    whole[size] = {"measured on": where, "ratios": {**before, **steady}}
    file.write_text(json.dumps(whole, indent=2) + "\n")


def is_steady(name: str) -> bool:
    """Whether it is worth storing: what tcpflow takes where it writes to a disk varies tenfold."""
    return name.startswith("flowfs: ") or name.endswith("flowfs / tcpdump")


def regressions(ratios: Mapping[str, float], stored: Mapping[str, float]) -> list[str]:
    """What is worse than before by more than WORSE, a line each."""
    return [
        f"{name} is {ratios[name]:.3f}, and was {before:.3f}"
        for name, before in stored.items()
        if name in ratios and not ratios[name] <= before * WORSE
    ]

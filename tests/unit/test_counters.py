"""core/counters.py: every name is there, once, and every payload byte has one fate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowfs.core.counters import FRAGMENT_FATES, NAMES, PAYLOAD_FATES, Counters
from flowfs.core.engine import Engine
from flowfs.core.limits import Limits

SOURCES = Path(__file__).resolve().parents[2] / "flowfs" / "core"


def test_names() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(PAYLOAD_FATES) | set(FRAGMENT_FATES) < set(NAMES)
    assert all(name.endswith("_bytes") for name in PAYLOAD_FATES)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in NAMES)


def test_the_c_types_have_the_same_names() -> None:
    declared = re.findall(r"cdef public long long (\w+)", (SOURCES / "counters.pxd").read_text())
    assert sorted(declared) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_counted_on_its_own(name: str) -> None:
    counters = Counters()
    assert set(counters.as_dict().values()) == {0}
    setattr(counters, name, 1 << 40)
    assert {key: value for key, value in counters.as_dict().items() if value} == {name: 1 << 40}
    assert list(counters.as_dict()) == list(NAMES)


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError):
        setattr(Counters(), "paket", 1)  # noqa: B010 - the checker sees it, too


def test_a_dictionary_is_a_copy() -> None:
    counters = Counters()
    before = counters.as_dict()
    counters.packets += 1
    assert before["packets"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_each_is_used(name: str) -> None:
    """A counter that nothing counts says 0 about everything."""
    sources = [path.read_text() for path in SOURCES.glob("*.py") if path.name != "counters.py"]
    assert any(re.search(rf"\.{name} \+=", source) for source in sources)


def test_gauges_have_names_of_their_own() -> None:
    engine = Engine(Limits(payload_bytes=1, table_bytes=10_000))
    numbers = engine.statistics()
    assert set(NAMES) < set(numbers)
    gauges = {name: value for name, value in numbers.items() if name not in NAMES}
    assert {name for name, value in gauges.items() if value} == {
        "flows_free",
        "fragments_limit_bytes",
        "notes_limit_bytes",
        "payload_limit_bytes",
        "out_of_order_limit_bytes",
        "table_limit_bytes",
        "turns_limit_bytes",
    }
    engine.close()

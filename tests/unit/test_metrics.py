"""tree/metrics.py: every number has its place in the table, and Prometheus reads what comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from craft import Conversation
from engines import feed, started
from flowfs import __version__
from flowfs.core.counters import FRAGMENT_FATES, NAMES, PAYLOAD_FATES
from flowfs.tree.metrics import COUNTER, GAUGE, PREFIX, TABLE, Metric, metrics_text
from flowfs.tree.status import status

INTERFACES = {
    "eth0": {"received_packets": 7, "dropped_by_kernel": 3, "dropped_by_interface": 0},
    'a"\\\n': {"received_packets": 1, "dropped_by_kernel": 0, "dropped_by_interface": 9},
}
ABOUT = {
    "started_ns": 1_700_000_000_250_000_000,
    "interfaces": INTERFACES,
    "received_packets": 8,
    "sources": ["eth0"],
    "pid": 1,
}


def numbers(about: dict[str, object] = ABOUT) -> dict[str, object]:
    """What a mount says after some packets."""
    with started() as engine:
        feed(engine, Conversation().handshake().client(0, b"abc").client(0, b"abc").server(0, b"d" * 500))
        engine.drop(0, 1, 2, 12)
        return status(engine, about)


def families(text: bytes) -> dict[str, Family]:
    found = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in found}) == len(found), "a metric in two places"
    return {family.name: family for family in found}


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in families(text).values()
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found), "a sample twice"
    return dict(found)


def test_each_number_of_the_engine_has_its_place() -> None:
    """Who adds a counter or a gauge to the core says in the table what it means."""
    with started() as engine:
        names = set(engine.statistics())
    placed = [metric.key for metric in TABLE if metric.parts is None]
    assert names - set(placed) == set()
    assert len(placed) == len(set(placed))
    counters = {metric.key for metric in TABLE if metric.kind == COUNTER}
    assert counters & names == set(NAMES), "of the engine, Counters are counters and all else is a gauge"


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: f"{metric.key} {metric.parts}")
def test_the_rules_of_names(metric: Metric) -> None:
    """https://prometheus.io/docs/practices/naming: total, base units, no suffix that means something else."""
    _, name, kind, meaning, labels, *_ = metric
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert kind in (COUNTER, GAUGE)
    assert name.endswith("_total") == (kind == COUNTER)
    assert not re.search(r"_(count|sum|bucket|info|created)$|_(ns|ms|s|kib|mib|milliseconds)(_total)?$", name)
    assert re.fullmatch(r"[A-Z1].*\.", meaning)
    assert all(re.fullmatch(r"[a-z_]+", label) for label, _ in labels)


def test_those_of_one_name_agree() -> None:
    said: dict[str, tuple[str, str]] = {}
    for metric in TABLE:
        assert said.setdefault(metric.name, (metric.kind, metric.meaning)) == (metric.kind, metric.meaning)


def test_a_parser_reads_it() -> None:
    told = numbers()
    text = metrics_text(told)
    read = families(text)
    statistics = told["statistics"]
    assert isinstance(statistics, dict)
    for metric in TABLE:
        if metric.key in told or metric.key in statistics:
            family = read[PREFIX + metric.name.removesuffix("_total")]
            assert (family.type, family.documentation) == (metric.kind, metric.meaning)
    assert text.endswith(b"\n")
    assert not re.search(rb"^$", text[:-1], re.MULTILINE)


def test_help_and_type_come_once_and_before_the_samples() -> None:
    seen: list[str] = []
    for line in metrics_text(numbers()).decode().splitlines():
        what = re.fullmatch(r"# (HELP|TYPE) (\w+) .+|(\w+)(?:\{.*\})? \S+", line)
        assert what is not None, line
        if what[1]:
            seen.append(f"{what[1]} {what[2]}")
        else:
            assert seen[-2:] == [f"HELP {what[3]}", f"TYPE {what[3]}"]
    assert len(set(seen)) == len(seen)


def test_the_numbers_are_those_of_status() -> None:
    told = numbers()
    statistics = told["statistics"]
    assert isinstance(statistics, dict)
    read = samples(metrics_text(told))
    assert read["flowfs_packets_total", ()] == statistics["packets"] == 6
    assert read["flowfs_flows_total", ()] == 2
    assert read["flowfs_dropped_packets_total", ()] == 12
    assert read["flowfs_payload_fate_bytes_total", (("fate", "duplicate"),)] == 3
    assert read["flowfs_pool_limit_bytes", (("pool", "payload"),)] == statistics["payload_limit_bytes"]
    assert read["flowfs_packet_time_seconds", ()] == statistics["now_ns"] / 1e9
    assert read["flowfs_start_time_seconds", ()] == 1.7e9 + 0.25
    assert read["flowfs_build_info", (("version", __version__),)] == 1
    assert read["flowfs_finished", ()] == 0


def test_of_each_interface_and_reason() -> None:
    read = samples(metrics_text(numbers()))
    found = {key: value for key, value in read.items() if key[0] == "flowfs_interface_dropped_packets_total"}

    def key(interface: str, reason: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        labels = (("interface", interface), ("reason", reason))
        return "flowfs_interface_dropped_packets_total", labels

    assert found == {
        key("eth0", "kernel"): 3,
        key("eth0", "interface"): 0,
        key('a"\\\n', "kernel"): 0,
        key('a"\\\n', "interface"): 9,
    }


@pytest.mark.parametrize(
    ("fates", "name"), [(PAYLOAD_FATES, "payload_fate_bytes"), (FRAGMENT_FATES, "fragment_fate")]
)
def test_fates_are_one_metric(fates: tuple[str, ...], name: str) -> None:
    assert len(families(metrics_text(numbers()))[PREFIX + name].samples) == len(fates)


def whole_numbers(text: bytes) -> Iterator[bytes]:
    yield from re.findall(rb"^flowfs_captured_bytes_total (.*)$", text, re.MULTILINE)


def test_a_large_number_keeps_its_digits() -> None:
    told = {"statistics": {"captured_bytes": 2**63 - 1}}
    assert [*whole_numbers(metrics_text(told))] == [b"9223372036854775807"]


def test_without_a_capture_that_tells_of_itself() -> None:
    assert families(metrics_text(numbers({})))

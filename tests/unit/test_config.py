"""What a Config refuses, and how numbers are read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.config import Config, ConfigError, duration, number, show_duration, show_memory, show_size, size
from flowfs.core.limits import Limits

MIB = 1 << 20


def test_only_a_place_and_a_source_are_needed() -> None:
    config = Config("/mnt", interfaces=("eth0",))
    assert config.snaplen == 262144
    assert config.limits == Limits()
    assert config.promiscuous
    assert config.wait


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("-i", {"interfaces": ("eth0", "")}),
        ("-i eth0", {"interfaces": ("eth0", "lo", "eth0")}),
        ("-i any takes all interfaces", {"interfaces": ("any", "lo")}),
        ("twice with -i lo -i eth0", {"interfaces": ("lo", "any", "eth0")}),
        ("-i any is given twice", {"interfaces": ("any", "any")}),
        ("-r", {"files": ("",)}),
        ("-r -", {"files": ("-", "a.pcap", "-")}),
        ("-i and -r", {"interfaces": ("eth0",), "files": ("a.pcap",)}),
        ("give -i INTERFACE", {}),
        ("-s 63", {"snaplen": 63}),
        ("-s 262145", {"snaplen": 262145}),
        ("-B 0", {"buffer_kib": 0}),
        ("-B 2097152", {"buffer_kib": 2097152}),
        ("--max-memory 1K", {"limits": Limits(payload_bytes=1024)}),
        ("--max-out-of-order 0", {"limits": Limits(out_of_order_bytes=0)}),
        ("--max-table 1K", {"limits": Limits(table_bytes=1024)}),
        ("--max-fragments 1K", {"limits": Limits(fragment_bytes=1024)}),
        ("--max-flows -1", {"limits": Limits(max_flows=-1)}),
        ("--checksum lax", {"limits": Limits(checksum="lax")}),
        ("--evict fifo: one of closed-first, lru, oldest, largest", {"limits": Limits(evict="fifo")}),
        ("--max-flow-bytes 0", {"limits": Limits(max_flow_bytes=0)}),
        ("--max-flow-bytes -1", {"limits": Limits(max_flow_bytes=-1)}),
        ("--keep middle: one of head, tail", {"limits": Limits(max_flow_bytes=9, keep="middle")}),
        ("--keep tail: of how much?", {"limits": Limits(keep="tail")}),
        ("--idle-timeout 0s", {"limits": Limits(idle_ns=0)}),
        ("--archive", {"archive": "/kept"}),
        ("FILTER", {"filter": "tcp\0port 25"}),
        ("--names '%Q': %Q is no letter", {"names": "%Q"}),
        ("--names '/tmp/%A': names are in the mount", {"names": "/tmp/%A"}),
        ("--names '': it is empty", {"names": ""}),
        ("--names 'a\\nb': only characters that can be printed", {"names": "a\nb"}),
        ("-s is about interfaces", {"files": ("a",), "snaplen": 100}),
        ("-B is about interfaces", {"files": ("a",), "buffer_kib": 1}),
        ("-p is about interfaces", {"files": ("a",), "promiscuous": False}),
        ("--direction is about interfaces", {"files": ("a",), "direction": "in"}),
    ],
)
def test_an_error_names_its_option(option: str, settings: dict[str, Any]) -> None:
    if not {"interfaces", "files"} & settings.keys() and settings:
        settings["interfaces"] = ("eth0",)
    with pytest.raises(ConfigError) as caught:
        Config("/mnt", **settings)
    assert option in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB")),
        *(
            (256 << 20, "256 MiB"),
            ((1 << 30) - 1, "1024 MiB"),
            (25_277_000_000, "23.5 GiB"),
            (1 << 50, "1024 TiB"),
        ),
    ],
)
def test_memory_is_shown_in_the_units_of_its_limits(count: int, shown: str) -> None:
    assert show_memory(count) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64k", 65536),
        ("64K", 65536),
        ("256M", 256 * MIB),
        ("256MiB", 256 * MIB),
        ("256mb", 256 * MIB),
        (" 1 GiB ", 1024 * MIB),
        ("1.5G", 1536 * MIB),
        ("2T", 2 * MIB * MIB),
        ("10B", 10),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert size("--max-memory", text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1e3", "1,5G", "1 X", "٣", "1" * 400, "0x10", "256M256M"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--max-memory .*: not a size"):
        size("--max-memory", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", 30.0),
        ("30s", 30.0),
        ("10m", 600.0),
        ("10min", 600.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
        ("500ms", 0.5),
        ("0", 0.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert duration("--idle-timeout", text) == expected * 10**9


@pytest.mark.parametrize("text", ["", "s", "-1s", "1w", "10M", "1m30s", "inf"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--idle-timeout .*: not a time"):
        duration("--idle-timeout", text)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "1k", "²", "9" * 19])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^-B .*: not a whole number"):
        number("-B", text)


@given(st.integers(0, 1 << 50))
def test_a_size_is_shown_as_it_can_be_read(value: int) -> None:
    assert abs(size("", show_size(value)) - value) <= value / 1000


@given(st.integers(10**9, 10**18))
def test_a_time_is_shown_as_it_can_be_read(value: int) -> None:
    assert abs(duration("", show_duration(value)) - value) <= value / 1000

"""summary.py: one line if nothing was lost, and one more for each way in which something was."""

from __future__ import annotations

from collections import defaultdict

from flowfs.summary import lines


def numbers(**given: int) -> defaultdict[str, int]:
    return defaultdict(int, {"packets": 10, "flows_total": 4, **given})


def interface(received: int = 100, kernel: int = 0, by_interface: int = 0) -> dict[str, int]:
    return {
        "received_packets": received,
        "dropped_by_kernel": kernel,
        "dropped_by_interface": by_interface,
    }


NOTHING_LOST = "10 packets captured, 0 dropped, 4 flows, 0 evicted"


def test_nothing_was_lost() -> None:
    assert lines(numbers(), {}) == [NOTHING_LOST]
    assert lines(numbers(), {"eth0": interface(), "lo": interface(0)}) == [NOTHING_LOST]
    assert lines(numbers(flows_removed=2), {}) == [NOTHING_LOST + ", 2 removed"]


def test_drops_of_each_interface() -> None:
    first, *rest = lines(
        numbers(), {"eth0": interface(9_700, 300), "lo": interface(), "eth1": interface(0, 5, 10)}
    )
    assert "315 dropped," in first
    assert rest == [
        "dropped on eth0: 300 by the kernel, for want of room in its buffer (-B); 3.0 % of its packets."
        " Flows that lived then say so",
        "dropped on eth1: 5 by the kernel, for want of room in its buffer (-B) and 10 by the interface;"
        " 100.0 % of its packets. Flows that lived then say so",
    ]


def test_refused() -> None:
    assert lines(numbers(connections_refused=1_234), {})[1:] == [
        "refused: segments 1,234 of connections (--max-table is full)"
    ]
    both = lines(numbers(connections_refused=1, flows_refused=2), {})[1]
    assert "1 of connections" in both
    assert "2 of flows (--max-flows" in both


def test_evicted_and_trimmed() -> None:
    first, line = lines(numbers(flows_evicted=3, evicted_bytes=5_000_000, trimmed_bytes=1_500_000), {})
    assert first.endswith("3 evicted")
    assert line == (
        "freed for want of memory: 6.2 MiB, with 3 whole flows, 1.4 MiB of it from the beginning of others"
    )
    assert len(lines(numbers(trimmed_bytes=1), {})) == 2
    assert len(lines(numbers(flows_evicted=1), {})) == 2
    assert "memory: 1 byte, with" in lines(numbers(evicted_bytes=1), {})[1]


def test_what_had_no_room() -> None:
    given = numbers(dropped_memory_bytes=1_000, dropped_out_of_order_bytes=2_000, fragments_evicted=1)
    assert lines(given, {})[1:] == [
        "had no room: 1.0 kB of flows (--max-memory), 2.0 kB that came out of order (--max-out-of-order),"
        " 1 IP fragment (--max-fragments)"
    ]


def test_holes() -> None:
    assert lines(numbers(lost_bytes=1_000), {})[1:] == [
        "holes in flows: 1.0 kB, which read as zeros; 0 bytes at the ends of flows"
    ]
    assert lines(numbers(tail_missing_bytes=1), {})[1:] == [
        "holes in flows: 0 bytes, which read as zeros; 1 byte at the ends of flows"
    ]


def test_what_could_not_be_archived() -> None:
    assert lines(numbers(archive_lost_flows=2, archive_lost_bytes=1_500_000), {})[1:] == [
        "not archived: 1.5 MB of 2 flows, which went before they were saved"
    ]


def test_how_much_is_saved_is_told_where_that_is_wanted() -> None:
    assert lines(numbers(), {}, archives=True) == [NOTHING_LOST + ", 0 files saved"]
    given = numbers(flows_removed=2, archive_saved_flows=3, archive_saved_bytes=5)
    assert lines(given, {}, archives=True) == [NOTHING_LOST + ", 2 removed, 3 files saved"]

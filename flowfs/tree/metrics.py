"""The text of `.flowfs/metrics`: the numbers of `status.json` for Prometheus, in its text format 0.0.4.

Owns the table of all counters and gauges, with what each means; who adds one to the core adds it here. Knows
no directory. Always true: all samples of one text are of one moment, and those of one metric stand together,
below its HELP and its TYPE. Units are bytes and seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .. import __version__
from ..core.counters import FRAGMENT_FATES, PAYLOAD_FATES

PREFIX = "flowfs_"
COUNTER, GAUGE = "counter", "gauge"

SECOND_NS = 1_000_000_000


class Metric(NamedTuple):
    """One number of status.json: what it is called here, and what it means.

    `labels` are those of its sample; the rows of one `name` stand together and share kind and meaning.
    `parts`: the number is in each of what status.json has under this key, and that one's name is
    its label: so named.
    """

    key: str
    name: str
    kind: str
    meaning: str
    labels: tuple[tuple[str, str], ...] = ()
    divisor: int = 1
    parts: tuple[str, str] | None = None


def _counters(rows: Mapping[str, str]) -> tuple[Metric, ...]:
    return tuple(Metric(key, f"{key}_total", COUNTER, meaning) for key, meaning in rows.items())


def _gauges(rows: Mapping[str, str]) -> tuple[Metric, ...]:
    return tuple(Metric(key, key, GAUGE, meaning) for key, meaning in rows.items())


def _by_fate(keys: tuple[str, ...], name: str, meaning: str, before: str, behind: str) -> tuple[Metric, ...]:
    def fate(key: str) -> tuple[tuple[str, str], ...]:
        return (("fate", key.removeprefix(before).removesuffix(behind)),)

    return tuple(Metric(key, name, COUNTER, meaning, fate(key)) for key in keys)


def _of_pools(what: str, meaning: str) -> tuple[Metric, ...]:
    pools = ("payload", "out_of_order", "table", "notes", "turns", "fragments")
    return tuple(
        Metric(f"{pool}_{what}_bytes", f"pool_{what}_bytes", GAUGE, meaning, (("pool", pool),))
        for pool in pools
    )


_INTERFACES = ("interfaces", "interface")

_CAPTURE = (
    *_counters(
        {
            "packets": "Packets that passed the filter and were looked at.",
            "captured_bytes": "Bytes of these packets, as far as they were captured.",
            "received_packets": "Packets that libpcap gave, after the filter.",
            "left_out_packets": "Packets of capture files whose link type cannot be read or not be filtered.",
            "dropped_packets": "Packets that kernel or interface dropped; flows that lived meanwhile say so.",
            "read_bytes": "Bytes of capture files that were read.",
            "doubted_times": "Packets whose time stamp lies too far ahead to be believed alone.",
        }
    ),
    Metric(
        *("received_packets", "interface_received_packets_total", COUNTER),
        "Packets that an interface gave, after the filter.",
        parts=_INTERFACES,
    ),
    *(
        Metric(
            *(f"dropped_by_{reason}", "interface_dropped_packets_total", COUNTER),
            "Packets lost for want of room in the kernel's buffer (-B), or by the interface.",
            (("reason", reason),),
            parts=_INTERFACES,
        )
        for reason in ("kernel", "interface")
    ),
    *_gauges(
        {
            "total_bytes": "Size of the capture files that are read.",
            "cut_at_bytes": "The longest frame that lacks payload by the snapshot length, 0 if none.",
            "drop_intervals": "Times at which packets were dropped, as far as they are kept apart.",
        }
    ),
    Metric("now_ns", "packet_time_seconds", GAUGE, "The packets' clock, since 1970.", divisor=SECOND_NS),
    Metric("started_ns", "start_time_seconds", GAUGE, "When the mount began, since 1970.", divisor=SECOND_NS),
    Metric("finished", "finished", GAUGE, "1 if all capture files are read."),
)

_FRAMES = _counters(
    {
        "segments": "TCP segments.",
        "tunnelled": "TCP segments that came out of a tunnel.",
        "dissected": "Frames that went the long way, each of an aggregate by itself.",
        "unknown_frames": "Frames in which no IP packet with TCP was found, as far as known.",
        "not_tcp": "IP packets that hold no TCP.",
        "bad_headers": "Packets with lengths out of bounds, and fragments with a wrong IP checksum.",
        "bad_flags": "Segments with SYN and FIN, or SYN and RST.",
        "cut_short": "Packets that the snapshot length cut within the TCP header.",
        "cut_bytes": "Payload that segments had by their IP length, and that was not captured.",
        "bad_checksums": "Segments with a wrong checksum of TCP or of the IPv4 header.",
        "fragments": "IP fragments, those within tunnels and within others included.",
    }
)

_FRAGMENTS = (
    *_by_fate(
        FRAGMENT_FATES,
        "fragment_fate_total",
        "IP fragments by what became of them; the others wait.",
        *("fragments_", ""),
    ),
    *_counters(
        {
            "fragments_different": "Discarded fragments with other bytes than what was there.",
            "datagrams_reassembled": "Datagrams whose fragments all came.",
        }
    ),
    *_gauges({"fragments_waiting": "IP fragments that wait for the rest of their datagram."}),
)

_PAYLOAD = (
    *_counters({"payload_bytes": "Payload of all segments."}),
    *_by_fate(
        PAYLOAD_FATES,
        "payload_fate_bytes_total",
        "Payload by what became of it; the rest waits out of order.",
        *("", "_bytes"),
    ),
    *_counters(
        {
            "unverified_bytes": "Stored payload whose checksum was wrong, since nothing better came.",
            "conflicts": "Segments that held other bytes than an earlier one for the same place.",
            "conflict_bytes": "Bytes in these that differed.",
            "lost_bytes": "Bytes of holes that were given up: they read as zeros.",
            "tail_missing_bytes": "Bytes acknowledged at the end of a stream and never seen.",
        }
    ),
)

_CONNECTIONS = (
    *_counters(
        {
            "connections": "Connections that began, or were picked up midway.",
            "connections_refused": "Segments of connections for which there was no room (--max-table).",
            "connections_expired": "Connections that ended by being silent.",
            "retransmitted_syns": "SYNs that came again.",
            "bad_acks": "ACKs of what cannot have been sent, or that lower ones showed to be untrue.",
            "resynchronised": "Times that a stream went on out of any window.",
            "rst_ignored": "RSTs outside the window, or after which the connection went on.",
            "fin_retracted": "FINs that what followed showed to be forged.",
            "rst_forged": "RSTs that had closed a connection which went on.",
            "old_timestamps": "Segments older than what the peer took (PAWS).",
            "stray_packets": "RSTs of no connection.",
            "late_packets": "Packets of connections that are over.",
        }
    ),
    *_gauges(
        {
            "connections_tracked": "Connections in the table, those that are over and have files included.",
            "connections_asleep": "Those of them that are kept as small records, since nothing comes.",
        }
    ),
)

_FLOWS = (
    *_counters(
        {
            "flows_total": "Flows that had a file.",
            "flows_refused": "Segments of flows for which there was no room (--max-flows).",
            "flows_evicted": "Flows that were freed because memory was short.",
            "evicted_bytes": "Bytes of these that could still be read then.",
            "flows_removed": "Flows that were removed by a user.",
            "removed_bytes": "Bytes of these that could still be read then.",
            "turns_forgotten": "Turns of conversations that are not on record: too many, or no room.",
            "trimmed_bytes": "Bytes at the beginning of flows that were freed because memory was short.",
            "trimmed_beyond_bytes": "Bytes before the last --max-flow-bytes of flows that keep their tail.",
        }
    ),
    *_gauges(
        {
            "flows_free": "Flows for which there is room beside these.",
            "flows_open": "Flows that go on.",
            "pinned_bytes": "Memory of evicted flows that a reader still has open.",
        }
    ),
    Metric("flows", "flows_present", GAUGE, "Flows that have a file."),  # flows_total is another thing
    *_of_pools("used", "Memory in use."),
    *_of_pools("limit", "Memory that may be used (--max-memory and others)."),
)


_ARCHIVE = (
    *_counters(
        {
            "archive_saved_flows": "Parts of flows that are complete in the archive; most flows have one.",
            "archive_saved_bytes": "Bytes of these.",
            "archive_lost_flows": "Flows of which bytes went before they were saved (--archive).",
            "archive_lost_bytes": "Bytes of flows that went before they were saved.",
        }
    ),
    *_gauges(
        {
            "archive_unsaved_flows": "Flows that are there and not saved, or not to their end.",
            "archive_unsaved_bytes": "Memory that cannot be freed without the loss of what is not saved.",
            "archive_is_in_trouble": "1 if something cannot be saved; status.json says why.",
        }
    ),
)


def _named_once(metric: Metric) -> Metric:
    """flows_total is called so in the core."""
    return metric._replace(name=metric.name.replace("_total_total", "_total"))


TABLE: tuple[Metric, ...] = tuple(
    map(_named_once, (*_CAPTURE, *_FRAMES, *_FRAGMENTS, *_PAYLOAD, *_CONNECTIONS, *_FLOWS, *_ARCHIVE))
)


def metrics_text(status: Mapping[str, object]) -> bytes:
    """The numbers of one `status()` in Prometheus' text format 0.0.4, UTF-8; what it has not is left out."""
    lines = [
        *_head("build_info", GAUGE, "The version of flowfs."),
        f'{PREFIX}build_info{{version="{_escaped(__version__)}"}} 1',
    ]
    statistics = status["statistics"]
    archive = status.get("archive")
    numbers = {
        **status,
        **(statistics if isinstance(statistics, Mapping) else {}),
        **({f"archive_{key}": one for key, one in archive.items()} if isinstance(archive, Mapping) else {}),
    }
    name = ""
    for metric in TABLE:
        samples = [*_samples(metric, numbers)]
        if samples and metric.name != name:
            name = metric.name
            lines += _head(name, metric.kind, metric.meaning)
        lines += samples
    return "\n".join(lines).encode() + b"\n"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    escaped = meaning.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {PREFIX}{name} {escaped}"
    yield f"# TYPE {PREFIX}{name} {kind}"


def _samples(metric: Metric, numbers: Mapping[str, object]) -> Iterator[str]:
    if metric.parts is None:
        yield from _sample(metric, metric.labels, numbers.get(metric.key))
        return
    key, label = metric.parts
    parts = numbers.get(key)
    for name, part in parts.items() if isinstance(parts, Mapping) else ():
        yield from _sample(metric, ((label, name), *metric.labels), part.get(metric.key))


def _sample(metric: Metric, labels: tuple[tuple[str, str], ...], number: object) -> Iterator[str]:
    if not isinstance(number, int | float):
        return
    shown = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
    value = number / metric.divisor if metric.divisor != 1 else number
    written = repr(value) if isinstance(value, float) else str(int(value))
    yield f"{PREFIX}{metric.name}{f'{{{shown}}}' if shown else ''} {written}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

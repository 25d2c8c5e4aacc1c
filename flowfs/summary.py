"""What a mount says of itself when it ends, and when it is asked to: lines for people.

Knows the names of the numbers in `status.json`, and no counting. Always true: whatever was lost has a line; a
line is short when there is nothing to say. Who adds another kind of loss adds it to LOSSES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.filesize import decimal

from .config import show_memory

Numbers = Mapping[str, int]


def counted(count: int, thing: str) -> str:
    """So many of them: `1 flow`, `3,000 flows`."""
    return f"{count:,} {thing}" + "s" * (count != 1)


def _evicted(numbers: Numbers) -> str:
    freed, whole = numbers["evicted_bytes"] + numbers["trimmed_bytes"], numbers["flows_evicted"]
    if not freed and not whole:
        return ""
    trimmed = f", {show_memory(numbers['trimmed_bytes'])} of it from the beginning of others" * bool(
        numbers["trimmed_bytes"]
    )
    return f"freed for want of memory: {show_memory(freed)}, with {counted(whole, 'whole flow')}{trimmed}"


def _refused(numbers: Numbers) -> str:
    full = {
        "connections_refused": "of connections (--max-table is full)",
        "flows_refused": "of flows (--max-flows are there)",
    }
    said = [f"{numbers[key]:,} {why}" for key, why in full.items() if numbers[key]]
    return f"refused: segments {' and '.join(said)}" if said else ""


def _not_archived(numbers: Numbers) -> str:
    flows, size = numbers["archive_lost_flows"], numbers["archive_lost_bytes"]
    if not flows:
        return ""
    return f"not archived: {decimal(size)} of {counted(flows, 'flow')}, which went before they were saved"


def _without_room(numbers: Numbers) -> str:
    """Some of it may have come again."""
    sizes = {
        "dropped_memory_bytes": "of flows (--max-memory)",
        "dropped_out_of_order_bytes": "that came out of order (--max-out-of-order)",
    }
    said = [f"{decimal(numbers[key])} {why}" for key, why in sizes.items() if numbers[key]]
    if fragments := numbers["fragments_evicted"]:
        said.append(f"{counted(fragments, 'IP fragment')} (--max-fragments)")
    return f"had no room: {', '.join(said)}" if said else ""


def _holes(numbers: Numbers) -> str:
    holes, tails = numbers["lost_bytes"], numbers["tail_missing_bytes"]
    if not holes and not tails:
        return ""
    return f"holes in flows: {decimal(holes)}, which read as zeros; {decimal(tails)} at the ends of flows"


LOSSES: tuple[Callable[[Numbers], str], ...] = (_refused, _without_room, _evicted, _not_archived, _holes)
"""Each gives a line of what was lost in its way, "" if nothing was."""


def dropped(interfaces: Mapping[str, Numbers]) -> int:
    """Packets that were lost before they could be captured; of `interfaces` as lines() takes them."""
    return sum(one["dropped_by_kernel"] + one["dropped_by_interface"] for one in interfaces.values())


def in_short(numbers: Numbers, lost_packets: int) -> str:
    """How a mount stands, in one line. `lost_packets`: see dropped()."""
    held, limit = (show_memory(numbers[f"payload_{what}_bytes"]) for what in ("used", "limit"))
    flows, packets = counted(numbers["flows"], "flow"), counted(lost_packets, "packet")
    return f"{flows}, {held} of {limit} held, {packets} dropped"


def lines(numbers: Numbers, interfaces: Mapping[str, Numbers], archives: bool = False) -> list[str]:
    """The first is of all; one for each kind of loss that there was.

    `numbers` are the engine's, `interfaces` has received_packets, dropped_by_kernel and dropped_by_interface
    of each. `archives`: flows are to be saved, so it is told how many files are.
    """
    removed = f", {numbers['flows_removed']:,} removed" if numbers["flows_removed"] else ""
    saved = f", {counted(numbers['archive_saved_flows'], 'file')} saved" if archives else ""
    first = (
        f"{counted(numbers['packets'], 'packet')} captured, {dropped(interfaces):,} dropped,"
        f" {counted(numbers['flows_total'], 'flow')}, {numbers['flows_evicted']:,} evicted{removed}{saved}"
    )
    return [first, *_dropped(interfaces), *filter(None, (loss(numbers) for loss in LOSSES))]


def _dropped(interfaces: Mapping[str, Numbers]) -> Iterator[str]:
    """A line for each interface that lost something."""
    for name, one in interfaces.items():
        kernel, interface = one["dropped_by_kernel"], one["dropped_by_interface"]
        if kernel or interface:
            total = one["received_packets"] + kernel + interface
            share = 100 * (kernel + interface) / total
            how = {
                "by the kernel, for want of room in its buffer (-B)": kernel,
                "by the interface": interface,
            }
            said = " and ".join(f"{count:,} {where}" for where, count in how.items() if count)
            yield f"dropped on {name}: {said}; {share:.1f} % of its packets. Flows that lived then say so"

"""What people are told once when the numbers of a mount say so.

Knows the core's counters and the options that change them; not to whom it speaks.
"""

from __future__ import annotations

from collections.abc import Iterator

from .config import Config, show_memory, show_size
from .core.engine import Engine
from .summary import counted


class Complaints:
    """Of one mount. Each line comes once."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._said: set[str] = set()

    def fresh(self) -> list[str]:
        """The lines that became true since the last time."""
        return [line for reason, line in self._all() if self._is_new(reason)]

    def _is_new(self, reason: str) -> bool:
        """Whether nothing was said of this yet: numbers in a line change."""
        if reason in self._said:
            return False
        self._said.add(reason)
        return True

    def _all(self) -> Iterator[tuple[str, str]]:
        """(what it is about, the line) of what is true at this moment."""
        counters = self._engine.counters
        limits = self._config.limits
        if counters.connections_refused:
            size = show_size(limits.table_bytes)
            full = f"--max-table {size} is full of active ones"
            yield "table", f"connections are refused, {full}: a larger one takes more"
        if counters.flows_refused:
            yield (
                "flows",
                f"flows are refused, --max-flows {limits.max_flows} of active ones are there",
            )
        if counters.dropped_packets:
            yield (
                "drops",
                "packets are dropped before they can be captured: flows may have holes, which ones is in"
                " .flowfs/meta/NAME.json (dropped_packets); a larger buffer (-B) or a narrower filter helps",
            )
        if counters.archive_lost_flows and not self._engine.finished:
            yield (
                "archive",
                "flows go before they are saved: the disk of --archive is too slow or full, or --max-memory"
                " too small",
            )
        cut_at = self._engine.cut_at_bytes
        if cut_at and cut_at >= self._cut_possible_at():
            how = f"packets are cut at {cut_at} bytes by the capture's snapshot length"
            yield "cut", f"{how}: flows have holes; capture with -s 0"
        if self._engine.finished:
            yield from self._of_a_whole_file()

    def _cut_possible_at(self) -> int:
        """Where longer packets are whole, one only lies about its length."""
        return self._config.snaplen if self._config.interfaces else self._engine.longest_bytes

    def _of_a_whole_file(self) -> Iterator[tuple[str, str]]:
        """What matters once all is read; an interface goes on, and frees what is old as it should."""
        counters = self._engine.counters
        freed = counters.evicted_bytes + counters.trimmed_bytes
        if freed and not self._config.archive:
            size = show_size(self._config.limits.payload_bytes)
            flows = counted(counters.flows_evicted, "whole flow")
            yield (
                "memory",
                f"{show_memory(freed)}, {flows} among it, did not fit into --max-memory {size} and are freed;"
                " a larger one keeps more",
            )
        if counters.packets == 0 and self._config.filter:
            yield "empty", "no packet passes the filter"
        elif counters.packets == 0:
            yield "empty", "there are no packets to be shown"
        elif counters.flows_total == 0 and not counters.flows_refused:
            yield "empty", f"there is no flow to be shown: {self._lack()}"

    def _lack(self) -> str:
        """What the packets have not, that no flow came of them."""
        counters = self._engine.counters
        if counters.segments == 0:
            return "none of the packets is TCP"
        return (
            "what data there is, no receiver takes" if counters.payload_bytes else "no TCP segment has data"
        )

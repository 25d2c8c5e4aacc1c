"""What is there and in use at one moment, by the names of status.json. Changes nothing."""

from __future__ import annotations

import cython

if not cython.compiled:
    from .defrag import Defrag
    from .life import Lives
    from .store import Store

from .limits import CONNECTION_BYTES, Limits


def gauges(limits: Limits, store: Store, flows: Lives, defrag: Defrag) -> dict[str, int]:
    """Files, connections, and each pool of memory with its limit in bytes."""
    pool = flows.room.pool
    return {
        "flows": store.count,
        "flows_free": free_flows(limits, store, flows),
        "flows_open": store.open_flows(),
        "connections_tracked": flows.live,
        "connections_asleep": flows.asleep,
        "drop_intervals": flows.drops.intervals,
        "payload_used_bytes": store.arena.used_bytes,
        "payload_limit_bytes": store.arena.capacity_bytes,
        "pinned_bytes": store.pinned_bytes,
        "out_of_order_used_bytes": pool.used_bytes,
        "out_of_order_limit_bytes": pool.limit_bytes,
        "table_used_bytes": flows.used_bytes,
        "table_limit_bytes": limits.table_bytes,
        "notes_used_bytes": flows.room.noted_bytes,
        "notes_limit_bytes": flows.room.note_limit_bytes,
        "turns_used_bytes": flows.room.turns.used_bytes,
        "turns_limit_bytes": flows.room.turns.limit_bytes,
        "fragments_waiting": defrag.waiting,
        "fragments_used_bytes": defrag.used_bytes,
        "fragments_limit_bytes": defrag.limit_bytes,
    }


def free_flows(limits: Limits, store: Store, flows: Lives) -> int:
    """How many more files there is room for, if each connection has two."""
    free_bytes = flows.limit_bytes - flows.used_bytes + flows.spare.length * CONNECTION_BYTES
    free = 2 * max(0, free_bytes // CONNECTION_BYTES)
    if limits.max_flows:
        free = min(free, max(0, limits.max_flows - store.count))
    return free

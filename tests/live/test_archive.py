"""A soak: more traffic than the memory holds, live, and every byte is in the archive."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from archiving import digest, joined
from live.mounting import daemons, mounted
from live.network import Namespace
from live.traffic import connect, some_bytes
from waiting import eventually

pytestmark = pytest.mark.needs("netns", "fuse")

KIB, MIB = 1 << 10, 1 << 20
SECONDS = 20
RATE_BYTES = 2 * MIB  # a second: a slow disk, on a busy machine


@pytest.mark.slow
def test_no_byte_is_lost(pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """Short connections, and long ones that stay open, in a memory for two seconds of them."""
    place, kept = tmp_path / "mnt", tmp_path / "kept"
    wanted: dict[str, bytes] = {}
    limits = ("--max-memory", "4M", "-B", "65536", "--archive", str(kept))
    with (
        pair[1].listen("10.9.0.2") as listener,
        mounted(pair[1], place, "-i", "eth0", *limits) as mount,
        connect(pair[0], listener) as long,
    ):
        stopping = threading.Event()
        reader = threading.Thread(target=read_at_random, args=(place, stopping), daemon=True)
        reader.start()
        wanted |= {long.up: b"", long.down: b""}
        start, sent, seed = time.monotonic(), 0, 0
        while time.monotonic() - start < SECONDS:
            seed += 1
            up, down = some_bytes(seed * 7919 % (100 * KIB) + 1, seed), some_bytes(100, -seed)
            long.exchange(up[:20_000], down)
            wanted[long.up] += up[:20_000]
            wanted[long.down] += down
            with connect(pair[0], listener) as short:
                short.exchange(up, down)
                wanted |= {short.up: up, short.down: down}
            sent += len(up) + len(up[:20_000]) + 200
            time.sleep(max(0.0, start + sent / RATE_BYTES - time.monotonic()))  # no faster than RATE_BYTES
        assert eventually(lambda: mount.status()["statistics"]["stored_bytes"] == sent)
        stopping.set()
        reader.join()
        status = mount.status()
    assert eventually(lambda: not daemons(place), 30)
    assert (status["dropped_by_kernel"], status["statistics"]["archive_lost_flows"]) == (0, 0)
    assert status["statistics"]["flows_evicted"] > 50
    saved = joined(kept)
    assert {name: digest(data) for name, data in saved.items()} == {
        name: digest(data) for name, data in wanted.items()
    }


def read_at_random(place: Path, stopping: threading.Event) -> None:
    """A reader in the way: it opens what is there, and reads some of it."""
    while not stopping.wait(0.05):
        for path in sorted(place.iterdir())[:3]:
            try:
                with path.open("rb", buffering=0) as file:
                    file.read(1000)
                    stopping.wait(0.05)
                    file.read(1000)
            except OSError:
                continue  # it went meanwhile

"""The loopback interface: segments as large as IP allows, and filters."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.mounting import mounted
from live.network import Namespace
from live.traffic import connect, some_bytes, talk

pytestmark = pytest.mark.needs("netns", "fuse")

MIB = 2**20


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_63_loopback_64k(alone: Namespace, tmp_path: Path, address: str) -> None:
    # All of it arrives within some 15 ms, in which a busy machine may not let the capture run at all: the
    # kernel's buffer has room for it, twice, as packets of `lo` come there.
    sent = some_bytes(20 * MIB, 63)
    with (
        mounted(alone, tmp_path / "mnt", "-i", "lo") as mount,
        talk(alone, alone, address) as told,
    ):
        told.exchange(sent, b"done")
        mount.check(told.up, sent)
        mount.check(told.down, b"done")


def test_filter_on_loopback(alone: Namespace, tmp_path: Path) -> None:
    with alone.listen("127.0.0.1") as wanted, alone.listen("127.0.0.1") as other:
        port = wanted.getsockname()[1]
        with (
            mounted(alone, tmp_path / "mnt", "-i", "lo", f"tcp port {port}") as mount,
            connect(alone, other) as unseen,
            connect(alone, wanted) as seen,
        ):
            unseen.exchange(b"not asked for", b"nor this")
            seen.exchange(b"asked for", b"this too")
            mount.check(seen.up, b"asked for")
            mount.check(seen.down, b"this too")
            assert mount.names() == sorted([seen.up, seen.down])

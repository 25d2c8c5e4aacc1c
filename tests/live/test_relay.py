"""A cable that reorders, duplicates and drops: what the hosts agreed on is what the files hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.mounting import mounted
from live.network import Namespace
from live.relay import Harm, Relay
from live.traffic import some_bytes, talk

pytestmark = pytest.mark.needs("netns", "fuse")

MIB = 2**20


@pytest.mark.parametrize("beside", [0, 1], ids=["beside_client", "beside_server"])
@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"])
def test_harm_on_the_way_leaves_no_trace(
    bad_cable: tuple[Namespace, Namespace, Relay], tmp_path: Path, address: str, beside: int
) -> None:
    left, right, relay = bad_cable
    up, down = some_bytes(2 * MIB, 1), some_bytes(2 * MIB + 1, 2)
    with (
        mounted((left, right)[beside], tmp_path / "mnt", "-i", "eth0") as mount,
        # Less under way than flowfs keeps out of order for a flow, or it gives up what is missing.
        talk(left, right, address, buffer_bytes=256 * 1024) as told,
    ):
        relay.harm = Harm()
        told.exchange(up, down)
        relay.harm = None
        mount.check(told.up, up)
        mount.check(told.down, down)
    assert min(relay.reordered, relay.duplicated, relay.dropped) > 5


@pytest.mark.parametrize("vid", [42, 0])
def test_mirror_port_with_vlan_tags(
    bad_cable: tuple[Namespace, Namespace, Relay], alone: Namespace, tmp_path: Path, vid: int
) -> None:
    left, right, relay = bad_cable
    relay.mirror(alone, "mirror", vid, pcp=5)
    up, down = some_bytes(300_000, 1), some_bytes(100_000, 2)
    with (
        mounted(alone, tmp_path / "mnt", "-i", "mirror") as mount,
        talk(left, right, "10.9.0.2", vid) as told,
    ):
        told.exchange(up, down)
        assert told.up.endswith("--42") == (vid == 42)
        mount.check(told.up, up)
        mount.check(told.down, down)

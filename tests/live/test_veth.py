"""Connections over a cable between two namespaces, captured beside one end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from live.mounting import mounted
from live.network import Namespace
from live.traffic import connect, some_bytes, talk
from waiting import eventually

pytestmark = pytest.mark.needs("netns", "fuse")

Pair = tuple[Namespace, Namespace]
MIB = 2**20


@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"])
def test_both_directions_of_a_long_talk(pair: Pair, tmp_path: Path, address: str) -> None:
    up, down = some_bytes(4 * MIB, 1), some_bytes(3 * MIB + 1, 2)
    with mounted(pair[1], tmp_path / "mnt", "-i", "eth0") as mount, talk(*pair, address) as told:
        told.exchange(up, down)
        mount.check(told.up, up)
        mount.check(told.down, down)
        assert mount.names() == sorted([told.up, told.down])


def test_many_connections_at_once(pair: Pair, tmp_path: Path) -> None:
    count, size = 300, 20_000
    with ExitStack() as stack:
        mount = stack.enter_context(mounted(pair[1], tmp_path / "mnt", "-i", "eth0", "tcp"))
        listener = stack.enter_context(pair[1].listen("10.9.0.2"))
        talks = [stack.enter_context(connect(pair[0], listener)) for _ in range(count)]
        for seed, told in enumerate(talks):
            told.exchange(some_bytes(size, seed), some_bytes(size, -1 - seed))
        for seed, told in enumerate(talks):
            mount.check(told.up, some_bytes(size, seed))
            mount.check(told.down, some_bytes(size, -1 - seed))
        assert len(mount.names()) == 2 * count


def test_filter_in_one_argument_or_several(pair: Pair, tmp_path: Path) -> None:
    with pair[1].listen("10.9.0.2") as wanted, pair[1].listen("10.9.0.2") as other:
        port = str(wanted.getsockname()[1])
        with (
            mounted(pair[1], tmp_path / "one", "-i", "eth0", f"tcp port {port}") as one,
            mounted(pair[0], tmp_path / "several", "-i", "eth0", "tcp", "port", port) as several,
            connect(pair[0], other) as unseen,
            connect(pair[0], wanted) as seen,
        ):
            unseen.exchange(b"not asked for", b"nor this")
            seen.exchange(b"asked for", b"this too")
            for mount in (one, several):
                mount.check(seen.up, b"asked for")
                mount.check(seen.down, b"this too")
                assert mount.names() == sorted([seen.up, seen.down])


def test_any_interface(pair: Pair, tmp_path: Path) -> None:
    with (
        mounted(pair[1], tmp_path / "mnt", "-i", "any") as mount,
        talk(*pair, "10.9.0.2") as over_cable,
        talk(pair[1], pair[1], "127.0.0.1") as inside,
    ):
        for seed, told in enumerate((over_cable, inside)):
            up, down = some_bytes(MIB, seed), some_bytes(1000, 9 + seed)
            told.exchange(up, down)
            mount.check(told.up, up)
            mount.check(told.down, down)


def test_two_interfaces(pair: Pair, tmp_path: Path) -> None:
    with mounted(pair[1], tmp_path / "mnt", "-i", "eth0", "-i", "lo") as mount:
        for near, address in ((pair[0], "fd09::2"), (pair[1], "::1")):
            with talk(near, pair[1], address) as told:
                told.exchange(b"up " + address.encode(), b"down")
                mount.check(told.up, b"up " + address.encode())
                mount.check(told.down, b"down")


def test_same_ports_again_is_another_file(pair: Pair, tmp_path: Path) -> None:
    with mounted(pair[1], tmp_path / "mnt", "-i", "eth0") as mount, pair[1].listen("10.9.0.2") as listener:
        with connect(pair[0], listener) as first:
            first.exchange(b"first", b"1")
            near = first.client.getsockname()
            # The side that closes first keeps the ports for a minute: let it be the server.
            first.server.close()
            assert first.client.recv(1) == b""
        mount.check(first.up, b"first")
        with pair[0].socket("10.9.0.1") as again:
            again.bind(near)
            again.connect(listener.getsockname())
            again.sendall(b"second")
            mount.check(first.up + "c1", b"second")
            mount.check(first.up, b"first")


def test_a_capture_that_starts_late(pair: Pair, tmp_path: Path) -> None:
    with talk(*pair, "10.9.0.2") as told:
        told.exchange(b"before", b"unseen")
        with mounted(pair[1], tmp_path / "mnt", "-i", "eth0") as mount:
            told.exchange(b"after", b"seen")
            assert eventually(lambda: mount.size(told.up) == 5 and mount.size(told.down) == 4)
            assert (mount.path / told.up).read_bytes() == b"after"
            assert (mount.path / told.down).read_bytes() == b"seen"

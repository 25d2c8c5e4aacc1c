"""A daemon that is stopped under load: drops are counted, and the flows that they may concern say so."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.mounting import Mount, mounted
from live.network import Namespace
from live.traffic import Talk, connect, receive, some_bytes
from waiting import eventually

pytestmark = [pytest.mark.needs("netns", "fuse"), pytest.mark.slow]

Pair = tuple[Namespace, Namespace]
STOPPED_S = 5
BUFFER_KIB = 4096  # full at once under load; less is two blocks, which a busy machine may fill by two packets


def known(mount: Mount, name: str) -> dict[str, Any]:
    """What is known of a flow."""
    told: dict[str, Any] = json.loads((mount.path / f".flowfs/meta/{name}.json").read_text())
    return told


def marks(mount: Mount, told: Talk) -> list[bool]:
    return [known(mount, name)["dropped_packets"] > 0 for name in (told.up, told.down)]


def load(told: Talk, until: float) -> None:
    """As much as the hosts can until then."""
    data = some_bytes(1 << 20, 1)
    reader = threading.Thread(target=drain, args=(told,))
    reader.start()
    while time.monotonic() < until:
        told.client.sendall(data)
    told.client.close()
    reader.join()


def drain(told: Talk) -> None:
    with told.server:
        while told.server.recv(1 << 20):
            pass


def quiet(mount: Mount) -> bool:
    """Whether no further drop was counted for a while."""
    before = mount.status()["dropped_by_kernel"]
    time.sleep(0.5)  # five times as long as from one look at the counters to the next
    return bool(before == mount.status()["dropped_by_kernel"])


def metric(mount: Mount, interface: str) -> float:
    text = (mount.path / ".flowfs/metrics").read_text()
    (family,) = (
        family
        for family in text_string_to_metric_families(text)
        if family.name == "flowfs_interface_dropped_packets"
    )
    labels = {"interface": interface, "reason": "kernel"}
    return float(next(sample.value for sample in family.samples if sample.labels == labels))


def test_stopped_under_load(pair: Pair, tmp_path: Path) -> None:
    arguments = ["-i", "eth0", "-i", "lo", "-B", str(BUFFER_KIB), "--max-memory", "64M"]
    with (
        mounted(pair[1], tmp_path / "mnt", *arguments) as mount,
        pair[1].listen("10.9.0.2") as listener,
        pair[1].listen("127.0.0.1") as inside,
    ):
        before, during, elsewhere = (
            connect(pair[0], listener),
            connect(pair[0], listener),
            connect(pair[1], inside),
        )
        for told in (before, during, elsewhere):
            told.exchange(b"up", b"down")
            mount.check(told.up, b"up")
            mount.check(told.down, b"down")
        before.close()
        assert eventually(
            lambda: known(mount, before.down)["state"] == known(mount, before.up)["state"] == "fin"
        )
        time.sleep(0.5)  # the counters are looked at ten times a second

        daemon = mount.status()["pid"]
        os.kill(daemon, signal.SIGSTOP)
        try:
            load(connect(pair[0], listener), time.monotonic() + STOPPED_S)
            during.client.sendall(b"lost?")
            assert receive(during.server, 5) == b"lost?"
        finally:
            os.kill(daemon, signal.SIGCONT)
        assert eventually(lambda: mount.status()["dropped_by_kernel"] > 0)
        assert eventually(lambda: quiet(mount))

        after = connect(pair[0], listener)
        after.exchange(b"up", b"down")
        mount.check(after.up, b"up")
        mount.check(after.down, b"down")

        assert marks(mount, before) == [False, False]
        assert marks(mount, during) == [True, True]
        assert marks(mount, elsewhere) == [False, False]
        assert marks(mount, after) == [False, False]
        status = mount.status()
        lost = status["interfaces"]["eth0"]["dropped_by_kernel"]
        assert lost == status["dropped_by_kernel"] == metric(mount, "eth0")
        assert status["interfaces"]["lo"]["dropped_by_kernel"] == metric(mount, "lo") == 0
        assert status["statistics"]["dropped_packets"] == lost + status["dropped_by_interface"]
        assert known(mount, during.up)["dropped_packets"] <= lost
        (warning,) = [line for line in status["warnings"] if "dropped" in line]
        assert "-B" in warning
        for told in (during, elsewhere, after):
            told.close()

"""`flowfs mount -f` as a service of systemd, whose part the test plays; and the unit that starts it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import craft
from live.mounting import ENVIRONMENT, FLOWFS, clean_up
from waiting import eventually

UNIT = Path(__file__).resolve().parents[2] / "contrib/systemd/flowfs@.service"
CONVERSATION = craft.Conversation().handshake().client(0, b"abc")


class Manager:
    """Listens as systemd does, in the abstract namespace, since a path of pytest's may be too long."""

    def __init__(self, name: str) -> None:
        self.address = f"@flowfs-{os.getpid()}-{name}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address.replace("@", "\0"))

    def hear(self, what: str) -> dict[str, str]:
        """The next message with this assignment; others that come before it are of no account."""
        self.socket.settimeout(30)
        while True:
            lines = self.socket.recv(65536).decode().split("\n")
            if what in lines:
                return dict(line.split("=", 1) for line in lines)

    def heard(self) -> list[str]:
        """All assignments that have come and were not asked for."""
        self.socket.settimeout(0)
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines += self.socket.recv(65536).decode().split("\n")
        return lines


@contextmanager
def service(tmp_path: Path, *arguments: str) -> Iterator[tuple[Path, Manager, subprocess.Popen[bytes]]]:
    """`flowfs mount ARGUMENTS` with a manager that listens."""
    place = tmp_path / "flows"
    place.mkdir()
    manager = Manager(tmp_path.name)
    environment = ENVIRONMENT | {"NOTIFY_SOCKET": manager.address}
    try:
        process = subprocess.Popen([*FLOWFS, "mount", str(place), "-q", *arguments], env=environment)
        try:
            yield place, manager, process
        finally:
            process.terminate()
            process.wait(20)
            clean_up(place)
    finally:
        manager.socket.close()


@pytest.mark.needs("fuse")
def test_ready_when_it_can_be_read_and_stopping_when_it_ends(tmp_path: Path) -> None:
    capture = craft.write_pcap(tmp_path / "a.pcap", CONVERSATION.packets)
    with service(tmp_path, "-f", "-r", str(capture)) as (place, manager, process):
        heard = manager.hear("READY=1")
        assert heard["STATUS"] == "1 flow, 256 bytes of 256 MiB held, 0 packets dropped"
        assert (place / CONVERSATION.client_name()).read_bytes() == b"abc"
        process.send_signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        assert process.wait(20) == 0
        assert not place.is_mount()


@pytest.mark.needs("fuse")
def test_not_ready_before_all_is_loaded(tmp_path: Path) -> None:
    """A pipe whose writer waits."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    capture = craft.write_pcap(tmp_path / "a.pcap", CONVERSATION.packets).read_bytes()
    with service(tmp_path, "-f", "-r", str(pipe)) as (place, manager, _):
        with pipe.open("wb") as writer:
            writer.write(capture[:24])
            writer.flush()
            assert eventually(place.is_mount, 20)
            assert os.listdir(place) == []
            assert "READY=1" not in manager.heard()
            writer.write(capture[24:])
        manager.hear("READY=1")
        assert os.listdir(place) == [CONVERSATION.client_name()]


@pytest.mark.needs("fuse")
def test_what_is_saved_in_the_end_is_told(tmp_path: Path) -> None:
    capture = craft.write_pcap(tmp_path / "a.pcap", CONVERSATION.packets)
    kept = tmp_path / "kept"
    with service(tmp_path, "-f", "-r", str(capture), "--archive", str(kept)) as (_, manager, process):
        manager.hear("READY=1")
        process.send_signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        assert process.wait(20) == 0
        assert (kept / CONVERSATION.client_name()).read_bytes() == b"abc"


@pytest.mark.needs("fuse")
def test_the_background_is_no_service(tmp_path: Path) -> None:
    capture = craft.write_pcap(tmp_path / "a.pcap", CONVERSATION.packets)
    with service(tmp_path, "-r", str(capture)) as (place, manager, process):
        assert process.wait(30) == 0
        subprocess.run([*FLOWFS, "umount", str(place)], env=ENVIRONMENT, timeout=30, check=True)
        assert manager.heard() == []


def sections() -> dict[str, list[str]]:
    """The unit's assignments by section."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def test_the_unit_hides_no_mount() -> None:
    """See systemd.exec(5), Sandboxing: these make a mount namespace, or keep a user from unmounting."""
    names = [line.partition("=")[0] for line in sections()["Service"]]
    for name in names:
        assert not name.startswith(("Private", "Protect", "ReadOnly", "ReadWrite", "Inaccessible", "Bind")), (
            name
        )
        assert name not in ("NoNewPrivileges", "TemporaryFileSystem", "RootDirectory", "DynamicUser"), name
    assert "Type=notify" in sections()["Service"]


def test_the_unit_calls_flowfs_as_it_wants_to_be_called() -> None:
    from flowfs.cli.parse import mount_config

    (line,) = [line for line in sections()["Service"] if line.startswith("ExecStart=")]
    words = line.partition("=")[2].replace("%i", "eth0").replace("%I", "eth0").split()
    assert words[:2] == ["flowfs", "mount"]
    for options, filter_ in ((["-Z", "alice"], ["tcp", "port", "25"]), ([], [])):
        at = words.index("$FLOWFS_OPTIONS")
        typed = [*words[2:at], *options, "--", *filter_]
        assert words[at + 1 :] == ["--", "$FLOWFS_FILTER"]
        config = mount_config(typed)
        assert config.foreground
        assert (config.mountpoint, config.interfaces) == ("/run/flowfs/eth0", ("eth0",))
        assert (config.user, config.filter) == ("alice" if options else "", " ".join(filter_))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_finds_no_mistake_in_the_unit(tmp_path: Path) -> None:
    """It looks for the program, too, which need not be installed here."""
    text = UNIT.read_text().replace("ExecStart=flowfs", "ExecStart=true")
    (tmp_path / UNIT.name).write_text(text)
    unit = tmp_path / "flowfs@eth0.service"
    unit.symlink_to(UNIT.name)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

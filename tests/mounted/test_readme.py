"""Every command in the README, run as it stands there.

`/mnt/flows` becomes a directory of the test, `eth0` the loopback interface, and who is root needs no sudo.
What comes before a mount is unmounted. `tail -f` is ended after a second, for it would not end by itself.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
TAIL_ENDED = 124  # timeout(1)
SILENT = ("mount", "umount", "mkdir", "cp", "rm", "find")


def blocks() -> list[list[str]]:
    """The commands of each block of shell."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [[line for line in block.splitlines() if line and line[0] != "#"] for block in found]


class Reader:
    """Somebody who types what the README says."""

    def __init__(self, place: Path, venv: Path) -> None:
        self.mountpoint = place / "flows"
        self.place = place
        self.environment = {name: value for name, value in os.environ.items() if "SUDO_" not in name}
        self.environment |= {"FLOWFS_VENV": str(venv), "TMPDIR": str(place)}
        self.environment["FLOWFS_CORE"] = "interpreted"  # to compile takes minutes; contrib/check has done so
        shutil.copy(ROOT / "contrib/demo.pcap", place / "capture.pcap")
        (place / "capture.pcap.gz").write_bytes(gzip.compress((ROOT / "contrib/demo.pcap").read_bytes()))
        self.mountpoint.mkdir()

    def type(self, line: str) -> str:
        """Run a line; returns what it printed. It must not fail."""
        command = line.replace("/mnt/flows", str(self.mountpoint)).replace("eth0", "lo")
        command = re.sub(r"\bsudo ", "", command)
        command = re.sub(r"(?<!\S)(?:contrib/run|flowfs)\b", str(ROOT / "contrib/run"), command)
        command = re.sub(r"^tail -f", "timeout 1 tail -f", command)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.place,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
        )
        assert done.returncode in (0, TAIL_ENDED), (line, done)
        assert "Traceback" not in done.stderr
        return done.stdout

    def mount_demo(self) -> None:
        self.type("flowfs mount /mnt/flows -r capture.pcap")

    def unmount(self) -> None:
        if os.path.ismount(self.mountpoint):
            self.type("flowfs umount /mnt/flows")


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer") / "venv"


@pytest.fixture
def reader(tmp_path: Path, venv: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path, venv)
    try:
        yield somebody
    finally:
        somebody.unmount()


@pytest.mark.slow
@pytest.mark.needs("fuse")
def test_the_two_commands(reader: Reader) -> None:
    demo, live = blocks()[:2]
    assert demo == ["contrib/run"]
    for _ in range(2):  # the second time nothing is to be installed
        shown = reader.type(demo[0])
        assert "192.000.002.010.49152-192.000.002.025.00025" in shown
        assert "MAIL FROM:<ada@example.org>" in shown
        assert "mount /mnt/flows -i" in shown.replace(str(reader.mountpoint), "/mnt/flows")
    for line in live:
        reader.type(line)
        assert os.path.ismount(reader.mountpoint) == ("mkdir" not in line)


@pytest.mark.slow
@pytest.mark.needs("fuse")
def test_one_liners(reader: Reader) -> None:
    reader.mount_demo()
    for line in blocks()[2]:
        shown = reader.type(line)
        assert shown or line.startswith(SILENT), line
    assert not list(reader.mountpoint.glob("*.00025"))  # what rm was for


@pytest.mark.slow
@pytest.mark.needs("fuse")
def test_what_is_known_of_flows(reader: Reader) -> None:
    reader.mount_demo()
    for line in blocks()[3]:
        assert reader.type(line), line


@pytest.mark.slow
@pytest.mark.needs("fuse")
def test_captured_files(reader: Reader) -> None:
    lines = blocks()[4]
    assert len(lines) == 4
    for line in lines:
        reader.type(line)
        assert eventually(lambda: len(list(reader.mountpoint.iterdir())) == 4), line
        reader.unmount()

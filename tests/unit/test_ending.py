"""ending.py: who waits for the end of a mount is told of it, and holds nobody up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowfs import ending
from flowfs.ending import Audience, Witness, attend

DEVICE = "0:99"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first place cannot be had, as /run/user in a container."""
    path = tmp_path / "flowfs"
    monkeypatch.setattr(ending, "_folders", lambda uid: [Path("/proc/none/flowfs"), path])
    return path


@pytest.fixture
def audience() -> Iterator[Audience]:
    made = Audience()
    made.admit(DEVICE)
    yield made
    made.close()


def come() -> Witness:
    witness = attend(DEVICE, os.geteuid())
    assert witness is not None
    os.close(witness._handle)  # its process is this one, which does not end
    witness._handle = -1
    return witness


def test_all_that_is_said_of_the_end_is_heard(audience: Audience, folder: Path) -> None:
    early, late = come(), come()
    assert early.process == os.getpid()
    audience.look()
    audience.ending()
    assert list(folder.iterdir()) == []
    assert attend(DEVICE, os.geteuid()) is None
    audience.progress(1, 10)
    audience.warn("so much × is left")
    audience.error("nothing is saved")
    audience.ended()
    audience.close()
    for witness in (early, late):
        assert list(witness.messages()) == [
            ("ending", []),
            ("progress", [1, 10]),
            ("warn", ["so much × is left"]),
            ("error", ["nothing is saved"]),
            ("ended", []),
            ("gone", []),
        ]
        witness.close()


def test_a_mount_that_says_nothing_is_waited_for_no_longer_than_that(audience: Audience) -> None:
    witness = come()
    assert list(witness.messages(0.01)) == []
    witness.close()


def test_who_does_not_read_or_leaves_holds_nobody_up(audience: Audience) -> None:
    silent = come()
    for _ in range(300):
        come().close()
        audience.look()
    assert len(audience._there) == 1
    for done in range(20_000):
        audience.progress(done, 20_000)
    audience.ended()
    silent.close()
    audience.look()
    assert audience._there == []


def test_the_end_of_a_process(folder: Path) -> None:
    """Killed, it says nothing of its end; its socket is nobody's then, and is removed by the next."""
    code = f"""if True:
        import sys, os, time
        from pathlib import Path
        from flowfs import ending
        ending._folders = lambda uid: [Path({str(folder)!r})]
        audience = ending.Audience()
        audience.admit({DEVICE!r})
        print(flush=True)
        sys.stdin.read()
        audience.look()
        os.kill(os.getpid(), 9)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(ending.__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        witness = attend(DEVICE, os.geteuid())
        assert witness is not None
        assert witness.process == process.pid
        process.communicate()
    assert list(witness.messages()) == [("gone", [])]
    witness.close()
    assert attend(DEVICE, os.geteuid()) is None
    assert len(list(folder.iterdir())) == 1
    other = Audience()
    other.admit("0:7")
    assert [path.name for path in folder.iterdir()] == ["0:7"]
    other.close()


def test_a_device_that_is_used_again_while_the_first_still_saves(audience: Audience, folder: Path) -> None:
    first = come()
    second = Audience()
    second.admit(DEVICE)
    audience.ending()
    other = come()
    second.ending()
    assert list(folder.iterdir()) == []
    second.close()
    assert [what for what, _ in other.messages()] == ["ending", "gone"]
    audience.close()
    assert [what for what, _ in first.messages()] == ["ending", "gone"]
    first.close()
    other.close()


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    made = Audience()
    made.admit(DEVICE)
    made.progress(1, 2)
    made.ended()
    assert list(folder.iterdir()) == []
    with socket.socket(socket.AF_UNIX) as forged:
        forged.bind(str(folder / DEVICE))
        forged.listen()
        assert attend(DEVICE, os.geteuid()) is None
    made.close()


def test_a_socket_of_somebody_else_is_not_believed(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "_is_of", lambda folder, uid: True)
    assert attend(DEVICE, os.geteuid() + 1) is None

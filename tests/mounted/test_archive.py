"""`--archive` as people use it: the command, a directory, and what is in it when things go wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archiving import check, digest, joined, records
from craft import Conversation, Packet, merge, pcap, write_pcap
from live.mounting import ENVIRONMENT, FLOWFS, Mount, daemons
from live.traffic import some_bytes
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

NOBODY = 65534


def conversations(count: int, size: int, first_port: int = 10_000) -> list[tuple[Conversation, bytes]]:
    """Closed ones, one after another."""
    made = []
    for port in range(first_port, first_port + count):
        data = some_bytes(size, port)
        talk = Conversation(client_port=port).wait((port - first_port) * 0.01).handshake()
        for at in range(0, size, 1400):
            talk.client(at, data[at : at + 1400])
        made.append((talk.server_ack(size).close(), data))
    return made


def packets(made: list[tuple[Conversation, bytes]]) -> list[Packet]:
    return merge(*(talk.packets for talk, _ in made))


def contents(made: list[tuple[Conversation, bytes]]) -> dict[str, str]:
    return {talk.client_name(): digest(data) for talk, data in made}


def run(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    command = [*FLOWFS, "mount", *map(str, arguments)]
    how = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL, **how}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **how)


def unmount(place: Path) -> None:
    done = flowfs_umount(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert not daemons(place)


def flowfs_umount(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*FLOWFS, "umount", *options, str(place)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_all_of_a_file_that_does_not_fit_is_there_or_in_the_archive(place: Path, kept: Path) -> None:
    made = conversations(150, 40_000)
    capture = write_pcap(place.with_name("a.pcap"), packets(made))
    done = run(place, "-r", capture, "--max-memory", "1M", "--archive", kept)
    assert (done.returncode, done.stderr) == (0, "")
    mount, wanted = Mount(place), contents(made)
    assert eventually(lambda: mount.status()["archive"]["unsaved_flows"] == 0)
    there = {name: digest((place / name).read_bytes()) for name in mount.names()}
    saved = {name: digest(data) for name, data in joined_so_far(kept).items()}
    assert {**saved, **there} == wanted
    assert 5 < len(there) < 30
    assert mount.status()["statistics"]["archive_lost_flows"] == 0
    unmount(place)
    assert {name: digest(data) for name, data in joined(kept).items()} == wanted


def joined_so_far(kept: Path) -> dict[str, bytes]:
    return {line["name"]: (kept / line["file"]).read_bytes() for line in records(kept)}


def test_killed_under_load(place: Path, kept: Path) -> None:
    """No half file has a name; the next mount on the same place works, and clears up after the dead."""
    made = conversations(300, 50_000)
    wanted = {talk.client_name(): data for talk, data in made}
    with subprocess.Popen(
        [*FLOWFS, "mount", str(place), *("-r - --no-wait --max-memory 1M --archive".split()), str(kept)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
    ) as feeder:
        assert feeder.stdin is not None
        try:
            feeder.stdin.write(pcap(packets(made))[:9_000_000])
            feeder.stdin.flush()
            assert eventually(lambda: kept.exists() and len(list(kept.iterdir())) > 20)
            (daemon,) = [number for number in daemons(place) if number != feeder.pid]
            os.kill(daemon, signal.SIGKILL)
        except BrokenPipeError:
            pass
        finally:
            feeder.stdin.close()
    assert eventually(lambda: not daemons(place))
    told = {line["file"]: line for line in records(kept)}
    names = {path.name for path in kept.iterdir() if not path.name.startswith(".")} - {"flows.jsonl"}
    assert len(names) > 15
    assert len(names - told.keys()) <= 1  # killed between the name and the line
    for name in names:
        data = (kept / name).read_bytes()
        stream, offset = wanted[name.partition("+")[0]], told.get(name, {}).get("origin", 0)
        assert data == stream[offset : offset + len(data)]
        assert name not in told or len(data) == told[name]["size"]
    assert list(kept.glob(".flowfs-*"))
    capture = write_pcap(place.with_name("a.pcap"), packets(made[:3]))
    done = run(place, "-r", capture, "--archive", kept)
    assert done.returncode == 0
    assert len(list(kept.glob(".flowfs-*"))) == 1
    unmount(place)
    assert not list(kept.glob(".flowfs-*"))
    assert {path.name for path in kept.iterdir()} >= names


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.needs("root")
def test_a_file_waits_while_the_disk_is_full_and_goes_on_when_there_is_room(place: Path, kept: Path) -> None:
    made = conversations(120, 40_000)
    capture = write_pcap(place.with_name("a.pcap"), packets(made))
    with small_disk(kept, "2m"):
        arguments = (place, "-r", capture, "--no-wait", "--max-memory", "1M", "--archive", kept)
        assert run(*arguments).returncode == 0
        mount = Mount(place)
        assert eventually(lambda: mount.status()["archive"]["trouble"] == "No space left on device")
        metrics = (place / ".flowfs" / "metrics").read_text()
        assert "flowfs_archive_is_in_trouble 1\n" in metrics
        assert re.search(r"^flowfs_archive_unsaved_flows [1-9]", metrics, re.MULTILINE)
        assert re.search(r"^flowfs_archive_unsaved_bytes [1-9]", metrics, re.MULTILINE)
        time.sleep(0.5)  # time to lose something, and to say it twice
        status = mount.status()
        assert status["statistics"]["archive_lost_flows"] == 0
        assert not status["finished"]
        assert [line for line in status["warnings"] if "No space left" in line] == [
            f"--archive {kept}: No space left on device; what cannot be saved waits until that is mended:"
            " files wait to be read on, and of interfaces what has to go meanwhile is lost"
        ]
        check_named(kept)
        subprocess.run(["mount", "-o", "remount,size=64m", kept], check=True)
        assert eventually(lambda: mount.status()["finished"])
        assert eventually(lambda: not mount.status()["archive"]["trouble"])
        assert mount.status()["warnings"] == [], "it works again"
        unmount(place)
        assert {name: digest(data) for name, data in joined(kept).items()} == contents(made)


def check_named(kept: Path) -> None:
    """Whatever has a name is whole."""
    for line in records(kept):
        assert digest((kept / line["file"]).read_bytes()) == line["sha256"]


@pytest.mark.needs("root")
def test_a_second_signal_breaks_off_and_says_what_is_not_saved(place: Path, kept: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(60, 40_000)))
    with small_disk(kept, "1m"):
        command = [*FLOWFS, "mount", *map(str, (place, "-f", "-r", capture, "--archive", kept))]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as daemon:
            mount = Mount(place)
            assert eventually(lambda: place.is_mount() and mount.status()["archive"]["trouble"])
            daemon.send_signal(signal.SIGTERM)
            assert eventually(lambda: not place.is_mount())
            time.sleep(0.3)  # time to end, which it must not
            assert daemon.poll() is None
            daemon.send_signal(signal.SIGTERM)
            _, said = daemon.communicate(timeout=20)
        assert daemon.returncode == 1
        assert (
            "MB are still to be saved (No space left on device), which is tried for 20 s; another Ctrl-C, or"
            f" kill {daemon.pid}, ends this, and they are lost\n"
        ) in said
        assert said.splitlines()[-1].startswith(f"flowfs: --archive {kept}: ")
        assert said.splitlines()[-1].endswith("MB, were not saved (No space left on device)")
        assert "internal error" not in said
        check(kept)


@contextmanager
def unmounting_from_a_full_disk(place: Path, kept: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`flowfs umount` while it waits for an archive that has no room, and the process of the mount."""
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(60, 40_000)))
    with small_disk(kept, "1m"):
        assert run(place, "-r", capture, "--archive", kept).returncode == 0
        (daemon,) = daemons(place)
        command = [*FLOWFS, "umount", str(place)]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as umount:
            assert eventually(lambda: not place.is_mount())
            time.sleep(1.5)  # time to return, which it must not
            assert umount.poll() is None
            assert daemons(place)
            yield umount, daemon


STILL = r"flowfs: \S+: \d\.\d MB are still to be saved \(No space left on device\), which is tried for 20 s; "


@pytest.mark.needs("root")
def test_umount_waits_until_all_is_saved(place: Path, kept: Path) -> None:
    with unmounting_from_a_full_disk(place, kept) as (umount, daemon):
        subprocess.run(["mount", "-o", "remount,size=64m", kept], check=True)
        _, said = umount.communicate(timeout=30)
        assert not daemons(place)
        assert len(joined(kept)) == 60
    hint = f"Ctrl-C ends this waiting, not the saving, kill {daemon} ends that, and they are lost\n"
    assert re.fullmatch(STILL + hint, said), said
    assert umount.returncode == 0


@pytest.mark.needs("root")
def test_umount_says_what_could_not_be_saved(place: Path, kept: Path) -> None:
    with unmounting_from_a_full_disk(place, kept) as (umount, daemon):
        os.kill(daemon, signal.SIGTERM)
        _, said = umount.communicate(timeout=30)
        saved = len(check(kept))
    assert umount.returncode == 1
    lost = rf"{60 - saved} flows, \d\.\d MB, were not saved \(No space left on device\)"
    assert re.fullmatch(f"flowfs: --archive {kept}: {lost}", said.splitlines()[-1]), said
    assert 10 < saved < 40


@pytest.mark.needs("root")
def test_umount_that_is_interrupted_lets_the_rest_be_saved(place: Path, kept: Path) -> None:
    with unmounting_from_a_full_disk(place, kept) as (umount, daemon):
        umount.send_signal(signal.SIGINT)
        _, said = umount.communicate(timeout=10)
        assert umount.returncode == 130
        assert said.splitlines()[-1] == (
            f"flowfs: {place}: taken away, and not waited for any longer: it goes on to save its flows; kill"
            f" {daemon} ends it, and what is not saved then is lost"
        )
        assert daemons(place)
        subprocess.run(["mount", "-o", "remount,size=64m", kept], check=True)
        assert eventually(lambda: not daemons(place), 30)
        assert len(joined(kept)) == 60


@pytest.mark.needs("root")
def test_umount_says_that_the_mount_was_killed(place: Path, kept: Path) -> None:
    with unmounting_from_a_full_disk(place, kept) as (umount, daemon):
        os.kill(daemon, signal.SIGKILL)
        _, said = umount.communicate(timeout=10)
        check_named(kept)
    assert umount.returncode == 1
    why = f"killed, or ended by a fault, process {daemon}: what was not saved is lost"
    assert said.splitlines()[-1] == f"flowfs: {place}: {why}"


def test_umount_of_a_mount_that_was_killed_before(place: Path, kept: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(3, 100)))
    assert run(place, "-r", capture, "--archive", kept).returncode == 0
    (daemon,) = daemons(place)
    os.kill(daemon, signal.SIGKILL)
    assert eventually(lambda: not daemons(place))
    unmount(place)
    assert not place.is_mount()


@pytest.mark.parametrize("command", [["umount"], ["fusermount3", "-u"]])
def test_all_is_saved_whoever_takes_the_mount_away(place: Path, kept: Path, command: list[str]) -> None:
    made = conversations(20, 1000)
    capture = write_pcap(place.with_name("a.pcap"), packets(made))
    assert run(place, "-r", capture, "--archive", kept).returncode == 0
    subprocess.run([*command, place], check=True)
    assert eventually(lambda: not daemons(place), 30)
    assert {name: digest(data) for name, data in joined(kept).items()} == contents(made)


def test_umount_at_once_does_not_wait_for_who_uses_it(place: Path, kept: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(3, 100)))
    assert run(place, "-r", capture, "--archive", kept).returncode == 0
    with (place / Mount(place).names()[0]).open("rb") as file:
        assert flowfs_umount(place).returncode == 4
        done = flowfs_umount(place, "-z")
        assert (done.returncode, "still in use" in done.stderr) == (0, True), done.stderr
        assert len(file.read()) == 100
    assert eventually(lambda: not daemons(place), 30)
    assert len(check(kept)) == 3


def test_umount_waits_for_the_end_of_a_mount_without_an_archive(place: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(3, 100)))
    assert run(place, "-r", capture).returncode == 0
    unmount(place)


def test_a_second_mount_on_one_archive_is_refused(place: Path, kept: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(1, 100)))
    other = place.with_name("other")
    other.mkdir()
    assert run(place, "-r", capture, "--archive", kept).returncode == 0
    done = run(other, "-r", capture, "--archive", kept)
    why = "another mount saves its flows there, or has not ended yet; give each its own"
    assert (done.returncode, done.stderr) == (2, f"flowfs: --archive {kept}: {why}\n")
    assert not other.is_mount()
    unmount(place)
    assert run(other, "-r", capture, "--archive", kept).returncode == 0
    unmount(other)
    assert len(check(kept)) == 2


FAULTY = """
import sys
from flowfs.archive.part import Part
from flowfs.cli import main
Part.__init__ = lambda *_: 1 // 0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("foreground", [["-f"], []])
def test_a_fault_of_ours_ends_the_mount_loudly(place: Path, kept: Path, foreground: list[str]) -> None:
    """Without it the file would wait to be read on for ever."""
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(60, 40_000)))
    arguments = ("mount", place, *foreground, "-r", capture, "--max-memory", "1M", "--archive", kept)
    command = [sys.executable, "-P", "-c", FAULTY, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    lost, fault = done.stderr.splitlines()
    assert re.fullmatch(rf"flowfs: --archive {kept}: \d+ flows?, \d+\.\d [kM]B, w(as|ere) not saved.*", lost)
    assert fault.startswith("flowfs: internal error: ZeroDivisionError: ")
    assert not place.is_mount()
    assert eventually(lambda: not daemons(place))
    assert check(kept) == []


@pytest.mark.needs("root")
def test_a_batch_that_leaves_no_room_for_its_names_is_saved_as_far_as_it_fits(
    place: Path, kept: Path
) -> None:
    made = conversations(50, 20_000)
    capture = write_pcap(place.with_name("a.pcap"), packets(made))
    for size in ("300k", "304k"):  # a page more or less: with and without room for the journal
        with small_disk(kept, size):
            assert run(place, "-r", capture, "--archive", kept, "dst port 80").returncode == 0
            (daemon,) = daemons(place)
            subprocess.run(["fusermount3", "-u", place], check=True)
            assert eventually(lambda: len(records(kept)) >= 8)
            os.kill(daemon, signal.SIGTERM)
            assert eventually(lambda: not daemons(place))
            check_named(kept)
        kept.rmdir()


def test_how_much_is_saved_is_told_at_the_end_and_in_the_metrics(place: Path, kept: Path) -> None:
    capture = write_pcap(place.with_name("a.pcap"), packets(conversations(3, 1000)))
    command = [*FLOWFS, "mount", *map(str, (place, "-f", "-r", capture, "--archive", kept))]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as daemon:
        assert eventually(lambda: place.is_mount() and Mount(place).status()["finished"])
        metrics = (place / ".flowfs" / "metrics").read_text()
        daemon.send_signal(signal.SIGTERM)
        _, said = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert "flowfs_archive_lost_bytes_total 0\n" in metrics
    assert "flowfs_archive_is_in_trouble 0\n" in metrics
    assert ", 3 flows, 0 evicted, 3 files saved\n" in said


@pytest.mark.needs("root")
def test_the_archive_is_the_callers_of_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "nobody")):
        monkeypatch.setitem(ENVIRONMENT, variable, value)
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        place, kept = Path(folder) / "flows", Path(folder) / "kept"
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
        capture = write_pcap(Path(folder) / "a.pcap", packets(conversations(2, 100)))
        assert run(place, "-r", capture, "--archive", kept).returncode == 0
        unmount(place)
        assert len(check(kept)) == 2
        for path in (kept, *kept.iterdir()):
            assert path.stat().st_uid == NOBODY
            assert path.stat().st_mode & 0o077 == 0
        (root_only := Path(folder) / "root").mkdir(mode=0o700)
        done = run(place, "-r", capture, "--archive", root_only)
        what = f"flowfs: --archive {root_only}: no right to write to it; name a directory of your own\n"
        assert (done.returncode, done.stderr) == (2, what)
        assert not place.is_mount()


def test_mistakes(place: Path, tmp_path: Path) -> None:
    capture = write_pcap(tmp_path / "a.pcap", packets(conversations(1, 100)))
    (tmp_path / "file").touch()
    none = tmp_path / "none" / "deep"
    for archive, why in (
        (none, f"no such directory; make it: mkdir -p {none}"),
        (tmp_path / "file", "not a directory"),
        (place, "it is within the mount, where nothing can be written"),
        (place / "in", "it is within the mount, where nothing can be written"),
    ):
        done = run(place, "-r", capture, "--archive", archive)
        assert (done.returncode, done.stderr) == (2, f"flowfs: --archive {archive}: {why}\n")
        assert not place.is_mount()
    done = run(place, "-r", capture, "--archive", "")
    assert (done.returncode, done.stderr) == (2, "flowfs: --archive: the name is empty\n")

"""mount(8) and fstab(5), in a mount namespace whose programs are ours."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import craft
import flowfs
from mounted.people import ENGLISH

pytestmark = [
    pytest.mark.needs("fuse"),
    pytest.mark.needs("root"),
]

MAIL = craft.Conversation(server_port=25).handshake().client(0, b"mail")
WEB = craft.Conversation(server_port=80).handshake().client(0, b"web")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return craft.write_pcap(tmp_path / "a,b.pcap", [*MAIL.packets, *WEB.packets])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    return tmp_path / "flows"


def program(folder: Path, name: str, function: str) -> None:
    """As pip installs it, and started without the environment of the tests."""
    folder.mkdir()
    code = f"import sys; from flowfs.__main__ import {function}; sys.exit({function}())"
    path = shlex.quote(str(Path(flowfs.__file__).parent.parent))
    script = (
        f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} -P -c {shlex.quote(code)} "$@"\n'
    )
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def in_a_namespace(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Where `flowfs` is in /usr/local/bin and `mount.flowfs` in /usr/sbin, beside what was there."""
    program(tmp_path / "bin", "flowfs", "main")
    program(tmp_path / "sbin", "mount.flowfs", "mount_helper")
    fuse = shutil.which("mount.fuse", path="/sbin:/usr/sbin")
    if fuse:
        shutil.copy(fuse, tmp_path / "sbin/mount.fuse")
    prepare = f"""
        mount --bind {tmp_path}/bin /usr/local/bin && mount --bind {tmp_path}/sbin /usr/sbin || exit 99
        cd {tmp_path}
    """
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", prepare + script],
        env=ENGLISH,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown(tmp_path: Path, mount: str) -> list[str]:
    """What lies there after `mount`, and what is told of the mount."""
    script = f"{mount} || exit; ls flows; cat flows/*; findmnt -no FSTYPE,OPTIONS flows; umount flows"
    done = in_a_namespace(tmp_path, script)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


needs_mount_fuse = pytest.mark.skipif(
    shutil.which("mount.fuse", path="/sbin:/usr/sbin") is None,
    reason="there is no mount.fuse (Debian package fuse3)",
)


@pytest.mark.parametrize("type_", [pytest.param("fuse.flowfs", marks=needs_mount_fuse), "flowfs"])
def test_by_type(tmp_path: Path, capture: Path, place: Path, type_: str) -> None:
    options = "filter=tcp port 25,max_memory=10M,ro,visible"
    lines = shown(tmp_path, f"mount -t {type_} {str(capture)!r} {place} -o '{options}'")
    assert lines[0] == MAIL.client_name()
    assert lines[1].startswith("mailfuse.flowfs ro,")


@pytest.mark.parametrize("type_", [pytest.param("fuse.flowfs", marks=needs_mount_fuse), "flowfs"])
def test_fstab(tmp_path: Path, capture: Path, place: Path, type_: str) -> None:
    """With blanks and a comma, and with words that are for others."""
    options = r"read=a\,b.pcap,filter=tcp\040port\04080,noauto,nofail,_netdev,x-systemd.automount,defaults"
    (tmp_path / "fstab").write_text(f"flows {place} {type_} {options} 0 0\n")
    lines = shown(tmp_path, f"mount -T fstab {place}")
    assert lines[0] == WEB.client_name()
    assert lines[1].startswith("webfuse.flowfs rw,")


def test_all_of_fstab_twice(tmp_path: Path, capture: Path, place: Path) -> None:
    """mount -a leaves alone what is mounted already, which it knows by what fstab calls it."""
    other = craft.write_pcap(tmp_path / "web.pcap", WEB.packets)
    (tmp_path / "others").mkdir()
    (tmp_path / "fstab").write_text(
        f"the-web {place} flowfs read=web.pcap 0 0\n{other} {tmp_path}/others flowfs umask=077 0 0\n"
    )
    script = "mount -a -T fstab && mount -a -T fstab; echo $?; findmnt -no SOURCE flows; umount flows others"
    done = in_a_namespace(tmp_path, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0", "the-web"]


def test_what_is_mounted_is_its_source(tmp_path: Path, capture: Path, place: Path) -> None:
    done = in_a_namespace(
        tmp_path, "flowfs mount flows -r ./a,b.pcap && findmnt -no SOURCE flows; umount flows"
    )
    assert (done.stdout, done.stderr) == (f"{capture}\n", "")


def test_a_mount_cannot_be_changed(tmp_path: Path, capture: Path, place: Path) -> None:
    script = f"mount -t flowfs {str(capture)!r} flows; mount -o remount,ro flows; echo $?; umount flows"
    done = in_a_namespace(tmp_path, script)
    assert done.stdout == "1\n"
    assert done.stderr == "flowfs: -o remount: flowfs takes its options once; umount, and mount again\n"


@pytest.mark.parametrize("type_", [pytest.param("fuse.flowfs", marks=needs_mount_fuse), "flowfs"])
def test_mistakes(tmp_path: Path, capture: Path, place: Path, type_: str) -> None:
    done = in_a_namespace(tmp_path, f"mount -t {type_} {str(capture)!r} {place} -o max_memory=lots")
    assert (done.returncode, done.stderr) == (
        1,
        "flowfs: --max-memory lots: not a size, such as 256M, 1GiB or 4096\n",
    )


def test_what_cannot_be_mounted(tmp_path: Path, place: Path) -> None:
    done = in_a_namespace(tmp_path, f"mount -t flowfs /nonexistent.pcap {place}")
    assert done.returncode == 32
    assert done.stderr == "flowfs: cannot read /nonexistent.pcap: No such file or directory\n"


def test_fake(tmp_path: Path, capture: Path, place: Path) -> None:
    done = in_a_namespace(tmp_path, f"mount -f -t flowfs {str(capture)!r} {place}; findmnt flows")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")

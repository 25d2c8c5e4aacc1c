"""Who comes into a mount: its owner alone, and others where that was asked for, as far as the modes go.

What is hostile here is a kernel that remembers: names and attributes that one user was given are there for
the next one, without a request to flowfs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import craft
from live.mounting import FLOWFS
from mounted.people import ALICE, BOB, CAROL, ENGLISH, as_user, mounted, open_to_all
from waiting import eventually

pytestmark = [
    pytest.mark.needs("fuse"),
    pytest.mark.needs("root"),
]

CONVERSATION = craft.Conversation().handshake().client(0, b"secret")
NAME = CONVERSATION.client_name()
ENDED = craft.Conversation(client_port=7).handshake().client(0, b"secret").server_ack(6).close()
NOBODY = 65534
DENIED = "Permission denied"


@pytest.fixture
def capture() -> Iterator[Path]:
    with open_to_all() as folder:
        yield craft.write_pcap(folder / "secret.pcap", CONVERSATION.packets)


def have_remembered(place: Path, uid: int) -> None:
    """Somebody who may looks at all there is, so that the kernel knows it."""
    script = f"ls -lR {place} {place}/.flowfs; cat {place}/{NAME} {place}/.flowfs/meta/{NAME}.json"
    assert as_user(uid, "sh", "-c", script).returncode == 0


def assert_kept_out(place: Path, uid: int, gid: int | None = None) -> None:
    """From reading and listing, and from what can be known of a file whose name is known."""
    commands: list[list[str | Path]] = [
        ["ls", place],
        ["cat", place / NAME],
        ["stat", place / NAME],
        ["cat", place / ".flowfs/status.json"],
        ["stat", place / f".flowfs/meta/{NAME}.json"],
        ["readlink", place / f".flowfs/by-state/open/{NAME}"],
        ["getfattr", "-n", "user.flowfs.peer", place / NAME],
        ["rm", "-f", place / NAME],
        ["touch", place / "new"],
    ]
    for command in commands:
        done = as_user(uid, *command, gid=gid)
        missing = done.returncode == 127 and "setpriv" in done.stderr  # no such program here
        assert missing or done.returncode != 0, command
        assert "secret" not in done.stdout
        if command[0] in ("ls", "cat", "stat", "rm"):
            assert DENIED in done.stderr, (command, done.stderr)


def reads(place: Path, uid: int, groups: tuple[int, ...] = (), gid: int | None = None) -> bool:
    done = as_user(uid, "cat", place / NAME, groups=groups, gid=gid)
    assert done.stdout == ("secret" if done.returncode == 0 else "")
    return done.returncode == 0


def test_private_unless_told_otherwise(capture: Path) -> None:
    with mounted(capture, uid=ALICE) as place:
        have_remembered(place, ALICE)
        assert_kept_out(place, BOB)
        assert_kept_out(place, 0)
        assert "Read-only" in as_user(ALICE, "sh", "-c", f"echo x > {place}/{NAME}").stderr


def test_everybody(capture: Path) -> None:
    with mounted(capture, "-o", "allow_other,umask=022", uid=ALICE) as place:
        for uid in (BOB, 0, ALICE):
            assert reads(place, uid)
            assert NAME in as_user(uid, "ls", place).stdout
            assert "secret" in as_user(uid, "grep", "-r", "secret", place).stdout
            assert as_user(uid, "cat", place / ".flowfs/status.json").stdout.startswith("{")
        assert oct((place / NAME).stat().st_mode) == "0o100444"
        assert (place / NAME).stat().st_uid == (place / ".flowfs").stat().st_gid == ALICE
        assert oct(place.stat().st_mode) == "0o40755"
        assert oct((place / ".flowfs").stat().st_mode) == "0o40555"
        for uid in (BOB, ALICE):
            assert DENIED in as_user(uid, "sh", "-c", f"echo x > {place}/{NAME}").stderr
        assert "Read-only" in as_user(0, "sh", "-c", f"echo x > {place}/{NAME}").stderr
        assert DENIED in as_user(BOB, "rm", "-f", place / NAME).stderr
        assert as_user(ALICE, "rm", "-f", place / NAME).returncode == 0
        assert not reads(place, BOB)


def test_read_only_says_so_to_everybody(capture: Path) -> None:
    with mounted(capture, "-o", "allow_other,umask=022,ro", uid=ALICE) as place:
        for uid in (ALICE, BOB, 0):
            assert "Read-only" in as_user(uid, "sh", "-c", f"echo x > {place}/{NAME}").stderr
            assert "Read-only" in as_user(uid, "rm", "-f", place / NAME).stderr


def test_nobody_gets_in_by_what_the_kernel_remembers(capture: Path) -> None:
    """With allow_other the modes count, which are private unless told otherwise."""
    with mounted(capture, "-o", "allow_other", uid=ALICE) as place:
        have_remembered(place, ALICE)
        have_remembered(place, 0)
        assert_kept_out(place, BOB)


def test_a_group(capture: Path) -> None:
    with mounted(capture, "-o", f"allow_other,umask=027,gid={CAROL}", uid=ALICE) as place:
        have_remembered(place, ALICE)
        assert reads(place, BOB, groups=(5, CAROL)), "a group that is not the first"
        assert reads(place, BOB, gid=CAROL)
        assert_kept_out(place, BOB)
        assert (place / NAME).stat().st_gid == CAROL
        assert (place / NAME).stat().st_uid == ALICE


def test_another_owner(capture: Path) -> None:
    with mounted(capture, "-o", f"allow_other,uid={BOB},gid={CAROL}", uid=ALICE) as place:
        have_remembered(place, BOB)
        assert_kept_out(place, ALICE)
        assert_kept_out(place, CAROL)
        assert as_user(BOB, "rm", "-f", place / NAME).returncode == 0
        assert os.listdir(place) == []


def test_a_directory_that_may_be_listed_and_not_entered(capture: Path) -> None:
    with mounted(capture, "-o", "allow_other,umask=033", uid=ALICE) as place:
        have_remembered(place, ALICE)
        assert NAME in as_user(BOB, "ls", "-U", place).stdout
        for what in (NAME, ".flowfs/status.json"):
            assert DENIED in as_user(BOB, "stat", place / what).stderr
            assert DENIED in as_user(BOB, "cat", place / what).stderr


def test_less_than_the_owner_has_otherwise(capture: Path) -> None:
    with mounted(capture, "-o", "umask=0277", uid=ALICE) as place:
        assert reads(place, ALICE)
        assert DENIED in as_user(ALICE, "rm", "-f", place / NAME).stderr
        assert_kept_out(place, BOB)


def test_the_owner_looks_like_somebody_else_and_reads(capture: Path) -> None:
    with mounted(capture, "-o", f"uid={BOB},umask=022", uid=ALICE) as place:
        assert as_user(ALICE, "stat", "-c", "%u %a", place / NAME).stdout == f"{BOB} 444\n"
        assert reads(place, ALICE)
        assert_kept_out(place, BOB)
        assert_kept_out(place, 0)


@pytest.mark.parametrize(
    ("option", "uid", "is_served"),
    [
        ("allow_other,umask=022", BOB, True),
        (f"uid={BOB}", ALICE, True),  # the kernel checks no modes
        (f"allow_other,uid={BOB}", BOB, False),
        ("umask=0277", ALICE, False),
    ],
)
def test_a_stream_that_we_may_not_write_is_refused(
    capture: Path, option: str, uid: int, is_served: bool
) -> None:
    """Its reader would wait for good."""
    craft.write_pcap(capture, [*CONVERSATION.packets, *ENDED.packets])
    with mounted(capture, "-o", option, uid=ALICE) as place:
        done = as_user(uid, "timeout", "5", "cat", place / ".flowfs/follow" / ENDED.client_name())
        if is_served:
            assert (done.returncode, done.stdout) == (0, "secret")
        else:
            assert done.returncode == 1
            assert DENIED in done.stderr


def test_root(capture: Path) -> None:
    with mounted(capture, "-o", "allow_root", uid=ALICE) as place:
        have_remembered(place, ALICE)
        have_remembered(place, 0)
        assert_kept_out(place, BOB)
        assert_kept_out(place, BOB, gid=ALICE)


def test_who_is_let_in_and_finds_nothing_is_told(capture: Path) -> None:
    place = capture.parent / "flows"
    for option, told in (("allow_other", True), ("allow_other,umask=022", False)):
        place.mkdir(exist_ok=True)
        command = [*FLOWFS, "mount", str(place), "-r", str(capture), "-o", option]
        done = subprocess.run(command, env=ENGLISH, capture_output=True, text=True, timeout=30, check=True)
        assert ("the modes keep all but root out" in done.stderr) == told
        subprocess.run([*FLOWFS, "umount", str(place)], env=ENGLISH, timeout=30, check=True)


def by_a_user(capture: Path, fuse_conf: str, option: str, then: str = "true") -> tuple[int, str, str]:
    """Nobody, whom fusermount3 knows by name, mounts where /etc/fuse.conf is as given.

    All of it in a mount namespace, and taken away after `then`.
    """
    place, conf = capture.parent / "flows", capture.parent / "fuse.conf"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    capture.chmod(0o644)
    conf.write_text(fuse_conf)
    # Nobody comes to where flowfs is installed, though others may not; fusermount3 loses what lets him.
    comes = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    nobody = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {comes}"
    mount = shlex.join([*FLOWFS, "mount", str(place), "-q", "-r", str(capture), "-o", option])
    script = f"""
        mknod -m 666 {capture.parent}/fuse c 10 229 && mount --bind {capture.parent}/fuse /dev/fuse || exit 99
        mount --bind {conf} /etc/fuse.conf || exit 99
        {nobody} {mount} || exit
        {then}
        umount -l {place}
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=ENGLISH,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("option", ["allow_other,umask=022", "allow_root"])
def test_a_user_needs_leave_to_let_others_in(capture: Path, option: str) -> None:
    status, _, said = by_a_user(capture, "# user_allow_other\n", option)
    assert status == 4
    assert said.startswith(f"flowfs: {capture.parent}/flows: option allow_other only allowed if ")
    assert said.endswith("; have root add that line to the file, or mount by sudo, or leave others out\n")
    assert "/etc/fuse.conf" in said
    assert said.count("\n") == 1


def test_a_user_with_leave_lets_others_in(capture: Path) -> None:
    cat = f"setpriv --reuid={BOB} --clear-groups cat {capture.parent}/flows/{NAME}"
    assert by_a_user(capture, "user_allow_other\n", "allow_other,umask=022", cat) == (0, "secret", "")


def test_mistakes_end_it(capture: Path) -> None:
    place = capture.parent / "flows"
    place.mkdir()
    command = [*FLOWFS, "mount", str(place), "-r", str(capture), "-o", "allow_other,umask=9"]
    done = subprocess.run(command, env=ENGLISH, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "-o umask=9: not an octal number" in done.stderr
    assert eventually(lambda: not place.is_mount())

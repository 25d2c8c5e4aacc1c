"""Nothing here can be written but `rm` of a flow: for root, and for the user that root mounted for."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from craft import Conversation
from mounted.served import Served, is_mounted, run, served

pytestmark = pytest.mark.needs("fuse")

NOBODY = 65534

WRITES: dict[str, Callable[[Path, Path], object]] = {
    "write": lambda root, flow: os.open(flow, os.O_WRONLY),
    "update": lambda root, flow: os.open(flow, os.O_RDWR),
    "append": lambda root, flow: os.open(flow, os.O_WRONLY | os.O_APPEND),
    "overwrite": lambda root, flow: os.open(flow, os.O_WRONLY | os.O_TRUNC),
    "read_and_empty": lambda root, flow: os.open(flow, os.O_RDONLY | os.O_TRUNC),
    "create": lambda root, flow: os.open(root / "new", os.O_WRONLY | os.O_CREAT),
    "create_in_flowfs": lambda root, flow: os.open(root / ".flowfs/new", os.O_WRONLY | os.O_CREAT),
    "write_status": lambda root, flow: os.open(root / ".flowfs/status.json", os.O_WRONLY),
    "truncate": lambda root, flow: os.truncate(flow, 0),
    "extend": lambda root, flow: os.truncate(flow, 1000),
    "chmod": lambda root, flow: flow.chmod(0o600),
    "chmod_root": lambda root, flow: root.chmod(0o755),
    "chown": lambda root, flow: os.chown(flow, os.getuid(), os.getgid()),
    "utime": lambda root, flow: os.utime(flow, (1, 1)),
    "touch": lambda root, flow: os.utime(flow),
    "mkdir": lambda root, flow: (root / "new").mkdir(),
    "rmdir": lambda root, flow: (root / ".flowfs").rmdir(),
    "mknod": lambda root, flow: os.mkfifo(root / "new"),
    "symlink": lambda root, flow: (root / "new").symlink_to("target"),
    "symlink_in_flowfs": lambda root, flow: (root / ".flowfs/by-host/new").symlink_to("target"),
    "link": lambda root, flow: (root / "new").hardlink_to(flow),
    "rename": lambda root, flow: flow.rename(root / "new"),
    "rename_flowfs": lambda root, flow: (root / ".flowfs").rename(root / "new"),
    "replace": lambda root, flow: (root / ".flowfs/status.json").replace(flow),
    "unlink_status": lambda root, flow: (root / ".flowfs/status.json").unlink(),
    "setxattr": lambda root, flow: os.setxattr(flow, "user.note", b"1"),
    "setxattr_create": lambda root, flow: os.setxattr(flow, "user.note", b"1", os.XATTR_CREATE),
    "removexattr": lambda root, flow: os.removexattr(flow, "user.note"),
}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    with served(tmp_path_factory.mktemp("writing") / "flows") as mount:
        conversation = Conversation().handshake().client(0, b"abc")
        mount.feed(conversation)
        yield mount, mount.client(conversation)


@pytest.mark.parametrize("name", WRITES)
def test_writing_gets_erofs(mounted: tuple[Served, Path], name: str) -> None:
    mount, flow = mounted
    with pytest.raises(OSError, match="Read-only file system") as refused:
        WRITES[name](mount.path, flow)
    assert refused.value.errno == errno.EROFS
    assert flow.read_bytes() == b"abc"
    assert mount.names() == [flow.name]


SHELL_WRITES = [
    "echo x > $FLOW",
    "echo x >> $FLOW",
    "echo x > new",
    "touch $FLOW",
    "chmod u+w $FLOW",
    "mkdir new",
    "rmdir .flowfs",
    "mv $FLOW new",
    "ln $FLOW new",
    "ln -s a new",
    "mkfifo new",
    "rm -f .flowfs/status.json",
]


@pytest.fixture
def handed_over() -> Iterator[Served]:
    """A mount that root made for somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="flowfs-test-"))
    folder.chmod(0o755)
    try:
        with served(folder / "flows", uid=NOBODY) as mount:
            yield mount
    finally:
        shutil.rmtree(folder)


def as_nobody(script: str, folder: Path, **variables: str) -> tuple[int, str]:
    setting = " ".join(f"{name}={value};" for name, value in variables.items())
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={os.getgid()}", "--clear-groups"]
    done = run(*user, "sh", "-c", f"cd {folder} && {setting} {script}")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.needs("root")
def test_the_user_that_root_mounts_for(handed_over: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc")
    handed_over.feed(conversation)
    name = conversation.client_name()
    assert as_nobody("ls; cat $FLOW", handed_over.path, FLOW=name) == (0, f"{name}\nabc")
    for script in SHELL_WRITES:
        status, said = as_nobody(script, handed_over.path, FLOW=name)
        assert status, script
        assert "Read-only file system" in said, script
    assert as_nobody("test -r $FLOW && ! test -w $FLOW && ! test -x $FLOW", handed_over.path, FLOW=name) == (
        0,
        "",
    )
    with pytest.raises(PermissionError):
        handed_over.names()  # not even root looks into another's mount
    assert as_nobody("rm -f $FLOW; ls", handed_over.path, FLOW=name) == (0, "")


@pytest.mark.needs("root")
def test_the_user_that_root_mounts_for_may_unmount(handed_over: Served) -> None:
    assert as_nobody(f"fusermount3 -u {handed_over.path}", Path("/")) == (0, "")
    assert handed_over.process.wait(10) == 0
    assert not is_mounted(handed_over.path)

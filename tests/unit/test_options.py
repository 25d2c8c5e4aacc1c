from __future__ import annotations

import pytest

from flowfs.mount import MountOptionError, MountOptions


@pytest.mark.parametrize(
    ("lists", "read_only"),
    [
        ([], False),
        (["rw"], False),
        (["ro"], True),
        (["ro,rw"], False),
        (["rw", "ro"], True),
        (["rw,noexec,nosuid,nodev,user=joe,dev,suid"], None),
        (["ro,dev,suid"], True),  # as mount -t fuse.flowfs passes it on
        (["noauto,users,nofail,_netdev,x-systemd.automount,X-mount.mkdir,comment=x,defaults"], False),
        (["", " ro , ,"], True),
    ],
)
def test_options(lists: list[str], read_only: bool | None) -> None:
    if read_only is None:
        with pytest.raises(
            MountOptionError, match=r"^-o user=joe: no such mount option; there are ro, rw and visible$"
        ):
            MountOptions.parse(lists)
    else:
        assert MountOptions.parse(lists) == MountOptions(read_only)


@pytest.mark.parametrize("option", ["allow_other", "nonempty", "RO", "uid=0", "xx", "ro=1", "max_read=1"])
def test_unknown_options_are_refused_in_one_line(option: str) -> None:
    with pytest.raises(MountOptionError) as refused:
        MountOptions.parse([f"ro,{option}"])
    assert option in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["allow_other", "allow_root"])
def test_who_wants_to_let_others_in_is_told_how(option: str) -> None:
    with pytest.raises(
        MountOptionError, match=rf"^-o {option}: a mount is for its owner alone; -Z USER says"
    ):
        MountOptions.parse([option])


def test_what_libfuse_gets() -> None:
    always = {"fsname=flowfs", "subtype=flowfs", "nosuid", "nodev", "noexec", "noatime"}
    assert MountOptions().for_fuse() == always
    assert MountOptions(read_only=True).for_fuse() == always | {"ro"}

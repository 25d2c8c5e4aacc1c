from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.mount import MountOptionError, MountOptions
from flowfs.mount.modes import Modes
from flowfs.mount.options import alone, split


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
            MountOptionError, match=r"^-o user=joe: no such mount option; there are ro, rw, visible, allow_"
        ):
            MountOptions.parse(lists)
    else:
        assert MountOptions.parse(lists) == MountOptions(read_only)


@given(
    st.one_of(
        st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    )
)
def test_what_is_handed_on_is_one_option_as_it_was_meant(value: str | None) -> None:
    assert list(split([alone("fsname", value)])) == [("fsname", value)]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (r'a="b,c",d', [("a", "b,c"), ("d", None)]),
        (r"a=b\\,c", [("a", "b\\"), ("c", None)]),
        (r"a=b\\\,c", [("a", "b\\,c")]),
        (r"a=\040b\040", [("a", " b ")]),
        (" a , b=c ,", [("a", None), ("b", "c"), ("", None)][:2]),
    ],
)
def test_where_a_list_is_split(text: str, options: list[tuple[str, str | None]]) -> None:
    assert list(split([text])) == options


@pytest.mark.parametrize("text", ['a="b,allow_other', 'fsname="a"b"c,allow_other', r'a="b\",allow_other'])
def test_a_quote_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(MountOptionError, match="a double quote that is not closed"):
        MountOptions.parse([text])


@pytest.mark.parametrize(
    "option", ["allow", "nonempty", "RO", "uid", "xx", "ro=1", "max_read=1", "allow_other=1"]
)
def test_unknown_options_are_refused_in_one_line(option: str) -> None:
    with pytest.raises(MountOptionError) as refused:
        MountOptions.parse([f"ro,{option}"])
    assert option in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        *(
            ("allow-other", "allow_other"),
            ("allow_othr", "allow_other"),
            ("RO", "ro"),
            ("vissible", "visible"),
        ),
        *(("uids=0", "uid="), ("unmask=077", "umask="), ("ro=1", ""), ("uid", ""), ("xx", ""), ("=", "")),
    ],
)
def test_what_may_have_been_meant(option: str, meant: str) -> None:
    with pytest.raises(MountOptionError) as refused:
        MountOptions.parse([option])
    told = str(refused.value)
    assert (f"; did you mean {meant}?" in told) if meant else ("did you mean" not in told)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("allow_other", MountOptions(allow="other")),
        ("allow_other,allow_other,ro", MountOptions(read_only=True, allow="other")),
        ("allow_root", MountOptions(allow="root")),
        ("uid=0,gid=12", MountOptions(uid=0, gid=12)),
        ("uid=root,gid=root", MountOptions(uid=0, gid=0)),
        ("uid=4294967294", MountOptions(uid=4294967294)),
        ("umask=0", MountOptions(umask=0)),
        ("umask=0027", MountOptions(umask=0o27)),
        ("umask=777,umask=022", MountOptions(umask=0o22)),
    ],
)
def test_who_is_let_in_and_what_the_files_look_like(text: str, options: MountOptions) -> None:
    assert MountOptions.parse([text]) == options
    assert MountOptions.parse(text.split(",")) == options


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("uid=", "no such user"),
        ("uid=no-such-user", "no such user"),
        ("uid=-1", "no such user"),
        ("uid=4294967295", "no such user"),  # (uid_t) -1
        ("uid=a\0b", "no such user"),
        ("gid=9999999999", "no such group"),
        ("gid=no-such-group", "no such group"),
        ("umask=", "not an octal number"),
        ("umask=8", "not an octal number"),
        ("umask=1000", "not an octal number"),
        ("umask=-1", "not an octal number"),
        ("umask=0o22", "not an octal number"),
        ("allow_other,allow_root", "exclude each other"),
        ("allow_root,ro,allow_other", "exclude each other"),
        ("allow_root,umask=0", "these go with allow_other"),
        ("uid=0,allow_root", "these go with allow_other"),
    ],
)
def test_mistakes_in_who_is_let_in(text: str, why: str) -> None:
    with pytest.raises(MountOptionError, match=why):
        MountOptions.parse([text])


@pytest.mark.parametrize(
    ("text", "checked"),
    [
        ("", False),
        ("uid=12,gid=12,umask=022", False),  # nobody but the owner comes, who may anyway
        ("umask=0700", True),
        ("umask=0400", True),
        ("allow_other", True),
        ("allow_other,umask=0", True),
        ("allow_root", True),
    ],
)
def test_the_kernel_checks_the_modes_where_they_keep_somebody_out(text: str, checked: bool) -> None:
    options = MountOptions.parse([text])
    assert options.checked == checked
    assert ("default_permissions" in options.for_fuse()) == checked
    for allow in ("allow_other", "allow_root"):
        assert (allow in options.for_fuse()) == (allow in text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *(("allow_other", "lets others in"), ("allow_other,gid=12", "lets others in")),
        *(("allow_other,umask=0177", "lets others in"), ("allow_other,uid=12", "")),
        *(("allow_other,umask=027", ""), ("", ""), ("allow_root", ""), ("ro,visible", "")),
        *(("uid=12", "without allow_other"), ("gid=12", "without allow_other")),
        *(("umask=027", "without allow_other"), ("umask=0777", "")),
    ],
)
def test_letting_in_without_letting_anybody_read(text: str, said: str) -> None:
    contradiction = MountOptions.parse([text]).contradiction
    assert said in contradiction
    assert bool(said) == bool(contradiction)


@pytest.mark.parametrize(
    ("umask", "file", "folder", "root", "stream"),
    [
        (0o077, 0o400, 0o500, 0o700, 0o600),
        (0o022, 0o444, 0o555, 0o755, 0o644),
        (0o027, 0o440, 0o550, 0o750, 0o640),
        (0o007, 0o440, 0o550, 0o770, 0o660),
        (0o000, 0o444, 0o555, 0o777, 0o666),
        (0o277, 0o400, 0o500, 0o500, 0o400),
        (0o777, 0o000, 0o000, 0o000, 0o000),
    ],
)
def test_modes(umask: int, file: int, folder: int, root: int, stream: int) -> None:
    modes = Modes(umask)
    for _ in range(2):
        for kind, mode, shown in (
            (stat.S_IFREG, 0o400, file),
            (stat.S_IFDIR, 0o500, folder),
            (stat.S_IFDIR, 0o700, root),
            (stat.S_IFIFO, 0o600, stream),
            (stat.S_IFLNK, 0o777, 0o777),
        ):
            assert oct(modes[kind | mode]) == oct(kind | shown)


def test_what_libfuse_gets() -> None:
    always = {"fsname=flowfs", "subtype=flowfs", "nosuid", "nodev", "noexec", "noatime"}
    assert MountOptions().for_fuse() == always
    assert MountOptions(read_only=True).for_fuse() == always | {"ro"}


@pytest.mark.parametrize(
    ("text", "source", "fsname"),
    [
        ("", "eth0", "eth0"),
        ("", "eth0,eth1", r"eth0\,eth1"),
        ("", r"/a\b,c d.pcap", r"/a\\b\,c d.pcap"),
        *(
            ("", "", "flowfs"),
            ("", "/\xe4.pcap", "flowfs"),
            ("", "a\nb", "flowfs"),
            ("", "x" * 1025, "flowfs"),
        ),
        *(("fsname=flows", "eth0", "flows"), ("fsname=a=b", "", "a=b")),
        *((r"fsname=a\,ro", "", r"a\,ro"), ('fsname="a,ro"', "", r"a\,ro"), (r"fsname=a\054b", "", r"a\,b")),
    ],
)
def test_what_it_is_called(text: str, source: str, fsname: str) -> None:
    assert f"fsname={fsname}" in MountOptions.parse([text]).for_fuse(source)


@pytest.mark.parametrize(
    ("umask", "uid", "gid", "may"),
    [
        (0o077, 1000, 5, True),
        (0o077, 7, 100, False),  # a folder of somebody else's
        (0o027, 7, 100, False),  # can be entered, not written to
        (0o007, 7, 100, True),
        (0o007, 7, 5, False),
        (0o000, 7, 5, True),
        (0o277, 1000, 100, False),  # our own rights count, not those of our group
        (0o177, 1000, 100, False),
    ],
)
def test_who_may_write_streams(
    umask: int, uid: int, gid: int, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 100)
    assert Modes(umask).let_us_write_streams(uid, gid) == may
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert Modes(umask).let_us_write_streams(uid, gid)

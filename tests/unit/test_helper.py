"""What mount(8) passes on, as `flowfs mount` understands it."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowfs.cli import main, mount_helper
from flowfs.cli import mount as mount_command
from flowfs.cli.helper import as_typed
from flowfs.cli.parse import mount_config, mount_parser
from flowfs.config import Config, ConfigError
from flowfs.core.limits import Limits
from flowfs.mount import MountOptions


def config(source: str, *lists: str, sloppy: bool = False) -> Config:
    return mount_config(as_typed(source, "/mnt", lists, sloppy=sloppy))


# --- options -----------------------------------------------------------------------------------


def test_what_mount_8_passes_on() -> None:
    told = config("eth0", "rw,filter=tcp port 25,user=joe,nofail,_netdev,exec,suid,dev,dev,suid")
    assert told == Config(
        "/mnt",
        interfaces=("eth0",),
        filter="tcp port 25",
        user="joe",
        mount_options=("rw", "nofail", "_netdev", "exec", "suid", "dev", "dev", "suid"),
    )


def test_every_kind_of_option() -> None:
    told = config(
        "eth0",
        "snaplen=100,buffer_size=2048,no_promiscuous_mode,direction=in,no-tunnels,max_memory=1G,evict=lru",
        "archive=/kept,no_wait,foreground,allow_other,umask=022,max-flow-bytes=1k",
    )
    assert told == Config(
        "/mnt",
        interfaces=("eth0",),
        snaplen=100,
        buffer_kib=2048,
        promiscuous=False,
        direction="in",
        tunnels=False,
        limits=Limits(payload_bytes=1 << 30, evict="lru", max_flow_bytes=1024, archives=True),
        archive="/kept",
        wait=False,
        foreground=True,
        mount_options=("allow_other", "umask=022"),
    )


def test_every_long_option_is_understood() -> None:
    """And none of them is taken for a mount option, which would be an error."""
    for option, takes_value in mount_parser().long_options().items():
        if option in ("--options", "--help"):
            continue
        item = option[2:].replace("-", "_") + ("=x" if takes_value else "")
        words = as_typed("eth0", "/mnt", [item])
        assert words[0] == option + ("=x" if takes_value else "")
        assert {word for word in words if word.startswith("--options")} <= {"--options=fsname=eth0"}


@pytest.mark.parametrize(
    ("item", "meant"),
    [
        (r"filter=a\,b", "a,b"),
        (r"filter=a\054b", "a,b"),
        ('filter="a,b c"', "a,b c"),
        ('filter="a,b" or c', '"a,b" or c'),
        (r"filter=tcp\040port\04025", "tcp port 25"),
        (r"filter=ip proto \tcp", r"ip proto \tcp"),
        ("filter=a\\\\,nodev", "a\\"),
        (r"filter=a\\054", r"a\054"),
        (r"filter=\"", '"'),
        (r"filter=\303\251", "é"),
        (r"filter=\400", r"\400"),
        ("filter=tcp[13] & 2 != 0", "tcp[13] & 2 != 0"),
        ("filter=", ""),
        ('filter=""', ""),
        ("filter=a,filter=b", "b"),
        ("filter=-x -- y", "-x -- y"),
    ],
)
def test_commas_and_blanks(item: str, meant: str) -> None:
    told = config("eth0", f"ro,{item}")
    assert told.filter == meant
    assert told.mount_options in (("ro",), ("ro", "nodev"))


@pytest.mark.parametrize(
    "item",
    [
        'x-what="a,allow_other,umask=0"',
        r"fsname=a\054allow_other\,umask=0",
        'comment="hello, world"',
        r"comment=\"a\,ro\"",
        r"x-what=a\\\,ro",
    ],
)
def test_a_comma_within_a_value_begins_no_option(item: str) -> None:
    """Else who labels a mount might let everybody in."""
    options = MountOptions.parse(config("eth0", item).mount_options)
    assert not options.allow
    assert not options.read_only
    assert options.umask == MountOptions().umask


def test_a_label_with_a_comma() -> None:
    """By it `mount -a` knows what is mounted already."""
    options = MountOptions.parse(config('a,ro,"b"\\', "interface=eth0").mount_options)
    assert options == MountOptions(fsname='a,ro,"b"\\')


def test_a_value_is_not_an_option() -> None:
    with pytest.raises(ConfigError, match="--archive: the name is empty"):
        config("eth0", "archive=")
    assert config("eth0", "archive=-q").archive.endswith("/-q")


def test_files_and_interfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pcap").touch()
    (tmp_path / "lo").touch()
    assert config("lo").interfaces == ("lo",)
    assert config("any").interfaces == ("any",)
    assert config("nosuch0").interfaces == ("nosuch0",)
    for source in ("a.pcap", "./lo", "/no/such", "-"):
        assert config(source).files == (source,)
    assert config("mail", "interface=eth0,interface=eth1").interfaces == ("eth0", "eth1")
    assert config("none", "read=b.pcap").files == ("b.pcap",)


# --- mistakes ----------------------------------------------------------------------------------


def status_of(program: Callable[[list[str]], int], line: str, *more: str) -> int:
    return program([*line.split(), *more])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: SOURCE, MOUNTPOINT"),
        ("eth0", "the following arguments are required: MOUNTPOINT"),
        ("eth0 /mnt -x", "unrecognized arguments: -x"),
        ('-f eth0 /mnt -o x-y="a,allow_other', '-o x-y="a: a double quote that is not closed'),
        ("-f eth0 /mnt -o frobnicate", "-o frobnicate: no such mount option"),
        ("-f eth0 /mnt -o max_memry=1G", "-o max_memry: no such mount option; did you mean max_memory?"),
        ("-f eth0 /mnt -o fliter=tcp", "-o fliter: no such mount option; did you mean filter?"),
        ("-f eth0 /mnt -o allow-other", "-o allow-other: no such mount option; did you mean allow_other?"),
        ("-f eth0 /mnt -o filter", "-o filter: no such mount option"),
        ("-f eth0 /mnt -o options=ro", "-o options=ro: no such mount option"),
        ("-f eth0 /mnt -o max_memory=lots", "--max-memory lots: not a size"),
        ("-f eth0 /mnt -o follow=1", "--follow: ignored explicit argument '1'"),
        ("-f eth0 /mnt -o evict=fifo", "--evict: invalid choice: 'fifo'"),
        ("-f eth0 /mnt -o read=a.pcap,interface=lo", "-i and -r exclude each other"),
        ("eth0 /mnt -N /run/ns", "nsenter --mount=/run/ns"),
    ],
)
def test_a_mistake_is_one_line_and_the_status_of_mount_8(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(mount_helper, line) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.startswith("flowfs: ")
    assert said.err.count("\n") == 1


def test_sloppy(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(mount_helper, "eth0 /mnt -sfn -t fuse.flowfs -o rw,frobnicate=2,ro") == 0
    assert config("eth0", "rw,frobnicate=2,ro", sloppy=True).mount_options == ("rw", "ro")
    assert status_of(mount_helper, "eth0 /mnt -sf -o max_memory=lots") == 1
    assert "lots" in capsys.readouterr().err


def test_fake_mounts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_command, "run", lambda _: pytest.fail("it was mounted"))
    assert status_of(mount_helper, "eth0 /mnt -f -o filter=tcp") == 0


def record(monkeypatch: pytest.MonkeyPatch, status: int) -> list[list[str]]:
    """What `flowfs mount` is called with, which ends with this status."""
    called: list[list[str]] = []

    def run(words: list[str]) -> int:
        called.append(words)
        return status

    monkeypatch.setattr(mount_command, "run", run)
    return called


@pytest.mark.parametrize(
    ("status", "shown"), [(0, 0), (1, 32), (2, 1), (3, 32), (4, 32), (128 + 2, 8), (128 + 15, 8)]
)
def test_statuses(status: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record(monkeypatch, status)
    assert status_of(mount_helper, "eth0 /mnt -v -o ro") == shown
    assert run == [["-v", "--options=ro", "--interface=eth0", "--", "/mnt"]]


@pytest.mark.parametrize("program", [mount_helper, main])
def test_ctrl_c_before_the_mount(program: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowfs.cli.helper.as_typed", interrupted)
    assert status_of(program, "eth0 /mnt -o ro") == 8


def test_the_types_of_fuse_call_the_program_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """mount.fuse3(8): flowfs SOURCE MOUNTPOINT -o LIST."""
    run = record(monkeypatch, 4)
    assert status_of(main, "/a.pcap /mnt -o", "rw,filter=tcp port 25,dev,suid") == 32
    assert run.pop()[-3:] == ["--", "/mnt", "tcp port 25"]
    assert status_of(main, "/mnt -i lo -o", "rw") == 2  # somebody has forgotten a word
    assert "a command comes first" in capsys.readouterr().err
    assert status_of(main, "mount /mnt -o", "ro") == 4
    assert run == [["/mnt", "-o", "ro"]]


def test_the_programs_that_are_installed() -> None:
    root = Path(__file__).resolve().parents[2]
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"flowfs", "mount.flowfs"}
    for script in project["scripts"].values():
        module, _, name = script.partition(":")
        assert callable(getattr(importlib.import_module(module), name))

"""Man pages and completions: they are those of the parsers, and what reads them understands them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowfs.cli import COMMANDS
from flowfs.cli.parsers import parsers
from flowfs.mount.options import OPTIONS

ROOT = Path(__file__).resolve().parent.parent
COMPLETIONS = ROOT / "contrib/completions"
PAGES = sorted((ROOT / "contrib/man").iterdir())


def run(*command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input=more.get("input"),
    )


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program}")


# --- are they what they should be --------------------------------------------------------------


def test_every_command_has_its_parser() -> None:
    assert list(parsers()) == list(COMMANDS)
    for name, parser in parsers().items():
        assert parser.prog == f"flowfs {name}"


def test_nothing_is_stale() -> None:
    pytest.importorskip("shtab")
    done = run(sys.executable, ROOT / "contrib/generate.py", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "run contrib/generate.py"


def test_what_is_stale_is_seen_and_written_anew(tmp_path: Path) -> None:
    """In a copy whose command has one more option, and a page somebody has written to."""
    pytest.importorskip("shtab")
    for part in ("contrib", "flowfs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    generate = tmp_path / "contrib/generate.py"
    page = tmp_path / "contrib/man/mount.flowfs.8"
    page.write_text(page.read_text() + "more\n")
    done = run(sys.executable, generate, "--check")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "contrib/man/mount.flowfs.8: not as contrib/generate.py writes it\n"
    parse = tmp_path / "flowfs/cli/parse.py"
    parse.write_text(parse.read_text().replace('"--quiet",', '"--quiet", "--hush",'))
    assert run(sys.executable, generate, "--check").stdout.count("\n") == 5
    assert run(sys.executable, generate).returncode == 0
    assert run(sys.executable, generate, "--check").returncode == 0
    assert page.read_text() == (ROOT / "contrib/man/mount.flowfs.8").read_text()
    for file in ("man/flowfs.1", *(f"completions/{path.name}" for path in COMPLETIONS.iterdir())):
        assert "hush" in (tmp_path / "contrib" / file).read_text()


# --- are they understood -----------------------------------------------------------------------


@needs("man")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_has_nothing_to_complain_of(page: Path) -> None:
    done = run("env", "MANWIDTH=200", "LC_ALL=C.UTF-8", "man", "--warnings", "-E", "UTF-8", "-l", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 30


@needs("man")
def test_every_option_is_in_the_page_as_it_is_typed() -> None:
    page = ROOT / "contrib/man/flowfs.1"
    shown = run("env", "MANWIDTH=200", "LC_ALL=C.UTF-8", "man", "-E", "UTF-8", "-l", page).stdout
    for parser in parsers().values():
        assert parser.prog.upper() in shown
        for option in parser.long_options():
            assert option in shown
    assert "tcpdump -U -w - | flowfs mount ~/flows -r - --no-wait" in shown


BASH = """
    source "$1"
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    $(complete -p flowfs | sed 's/.*-F \\([^ ]*\\).*/\\1/') flowfs "${COMP_WORDS[COMP_CWORD]}"
    printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["flowfs", "um"], {"umount"}),
        (["flowfs", "mount", "--max-m"], {"--max-memory"}),
        (["flowfs", "mount", "--evict", "l"], {"lru", "largest"}),
        (["flowfs", "mount", "/mnt", "-i", "lo"], {"lo"}),
        (["flowfs", "umount", "--la"], {"--lazy"}),
        (["flowfs", "mount", "/mnt", "-o", "allow_"], {"allow_other", "allow_root"}),
        (["flowfs", "mount", "-o", "ro,uid=7,u"], {"ro,uid=7,uid=", "ro,uid=7,umask="}),
        (["flowfs", "mount", "-o", ""], set(OPTIONS)),
    ],
)
def test_bash(typed: list[str], offered: set[str]) -> None:
    done = run("bash", "-c", BASH, "bash", COMPLETIONS / "flowfs.bash", *typed)
    assert done.stderr == ""
    assert {word.strip() for word in done.stdout.split("\n")} - {""} == offered


@needs("zsh")
def test_zsh() -> None:
    """No mistake in it, and it calls zsh's own functions with the options."""
    path = COMPLETIONS / "_flowfs"
    assert run("zsh", "-n", path).stderr == ""
    script = f"""
        _arguments() {{ print -l -- "$@" }}
        _describe() {{ : }}
        compdef() {{ : }}
        source {path}
        print -l -- $_shtab_flowfs_mount_options
    """
    done = run("zsh", "-f", "-c", script)
    assert "--evict[" in done.stdout
    assert ":FILE:_files" in done.stdout
    assert ":OPT[,OPT]: _values -s , option ro rw visible" in done.stdout


@needs("fish")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("flowfs um", {"umount"}),
        ("flowfs mount --max-m", {"--max-memory"}),
        ("flowfs mount --evict l", {"lru", "largest"}),
        ("flowfs mount /mnt -i lo", {"lo"}),
        ("flowfs mount /mnt -o vis", {"visible"}),
        ("flowfs mount -o ro,allow_", {"ro,allow_other", "ro,allow_root"}),
    ],
)
def test_fish(typed: str, offered: set[str], tmp_path: Path) -> None:
    script = f"source {COMPLETIONS}/flowfs.fish; complete -C '{typed}'"
    done = run("env", f"HOME={tmp_path}", "fish", "--no-config", "-c", script)
    assert done.stderr == ""
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == offered

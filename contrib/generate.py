#!/usr/bin/env python3
"""contrib/generate.py [--check]: writes contrib/man and contrib/completions from the parsers of the commands.

--check writes nothing, names what is not as it would be written, and ends with 1 if there is any. Completions
are written by shtab (the extra `test` has it). Man pages are written here, since argparse-manpage breaks the
lines of examples and of usages anew, and dates its pages.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # these sources, not what is installed

from flowfs import __version__
from flowfs.cli.helper import helper_parser
from flowfs.cli.parse import Parser
from flowfs.cli.parsers import parsers
from flowfs.mount.options import OPTIONS

CONTRIB = Path(__file__).resolve().parent

SUMMARY = "live TCP flows of a network as files"
SHELLS = {"bash": "flowfs.bash", "zsh": "_flowfs", "fish": "flowfs.fish"}

# What a value is, by what stands for it in the help.
FILES, DIRECTORIES = {"FILE", "FLOW"}, {"DIR", "MOUNTPOINT", "MOUNTPOINT FILTER"}
COMMANDS = {"IFACE": "echo any; ls /sys/class/net", "USER": "getent passwd | cut -d: -f1"}
MOUNT_OPTIONS = "OPT[,OPT]"


# --- man pages -----------------------------------------------------------------------------------


def page(name: str, section: int, summary: str, commands: dict[str, Parser]) -> str:
    """A page in man(7)."""
    lines = [f'.TH {name.upper()} {section} "" "flowfs {__version__}"', ".SH NAME"]
    lines += [rf"{roff(name)} \- {roff(summary)}", ".SH SYNOPSIS", ".nf"]
    lines += [roff(usage(parser)) for parser in commands.values()]
    lines += [".fi"]
    for parser in commands.values():
        lines += [f".SH {roff(parser.prog.upper())}" if len(commands) > 1 else ".SH DESCRIPTION"]
        lines += described(parser)
    return "\n".join([*lines, ".SH SEE ALSO", roff(others(name)), ""])


def others(name: str) -> str:
    """The pages that belong to it; pcap-filter's section differs between systems."""
    pages = ("flowfs(1)", "mount.flowfs(8)", "mount(8)", "fstab(5)", "tcpdump(8)", "pcap-filter(7)")
    return ", ".join(page for page in pages if not page.startswith(f"{name}("))


def usage(parser: Parser) -> str:
    return (parser.usage or parser.format_usage().partition(": ")[2].strip()).replace("%%", "%")


def described(parser: Parser) -> Iterator[str]:
    """What a command does, its options by groups, and its examples."""
    yield from ([roff(parser.description.strip())] if parser.description else [])
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if shown:
            yield f".SS {roff((group.title or '').capitalize())}"
        for action in shown:
            yield from (".TP", heading(action), roff(help_of(parser, action)))
    if parser.epilog:
        yield from (".SS Notes", ".nf", roff(parser.epilog.strip()), ".fi")


def heading(action: argparse.Action) -> str:
    """-o, --option VALUE."""
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    value = "" if action.nargs == 0 else rf" \fI{roff(str(value))}\fR"
    names = ", ".join(rf"\fB{roff(name)}\fR" for name in action.option_strings)
    return names + value if names else value.strip()


def help_of(parser: Parser, action: argparse.Action) -> str:
    fields = vars(action) | {"prog": parser.prog}
    return (action.help or "") % fields


def roff(text: str) -> str:
    """Text as it is, wherever man(7) would see a command in it."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


# --- completions ---------------------------------------------------------------------------------


def all_commands() -> argparse.ArgumentParser:
    """One parser with all commands, as shtab wants them."""
    whole = argparse.ArgumentParser("flowfs", description=SUMMARY)
    whole.add_argument("-V", "--version", action="version", version="", help="the version")
    commands = whole.add_subparsers(dest="command")
    for name, parser in parsers().items():
        summary = (parser.description or "").split("\n")[0].partition(";")[0].partition(":")[0]
        command = commands.add_parser(name, parents=[parser], add_help=False, help=summary.rstrip("."))
        for action in command._actions:
            if action.help == argparse.SUPPRESS and not action.option_strings:
                action.help = str(action.metavar)
            metavar = str(action.metavar)
            complete = completed(metavar)
            if complete is not None:
                action.complete = complete  # type: ignore[attr-defined]  # shtab's way
    return whole


def completed(metavar: str) -> dict[str, Any] | None:
    """How a value is completed, in shtab's form; None if nothing is known of it."""
    import shtab

    if metavar in FILES:
        return dict(shtab.FILE)
    if metavar in DIRECTORIES:
        return dict(shtab.DIRECTORY)
    if metavar in COMMANDS:
        return dict(shtab.cmd(COMMANDS[metavar]))
    return of_a_list(OPTIONS) if metavar == MOUNT_OPTIONS else None


def of_a_list(words: Sequence[str]) -> dict[str, Any]:
    """What completes the last of several words between which there are commas, in shtab's form."""
    known = " ".join(words)
    name = "_flowfs_words_of_a_list"
    bash = f"""
        {name}() {{
          local before="${{1%"${{1##*,}}"}}"
          compgen -P "$before" -W "{known}" -- "${{1##*,}}"
        }}"""
    return {
        "bash": name,
        "zsh": f" _values -s , option {known}",
        "fish": f"(__fish_append , {known})",
        "preamble": {"bash": dedent(bash)},
    }


def completion(shell: str) -> str:
    import shtab

    return str(shtab.complete(all_commands(), shell=shell))


# --- files ---------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """{file: text} of the man pages."""
    helper = {"mount.flowfs": helper_parser()}
    return {
        "man/flowfs.1": page("flowfs", 1, SUMMARY, dict(parsers())),
        "man/mount.flowfs.8": page("mount.flowfs", 8, f"mount {SUMMARY}", helper),
    }


def completions() -> dict[str, str]:
    """{file: text} of the completions."""
    return {f"completions/{name}": completion(shell) for shell, name in SHELLS.items()}


def stale(files: dict[str, str]) -> list[str]:
    """Those that are not as they would be written."""
    paths = {name: CONTRIB / name for name in files}
    return [name for name, path in paths.items() if not path.exists() or path.read_text() != files[name]]


def main() -> int:
    os.environ.pop("FLOWFS_COMMAND", None)  # in the pages it is `flowfs`
    files = pages() | completions()
    old = stale(files)
    if "--check" in sys.argv[1:]:
        for name in old:
            print(f"contrib/{name}: not as contrib/generate.py writes it")
        return 1 if old else 0
    for name in old:
        path = CONTRIB / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
        print(f"contrib/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""contrib/run the first time: what it says, and how it goes on when it was interrupted.

Python, pip and apt are played by one script, so nothing is installed; which of them is at work it notes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from waiting import eventually

ROOT = Path(__file__).resolve().parent.parent

# Does what the steps do as far as contrib/common.sh sees it: first half of it, then, if told to, it waits.
PLAYER = """#!/bin/bash
step() {
    echo "$1" >> "$PLAY/done"
    # Nothing that runs between them may take the signal for itself.
    [[ ! -e $PLAY/stop-at-$1 ]] || { : > "$PLAY/stopped"; exec sleep 60; }
}
last=${!#}
case "${0##*/} $*" in
    'dpkg-query '*) [[ ! -e $PLAY/installed ]] || printf '%s installed\\n' "${@:4}" ;;
    *'apt-get '*' update') ;;
    *'apt-get '*' install '*) step packages; touch "$PLAY/installed" ;;
    *'python -m venv '*) mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; step venv ;;
    *'python -m pip '*' pcapy-ng'*) step pcapy ;;
    *'python -m pip '*' pyfuse3'*) step libraries ;;
    *'python -m pip '*) cp "$PLAY/flowfs" "${0%/*}/flowfs"; step flowfs ;;
    *'python - '*) exec /usr/bin/env python3 "$@" ;;
    *'sudo -v') ;;
    *'sudo '*) exec "$@" ;;
esac
"""
FLOWFS = '#!/bin/sh\necho "flowfs $*"\n'
STEPS = ["packages", "venv", "pcapy", "libraries", "flowfs"]


class Newcomer:
    """Somebody who runs contrib/run for the first time. `done`: the steps so far, in order."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.venv = place / "not there yet" / "venv"
        tools = place / "tools"
        tools.mkdir()
        (place / "flowfs").write_text(FLOWFS)
        (place / "flowfs").chmod(0o755)
        for name in ("dpkg-query", "dpkg", "apt-get", "sudo", "fusermount3", "python"):
            (tools / name).write_text(PLAYER)
            (tools / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PLAY": str(place),
            "FLOWFS_PYTHON": str(tools / "python"),
            "FLOWFS_VENV": str(self.venv),
        }

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [ROOT / "contrib/run", "-V"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self) -> list[str]:
        """The lines on standard error of a run that ends well."""
        with self.start() as process:
            said, complained = process.communicate(timeout=60)
            assert (process.returncode, said) == (0, "flowfs -V\n"), complained
        return complained.splitlines()

    def interrupt_at(self, step: str, number: signal.Signals = signal.SIGINT) -> str:
        """Ctrl-C in the middle of a step; returns what was said."""
        told_to_stop, stopped = self.place / f"stop-at-{step}", self.place / "stopped"
        told_to_stop.touch()
        with self.start() as process:
            assert eventually(stopped.exists, 30)
            os.killpg(process.pid, number)  # as a terminal does
            try:
                said, complained = process.communicate(timeout=30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            assert process.returncode == (130 if number == signal.SIGINT else -number)
        stopped.unlink()
        told_to_stop.unlink()
        assert said == ""
        return complained

    def done(self) -> list[str]:
        """The steps that were begun since the last time this was asked."""
        noted = self.place / "done"
        steps = noted.read_text().split() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return steps


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """Where the tests run, Ctrl-C may be ignored, as behind a & of a shell; what is started here hears it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Newcomer(tmp_path)
    signal.signal(signal.SIGINT, before)


def test_each_step_is_said_and_done_once(newcomer: Newcomer) -> None:
    said = newcomer.run()
    assert newcomer.done() == STEPS
    titles = ("refreshing", "installing Debian", "making a virtual", "compiling pcapy", "compiling pyfuse3")
    expected = [*titles, "compiling and installing flowfs"]
    assert [
        line.removeprefix("contrib/run: ")[: len(title)] for line, title in zip(said, expected, strict=True)
    ] == expected
    assert newcomer.run() == []
    assert newcomer.done() == []


@pytest.mark.parametrize("step", STEPS)
def test_an_interrupted_one_goes_on_where_it_stopped(newcomer: Newcomer, step: str) -> None:
    said = newcomer.interrupt_at(step)
    assert said.endswith("contrib/run: interrupted; the next time it goes on from here\n")
    assert newcomer.done() == STEPS[: STEPS.index(step) + 1]
    newcomer.run()
    assert newcomer.done() == STEPS[STEPS.index(step) :]
    assert newcomer.run() == []


@pytest.mark.parametrize("step", STEPS[1:])
def test_what_was_killed_half_way_is_not_taken_for_whole(newcomer: Newcomer, step: str) -> None:
    newcomer.interrupt_at(step, signal.SIGKILL)
    newcomer.done()
    newcomer.run()
    assert newcomer.done() == STEPS[STEPS.index(step) :]


def test_a_renewal_that_was_interrupted_is_not_taken_for_what_it_replaces(newcomer: Newcomer) -> None:
    """Sources change, installing them is broken off, and the sources are as before."""
    newcomer.run()
    newcomer.done()
    stamp = newcomer.venv / "flowfs-stamp"
    before = stamp.read_text()
    stamp.write_text("of other sources\n")
    newcomer.interrupt_at("flowfs")
    assert not stamp.exists()
    newcomer.done()
    newcomer.run()
    assert newcomer.done() == ["flowfs"]
    assert stamp.read_text() == before


@pytest.mark.parametrize("lost", ["bin/flowfs", "bin/python"])
def test_what_is_lost_is_made_again(newcomer: Newcomer, lost: str) -> None:
    newcomer.run()
    newcomer.done()
    (newcomer.venv / lost).unlink()
    (newcomer.venv / "bin/flowfs").unlink(missing_ok=True)
    newcomer.run()
    assert ("venv" in newcomer.done()) == (lost == "bin/python")
    assert newcomer.run() == []


def test_who_comes_second_waits_and_says_so(newcomer: Newcomer) -> None:
    (newcomer.place / "stop-at-venv").touch()
    with newcomer.start() as first:
        assert eventually((newcomer.place / "stopped").exists, 30)
        with newcomer.start() as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "contrib/run: another one is installing; waiting for it\n"
            (newcomer.place / "stop-at-venv").unlink()
            os.killpg(first.pid, signal.SIGKILL)
            assert second.wait(60) == 0
    assert newcomer.done() == [*STEPS[:2], *STEPS[1:]]


def requirements(tmp_path: Path, specification: str) -> list[str]:
    """What contrib/common.sh has pip install for `specification`, by the Python of these tests."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    script = '. "$1/contrib/common.sh"; venv=$2; requirements "$3"'
    command = ["bash", "-c", script, "bash", str(ROOT), str(tmp_path), specification]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_every_specification_is_one_that_pip_can_be_given(tmp_path: Path) -> None:
    """That is: it names extras which pyproject.toml has, however many."""
    scripts = [path for path in (ROOT / "contrib").rglob("*") if path.is_file() and path.suffix == ""]
    called = [re.findall(r"\bneed_venv ['\"](.*?)['\"]", path.read_text()) for path in scripts]
    specifications = {one for each in called for one in each}
    assert {"", "[test]", "[test,fuzz]"} <= specifications
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for specification in specifications:
        extras = [extra for extra in specification.strip("[]").split(",") if extra]
        more = [one for extra in extras for one in project["optional-dependencies"][extra]]
        assert requirements(tmp_path, specification) == project["dependencies"] + more


def test_a_program_to_compare_with_that_is_not_to_be_had() -> None:
    script = f"""
        . {ROOT}/contrib/common.sh
        need_packages() {{ die "cannot install $*"; }}
        need_peers sh no-such-program
        echo 'goes on'
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "goes on\n"
    assert "there is no no-such-program to be had" in done.stderr
    assert "cannot install sh" not in done.stderr

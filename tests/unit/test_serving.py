"""Who is taken for dead: nobody that lives, since a mount of the dead is forced away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowfs import serving


@pytest.mark.parametrize("fault", [FileNotFoundError, PermissionError, OSError])
def test_one_that_is_hidden_lives(monkeypatch: pytest.MonkeyPatch, fault: type[OSError]) -> None:
    """As with hidepid, where a process that gave up rights is hidden from its own user."""

    def hidden(*_: object) -> str:
        raise fault

    monkeypatch.setattr(Path, "read_text", hidden)
    assert not serving._has_gone(os.getpid())


def test_one_that_ended() -> None:
    """First it is a zombie, then it is none any more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert serving._has_gone(process.pid)
    process.wait()
    assert serving._has_gone(process.pid)
    assert not serving._has_gone(os.getppid())

"""__main__.py: the end of the process, which does not wait for the interpreter to take itself apart."""

from __future__ import annotations

import subprocess
import sys

from running import ENVIRONMENT

BUFFERED = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONUNBUFFERED"}

BYTES = 1 << 20  # more than a buffer or a pipe has room for
WORK = f"print('x' * {BYTES})"
AFTER = f"threading.Thread(target=lambda: (threading.main_thread().join(), {WORK})).start()"


def leave(work: str, output: str) -> subprocess.CompletedProcess[bytes]:
    code = f"import sys, threading; from flowfs.__main__ import _leave; {work}; sys.exit(_leave(3))"
    command = [sys.executable, "-P", "-c", code]
    shell = ["sh", "-c", f'exec "$@" >{output}', "sh", *command]
    return subprocess.run(shell, env=BUFFERED, capture_output=True, timeout=60, check=False)


def test_all_is_written_before() -> None:
    done = leave(WORK, "&1")
    assert (done.returncode, len(done.stdout), done.stderr) == (3, BYTES + 1, b"")


def test_what_other_threads_do_goes_on() -> None:
    done = leave(AFTER, "&1")
    assert (done.returncode, len(done.stdout), done.stderr) == (3, BYTES + 1, b"")


def test_what_cannot_be_written_is_said() -> None:
    done = leave("print('x')", "/dev/full")
    assert done.returncode == 120, "what the interpreter ends with then"
    assert b"No space left on device" in done.stderr


def test_standard_output_that_is_closed() -> None:
    done = leave("sys.stdout.close()", "&1")
    assert (done.returncode, done.stderr) == (3, b"")


def test_no_standard_output_at_all() -> None:
    done = leave("pass", "&-")
    assert (done.returncode, done.stderr) == (3, b"")

"""Daemons of the tests: each is forked from a process that has imported what they need, which saves 0.3 s.

Owns that process, which is started for the first of them and ends with the tests, and what stands for a
daemon where a subprocess.Popen would, were it our child.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

DAEMON = Path(__file__).with_name("daemon.py")
_asking = threading.Lock()


@functools.cache
def forker() -> socket.socket:
    """Through it daemons are asked for, see `daemon.forked`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, str(DAEMON), "--forks", str(number)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number])

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


class Daemon:
    """A daemon with these arguments, as subprocess.Popen has it: pipes for text, and how it ends."""

    def __init__(self, *arguments: str) -> None:
        for_input, for_output, for_errors, ending = (os.pipe() for _ in range(4))
        given = [for_input[0], for_output[1], for_errors[1], ending[1]]
        try:
            with _asking:
                socket.send_fds(forker(), [json.dumps(arguments).encode()], given)
                self.pid = int(forker().recv(100))
        finally:
            for number in given:
                os.close(number)
        self.stdin = os.fdopen(for_input[1], "w")  # whoever stops it closes these three
        self.stdout = os.fdopen(for_output[0])
        self.stderr = os.fdopen(for_errors[0])
        self._ending = os.fdopen(ending[0], "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        if self.returncode is None and select.select([self._ending], [], [], 0)[0]:
            self.returncode = int(self._ending.read())
            self._ending.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit status; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            select.select([self._ending], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(str(DAEMON), timeout)
        return status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

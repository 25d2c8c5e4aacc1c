"""A mount to test: crafted packets are fed to it step by step while the test reads it with real tools.

What is always true: when `served` ends nothing is mounted and the daemon has gone. No test hangs for good:
after PATIENCE_S, or what the test asks for, the kernel is told to abort, so that whoever waits gets an error.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from craft import ETHERNET, Conversation, Packet, batch
from mounted.forking import Daemon

PATIENCE_S = 60


class Served:
    """A running mount."""

    def __init__(self, path: Path, process: Daemon) -> None:
        self.path = path
        self.process = process
        self.warnings: list[str] = self._answer()
        self._asking = threading.Lock()
        self._fed: dict[int, tuple[Conversation, int]] = {}  # how many of its packets, by id

    # --- the daemon --------------------------------------------------------------------------------

    def ask(self, command: str, *arguments: Any) -> Any:
        """Its answer. From any thread; others who ask wait for their turn."""
        with self._asking:
            self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
            self.process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip())
        return json.loads(line)

    def feed(self, conversation: Conversation, *, notify: bool = True) -> None:
        """What the conversation has said since it was last fed."""
        self.feed_packets(self._news(conversation), conversation.link_type, notify=notify)

    def feed_packets(
        self, packets: Sequence[Packet], link_type: int = ETHERNET, *, notify: bool = True
    ) -> None:
        frames, meta = (base64.b64encode(part).decode() for part in batch(packets))
        self.ask("feed", frames, meta, link_type, notify)

    def trickle(self, conversation: Conversation, pause_s: float) -> None:
        """As `feed`, packet by packet, with random pauses."""
        frames, meta = (base64.b64encode(part).decode() for part in batch(self._news(conversation)))
        self.ask("trickle", frames, meta, conversation.link_type, pause_s)

    def _news(self, conversation: Conversation) -> list[Packet]:
        _, done = self._fed.get(id(conversation), (conversation, 0))
        self._fed[id(conversation)] = conversation, len(conversation.packets)
        return conversation.packets[done:]

    def evict(self, conversation: Conversation, generation: int = 0) -> None:
        """The client's flow goes, as if memory were short."""
        self.ask("evict", conversation.client_key().hex(), generation)

    def statistics(self) -> dict[str, int]:
        statistics: dict[str, int] = self.ask("statistics")
        return statistics

    # --- the mount ---------------------------------------------------------------------------------

    def client(self, conversation: Conversation, generation: int = 0) -> Path:
        return self.path / conversation.client_name(generation)

    def server(self, conversation: Conversation, generation: int = 0) -> Path:
        return self.path / conversation.server_name(generation)

    def names(self) -> list[str]:
        return os.listdir(self.path)


def run(*command: str | Path, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """A tool of the system, in English."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )


def start(path: Path, *, uid: int = 0, **limits: Any) -> Served:
    """Raises RuntimeError with what the daemon said if it could not mount."""
    process = Daemon(str(path), str(uid), json.dumps(limits))
    try:
        return Served(path, process)
    except RuntimeError:
        process.wait(10)
        close_pipes(process)
        raise


@contextmanager
def served(path: Path, *, uid: int = 0, patience_s: float = PATIENCE_S, **limits: Any) -> Iterator[Served]:
    """A mount on `path`, which is made; for the user `uid` unless that is 0; with these Limits."""
    if not is_mounted(path):
        path.mkdir(exist_ok=True)
    mount = start(path, uid=uid, **limits)
    watchdog = threading.Timer(patience_s, abort, [path])
    watchdog.start()
    try:
        yield mount
        stop(mount)
        assert not is_mounted(path), "still mounted after the daemon's end"
    finally:
        watchdog.cancel()
        clean_up(mount)


def stop(mount: Served) -> None:
    """Ends the daemon as the program ends; it must go without a complaint."""
    process = mount.process
    if process.poll() is None:
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def clean_up(mount: Served) -> None:
    if is_mounted(mount.path):
        abort(mount.path)
        run("fusermount3", "-uz", mount.path)
    mount.process.kill()
    mount.process.wait(10)
    close_pipes(mount.process)


def close_pipes(process: Daemon) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def mount_lines(path: Path) -> list[list[str]]:
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [fields for fields in lines if fields[4] == str(path)]


def is_mounted(path: Path) -> bool:
    return bool(mount_lines(path))


def abort(path: Path) -> None:
    """Root tells the kernel to give up on the daemon (Documentation/filesystems/fuse/fuse.rst).

    In a mount namespace of its own, since fusectl is not mounted everywhere.
    """
    connections = "/sys/fs/fuse/connections"
    for fields in mount_lines(path):
        number = fields[2].partition(":")[2]
        script = f"mount -t fusectl fusectl {connections}; echo 1 > {connections}/{number}/abort"
        run("unshare", "--mount", "sh", "-c", script)

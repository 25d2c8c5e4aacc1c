"""A mount whose process was killed, or is stopped: nobody waits for it for good, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from craft import Conversation, pcap
from live.mounting import ENVIRONMENT, FLOWFS, daemons
from waiting import eventually

pytestmark = pytest.mark.needs("fuse")

DEMO = Path(__file__).parents[2] / "contrib/demo.pcap"
LIST = "import os, sys\nwhile True: os.listdir(sys.argv[1])"


def flowfs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*FLOWFS, *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def churned(place: Path) -> Iterator[int]:
    """A mount of which files come and go, two programs that list it, and its process."""
    options = "-r - --no-wait --max-flows 300".split()
    command = [*FLOWFS, "mount", str(place), *options]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE) as feeder:
        feeding = threading.Thread(target=feed, args=(feeder,))
        feeding.start()
        listers: list[subprocess.Popen[bytes]] = []
        try:
            assert eventually(lambda: os.path.ismount(place) and len(os.listdir(place)) > 200)
            (daemon,) = [number for number in daemons(place) if number != feeder.pid]
            command = [sys.executable, "-c", LIST, str(place)]
            listers += [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
            time.sleep(0.5)  # so that they list, and names go meanwhile
            yield daemon
        finally:
            for lister in listers:
                lister.kill()
            feeder.kill()
            for number in daemons(place):
                os.kill(number, signal.SIGKILL)
            feeding.join()
            assert feeder.stdin is not None
            with suppress(BrokenPipeError):
                feeder.stdin.close()
            for lister in listers:
                lister.wait(10)


def feed(feeder: subprocess.Popen[bytes]) -> None:
    """Conversations without end, until nobody reads."""
    assert feeder.stdin is not None
    head = True
    with suppress(BrokenPipeError):
        for port in range(1024, 60_000):
            talk = Conversation(client_port=port).wait((port - 1024) * 0.01).handshake()
            data = pcap(talk.client(0, b"abc").server_ack(3).close().packets)
            feeder.stdin.write(data if head else data[24:])
            feeder.stdin.flush()
            head = False


def test_killed_while_it_is_listed(place: Path) -> None:
    """Its connection to the kernel may stay for ever: one of its threads waits for those who list."""
    with churned(place) as daemon:
        os.kill(daemon, signal.SIGKILL)
        done = flowfs("mount", place, "-r", DEMO)
        assert (done.returncode, done.stderr) == (0, f"flowfs: {place}: took away a dead flowfs mount\n")
        assert flowfs("ls", place).returncode == 0
        assert flowfs("umount", "-z", place).returncode == 0


def test_stopped(place: Path) -> None:
    """It is not taken for dead; whoever looks is told, and can take it away."""
    silent = f"{place}: its flowfs does not answer: it is stopped, or overloaded, or was killed"
    hint = f"take it away: flowfs umount -z {place}"
    assert flowfs("mount", place, "-r", DEMO).returncode == 0
    (daemon,) = daemons(place)
    os.kill(daemon, signal.SIGSTOP)
    for command in (("ls", place / ".flowfs"), ("mount", place, "-r", DEMO)):
        done = flowfs(*command)
        assert (done.returncode, done.stderr) == (4, f"flowfs: {silent}; {hint}\n")
    os.kill(daemon, signal.SIGCONT)
    assert flowfs("ls", place).returncode == 0
    os.kill(daemon, signal.SIGSTOP)
    done = flowfs("umount", "-z", place)
    assert done.returncode == 0
    assert not os.path.ismount(place)
    os.kill(daemon, signal.SIGCONT)
    assert eventually(lambda: not daemons(place))

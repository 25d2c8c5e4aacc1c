"""Network namespaces without names: they go when the last file descriptor and process of them goes.

Owns namespaces, the links between them, and running something inside. Knows nothing of flowfs. What is
always true: no thread of the tests stays in a namespace; a socket belongs to the one that it was made in,
and so do those that it accepts.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _in_thread(work: Callable[[], Made]) -> Made:
    """Runs in a thread that ends afterwards, and takes the namespace that it entered with it."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


class Namespace:
    """A network of its own, with its loopback up."""

    def __init__(self) -> None:
        self._fd = _in_thread(self._unshare)
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.run("ip", "link", "set", "lo", "up")

    @staticmethod
    def _unshare() -> int:
        _check(_libc.unshare(_CLONE_NEWNET))
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    def within(self, make: Callable[[], Made]) -> Made:
        """What `make` returns when called inside."""

        def enter() -> Made:
            _check(_libc.setns(self._fd, _CLONE_NEWNET))
            return make()

        return _in_thread(enter)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` inside; of the mounts it sees the same as the tests."""
        return ["nsenter", f"--net={self.path}", "--", *arguments]

    def run(self, *arguments: str, timeout: float = 20) -> str:
        """Runs a command inside and returns what it printed. Raises CalledProcessError, its output noted."""
        try:
            done = subprocess.run(
                self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=True
            )
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise
        return done.stdout

    def listen(self, address: str, buffer_bytes: int = 0) -> socket.socket:
        """A listening socket on a free port; `buffer_bytes` as `socket` takes it."""
        listener = self.socket(address, buffer_bytes)
        listener.bind((address, 0))
        listener.listen(512)
        return listener

    def connect(self, address: str, port: int, buffer_bytes: int = 0, own_port: int = 0) -> socket.socket:
        """A connected socket; the kernel chooses its port, unless it is given."""
        connection = self.socket(address, buffer_bytes)
        if own_port:
            connection.bind(("", own_port))
        connection.connect((address, port))
        return connection

    def socket(self, address: str, buffer_bytes: int = 0) -> socket.socket:
        """A TCP socket for the family of `address`; `buffer_bytes` bounds what may be under way to it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.within(lambda: socket.socket(family, socket.SOCK_STREAM))
        made.settimeout(10)
        if buffer_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        return made

    def add_addresses(self, interface: str, *addresses: str) -> None:
        """Gives `address/length` of either family, usable at once, and sets the interface up."""
        for address in addresses:
            # Duplicate address detection would make a fresh IPv6 address wait.
            nodad = ["nodad"] if ":" in address else []
            self.run("ip", "address", "add", address, "dev", interface, *nodad)
        self.run("ip", "link", "set", interface, "up")


def join(left: Namespace, right: Namespace, interface: str = "eth0") -> None:
    """A cable between two namespaces: a pair of veth devices, both of the same name, without addresses."""
    peer = ["peer", "name", interface, "netns", right.path]
    left.run("ip", "link", "add", interface, "type", "veth", *peer)

"""Real connections between two sockets of the tests, and what flowfs has to show of them."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from dataclasses import dataclass

from craft import Conversation, Tag
from live.network import Namespace


@dataclass
class Talk:
    """An open connection, both ends in our hands; `vid` is the VLAN that its packets carry where captured."""

    client: socket.socket
    server: socket.socket
    vid: int = 0

    def __post_init__(self) -> None:
        # While both ends are open; the names are asked for when they may be closed.
        client, server = self.client.getsockname(), self.client.getpeername()
        tags = [Tag(self.vid)] if self.vid else []
        told = Conversation(client[0], server[0], client[1], server[1], tags=tags)
        self.up, self.down = told.client_name(), told.server_name()  # names of the flows

    def exchange(self, up: bytes, down: bytes) -> None:
        """Sends both ways at the same time, and checks that both arrived."""
        senders = [
            threading.Thread(target=self.client.sendall, args=(up,)),
            threading.Thread(target=self.server.sendall, args=(down,)),
        ]
        arrived: list[bytes] = []
        reader = threading.Thread(target=lambda: arrived.append(receive(self.client, len(down))))
        for thread in (*senders, reader):
            thread.start()
        assert receive(self.server, len(up)) == up
        for thread in (*senders, reader):
            thread.join()
        assert arrived == [down]

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def talk(client: Namespace, server: Namespace, address: str, vid: int = 0, buffer_bytes: int = 0) -> Talk:
    """A new connection from one namespace to `address` in another."""
    with server.listen(address, buffer_bytes) as listener:
        return connect(client, listener, vid, buffer_bytes)


def connect(
    client: Namespace, listener: socket.socket, vid: int = 0, buffer_bytes: int = 0, own_port: int = 0
) -> Talk:
    """One more connection to a listener of the same thread."""
    address, port = listener.getsockname()[:2]
    near = client.connect(address, port, buffer_bytes, own_port)
    far, _ = listener.accept()
    far.settimeout(10)
    return Talk(near, far, vid)


def receive(source: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes. Raises EOFError if the sender ends before."""
    parts = []
    while size:
        part = source.recv(min(size, 1 << 20))
        if not part:
            raise EOFError(f"{size} bytes are missing")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def some_bytes(size: int, seed: int) -> bytes:
    """The same random bytes for the same seed."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

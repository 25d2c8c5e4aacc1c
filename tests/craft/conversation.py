"""One TCP connection, written packet by packet in the notation of the reassembly scenarios."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .captures import Packet
from .frames import ETHERNET, Tag, ip, link, link_header, packed, tcp

_TCP_FIELDS = frozenset(("seq", "ack", "flags", "window", "options", "urgent", "data_offset", "checksum"))


@dataclass
class Conversation:
    """One TCP connection, written packet by packet as the scenarios tell it.

    An offset is a stream offset: 0 is the first data byte, whose sequence number is isn + 1.
    Each packet takes the time `clock_ns`, which then goes on by `step_ns`. Keyword arguments
    that a method does not name go to `tcp` (seq, ack, flags, window, options, urgent, checksum,
    data_offset) or to `ip` (ttl, total_length, extensions, ...) and override what it would write;
    `captured=n` keeps only the first n bytes of the payload, as a snaplen would.
    """

    client_address: str = "10.0.0.1"
    server_address: str = "10.0.0.2"
    client_port: int = 40000
    server_port: int = 80
    client_isn: int = 1000
    server_isn: int = 500_000
    link_type: int = ETHERNET
    tags: Sequence[Tag] = ()
    client_window: int = 65535
    server_window: int = 65535
    clock_ns: int = 1_700_000_000 * 10**9
    step_ns: int = 100_000
    packets: list[Packet] = field(default_factory=list)
    client_next: int = 0  # where the client's next FIN or RST stands unless told
    server_next: int = 0
    client_acked: int = 0  # offset in the server's stream that the client last acknowledged
    server_acked: int = 0

    # opening

    def handshake(self, options: bytes = b"", server_options: bytes | None = None) -> Conversation:
        """`W`: SYN, SYN/ACK, ACK. The server answers with the client's options unless given others."""
        self.syn(options=options)
        self.syn_ack(options=options if server_options is None else server_options)
        return self.client_ack(0)

    def syn(self, isn: int | None = None, payload: bytes = b"", **override: Any) -> Conversation:
        """A SYN of the client; `isn` does not change the isn that offsets count from."""
        seq = self.client_isn if isn is None else isn
        fields: dict[str, Any] = {"seq": seq, "ack": 0, "flags": "S"}
        return self.send(True, payload, **fields | override)

    def syn_ack(
        self, isn: int | None = None, acked: int = 0, payload: bytes = b"", **override: Any
    ) -> Conversation:
        """A SYN/ACK of the server that acknowledges the client's SYN and `acked` bytes with it."""
        seq, ack = self.server_isn if isn is None else isn, self.client_isn + 1 + acked
        fields: dict[str, Any] = {"seq": seq, "ack": ack, "flags": "SA"}
        return self.send(False, payload, **fields | override)

    def again(self, client_isn: int, server_isn: int, **change: Any) -> Conversation:
        """From here on another connection on the same addresses and ports (or on changed ones)."""
        self.client_isn, self.server_isn = client_isn, server_isn
        self.client_next = self.server_next = self.client_acked = self.server_acked = 0
        for name, value in change.items():
            setattr(self, name, value)
        return self

    # data and acknowledgements

    def client(self, offset: int, payload: bytes, **override: Any) -> Conversation:
        """`offset:payload` from the client."""
        self.client_next = max(self.client_next, offset + len(payload))
        return self._segment(True, offset, payload, "PA", override)

    def server(self, offset: int, payload: bytes, **override: Any) -> Conversation:
        """`offset:payload` from the server."""
        self.server_next = max(self.server_next, offset + len(payload))
        return self._segment(False, offset, payload, "PA", override)

    def client_ack(self, offset: int, **override: Any) -> Conversation:
        """The client acknowledges the server's stream up to `offset`."""
        self.client_acked = offset
        return self._segment(True, self.client_next, b"", "A", override)

    def server_ack(self, offset: int, **override: Any) -> Conversation:
        """`!offset`: the server acknowledges the client's stream up to `offset`."""
        self.server_acked = offset
        return self._segment(False, self.server_next, b"", "A", override)

    # closing

    def fin(self, offset: int | None = None, payload: bytes = b"", **override: Any) -> Conversation:
        """`F@offset` of the client: where the FIN stands, after `payload`; default: after all it sent."""
        end = self.client_next + len(payload) if offset is None else offset
        return self._segment(True, end - len(payload), payload, "FA", override)

    def server_fin(self, offset: int | None = None, payload: bytes = b"", **override: Any) -> Conversation:
        """`fin` of the server."""
        end = self.server_next + len(payload) if offset is None else offset
        return self._segment(False, end - len(payload), payload, "FA", override)

    def rst(self, offset: int | None = None, payload: bytes = b"", **override: Any) -> Conversation:
        """`R@offset` of the client; default: right after all it sent."""
        at = self.client_next if offset is None else offset
        return self._segment(True, at, payload, "RA", override)

    def server_rst(self, offset: int | None = None, payload: bytes = b"", **override: Any) -> Conversation:
        """`rst` of the server."""
        at = self.server_next if offset is None else offset
        return self._segment(False, at, payload, "RA", override)

    def close(self) -> Conversation:
        """`F` both ways, each acknowledged, after all that was sent."""
        self.fin(ack=self.server_isn + 1 + self.server_next)
        self.server_fin(ack=self.client_isn + 2 + self.client_next)
        seq, ack = self.client_isn + 2 + self.client_next, self.server_isn + 2 + self.server_next
        return self.send(True, b"", seq=seq, ack=ack, flags="A")

    # everything else

    def talk(self, client: bytes, server: bytes) -> Conversation:
        """First the client says all of it, then the server, in small segments that are acknowledged."""
        for offset in range(0, len(client), 4):
            self.client(offset, client[offset : offset + 4])
            self.server_ack(min(offset + 4, len(client)))
        for offset in range(0, len(server), 5):
            self.server(offset, server[offset : offset + 5])
            self.client_ack(min(offset + 5, len(server)))
        return self

    def wait(self, seconds: float) -> Conversation:
        """`+s`: the clock goes on; no packet."""
        self.clock_ns += round(seconds * 10**9)
        return self

    def other(self) -> Conversation:
        """A packet of an unrelated connection without data, so that time is seen to have passed."""
        segment = tcp("192.0.2.1", "192.0.2.2", 9, 9, seq=1, ack=1)
        frame = link(self.link_type, ip("192.0.2.1", "192.0.2.2", segment))
        return self._append(frame, len(frame))

    def client_key(self) -> bytes:
        """Addresses, ports and VLAN id of what the client sends, as `Engine.find` takes them."""
        return self._key(True)

    def server_key(self) -> bytes:
        """`client_key` of what the server sends."""
        return self._key(False)

    def client_name(self, generation: int = 0) -> str:
        """The file name of what the client sends."""
        return self._name(True, generation)

    def server_name(self, generation: int = 0) -> str:
        """The file name of what the server sends."""
        return self._name(False, generation)

    def _ends(self, client: bool) -> tuple[str, str, int, int]:
        ends = self.client_address, self.server_address, self.client_port, self.server_port
        return ends if client else (ends[1], ends[0], ends[3], ends[2])

    def _vid(self) -> int:
        return self.tags[-1].vid if self.tags else 0

    def _key(self, client: bool) -> bytes:
        src, dst, sport, dport = self._ends(client)
        vlan = struct.pack("!H", self._vid()) if self._vid() else b""
        return packed(src) + packed(dst) + struct.pack("!HH", sport, dport) + vlan

    def _name(self, client: bool, generation: int) -> str:
        src, dst, sport, dport = self._ends(client)
        vlan = f"--{self._vid()}" if self._vid() else ""
        suffix = f"c{generation}" if generation else ""
        return f"{_written(src)}.{sport:05}-{_written(dst)}.{dport:05}{vlan}{suffix}"

    def _segment(
        self, client: bool, offset: int, payload: bytes, flags: str, override: dict[str, Any]
    ) -> Conversation:
        own, peer = self.client_isn, self.server_isn
        acked = self.client_acked if client else self.server_acked
        if not client:
            own, peer = peer, own
        fields: dict[str, Any] = {"seq": own + 1 + offset, "ack": peer + 1 + acked, "flags": flags}
        return self.send(client, payload, **fields | override)

    def send(self, client: bool, payload: bytes, captured: int | None = None, **fields: Any) -> Conversation:
        """A segment of the client or the server; a forger says what he likes."""
        fields.setdefault("window", self.client_window if client else self.server_window)
        for_tcp = {name: fields.pop(name) for name in list(fields) if name in _TCP_FIELDS}
        src, dst, sport, dport = self._ends(client)
        segment = tcp(src, dst, sport, dport, payload=payload, **for_tcp)
        packet = ip(src, dst, segment, **fields)
        frame = link(self.link_type, packet, self.tags)
        if captured is None:
            return self._append(frame, len(frame))
        header = len(link_header(self.link_type, packet, self.tags))
        return self._append(frame[: header + len(packet) - len(payload) + captured], len(frame))

    def _append(self, frame: bytes, wire_len: int) -> Conversation:
        self.packets.append(Packet(self.clock_ns, frame, wire_len))
        self.clock_ns += self.step_ns
        return self


def _written(address: str) -> str:
    parsed = ipaddress.ip_address(address)
    return str(parsed) if parsed.version == 6 else ".".join(f"{byte:03}" for byte in parsed.packed)

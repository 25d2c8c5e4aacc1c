"""Ten million connections, one after another, through a mount with little memory: does it stay as small?

Owns the stream of packets, the mount that reads it, and the verdict: exit status 1 where memory grows, or
where packets, connections or bytes are not all accounted for, 2 where the mount does not do its work.
Packets come through a pipe: nothing is ever on a disk.

All connections have one shape, so that a block of them is made once and changed in place. From block to block
the time goes on, and the addresses differ: what one gains the other loses, so that no checksum changes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures, programs

MILLION = 10**6
CONNECTIONS = 5000  # in a block: a second of the capture
MOST_MILLIONS = 10  # more have no addresses
SHAPE = captures.Shape("endless", CONNECTIONS, answer_bytes=700, concurrent=1)
FILE_HEADER_BYTES = 24
RECORD_BYTES = 16
ETHERNET_BYTES = 14
CLIENT_AT = RECORD_BYTES + ETHERNET_BYTES + 12  # where the source of the first packet stands (RFC 791)
SERVER_AT = CLIENT_AT + 4
SETTLED = 2  # million connections after which whatever has a bound has reached it
# From the first half of what follows to the second: it goes up and down in between, as connections
# that are over are kept as they were or as small records, and leave holes in the heap.
MAY_GROW = 1.05


class Packet(NamedTuple):
    """Where the record of a packet stands in each connection, and who sent it."""

    at: int
    by_client: bool


class Block:
    """Connections one after another, as a capture without its header; `renew` makes others of them."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            captures.write(SHAPE, Path(folder, "block.pcap"))
            whole = Path(folder, "block.pcap").read_bytes()
        self.header, self.records = whole[:FILE_HEADER_BYTES], bytearray(whole[FILE_HEADER_BYTES:])
        self.stride = len(self.records) // CONNECTIONS
        self.packets = list(self._packets())
        self.seconds = self._number(0, 4, "little")
        # The upper halves of both addresses.
        self.client, self.server = self._number(CLIENT_AT, 2, "big"), self._number(SERVER_AT, 2, "big")

    def _packets(self) -> Iterator[Packet]:
        at = 0
        while at < self.stride:
            yield Packet(at, self.records[at + CLIENT_AT] == self.records[CLIENT_AT])
            at += RECORD_BYTES + self._number(at + 8, 4, "little")

    def _number(self, at: int, size: int, order: Literal["little", "big"]) -> int:
        return int.from_bytes(self.records[at : at + size], order)

    def renew(self, number: int) -> None:
        """Makes the block of this number: other connections, a second later each."""
        when = (self.seconds + number).to_bytes(4, "little")
        client_half = (self.client + number).to_bytes(2, "big")
        server_half = (self.server - number).to_bytes(2, "big")
        for packet in self.packets:
            self._write(packet.at, when)
            self._write(packet.at + CLIENT_AT, client_half if packet.by_client else server_half)
            self._write(packet.at + SERVER_AT, server_half if packet.by_client else client_half)

    def _write(self, at: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            self.records[at + offset :: self.stride] = bytes([byte]) * CONNECTIONS


class Seen(NamedTuple):
    """The mount after so many connections."""

    connections: int
    resident_bytes: int
    statistics: dict[str, int]


def look(mountpoint: Path, daemon: int, connections: int) -> Seen:
    """What the mount says, and the system of its process. Raises programs.Failed."""
    status = json.loads((mountpoint / ".flowfs/status.json").read_text())
    return Seen(connections, programs.resident_memory(daemon), status["statistics"])


def run(flowfs: list[str], block: Block, millions: int, memory: str, mountpoint: Path) -> Iterator[Seen]:
    """Feeds a mount, to the end; what is seen of it after each million, and then. Raises programs.Failed."""
    command = [*flowfs, "mount", "-r", "-", "--no-wait", "--max-memory", memory, str(mountpoint)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as feeder:
        assert feeder.stdin is not None
        feeder.stdin.write(block.header)
        feeder.stdin.flush()
        if feeder.wait(programs.PATIENCE_S):
            raise programs.Failed(f"{command[0]} ended with {feeder.returncode}")
        daemon = programs.find_daemon(mountpoint)
        for number in range(millions * MILLION // CONNECTIONS):
            block.renew(number)
            feeder.stdin.write(block.records)
            if (done := (number + 1) * CONNECTIONS) % MILLION == 0:
                feeder.stdin.flush()
                yield look(mountpoint, daemon, done)
        feeder.stdin.close()
        programs.wait_until_finished(mountpoint)
        yield look(mountpoint, daemon, done)


def complaints(seen: list[Seen], packets: int) -> Iterator[str]:
    """What speaks against the mount, a line each; of `packets` a connection."""
    last = seen[-1].statistics
    settled = [one.resident_bytes for one in seen if one.connections >= SETTLED * MILLION]
    half = (len(settled) + 1) // 2
    early, late = max(settled[:half], default=0), max(settled[half:], default=0)
    if late > early * MAY_GROW:
        yield f"memory grew from {early / programs.MIB:.1f} to {late / programs.MIB:.1f} MiB"
    connections = seen[-1].connections
    sent = connections * (len(captures.request(SHAPE, 0)) + SHAPE.answer_bytes)
    for name, wanted in (
        ("packets", connections * packets),
        ("connections", connections),
        ("flows_total", connections * 2),
        ("payload_bytes", sent),
        ("stored_bytes", sent),
        ("lost_bytes", 0),
    ):
        if last[name] != wanted:
            yield f"{name} is {last[name]:,}, not {wanted:,}"
    if last["flows"] + last["flows_evicted"] != last["flows_total"]:
        yield f"{last['flows']:,} flows held and {last['flows_evicted']:,} evicted are not all"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="connections one after another through a small mount")
    parser.add_argument(
        "--millions", type=int, default=MOST_MILLIONS, choices=range(SETTLED + 1, MOST_MILLIONS + 1)
    )
    parser.add_argument("--max-memory", default="64M")
    parser.add_argument(
        "--flowfs", default=programs.default_flowfs(), help="the command (default: %(default)s)"
    )
    return parser.parse_args()


def show(one: Seen) -> None:
    """A row of the table."""
    held, used = one.statistics["flows"], one.statistics["payload_used_bytes"]
    print(
        f"{one.connections / MILLION:8.0f} M {one.resident_bytes / programs.MIB:12.1f} MiB"
        f" {held:10,} {used / programs.MIB:12.1f} MiB",
        flush=True,
    )


def main() -> int:
    """0: as small as it was, and all there; 1: not so; 2: the mount failed."""
    options = arguments()
    print(f"{programs.machine()}; --max-memory {options.max_memory}")
    print(f"{'connections':>10} {'resident':>14} {'flows held':>12} {'payload held':>16}")
    block, seen = Block(), list[Seen]()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for one in run(options.flowfs.split(), block, options.millions, options.max_memory, Path(folder)):
                seen.append(one)
                show(one)
        except (programs.Failed, OSError, subprocess.TimeoutExpired) as error:
            print(f"endless: {error}", file=sys.stderr)
            return 2
        finally:
            programs.unmount(options.flowfs.split(), Path(folder))
    found = list(complaints(seen, len(block.packets)))
    print("\n".join(found) or "memory is flat, and every packet, connection and byte is accounted for")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

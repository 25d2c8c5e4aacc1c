"""talker.py FLOWS MARKERS_PER_S SECONDS SEED: long connections on eth0, in which a marker comes now and then.

Opens all connections, and sends the first marker in each. Behind a line on its standard input it sends the
others at random moments, each in a random connection, and prints JSON: `packets`, and for each connection
when each of its markers was sent (`time.monotonic_ns`, which all processes share).
"""

from __future__ import annotations

import io
import json
import random
import socket
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from contrib.bench.packets import ACK, NOTHING, PSH, SYN, End, Packet, Writer, chunk_of

MARKER = chunk_of(b"a marker of 32 bytes, as it is.\n")
RECORD_BYTES = 16
CLIENT, SERVER = b"\xac\x10\0\x01", b"\xac\x10\0\x02"


def name(number: int) -> str:
    """The file of what the server of a connection sends."""
    return f"172.016.000.002.09000-172.016.000.001.{20000 + number:05}"


class Talk:
    """An open connection, whose server speaks."""

    def __init__(self, number: int) -> None:
        port = 20000 + number
        self.client = End("ipv4", CLIENT, SERVER, port, 9000, 1000 * number)
        self.server = End("ipv4", SERVER, CLIENT, 9000, port, 7_000_000 + 1000 * number)
        self.at, self.acked = self.server.isn + 1, self.client.isn + 1
        self.sent_ns: list[int] = []

    def open(self) -> list[Packet]:
        return [
            Packet(self.client, self.client.isn, 0, SYN, NOTHING),
            Packet(self.server, self.server.isn, self.acked, SYN | ACK, NOTHING),
            Packet(self.client, self.acked, self.at, ACK, NOTHING),
        ]

    def mark(self) -> list[Packet]:
        """A marker, and that it was received."""
        begin, self.at = self.at, self.at + len(MARKER.data)
        return [
            Packet(self.server, begin, self.acked, PSH | ACK, MARKER),
            Packet(self.client, self.acked, self.at, ACK, NOTHING),
        ]


class Line:
    """Sends packets to eth0."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind(("eth0", 0))
        self._buffer = io.BytesIO()
        self._writer = Writer(self._buffer, gap_us=1000)
        self._writer.flush()

    def frame(self, packet: Packet) -> bytes:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._writer.send(packet)
        self._writer.flush()
        return self._buffer.getvalue()[RECORD_BYTES:]

    def send(self, packets: list[Packet]) -> int:
        """When, in nanoseconds."""
        frames = [self.frame(packet) for packet in packets]
        now_ns = time.monotonic_ns()
        for frame in frames:
            self._socket.send(frame)
        return now_ns


def main() -> None:
    count, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    chance = random.Random(int(sys.argv[4]))
    line, talks = Line(), [Talk(number) for number in range(count)]
    packets = 0
    for talk in talks:
        talk.sent_ns.append(line.send([*talk.open(), *talk.mark()]))
        packets += 5
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.expovariate(rate))  # so that they come at any moment of whoever captures
        talk = chance.choice(talks)
        talk.sent_ns.append(line.send(talk.mark()))
        packets += 2
    print(json.dumps({"packets": packets, "sent_ns": [talk.sent_ns for talk in talks]}))


if __name__ == "__main__":
    main()

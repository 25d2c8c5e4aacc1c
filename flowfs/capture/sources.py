"""Sources: one class for interfaces, one for files, one for streams. All give batches of packets.

Owns a capture handle each, and the kernel's drop counts. Always true: every packet before the place where
a file or stream is cut or damaged is fed; a batch holds at most BATCH_PACKETS packets and, unless they are
few, about BATCH_BYTES bytes.

pcapy's next_batch() loses what it has read when it meets damage, and waits until the batch is full. So a
file is opened twice, the second time to read up to the damage; a stream is read by callback, a packet a call.
"""

import contextlib
import fcntl
import os
import socket
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pcapy

BATCH_PACKETS = 256  # fast enough, and whoever reads a file waits ≤ 0.5 ms for the engine
BATCH_BYTES = 1 << 20  # packets of 64 KiB (loopback, offload) come in smaller batches
MIN_BATCH_PACKETS = 8
PIPE_BYTES = 1 << 20  # the most that Linux grants everyone; fewer changes between writer and reader
CURRENT_S = 2.0  # tcpdump -U is not later; a stored capture is older
META_BYTES = 16  # a packet: sec, usec, offset, captured length, each a native uint32

ANY = "any"


class Damage(Exception):
    """A source cannot be read further; str() is one line."""


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets read, and those lost before in the kernel and in the interface."""

    received: int = 0
    kernel: int = 0
    interface: int = 0


class Gathered(dict[Any, bytes]):
    """Packets by pcapy's Pkthdr, in their order.

    A dict, because its `__setitem__` takes what a callback of pcapy is given, and no Python runs a packet:
    that is 4 × as fast as a function.
    """

    def take(self) -> tuple[bytes, bytes]:
        """(frames, meta) as next_batch() gives them, of what is here by now; what comes meanwhile stays."""
        packets = list(self.items())
        meta = array("I")
        offset = 0
        for header, frame in packets:
            meta.extend((*header.getts(), offset, len(frame)))
            offset += len(frame)
            del self[header]
        return b"".join([frame for _, frame in packets]), meta.tobytes()


Feed = Callable[["Source", bytes, bytes], None]


class Source:
    """One interface, file or stream, open for reading."""

    live = False

    def __init__(self, name: str, number: int, reader: Any) -> None:
        self.name = name
        self.number = number
        self.reader = reader
        self.link_type: int = reader.datalink()
        self.packets = 0
        self.note = ""
        """What only the curious want to know."""
        self._batch_packets = BATCH_PACKETS

    def _count(self, frames: bytes, meta: bytes) -> int:
        """The packets of a batch; the next one is made to fit BATCH_BYTES if it is like this one."""
        count = len(meta) // META_BYTES
        self.packets += count
        if frames:
            fitting = BATCH_BYTES * count // len(frames)
            self._batch_packets = max(MIN_BATCH_PACKETS, min(BATCH_PACKETS, fitting))
        return count

    def read(self, feed: Feed, stopped: Callable[[], bool]) -> None:
        """Feed everything up to the end. Raises Damage, after what comes before it was fed."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """Have a read that goes on elsewhere end soon, as if the source did."""

    def drops(self) -> Drops:
        """What became of the packets so far."""
        return Drops(received=self.packets)

    def close(self) -> None:
        """Let go of the handle."""
        self.reader.close()


class _InBatches(Source):
    """A source that is read with next_batch()."""

    def __init__(self, name: str, number: int, reader: Any) -> None:
        super().__init__(name, number, reader)
        self.full = False
        """Whether the last batch was as large as it may be, so that more is likely to wait."""

    def _next_batch(self) -> tuple[bytes, bytes]:
        asked = self._batch_packets
        frames, meta = self.reader.next_batch(asked)
        self.full = self._count(frames, meta) >= asked
        return frames, meta


class Interface(_InBatches):
    """A network interface, or `any`."""

    live = True

    def __init__(self, name: str, number: int, reader: Any) -> None:
        super().__init__(name, number, reader)
        reader.setnonblock(1)
        self.descriptor: int = reader.getfd()
        self.down = False  # nothing comes for now
        self.gone = False  # nor ever will
        self._raw = (0, 0)
        self._lost = [0, 0]

    def next_batch(self) -> tuple[bytes, bytes]:
        """(frames, meta) of what has come, empty if nothing has. Raises Damage."""
        try:
            return self._next_batch()
        except pcapy.PcapError as error:
            self.gone = "disappeared" in str(error) or self.name not in (ANY, *interfaces())
            what = "has gone: what was captured stays" if self.gone else f"cannot be read for now ({error})"
            raise Damage(f"interface {self.name} {what}") from None

    def count(self) -> None:
        """Read the kernel's counters, which must not go round between two calls."""
        try:
            raw = self.reader.stats()[1:]
        except (pcapy.PcapError, ValueError):  # gone or closed; what was counted stays
            return
        for place, (new, old) in enumerate(zip(raw, self._raw, strict=True)):
            self._lost[place] += (new - old) & 0xFFFFFFFF
        self._raw = raw

    def drops(self) -> Drops:
        # libpcap's own count of what was received has the packets of `lo` twice.
        return Drops(self.packets, *self._lost)


class File(_InBatches):
    """A capture file, opened twice."""

    def __init__(self, name: str, number: int, reader: Any, again: Any) -> None:
        super().__init__(name, number, reader)
        self.size = os.fstat(reader.getfd()).st_size
        self.position = 0
        self._again = again

    def cut_off(self) -> None:
        for reader in (self.reader, self._again):
            _read_nothing(reader.getfd())

    def read(self, feed: Feed, stopped: Callable[[], bool]) -> None:
        try:
            while not stopped():
                frames, meta = self._next_batch()
                self.position = os.lseek(self.reader.getfd(), 0, os.SEEK_CUR)
                if not meta:
                    return
                feed(self, frames, meta)
        except pcapy.PcapError as error:
            self.position = self.size
            frames, meta = self._rest()
            if meta:
                feed(self, frames, meta)
            raise Damage(_what_is_wrong(self.name, str(error))) from None

    def _rest(self) -> tuple[bytes, bytes]:
        """What the batch that met the damage had read before."""
        gathered = Gathered()
        left = self.packets
        with contextlib.suppress(pcapy.PcapError):  # the same damage again
            while left and (meta := self._again.next_batch(min(left, BATCH_PACKETS))[1]):
                left -= len(meta) // META_BYTES
            if not left:
                self._again.dispatch(BATCH_PACKETS, gathered.__setitem__)
        self.packets += len(gathered)
        return gathered.take()

    def close(self) -> None:
        super().close()
        self._again.close()


class Stream(Source):
    """Standard input or a FIFO: read once, as it comes."""

    def __init__(self, name: str, number: int, reader: Any) -> None:
        super().__init__(name, number, reader)
        with contextlib.suppress(OSError):  # no pipe, or not this large: then as it is
            fcntl.fcntl(reader.getfd(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._gathered = Gathered()
        self._feed: Feed = lambda source, frames, meta: None
        self._lock = threading.Lock()  # read() and flush() never feed at once, nor out of order
        self.is_current = False
        """Whether the packets are of this very moment, so that the clock on the wall is theirs, too."""

    def read(self, feed: Feed, stopped: Callable[[], bool]) -> None:
        self._feed = feed
        going = True
        try:
            while going and not stopped():
                going = bool(self.reader.dispatch(self._batch_packets, self._gathered.__setitem__))
                with self._lock:
                    self._flush()
        except pcapy.PcapError as error:
            with self._lock:
                self._flush()
            shown = "standard input" if self.name == "-" else self.name
            raise Damage(_what_is_wrong(shown, str(error))) from None

    def flush(self) -> None:
        """Feed what has come, if the reading thread does not feed just now. From any thread."""
        if self._lock.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._lock.release()

    def close(self) -> None:
        super().close()
        if self.name == "-":
            _read_nothing(0)  # whoever still writes there is to be told

    def _flush(self) -> None:
        if self._gathered:
            frames, meta = self._gathered.take()
            self._count(frames, meta)
            self.is_current = abs(_last_s(meta) - time.time()) < CURRENT_S
            self._feed(self, frames, meta)


def _read_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def _last_s(meta: bytes) -> float:
    """The time of the last packet of a batch."""
    seconds, micros = array("I", meta[-META_BYTES : -META_BYTES // 2])
    return seconds + micros / 1e6


def interfaces() -> list[str]:
    """The names of this machine's network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def _what_is_wrong(name: str, message: str) -> str:
    if message.startswith("truncated"):
        return f"{name}: cut short in the middle of a packet; everything before it is shown"
    return f"{name}: cannot be read further ({message}); everything before that is shown"

"""A bad cable: two TAP devices, and a relay between them that reorders, duplicates and drops frames.

Owns the devices and the thread. Its decisions come from a seeded generator; how they fall on the frames
depends on the timing of the hosts. What is always true: nothing is harmed until `harm` is set, so that
addresses are resolved and the connection opens without waiting for a retransmission.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import threading
import time
from typing import NamedTuple

from live.network import Namespace

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 2, 0x1000
_HOLD_S = 0.003  # a frame held back passes after this although nothing overtook it


class Harm(NamedTuple):
    """The chance of each, for one frame."""

    reorder: float = 0.05
    duplicate: float = 0.03
    drop: float = 0.01


class _Held(NamedTuple):
    overtaken_at: int  # the count of passed frames at which it goes
    deadline: float
    frame: bytes


def open_tap(namespace: Namespace, interface: str) -> int:
    """A new TAP device inside `namespace`; it goes when its file descriptor is closed."""

    def make() -> int:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TAP | _IFF_NO_PI))
        return device

    return namespace.within(make)


class Relay:
    """Passes frames between the devices `interface` of two namespaces until it is closed."""

    def __init__(self, left: Namespace, right: Namespace, interface: str = "eth0", seed: int = 1) -> None:
        self.harm: Harm | None = None
        self.reordered = self.duplicated = self.dropped = 0
        ends = open_tap(left, interface), open_tap(right, interface)
        self._ends = {ends[0]: ends[1], ends[1]: ends[0]}
        self._passed = dict.fromkeys(ends, 0)
        self._held: dict[int, list[_Held]] = {end: [] for end in ends}
        self._random = random.Random(seed)
        self._mirror: tuple[int, bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def mirror(self, namespace: Namespace, interface: str, vid: int, pcp: int) -> None:
        """Adds a device that gets a copy of every frame with a VLAN tag, like the mirror port of a switch."""
        tag = struct.pack("!HH", 0x8100, pcp << 13 | vid)
        device = open_tap(namespace, interface)
        namespace.run("ip", "link", "set", interface, "up")  # before that it takes nothing
        self._mirror = device, tag

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)
        if self._mirror:
            os.close(self._mirror[0])

    def _run(self) -> None:
        poll = select.poll()
        for end in self._ends:
            poll.register(end, select.POLLIN)
        while not self._stop.is_set():
            for end, events in poll.poll(1 if any(self._held.values()) else 20):
                if events & select.POLLIN:
                    self._take(os.read(end, 65536), self._ends[end])
            for end in self._ends:
                self._release(end)

    def _take(self, frame: bytes, out: int) -> None:
        """Decides what becomes of one frame."""
        if self._mirror:
            device, tag = self._mirror
            os.write(device, frame[:12] + tag + frame[12:])
        harm, chance = self.harm, self._random.random()
        if harm is None or chance > sum(harm):
            self._pass(frame, out)
        elif chance < harm.drop:
            self.dropped += 1
        elif chance < harm.drop + harm.duplicate:
            self.duplicated += 1
            self._pass(frame, out)
            self._hold(frame, out)
        else:
            self.reordered += 1
            self._hold(frame, out)

    def _hold(self, frame: bytes, out: int) -> None:
        overtaken_at = self._passed[out] + self._random.randint(1, 6)
        self._held[out].append(_Held(overtaken_at, time.monotonic() + _HOLD_S, frame))

    def _pass(self, frame: bytes, out: int) -> None:
        try:
            os.write(out, frame)
        except BlockingIOError:
            self.dropped += 1  # the host is slower than the cable
        except OSError:
            return  # a device that is not up yet takes nothing
        self._passed[out] += 1
        self._release(out)

    def _release(self, out: int) -> None:
        """Lets go of the frames whose time has come."""
        now, held = time.monotonic(), self._held[out]
        due = [one for one in held if one.overtaken_at <= self._passed[out] or one.deadline <= now]
        for one in due:
            held.remove(one)
        for one in due:
            self._pass(one.frame, out)

"""Listings, of many flows and while they come and go."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from craft import Conversation, Packet
from mounted.served import Served, served

pytestmark = pytest.mark.needs("fuse")

LIBC = ctypes.CDLL(None, use_errno=True)

LIST = """
import json, os, sys
listings = []
while not os.path.exists(sys.argv[2]):
    listings.append(os.listdir(sys.argv[1]))
print(json.dumps(listings))
"""


def conversation_of(number: int) -> Conversation:
    return Conversation(f"10.1.{number >> 8}.{number & 255}").handshake().client(0, b"abc")


def packets_of(numbers: range) -> list[Packet]:
    return [packet for number in numbers for packet in conversation_of(number).packets]


def name_of(number: int) -> str:
    return conversation_of(number).client_name()


@pytest.mark.slow
def test_listings_under_churn(mount: Served, tmp_path: Path) -> None:
    """What is there throughout comes exactly once, everything else at most once."""
    mount.feed_packets(packets_of(range(4000)))
    command = [sys.executable, "-c", LIST, str(mount.path), str(tmp_path / "stop")]
    listers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for number in range(0, 4000, 4):
        mount.evict(conversation_of(number))
        if number % 40 == 0:
            mount.feed_packets(packets_of(range(4000 + number, 4040 + number)))
    (tmp_path / "stop").touch()
    throughout = {name_of(number) for number in range(4000) if number % 4}
    for lister in listers:
        output, _ = lister.communicate(timeout=30)
        listings = json.loads(output)
        assert len(listings) > 3
        for names in listings:
            assert len(set(names)) == len(names)
            assert throughout <= set(names)


class Parts:
    """A listing by parts, as large as one call of getdents64(2) with a buffer gives them."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def take(self, buffer_bytes: int) -> list[str]:
        """Names; none at the end."""
        buffer = ctypes.create_string_buffer(buffer_bytes)
        length = LIBC.getdents64(self.number, buffer, len(buffer))
        assert length >= 0, os.strerror(ctypes.get_errno())
        names, at = [], 0
        while at < length:
            (step,) = struct.unpack_from("=H", buffer, at + 16)
            names.append(buffer.raw[at + 19 : at + step].partition(b"\0")[0].decode())
            at += step
        return names

    def rest(self) -> list[str]:
        names: list[str] = []
        while part := self.take(65_536):
            names += part
        return names

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.number)


def test_what_was_listed_is_not_listed_again_when_much_came_meanwhile(tmp_path: Path) -> None:
    """What is asked for next was made ahead, and names of what came are still to be made."""
    with served(tmp_path / "flows", names="%B:%b-%A:%a") as mount:
        mount.feed_packets(packets_of(range(500)))
        with Parts(mount.path) as listing:
            names = listing.take(4096)
            mount.feed_packets(packets_of(range(500, 4000)), notify=False)
            names += listing.rest()
    assert len(set(names)) == len(names)
    assert len(names) > 500


def test_a_listing_sets_no_size_back(mount: Served) -> None:
    """That was made ahead, of a flow that grows: a mapping would end there, in a SIGBUS."""
    mount.feed_packets(packets_of(range(200)))
    mount.ask("rest")
    growing = [conversation_of(number) for number in range(20, 120)]
    mount.feed_packets([conversation.client(3, b"def").packets[-1] for conversation in growing])
    with Parts(mount.path) as listing:
        assert len(listing.take(4096)) < 100
        mount.feed_packets([conversation.client(6, b"ghi").packets[-1] for conversation in growing])
        paths = [mount.client(conversation) for conversation in growing]
        assert {path.stat().st_size for path in paths} == {9}
        listing.rest()
    assert {known_size(path) for path in paths} == {9}


def known_size(path: Path) -> int:
    """What the kernel has of it, without asking anybody: AT_STATX_DONT_SYNC of statx(2)."""
    buffer = ctypes.create_string_buffer(256)
    assert LIBC.statx(-100, os.fsencode(path), 0x4000, 0x7FF, buffer) == 0
    return int(struct.unpack_from("=Q", buffer, 40)[0])

"""Listings, of many flows and while they come and go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from craft import Conversation, Packet
from mounted.served import Served

pytestmark = pytest.mark.needs("fuse")

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

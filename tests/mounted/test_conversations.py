"""`.flowfs/conversations` with the tools that people have, while it grows and when it is done."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from conversing import parsed
from craft import Conversation
from mounted.served import Served, run

pytestmark = pytest.mark.needs("fuse")


def place(mount: Served, capture: Conversation) -> Path:
    return mount.path / ".flowfs/conversations" / capture.client_name()


def test_cat_and_stat(mount: Served) -> None:
    capture = Conversation().handshake().client(0, b"GET /\n").server(0, b"200\n").client(6, b"!").close()
    mount.feed(capture)
    path = place(mount, capture)
    text = path.read_bytes()
    assert [turn.data for turn in parsed(text)] == [b"GET /\n", b"200\n", b"!"]
    assert path.stat().st_size == len(text)
    assert run("cat", path).stdout.encode() == text
    assert run("head", "-c", "100", path).stdout.encode() == text[:100]
    assert run("tail", "-c", "50", path).stdout.encode() == text[-50:]
    assert run("grep", "-c", "^===", path).stdout == "3\n"
    assert sorted(os.listdir(path.parent)) == sorted((capture.client_name(), capture.server_name()))
    assert (path.parent / capture.server_name()).read_bytes() == text
    assert "conversations" in run("ls", mount.path / ".flowfs").stdout
    assert run("ls", "-l", path).stdout.split()[4] == str(len(text))
    assert run("rm", "-f", path).returncode == 1
    with pytest.raises(OSError, match="Read-only"):
        path.open("w")


def test_any_part_of_a_large_one_that_grows(mount: Served) -> None:
    chance, capture, ends = random.Random(5), Conversation().handshake(), [0, 0]
    path = place(mount, capture)
    known = b""
    for at in range(120):
        for _ in range(chance.choice((1, 1, 30))):
            data = chance.randbytes(1400)
            (capture.server if at % 2 else capture.client)(ends[at % 2], data)
            ends[at % 2] += len(data)
        if at % 30 == 29:
            mount.feed(capture.server_ack(ends[0]).client_ack(ends[1]))
            size = path.stat().st_size
            text = path.read_bytes()
            assert len(text) == size
            assert text.startswith(known)
            assert len(text) > len(known)
            known = text
            for block in (1, 513, 4097, 131071):
                skip = chance.randrange(len(text) // block)
                got = subprocess.run(
                    ["dd", f"if={path}", f"bs={block}", f"skip={skip}", "count=3", "status=none"],
                    capture_output=True,
                    check=True,
                ).stdout
                assert got == text[skip * block : (skip + 3) * block]
    found = parsed(known)
    assert b"".join(turn.data for turn in found[::2]) == mount.client(capture).read_bytes()


def test_tail_follows(mount: Served) -> None:
    capture = Conversation().handshake().client(0, b"one\n").server(0, b"eins\n")
    mount.feed(capture)
    with subprocess.Popen(
        ["tail", "-s", "0.05", "-n", "+1", "-f", place(mount, capture)], stdout=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        heading = tail.stdout.readline()
        assert heading.startswith(b"=== ")
        assert tail.stdout.readline() == b"one\n"
        assert tail.stdout.readline() == b"\n"
        mount.feed(capture.client(4, b"two\n"))
        assert tail.stdout.readline().startswith(b"=== ")
        assert tail.stdout.readline() == b"eins\n"
        mount.evict(capture)  # what is open goes on
        mount.feed(capture.server(5, b"zwei\n").close())
        seen = [tail.stdout.readline() for _ in range(5)]
        tail.kill()
    assert seen[1].endswith(b" 0 bytes, 4 not held\n"), seen
    assert seen[4] == b"zwei\n"

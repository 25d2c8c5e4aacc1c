"""The tools of every day: each gives a beginning of the right bytes of a flow that grows, in the end all."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import pytest

from mounted.served import run
from tree.growing import (
    DATA,
    FIRST_BYTES,
    LINES,
    SEGMENT_BYTES,
    Growing,
    filled,
    is_beginning,
    is_part,
    output,
)

pytestmark = pytest.mark.needs("fuse")

# --- tools that read all of it ---------------------------------------------------------------------

TO_STANDARD_OUTPUT = {
    "cat": ["cat", "FLOW"],
    "head": ["head", "-c", "100000000", "FLOW"],
    "head-but": ["head", "-c", "-1000", "FLOW"],
    "tail": ["tail", "-c", "+1", "FLOW"],
    "tail-lines": ["tail", "-n", "+1", "FLOW"],
    "dd": ["dd", "if=FLOW", "bs=7919", "status=none"],
    "dd-direct": ["dd", "if=FLOW", "bs=4096", "iflag=direct", "status=none"],
    "grep": ["grep", "-a", "", "FLOW"],
    "rg": ["rg", "-N", "--no-heading", "--color=never", "", "FLOW"],
    "rg-mmap": ["rg", "--mmap", "-N", "--no-heading", "--color=never", "", "FLOW"],
    "sed": ["sed", "", "FLOW"],
    "awk": ["awk", "1", "FLOW"],
    "strings": ["strings", "-n", "1", "FLOW"],
    "less": ["sh", "-c", "less FLOW | cat"],
    "xargs": ["sh", "-c", "echo FLOW | xargs -P8 cat"],
}


@pytest.mark.parametrize("tool", TO_STANDARD_OUTPUT)
def test_what_a_tool_writes_is_a_beginning(growing: Growing, tool: str) -> None:
    command, less = filled(TO_STANDARD_OUTPUT[tool], FLOW=growing.path), 1000 * (tool == "head-but")
    growing.send(less)
    with growing.grows():
        for _ in range(3):
            assert is_beginning(output(command))
    growing.finish()
    assert output(command) == DATA[: len(DATA) - less]


TO_A_FILE = {
    "cp": ["cp", "FLOW", "COPY"],
    "cp-a": ["cp", "-a", "FLOW", "COPY"],
    "cp-sparse": ["cp", "--sparse=always", "FLOW", "COPY"],
    "dd": ["dd", "if=FLOW", "of=COPY", "bs=1001", "conv=sparse", "status=none"],
    "install": ["install", "-m", "600", "FLOW", "COPY"],
    "rsync": ["rsync", "-aX", "FLOW", "COPY"],
    "rsync-again": ["sh", "-c", "rsync -a FLOW COPY && rsync -a --append FLOW COPY"],
    "tar": ["sh", "-c", "tar -cf - -C DIRECTORY NAME 2>/dev/null | tar -xOf - > COPY"],
}


@pytest.mark.parametrize("tool", TO_A_FILE)
def test_what_a_tool_copies_is_a_beginning(growing: Growing, tool: str, tmp_path: Path) -> None:
    copy, flow = tmp_path / "copy", growing.path
    command = filled(TO_A_FILE[tool], FLOW=flow, COPY=copy, DIRECTORY=flow.parent, NAME=flow.name)
    with growing.grows():
        output(command)
        assert is_beginning(copy.read_bytes())
    growing.finish()
    copy.unlink()
    output(command)
    assert copy.read_bytes() == DATA


# --- tools that read a part --------------------------------------------------------------------------

# Where each begins, and how much it reads at the most.
PARTS: dict[str, tuple[int, int, list[str]]] = {
    "dd": (7 * 1001, 7 * 1000, ["dd", "if=FLOW", "bs=7", "skip=1001", "count=1000"]),
    "dd-bytes": (
        *(12_345, 50_001),
        ["dd", "if=FLOW", "bs=4097", "iflag=skip_bytes,count_bytes", "skip=12345", "count=50001"],
    ),
    "dd-to-the-end": (12_345, len(DATA), ["dd", "if=FLOW", "bs=997", "iflag=skip_bytes", "skip=12345"]),
    "dd-blocks": (3 * 4099, len(DATA), ["dd", "if=FLOW", "bs=4099", "skip=3", "iflag=fullblock"]),
    "dd-large": (61_001, len(DATA), ["dd", "if=FLOW", "ibs=1M", "skip=61001", "iflag=skip_bytes"]),
    "tail-from": (12_344, len(DATA), ["tail", "-c", "+12345", "FLOW"]),
    "tail-lines-from": (13 * 999, len(DATA), ["tail", "-n", "+1000", "FLOW"]),
    "head": (0, 12_345, ["head", "-c", "12345", "FLOW"]),
    "head-lines": (0, 13 * 1234, ["head", "-n", "1234", "FLOW"]),
    "cmp": (0, 0, ["cmp", "-n", "60000", "FLOW", "WHOLE"]),
}


@pytest.mark.parametrize("tool", PARTS)
def test_what_a_tool_reads_of_it_is_there(growing: Growing, whole: Path, tool: str) -> None:
    begin, count, words = PARTS[tool]
    command = filled(words, FLOW=growing.path, WHOLE=whole)
    with growing.grows():
        for _ in range(3):
            found = output(command)
            assert is_part(found, begin) or found == DATA[begin : begin + count]
            assert len(found) <= count
    growing.finish()
    assert output(command) == DATA[begin : begin + count]


@pytest.mark.parametrize("count", [1, 999, 1024, 50_001])
def test_the_last_bytes(growing: Growing, count: int) -> None:
    """Those of some moment: they end where a segment ended, behind what was there at first."""
    command: list[str | Path] = ["tail", "-c", str(count), growing.path]
    with growing.grows():
        for _ in range(3):
            found = output(command)
            if count == 1:
                assert found == b"\n"
            else:
                assert len(found) >= count
                assert DATA.find(found) >= FIRST_BYTES - count
            lines = output(["tail", "-n", "3", growing.path])
            assert DATA.find(lines) >= FIRST_BYTES - 3 * len(LINES[0])
            assert lines.count(b"\n") >= 3
    growing.finish()
    assert output(command) == DATA[-count:]
    assert output(["tail", "-n", "3", growing.path]) == b"".join(LINES[-3:])


# --- tools that compare and count --------------------------------------------------------------------


def test_tools_that_compare(growing: Growing, whole: Path) -> None:
    with growing.grows():
        assert "EOF on" in run("cmp", growing.path, whole).stderr
        lines = run("diff", growing.path, whole).stdout.splitlines()
        assert [line for line in lines if not line.startswith(">")][1:] == []  # `12345a12346,30000`
    growing.finish()
    assert run("cmp", growing.path, whole).returncode == 0
    assert run("diff", "-q", growing.path, whole).returncode == 0


def test_the_digest_of_a_flow_is_that_of_a_beginning(growing: Growing) -> None:
    digest, digests = hashlib.sha256(DATA[:FIRST_BYTES]), set()
    for at in range(FIRST_BYTES, len(DATA) + SEGMENT_BYTES, SEGMENT_BYTES):
        digests.add(digest.hexdigest())
        digest.update(DATA[at : at + SEGMENT_BYTES])
    eight = ["sh", "-c", f"yes {growing.path} | head -n 200 | xargs -P8 -n 5 sha256sum"]
    with growing.grows():
        said = output(eight).decode().splitlines()
        assert len(said) == 200
        assert {line.split()[0] for line in said} <= digests
    growing.finish()
    assert output(["sha256sum", growing.path]).split()[0].decode() == hashlib.sha256(DATA).hexdigest()


def test_tools_that_count(growing: Growing) -> None:
    with growing.grows():
        lines, count = map(int, run("wc", "-lc", growing.path).stdout.split()[:2])
        assert FIRST_BYTES <= count <= len(DATA)
        assert lines == count // len(LINES[0])
        apparent = int(run("du", "-b", growing.path).stdout.split()[0])
        assert FIRST_BYTES <= apparent <= len(DATA)
        assert "ASCII text" in run("file", growing.path).stdout
    growing.finish()
    assert run("wc", "-c", growing.path).stdout.split()[0] == str(len(DATA))
    assert int(run("du", "-k", growing.path).stdout.split()[0]) >= len(DATA) // 1024


# --- programs --------------------------------------------------------------------------------------


def test_mmap_of_a_flow_that_grows(growing: Growing) -> None:
    with growing.path.open("rb") as file, growing.grows():
        for _ in range(20):
            with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
                assert is_beginning(mapped[:])


def test_reading_backwards(growing: Growing) -> None:
    growing.finish()
    with growing.path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        assert end == len(DATA)
        parts = []
        while end > 0:
            begin = max(0, end - 4999)
            file.seek(begin)
            parts.append(file.read(end - begin))
            end = begin
        assert b"".join(reversed(parts)) == DATA

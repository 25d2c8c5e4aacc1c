"""The bytes of files and pipes, compressed or not: all of them, in bounded pieces, and what is damaged."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from flowfs.capture.inputs import PIECE_BYTES, Damaged, Input, open_input

NOISE = random.Random(5).randbytes(3 * PIECE_BYTES + 17)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
COMPRESSED = [name for name in PACKERS if name != "plain"]


def rest_of(opened: Input, start: bytes, keep: int = 0) -> bytes:
    """All bytes from `start` on, read with `keep` bytes unused each time."""
    whole, piece = b"", start
    while True:
        unused = piece[max(0, len(piece) - keep) :]
        whole += piece[: len(piece) - len(unused)]
        piece = opened.more(unused)
        assert piece.startswith(unused)
        if opened.at_end:
            return whole + piece


def until_damage(opened: Input) -> bytes:
    """What comes before the damage, which there must be."""
    whole = b""
    try:
        while not opened.at_end:
            whole += opened.more(b"")
    except Damaged:
        return whole
    pytest.fail("nothing is damaged")


def opened_file(path: Path) -> tuple[Input, bytes]:
    return open_input(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("keep", [0, 1, 70_000])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_file_is_given_whole(tmp_path: Path, packer: str, keep: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(PACKERS[packer](NOISE))
    opened, start = opened_file(path)
    assert rest_of(opened, start, keep) == NOISE
    assert opened.position == opened.size == path.stat().st_size
    opened.close()
    opened.close()


@pytest.mark.parametrize("packer", PACKERS)
def test_a_pipe_is_given_whole_and_says_when_to_wait(packer: str) -> None:
    reading, writing = os.pipe()
    data = PACKERS[packer](NOISE)

    def fill() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for start in range(0, len(data), 5000):
                file.write(data[start : start + 5000])

    thread = threading.Thread(target=fill)
    thread.start()
    opened, start = open_input(reading)
    assert rest_of(opened, start) == NOISE
    thread.join()
    opened.close()


def test_a_read_of_a_pipe_never_waits_twice() -> None:
    """What is compressed may hold nothing yet: more() comes back rather than wait for more."""
    reading, writing = os.pipe()
    data = gzip.compress(NOISE)
    os.write(writing, data[:20])
    opened, start = open_input(reading)
    while opened.waits_for < 0:
        start = opened.more(start)
    assert opened.waits_for == reading
    os.write(writing, data[20:21])
    more = opened.more(start)  # would hang
    assert NOISE.startswith(more)
    assert not opened.at_end
    os.close(writing)
    opened.close()


@pytest.mark.parametrize("packer", COMPRESSED)
def test_parts_one_after_another_and_padding(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "a"
    parts = [b"ab" * 50_000, b"", NOISE[:1000]]
    path.write_bytes(b"".join(map(PACKERS[packer], parts)) + bytes(100_000))
    opened, start = opened_file(path)
    assert rest_of(opened, start) == b"".join(parts)
    opened.close()


@pytest.mark.parametrize("packer", COMPRESSED)
def test_what_comes_before_damage_is_given(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "a"
    data = PACKERS[packer](NOISE)
    for damaged in (data[:-30], data + b"garbage behind it"):
        path.write_bytes(damaged)
        opened, whole = opened_file(path)
        whole += until_damage(opened)
        assert NOISE.startswith(whole)
        opened.close()


@pytest.mark.parametrize("packer", COMPRESSED)
def test_a_bomb_takes_a_piece_at_a_time(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(PACKERS[packer](bytes(64 << 20)))
    tracemalloc.start()
    opened, start = opened_file(path)
    size = len(start)
    while not opened.at_end:
        size += len(opened.more(b""))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    opened.close()
    assert size == 64 << 20
    assert most < 16 << 20


@pytest.mark.parametrize("packer", COMPRESSED)
def test_what_is_damaged_in_the_middle(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "a"
    data = PACKERS[packer](b"".join(b"%09d\n" % number for number in range(200_000)))
    path.write_bytes(data[: len(data) // 2] + b"\xff\0" * 500 + data[len(data) // 2 :])
    opened, _ = opened_file(path)
    until_damage(opened)
    opened.close()


@pytest.mark.parametrize("packer", PACKERS)
def test_a_fault_of_the_disk_is_no_damage(
    tmp_path: Path, packer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(PACKERS[packer](NOISE))
    opened, _ = opened_file(path)

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(OSError, match="Input/output error"):
        rest_of(opened, b"")
    opened.close()


def test_a_dictionary_that_is_too_large(tmp_path: Path) -> None:
    """The header of a zstd frame asks for a window of 2 GiB (RFC 8878, 3.1.1.1.2)."""
    path = tmp_path / "a.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3]) + bytes(1000))
    with pytest.raises(Damaged):
        opened_file(path)


@pytest.mark.parametrize("content", [b"", b"x", b"\x1f", b"BZ"])
def test_short_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    opened, start = opened_file(path)
    assert start == content
    assert opened.more(start) == content
    assert opened.at_end
    opened.close()


def test_a_file_that_grows_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    opened, start = opened_file(path)
    assert (start, opened.more(b"")) == (b"abc", b"")
    with path.open("ab") as file:
        file.write(b"def")
    assert opened.more(b"") == b"def"
    opened.close()

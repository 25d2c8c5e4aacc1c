"""`flowfs cat`, the real command on a real mount, into pipes, terminals and other tools."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from craft import Conversation
from live.mounting import FLOWFS
from mounted.readers import MIB, SOON_S, ended, heard, larger_than_memory
from mounted.served import Served, clean_up, run, start

pytestmark = pytest.mark.needs("fuse")


def cat(*arguments: str | Path) -> tuple[int, str, str]:
    done = run(*FLOWFS, "cat", *arguments)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def following(*arguments: str | Path, **more: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [*FLOWFS, "cat", "-f", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_flows_one_after_the_other(mount: Served, conversation: Conversation) -> None:
    mount.feed(conversation.server(0, b"\x1b[1mdef\r\n"))
    paths = mount.client(conversation), mount.server(conversation)
    assert cat(*paths) == (0, "abc\n\x1b[1mdef\n", "")  # text=True reads \r\n as \n
    link = mount.path / ".flowfs/by-port/80" / conversation.client_name()
    assert cat(link) == (0, "abc\n", "")
    assert cat("--both", paths[1]) == (
        *(0, f"==> {paths[0].name} <==\nabc\n\n==> {paths[1].name} <==\n\x1b[1mdef\n", ""),
    )


def test_more_flows_than_may_be_open_at_first(mount: Served) -> None:
    """The limit is 1024 where people log in, and a pattern has no such limit."""
    for port in range(1, 41):
        mount.feed(Conversation(client_port=port).handshake().client(0, b"abc\n"))
    done = run("sh", "-c", f"ulimit -Sn 20; {' '.join(FLOWFS)} cat {mount.path}/*")
    assert (done.returncode, done.stdout, done.stderr) == (0, "abc\n" * 40, "")


def test_what_is_no_flow(mount: Served, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "file", tmp_path / "fifo", tmp_path, mount.path / ".flowfs/status.json"):
        assert cat(path) == (1, "", f"flowfs: {path}: not a flow, that is a file in a mount of flowfs\n")
    assert cat("a\x1b[2J")[2] == "flowfs: a?[2J: no such file or directory\n"
    assert cat(mount.path / "none") == (1, "", f"flowfs: {mount.path / 'none'}: no such file or directory\n")


@pytest.mark.parametrize("end", ["fin", "rst", "evict", "rm", "idle"])
def test_following_to_the_end(mount: Served, conversation: Conversation, end: str) -> None:
    with following(mount.client(conversation)) as process:
        assert heard(process, b"\n") == b"abc\n"
        for word in (b"def\n", b"ghi\n"):
            mount.feed(conversation.client(conversation.client_next, word))
            assert heard(process, b"\n", SOON_S) == word
        assert process.poll() is None
        if end == "evict":
            mount.evict(conversation)
        elif end == "rm":
            mount.client(conversation).unlink()
        elif end == "idle":
            mount.ask("tick", conversation.clock_ns + 3600 * 10**9)
        else:
            last = conversation.client(conversation.client_next, b"end\n").server_ack(16)
            mount.feed(last.close() if end == "fin" else last.rst())
        assert ended(process) == (0, b"end\n" if end in ("fin", "rst") else b"", b"")


def test_following_waits_without_turning(mount: Served, conversation: Conversation) -> None:
    with following(mount.client(conversation)) as process:
        heard(process, b"\n")
        before = switches(process.pid)
        time.sleep(1)  # and nothing comes
        assert switches(process.pid) - before <= 2


def switches(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)


def test_a_compressed_stream_live(mount: Served) -> None:
    """Whoever unpacks it sees each line as soon as it can be unpacked."""
    packer = zlib.compressobj(wbits=31)
    flush = zlib.Z_SYNC_FLUSH
    conversation = Conversation().handshake()
    line = b"line %06d\n"

    def send(number: int) -> None:
        packed = packer.compress(line % number) + packer.flush(flush)
        mount.feed(conversation.client(conversation.client_next, packed))

    send(0)
    pipe = f"{' '.join(FLOWFS)} cat -f {mount.client(conversation)} | zcat"
    # zcat writes when it has much, or at the end; so the last lines show that it got them.
    with subprocess.Popen(["sh", "-c", pipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for number in range(1, 50):
            send(number)
        rest = packer.flush()
        mount.feed(conversation.client(conversation.client_next, rest))
        mount.feed(conversation.server_ack(conversation.client_next).close())
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, b"")
    assert out == b"".join(line % number for number in range(50))


def test_both_directions_by_turns(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"HELO\n")
    mount.feed(conversation)
    client, server = mount.client(conversation), mount.server(conversation)
    with following("--both", client) as process:
        assert heard(process, b"HELO\n") == b"==> %s <==\nHELO\n" % client.name.encode()
        mount.feed(conversation.server(0, b"250 hello\n"))  # from now on its file is there
        assert heard(process, b"hello\n", 2) == b"\n==> %s <==\n250 hello\n" % server.name.encode()
        mount.feed(conversation.server(10, b"250 more\n"))
        assert heard(process, b"more\n", SOON_S) == b"250 more\n"
        mount.feed(conversation.client(5, b"QUIT\n"))
        assert heard(process, b"QUIT\n", SOON_S) == b"\n==> %s <==\nQUIT\n" % client.name.encode()
        mount.feed(conversation.server_ack(10).client_ack(19).close())
        assert ended(process) == (0, b"", b"")


def test_several_are_followed_at_once(mount: Served) -> None:
    conversations = [Conversation(client_port=port).handshake().client(0, b"1\n") for port in (1, 2)]
    for conversation in conversations:
        mount.feed(conversation)
    paths = [mount.client(conversation) for conversation in conversations]
    with following(*paths) as process:
        heard(process, b"%s <==\n1\n" % paths[1].name.encode())
        mount.feed(conversations[0].client(2, b"2\n").server_ack(4).close())
        assert heard(process, b"2\n", SOON_S) == b"\n==> %s <==\n2\n" % paths[0].name.encode()
        assert process.poll() is None
        mount.feed(conversations[1].server_ack(2).close())
        assert ended(process) == (0, b"", b"")


# --- what is missing -------------------------------------------------------------------------------


def test_lost_bytes_are_told(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"abc").client(6, b"def").server_ack(9)
    mount.feed(conversation.wait(1).client(9, b"\0").server_ack(10).wait(1).other())
    path = mount.client(conversation)
    told = f"flowfs: {path.name}: 3 bytes were lost and read as zeros, at 3-6\n"
    assert cat(path) == (0, "abc\0\0\0def\0", told)
    assert cat("-q", path) == (0, "abc\0\0\0def\0", "")
    with following(path) as process:
        heard(process, b"def\0")
        mount.feed(conversation.client(10, b"\0").server_ack(11).close())
        assert ended(process) == (0, b"\0", told.encode())


def test_freed_bytes_are_told(tmp_path: Path) -> None:
    with larger_than_memory(tmp_path / "flows") as (mount, conversation, whole):
        path = mount.client(conversation)
        done = subprocess.run([*FLOWFS, "cat", path], capture_output=True, check=False)
        kept = len(done.stdout)
        assert 300_000 < kept < MIB
        assert done.stdout == whole[-kept:]
        count = f"{len(whole) - kept:,}"
        told = f"flowfs: {path.name}: {count} bytes were freed before they were read, from 0 on\n"
        assert (done.returncode, done.stderr.decode()) == (1, told)


# --- who ends it -----------------------------------------------------------------------------------


def test_interrupting_ends_it_at_once(mount: Served, conversation: Conversation) -> None:
    with following(mount.client(conversation)) as process:
        heard(process, b"\n")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, b"", b"")
        assert time.monotonic() - began < SOON_S


def test_killing_ends_it_at_once(mount: Served, conversation: Conversation) -> None:
    with following(mount.client(conversation)) as process:
        heard(process, b"\n")
        process.kill()
        assert process.wait(SOON_S) == -signal.SIGKILL
    assert mount.client(conversation).read_bytes() == b"abc\n"


@pytest.mark.parametrize("says_more", [False, True])
def test_nobody_reads_any_more(mount: Served, conversation: Conversation, says_more: bool) -> None:
    """Without a word: it is noticed although there is nothing to write."""
    with following(mount.client(conversation)) as process:
        heard(process, b"\n")
        assert process.stdout is not None
        process.stdout.close()
        if says_more:
            mount.feed(conversation.client(4, b"def\n"))
        process.wait(SOON_S * 2)
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_the_mount_goes(tmp_path: Path) -> None:
    mount, conversation = start(tmp_path), Conversation().handshake().client(0, b"abc\n")
    try:
        mount.feed(conversation)
        path = mount.client(conversation)
        with following(path) as process:
            heard(process, b"\n")
            mount.process.kill()
            mount.process.wait(5)
            status, _, err = ended(process)
        assert (status, err.decode()) == (1, f"flowfs: {path}: its mount has gone\n")
    finally:
        clean_up(mount)


def test_on_a_terminal_nothing_acts(mount: Served) -> None:
    conversation = Conversation().handshake().client(0, b"\x1b[2Jpass\rword\x07\r\n")
    mount.feed(conversation)
    for options, expected in (
        ([], b"\\x1b[2Jpass\\rword\\x07\r\n"),
        (["--raw"], b"\x1b[2Jpass\rword\x07\r\r\n"),
    ):
        main, side = pty.openpty()
        process = subprocess.Popen([*FLOWFS, "cat", *options, str(mount.client(conversation))], stdout=side)
        os.close(side)
        assert process.wait(10) == 0
        assert os.read(main, 1000) == expected
        os.close(main)

"""Programs that people use: mail and web clients, and cat, grep and tail beside them."""

from __future__ import annotations

import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest

from craft import Conversation
from live.mounting import mounted
from live.network import Namespace
from live.traffic import Talk, some_bytes, talk
from waiting import eventually

pytestmark = pytest.mark.needs("netns", "fuse")

Pair = tuple[Namespace, Namespace]


# --- mail --------------------------------------------------------------------------------------


class Client(smtplib.SMTP):
    """smtplib's client, from inside a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(local_hostname="client.example")
        self._namespace = namespace

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._namespace.connect(host, port)


def serve_mail(listener: socket.socket) -> None:
    """Takes one session, as RFC 5321 has it, and says yes to everything."""
    connection, _ = listener.accept()
    connection.settimeout(10)
    with connection, connection.makefile("rwb", buffering=0) as lines:
        lines.write(b"220 server.example ESMTP\r\n")
        while command := lines.readline().upper():
            if command.startswith(b"DATA"):
                lines.write(b"354 go on\r\n")
                while lines.readline() not in (b".\r\n", b""):
                    pass
            lines.write(b"221 bye\r\n" if command.startswith(b"QUIT") else b"250 ok\r\n")
            if command.startswith(b"QUIT"):
                return


def test_a_mail_session_as_it_happens(pair: Pair, tmp_path: Path) -> None:
    message = "Subject: hello\r\n\r\nA letter to nobody.\r\n" + "x" * 70 + "\r\n"
    with (
        pair[1].listen("10.9.0.2") as listener,
        mounted(pair[1], tmp_path / "mnt", "-i", "eth0", "tcp") as mount,
    ):
        server = threading.Thread(target=serve_mail, args=(listener,))
        server.start()
        client = Client(pair[0])
        client.connect("10.9.0.2", listener.getsockname()[1])
        client.ehlo()
        assert client.sock is not None
        near, far = client.sock.getsockname(), client.sock.getpeername()
        names = Conversation(near[0], far[0], near[1], far[1])
        # The session is still open: what was said is there to be searched.
        assert eventually(lambda: grep(mount.path, "client.example") == [names.client_name()])
        assert eventually(lambda: grep(mount.path, "server.example") == [names.server_name()])
        client.sendmail("me@client.example", ["you@server.example"], message)
        assert eventually(lambda: grep(mount.path, "letter to nobody") == [names.client_name()])
        client.quit()
        server.join()
        assert eventually(lambda: cat(mount.path / names.server_name()).endswith(b"221 bye\r\n"))
        said = cat(mount.path / names.client_name())
        assert said.startswith(b"ehlo client.example\r\nmail FROM:<me@client.example>")
        assert said.endswith(message.encode() + b".\r\nquit\r\n")


LETTER = "Subject: a letter\\n\\n.a line that begins with a dot\\nGrüße\\n" + "x" * 70 + "\\n"
SUBMISSION = 2525


@pytest.mark.needs("swaks")
def test_swaks(alone: Namespace, tmp_path: Path) -> None:
    """The files are what swaks says that it sent and got, and what mail admins read them with agrees."""
    with alone.socket("127.0.0.1") as listener:
        listener.bind(("127.0.0.1", SUBMISSION))
        listener.listen()
        server = threading.Thread(target=serve_mail, args=(listener,), daemon=True)
        server.start()
        with mounted(alone, tmp_path / "mnt", "-i", "lo", f"tcp port {SUBMISSION}") as mount:
            told = alone.run(
                *("swaks", "--server", "127.0.0.1", "--port", str(SUBMISSION), "--helo", "client.example"),
                *("--from", "ada@example.org", "--to", "grace@example.net", "--data", LETTER),
            )
            server.join(10)
            assert eventually(lambda: len(mount.names()) == 2)
            answers, commands = sorted(mount.names(), key=lambda name: f".{SUBMISSION:05}-" not in name)
            mount.check(commands, spoken(told, " -> "))
            mount.check(answers, spoken(told, "<-  "))
            assert mount.status()["statistics"]["lost_bytes"] == 0
            assert grep(mount.path, "RCPT TO:<grace@example.net>") == [commands]
            paged = subprocess.run(["less", mount.path / commands], capture_output=True, check=True).stdout
            assert paged == cat(mount.path / commands)
            assert b"\r\n..a line that begins with a dot\r\n" in paged
            with tail("-n", "1", "-f", mount.path / answers) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"221 bye\r\n"


def spoken(transcript: str, mark: str) -> bytes:
    """What one side said, of the lines that swaks marks."""
    lines = [line.rstrip("\r") for line in transcript.split("\n") if line.startswith(mark)]
    return "".join(line[len(mark) :] + "\r\n" for line in lines).encode()


def cat(path: Path) -> bytes:
    return subprocess.run(["cat", path], capture_output=True, check=True).stdout


def grep(folder: Path, pattern: str) -> list[str]:
    """The names of the files below that hold it."""
    done = subprocess.run(
        ["grep", "-rlF", pattern, "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return [line.removeprefix("./") for line in done.stdout.splitlines()]


# --- the web -----------------------------------------------------------------------------------

PAGE = some_bytes(2_000_000, 7)


class Handler(BaseHTTPRequestHandler):
    """Answers every path with the same page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def web_server(namespace: Namespace, address: str) -> Iterator[int]:
    """A server in a namespace; yields its port."""
    server = ThreadingHTTPServer((address, 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = namespace.listen(address)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(which("curl") is None, reason="there is no curl")
def test_curl(pair: Pair, tmp_path: Path) -> None:
    with (
        web_server(pair[1], "10.9.0.2") as port,
        mounted(pair[0], tmp_path / "mnt", "-i", "eth0", f"port {port}") as mount,
    ):
        urls = [f"http://10.9.0.2:{port}/{page}" for page in ("one", "two")]
        pair[0].run("curl", "-sS", "-o", "/dev/null", urls[0], "-o", "/dev/null", urls[1])
        assert eventually(lambda: len(mount.names()) == 2)
        answer, question = sorted(mount.names(), key=lambda name: f".{port:05}-" not in name)
        assert eventually(lambda: mount.size(answer) > 2 * len(PAGE))
        asked, answered = (mount.path / question).read_bytes(), (mount.path / answer).read_bytes()
        assert [line for line in asked.splitlines() if b"GET" in line] == [
            b"GET /one HTTP/1.1",
            b"GET /two HTTP/1.1",
        ]
        assert answered.count(PAGE) == 2


# --- following ---------------------------------------------------------------------------------


@contextmanager
def tail(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["tail", *arguments], stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_tail_follows(pair: Pair, tmp_path: Path) -> None:
    with mounted(pair[1], tmp_path / "mnt", "-i", "eth0") as mount, talk(*pair, "10.9.0.2") as told:
        told.client.sendall(b"the first line\n")
        mount.check(told.up, b"the first line\n")
        with tail("-n", "+1", "-f", mount.path / told.up) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"the first line\n"
            for number in range(3):
                assert delay_of_a_line(told, process, number) < 1.5


def delay_of_a_line(told: Talk, process: subprocess.Popen[bytes], number: int) -> float:
    """Seconds from the sending of a line until tail prints it."""
    assert process.stdout is not None
    begin = time.monotonic()
    told.client.sendall(f"line {number}\n".encode())
    assert process.stdout.readline() == f"line {number}\n".encode()
    return time.monotonic() - begin

"""What reaches a terminal: nothing that was captured may act on it."""

from __future__ import annotations

import contextlib
import os
import pty
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.cli.output import Escaper, Output


def shown(*pieces: bytes) -> str:
    escaper = Escaper()
    return "".join(escaper.text(piece) for piece in pieces) + escaper.text(b"", final=True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"),
        (b"a\tb\\x1b", "a\tb\\x1b"),
        (b"\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        (b"pass\rword\r", "pass\\rword\\r"),
        (b"\x00\x08\x0b\x0c\x0e\x7f", "\\x00\\x08\\x0b\\x0c\\x0e\\x7f"),
        (b"\x9b31m\xff\xfe", "\\x9b31m\\xff\\xfe"),
        ("\x9b31m\x85".encode(), "\\u009b31m\\u0085"),
        ("grün 漢字 \U0001f600".encode(), "grün 漢字 \U0001f600"),
        ("\u202etxt.exe\u2028\ufeff\u200b".encode(), "\\u202etxt.exe\\u2028\\ufeff\\u200b"),
        ("\U000e0041".encode(), "\\U000e0041"),
        (b"\xed\xb3\xbf", "\\xed\\xb3\\xbf"),  # a surrogate is no UTF-8
        (b"\xe6\xbc", "\\xe6\\xbc"),
    ],
)
def test_what_is_shown(data: bytes, text: str) -> None:
    assert shown(data) == text
    assert shown(*(data[at : at + 1] for at in range(len(data)))) == text


@given(st.lists(st.binary()))
def test_whatever_comes_nothing_acts(pieces: list[bytes]) -> None:
    text = shown(*pieces)
    assert all(letter.isprintable() or letter in "\n\t" for letter in text)
    assert text == shown(b"".join(pieces))


class Terminal(Output):
    """Output to a terminal that is read by the test."""

    def __init__(self, **options: bool) -> None:
        self.main, self.side = pty.openpty()
        kept = os.dup(1)
        os.dup2(self.side, 1)
        try:
            with os.fdopen(os.dup(self.side), "w") as out, contextlib.redirect_stdout(out):
                super().__init__(**options)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        self.descriptor = self.side

    def seen(self) -> bytes:
        seen = b""
        while select.select([self.main], [], [], 0.05)[0]:
            seen += os.read(self.main, 4096)
        return seen.replace(b"\r\n", b"\n")


@pytest.fixture
def terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("terminals")
def test_a_terminal_sees_escapes_and_colours() -> None:
    terminal = Terminal(labelled=True)
    terminal.say("a", b"one\x1b[1m\n", 0)
    terminal.say("b", b"two\n", 1)
    seen = terminal.seen()
    assert b"one\\x1b[1m\n" in seen
    assert b"\x1b[36mone" in seen
    assert b"\x1b[32mtwo" in seen
    assert b"==> a <==" in seen


@pytest.mark.usefixtures("terminals")
def test_a_terminal_gets_what_it_was_asked_for() -> None:
    terminal = Terminal(raw=True)
    terminal.say("a", b"one\x1b[1m\r")
    assert terminal.seen() == b"one\x1b[1m\r"


@pytest.mark.usefixtures("terminals")
def test_a_terminal_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR")
    terminal = Terminal(labelled=True)
    terminal.say("a", b"one\n", 0)
    assert b"\x1b[3" not in terminal.seen()


def test_a_pipe_gets_the_bytes_and_whose_turn_it_is() -> None:
    output = Output(labelled=True)
    read, output.descriptor = os.pipe()
    os.set_blocking(output.descriptor, False)
    for speaker, data in (("a", b"1\x1b\r\n"), ("a", b""), ("b", b""), ("a", b"2\xff"), ("b", b"3")):
        output.say(speaker, data)
    assert os.read(read, 1000) == b"==> a <==\n1\x1b\r\n2\xff\n==> b <==\n3"
    os.close(read)
    with pytest.raises(BrokenPipeError):
        output.say("b", b"4")
    os.close(output.descriptor)

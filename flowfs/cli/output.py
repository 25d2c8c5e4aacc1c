"""What flows say, on standard output: as it is, or for a terminal, and whose turn it is.

Owns standard output while it is used. Always true: what was given has been written when a call returns; of
captured bytes nothing acts on a terminal but the ends of lines and tabs, unless that was asked for.
"""

import codecs
import os
import re
import select
import sys

from .terminal import output_painter

_UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")
_BYTE = 0xDC00  # where surrogateescape puts what is not UTF-8
COLOURS = ("cyan", "green")


class Escaper:
    """Makes text of bytes that come in pieces, with whatever may act on a terminal as \\x1b or \\u202e.

    A CR before an LF is left out.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._return = ""  # a CR of which it is not known what follows

    def text(self, data: bytes, final: bool = False) -> str:
        """Of a character that is cut, the beginning waits for the rest unless there is none."""
        text = (self._return + self._decoder.decode(data, final)).replace("\r\n", "\n")
        self._return = ""
        if text.endswith("\r") and not final:
            text, self._return = text[:-1], "\r"
        return _UNUSUAL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    if letter.isprintable():
        return letter
    number = ord(letter)
    if _BYTE <= number <= _BYTE + 0xFF:
        return f"\\x{number - _BYTE:02x}"
    if number < 0x80:
        return "\\r" if letter == "\r" else f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class Output:
    """Standard output for several speakers. `labelled`: a line says who speaks whenever that changes."""

    def __init__(self, *, labelled: bool = False, raw: bool = False) -> None:
        self.descriptor = 1
        self._labelled = labelled
        self._speaker = ""
        self._escapers: dict[str, Escaper] | None = None
        if os.isatty(self.descriptor) and not raw:
            self._escapers = {}
        self._paint = output_painter() if labelled else None

    def say(self, speaker: str, data: bytes, side: int = 0, final: bool = False) -> None:
        """`side`: which of the COLOURS; `final`: it says no more. Raises OSError."""
        if self._escapers is not None:
            escaper = self._escapers.setdefault(speaker, Escaper())
            data = escaper.text(data, final).encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        if not data:
            return
        if self._labelled and speaker != self._speaker:
            line = "\n" * bool(self._speaker) + f"==> {speaker} <==\n"
            self._speaker = speaker
            self._write(self._coloured(line.encode(), f"bold {COLOURS[side]}"))
        self._write(self._coloured(data, COLOURS[side]))

    def _coloured(self, data: bytes, style: str) -> bytes:
        if self._paint is None:
            return data
        before, _, after = self._paint("\0", style).partition("\0")
        return before.encode() + data + after.encode()

    def _write(self, data: bytes) -> None:
        """All of it, unbuffered: whoever reads may wait for it."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:  # somebody else has made it so
                select.select([], [self.descriptor], [])

"""Templates of names: tcpflow's letters, and what makes a path of them that a file system can have.

Knows the letters and how long each can become; no flow, which `tree.letters` writes them of. Always true of a
Template: whatever its letters become, each of its parts is a name of at most NAME_MAX bytes, with room for
what tells two flows of one name apart. So what is wrong with it is told once, before there is a flow.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT = "%A.%a-%B.%b%V%v%C%c"

MAX_PARTS = 16
MAX_PATH_BYTES = 1024  # with what the mount lies in, far below PATH_MAX of limits.h
NAME_MAX = 255  # of limits.h
SPARE_BYTES = 32  # ~SERIAL in a mount, and +0001 in an archive
HIDDEN = ".flowfs"  # the mount's own, and an archive's scratch directories begin with it

LINK_LETTERS = "EeS"

_FIELD = "%"


class Letter(NamedTuple):
    """`most_bytes`: of what it becomes. `what`: in few words, for the help."""

    most_bytes: int
    what: str


LETTERS = {
    "A": Letter(39, "source address"),
    "a": Letter(5, "source port"),
    "B": Letter(39, "destination address"),
    "b": Letter(5, "destination port"),
    "V": Letter(2, "-- on a VLAN"),
    "v": Letter(4, "VLAN"),
    "T": Letter(20, "time of the first packet, as in 2024-03-05T09:30:00Z"),
    "t": Letter(11, "the same in seconds since 1970"),
    "C": Letter(1, "c if %c says anything"),
    "c": Letter(19, "count of earlier connections on these ports, if any"),
    "#": Letter(19, "the same, 0 too"),
    "N": Letter(3, "flow number modulo 1000"),
    "K": Letter(3, "the same of thousands"),
    "M": Letter(3, "of millions"),
    "G": Letter(3, "of milliards"),
    "S": Letter(20, "number of the connection, that both directions share"),
    "E": Letter(17, "source Ethernet address"),
    "e": Letter(17, "destination Ethernet address"),
    "%": Letter(1, "a percent sign"),
}


class TemplateError(ValueError):
    """It is none; str() says why, in one line, and does not repeat it."""


Piece = tuple[str, bool]
"""Text as it is, or (True) a letter."""


class Template:
    """`parts`: what stands between its slashes, as pieces. Raises TemplateError."""

    def __init__(self, text: str) -> None:
        self.text = text
        _check_text(text)
        self.parts = [_pieces(part) for part in text.split("/")]
        lengths = [_most_bytes(pieces) for pieces in self.parts]
        for number, length in enumerate(lengths):
            room = NAME_MAX - (SPARE_BYTES if number == len(lengths) - 1 else len("_"))
            if length > room:
                raise TemplateError(f"a name may become {length} bytes long, more than {room}")
        if len(lengths) > MAX_PARTS or sum(lengths) > MAX_PATH_BYTES:
            raise TemplateError(f"more than {MAX_PARTS} parts or {MAX_PATH_BYTES} bytes")

    def has(self, letters: str) -> bool:
        """Whether any of these letters is in it."""
        return any((letter, True) in pieces for letter in letters for pieces in self.parts)


def wants_links(text: str) -> bool:
    """Whether names need Ethernet addresses; False for what is no template."""
    try:
        return Template(text).has(LINK_LETTERS)
    except TemplateError:
        return False


def _check_text(text: str) -> None:
    """What is wrong with it whatever its letters are."""
    if not text:
        raise TemplateError("it is empty")
    if not text.isprintable():  # surrogates included, which stand for bytes that are no UTF-8
        raise TemplateError("only characters that can be printed, in UTF-8")
    if text.startswith("/"):
        raise TemplateError("names are in the mount: no / at the beginning")
    parts = text.split("/")
    if "" in parts:
        raise TemplateError("there is nothing between two slashes, or behind the last one")
    for part in parts:
        if part in (".", ".."):
            raise TemplateError(f"{part} is no name")
    if parts[0].startswith(HIDDEN):
        raise TemplateError(f"what begins with {HIDDEN} is taken")


def _pieces(part: str) -> list[Piece]:
    pieces: list[Piece] = []
    rest = part
    while rest:
        literal, field, rest = rest.partition(_FIELD)
        if literal:
            pieces.append((literal, False))
        if not field:
            break
        letter, rest = rest[:1], rest[1:]
        if letter not in LETTERS or not letter:
            raise TemplateError(f"{_wrong(letter)}; there are %{' %'.join(LETTERS)}")
        pieces.append((letter, True))
    return pieces


def _wrong(letter: str) -> str:
    if not letter:
        return "there is nothing behind the last %, and a percent sign is %%"
    other = letter.swapcase()
    meant = f" (%{other} is)" if other in LETTERS and letter.isascii() else ""
    return f"%{letter} is no letter of it{meant}"


def _most_bytes(pieces: list[Piece]) -> int:
    return sum(LETTERS[text].most_bytes if is_letter else len(text.encode()) for text, is_letter in pieces)


def letters_help() -> str:
    """One line for each letter's meaning, for the help."""
    return ", ".join(f"%{letter} {known.what}" for letter, known in LETTERS.items())

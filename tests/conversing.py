"""`.flowfs/conversations/NAME` taken apart again: the headings, and the bytes behind each.

Owns a strict parser of its form, which knows nothing of how it is made, and the way to read one of an engine.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flowfs.core.engine import Engine
from flowfs.tree import ROOT, Tree

ALL = 1 << 30
HEADING = re.compile(
    rb"=== (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ([0-9a-f.:]+) > ([0-9a-f.:]+)"
    rb" (\d+) bytes((?:, \d+ [a-z ]+)*)\n"
)


class Said(NamedTuple):
    """One turn as a reader has it."""

    time: str
    sender: str
    receiver: str
    data: bytes
    notes: dict[str, int]


def parsed(text: bytes) -> list[Said]:
    """The turns in a conversation; it must be nothing else."""
    found = []
    at = 0
    while at < len(text):
        match = HEADING.match(text, at)
        assert match is not None, text[at : at + 200]
        time, sender, receiver, length, notes = match.groups()
        end = match.end() + int(length)
        assert text[end : end + 1] == b"\n", "a newline behind the bytes"
        said = {what.decode(): int(count) for count, what in re.findall(rb", (\d+) ([a-z ]+)", notes)}
        found.append(Said(time.decode(), sender.decode(), receiver.decode(), text[match.end() : end], said))
        at = end + 1
    return found


class Reader:
    """An open conversation, read as a tail(1) does: what comes behind what it has."""

    def __init__(self, tree: Tree, name: str) -> None:
        self.tree = tree
        self.inode = inode_of(tree, name)
        self.handle = tree.open(self.inode).handle
        self.text = b""

    def go_on(self) -> bytes:
        """All there is by now; what was there must be there still."""
        assert self.tree.attributes(self.inode).size >= len(self.text)
        text = self.tree.read(self.handle, 0, ALL)
        assert text.startswith(self.text)
        assert self.tree.attributes(self.inode).size == len(text)
        self.text = text
        return text

    def close(self) -> None:
        self.tree.release(self.handle)


def inode_of(tree: Tree, name: str) -> int:
    control = tree.lookup(ROOT, b".flowfs").inode
    folder = tree.lookup(control, b"conversations").inode
    return tree.lookup(folder, name.encode()).inode


def conversation(engine: Engine, name: str) -> bytes:
    """What is there now."""
    reader = Reader(Tree(engine), name)
    try:
        return reader.go_on()
    finally:
        reader.close()

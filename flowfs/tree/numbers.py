"""Inode numbers: which there are, and what each stands for.

1 is the root, a small number `.flowfs` and each thing in it that is always there; FIRST_FLOW + serial is a
flow. All others have a kind, and what it is of: a serial, a port, an hour, an address; a stream has a serial,
and who it is for. So the number alone says what it is, and nothing has to be remembered for those who hold
one: there are no lookups to count, and nothing that a FORGET would end. Serials are never used twice, so
neither are the inode numbers of flows.
"""

from __future__ import annotations

import enum

ROOT = 1
FIRST_FLOW = 1024  # the inode number of serial 0, which no flow has
_KIND_SHIFT = 48  # flows are fewer than 2**48, and so are addresses, ports and hours
FIRST_STREAM = 1 << 61  # above all kinds; below 1 << 62
_STREAMS = 1 << 13  # of one flow that can be told apart


class Fixed(enum.IntEnum):
    """What is always there."""

    CONTROL = 2
    README = 3
    STATUS = 4
    METRICS = 5
    FLOWS = 6
    EVENTS = 7
    EVENTS_BEFORE = 8
    META = 9
    BY_HOST = 10
    BY_PORT = 11
    BY_STATE = 12
    BY_TIME = 13
    CONVERSATIONS = 14
    FOLLOW = 15


class Kind(enum.IntEnum):
    """What there are many of, and what the lower bits are then."""

    META = 1  # a serial: what is known of a flow
    LINK = 2  # a serial: a symbolic link to a flow
    HOST = 3  # of `by-host`, and so on: the number of an address
    PORT = 4
    STATE = 5
    HOUR = 6
    CONVERSATION = 8  # a serial: that of the flow whose name it has
    PLACE = 32  # a directory of flows, by its number
    LOG = 7  # of events, by its number; what `Fixed` has are but their places


_KINDS = frozenset(Kind)
_FIXED = frozenset(Fixed)


def inode_of(kind: Kind, number: int) -> int:
    """The inode of a number of this kind."""
    return kind << _KIND_SHIFT | number


def kind_of(inode: int) -> tuple[Kind, int] | None:
    """What a kind's inode stands for; None for all others."""
    kind = inode >> _KIND_SHIFT
    return (Kind(kind), inode & (1 << _KIND_SHIFT) - 1) if kind in _KINDS else None


def stream_inode(serial: int, reader: int) -> int:
    """A FIFO for the flow of this number. Another for each reader, 0 for none; after 8191 begins again."""
    return FIRST_STREAM | reader % _STREAMS << _KIND_SHIFT | serial


def stream_of(inode: int) -> int | None:
    """The serial of the flow that a FIFO is for; None for all others."""
    return inode & (1 << _KIND_SHIFT) - 1 if FIRST_STREAM <= inode < FIRST_STREAM << 1 else None


def is_flow(inode: int) -> bool:
    """Whether the inode is, or was, that of a flow."""
    return FIRST_FLOW < inode < 1 << _KIND_SHIFT


def fixed(inode: int) -> Fixed | None:
    """Which of what is always there it is."""
    return Fixed(inode) if inode in _FIXED else None

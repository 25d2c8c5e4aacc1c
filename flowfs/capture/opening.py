"""Opens sources, and says in one line why one cannot be opened and what to do about it.

Knows libpcap's ways of failing: numbers without words, and words without names. Always true: whatever is
returned has a link type that the core can decode, and its filter is in place.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
from collections.abc import Callable
from typing import Any

import pcapy

from flowfs.called import command
from flowfs.config import ANY, BUFFER_KIB, MAX_SNAPLEN
from flowfs.core.decode import LINK_TYPES

from .formats import Unreadable
from .inputs import Damaged
from .savefile import Savefile
from .sources import META_BYTES, Batch, Interface, interfaces, link_name

# How long the kernel gathers packets before it hands them out. Its timer runs as often on a silent interface.
READ_TIMEOUT_MS = 4

SHOWN_LETTERS = 200  # of a filter that is wrong, which may be a file that was not meant
PATIENCE_S = 1  # a pipe that has nothing for so long is a riddle to who looks on

ETHERNET, LINUX_SLL2 = 1, 276

DIRECTIONS = {"inout": 0, "in": 1, "out": 2}  # libpcap's PCAP_D_*

_WARNINGS = {2: "cannot be made promiscuous", 3: "has not the time stamps asked for"}


class CaptureError(Exception):
    """A source cannot be opened; str() is one line that says what to do about it."""


class FilterError(Exception):
    """The filter is wrong, or cannot work on this source; str() is one line."""


def open_interface(
    name: str,
    number: int,
    *,
    filter: str = "",  # noqa: A002  the word for it everywhere else
    snaplen: int = MAX_SNAPLEN,
    buffer_kib: int = BUFFER_KIB,
    promiscuous: bool = True,
    direction: str = "inout",
) -> Interface:
    """Start to capture on an interface, or on `any`. Raises CaptureError and FilterError."""
    try:
        reader = pcapy.create(name)
        reader.set_snaplen(snaplen)
        reader.set_promisc(promiscuous and name not in (ANY, "lo"))
        reader.set_timeout(READ_TIMEOUT_MS)
        reader.set_buffer_size(buffer_kib * 1024)
        status = reader.activate()
    except (pcapy.PcapError, UnicodeEncodeError, ValueError) as error:
        raise CaptureError(f"cannot capture on {name}: {error}") from None
    if status < 0:
        raise CaptureError(_why_not_active(name, status, snaplen))
    _check_link_type(name, reader.datalink())
    try:
        if direction != "inout":
            reader.setdirection(DIRECTIONS[direction])
    except pcapy.PcapError:
        raise CaptureError(f"--direction {direction}: {name} cannot tell directions apart") from None
    _set_filter(reader, filter)
    interface = Interface(name, number, reader)
    if status > 0:
        interface.note = f"{name}: " + _WARNINGS.get(status, f"libpcap's warning {status}")
    return interface


def open_file(
    path: str,
    number: int,
    *,
    filter: str = "",  # noqa: A002  as above
    follow: bool = False,
    wait: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Savefile:
    """Open a capture file, a FIFO, or standard input (`-`), compressed or not.

    Waits for the first bytes, but not those of a file that is to be followed, and of a pipe only if told to
    `wait`; else what has come is looked at. `follow`: it must be one that can be. `say` is told what is
    waited for, if that takes long; an exception of a signal's handler ends it.
    Raises CaptureError and FilterError.
    """
    shown = "standard input" if path == "-" else path
    passes = LibpcapFilter(filter) if filter else None
    try:
        descriptor = _descriptor(path)
        try:
            if wait:
                _wait_for_bytes(descriptor, shown, say)
            source = Savefile(path, number, descriptor, passes, may_grow=follow, wait=wait)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise CaptureError(f"cannot read {shown}: {error.strerror}") from None
    except Damaged as damaged:
        raise CaptureError(f"cannot read {shown}: what is compressed in it is damaged ({damaged})") from None
    except Unreadable as unreadable:
        raise CaptureError(f"{shown} {unreadable}") from None
    try:
        if follow and not source.can_follow:
            raise CaptureError(
                f"--follow: {shown} is compressed, or a pipe, which is read as it comes without it"
            )
        if source.has_one_link_type:
            _check_link_type(shown, source.link_type)
        if passes is not None:
            passes.check(source.link_type if source.link_type in LINK_TYPES else ETHERNET)
    except BaseException:
        source.close()
        raise
    return source


def _descriptor(path: str) -> int:
    """A descriptor that reads a file, a FIFO or standard input. Raises CaptureError, OSError."""
    if path != "-":
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise CaptureError(f"{path} is a directory, not a capture file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # not to wait for who writes
        os.set_blocking(descriptor, True)
        return descriptor
    try:
        descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        raise CaptureError("standard input is closed: pipe a capture in, as tcpdump -U -w - does") from None
    if os.isatty(descriptor):
        os.close(descriptor)
        raise CaptureError("standard input is a terminal: pipe a capture in, as tcpdump -U -w - does")
    return descriptor


def _wait_for_bytes(descriptor: int, shown: str, say: Callable[[str], None]) -> None:
    """Until a pipe has something to read, or its writer has gone."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if not poller.poll(1000 * PATIENCE_S):
        say(f"{shown}: waiting for somebody to write a capture to it (tcpdump -U writes at once)")
        poller.poll()


def _check_link_type(name: str, number: int) -> None:
    if number not in LINK_TYPES:
        raise CaptureError(
            f"{name} has frames of {link_name(number)}; flowfs reads Ethernet, 802.11, PPP, Cisco HDLC,"
            " Linux cooked, NFLOG, loopback and raw IP"
        )


class LibpcapFilter:
    """A capture filter, compiled by libpcap for each link type that it meets."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._programs: dict[int, Any] = {}
        self._faults: dict[int, str] = {}

    def check(self, link_type: int) -> None:
        """Raises FilterError if the filter is wrong, or cannot work on this link type."""
        self._program(link_type)

    def fault(self, link_type: int) -> str:
        """Why it cannot work on this link type, "" if it can."""
        if link_type not in self._faults:
            try:
                self._program(link_type)
            except FilterError as error:
                self._faults[link_type] = str(error)
            else:
                self._faults[link_type] = ""
        return self._faults[link_type]

    def passing(self, batch: Batch) -> Batch:
        """Those packets of a batch that pass."""
        matches = self._program(batch.link_type).filter
        frames = batch.frames
        rows = batch.meta.cast("I").tolist()
        passed = [
            batch.meta[META_BYTES * row : META_BYTES * (row + 1)]
            for row, (start, length) in enumerate(zip(rows[2::4], rows[3::4], strict=True))
            if matches(frames[start : start + length])
        ]
        return batch._replace(meta=memoryview(b"".join(passed)))

    def _program(self, link_type: int) -> Any:
        program = self._programs.get(link_type)
        if program is None:
            _check_filter(self._expression, link_type)
            try:
                program = pcapy.compile(link_type, MAX_SNAPLEN, self._expression, 1, 0)
            except (pcapy.PcapError, ValueError) as error:  # ValueError: characters that libpcap cannot take
                raise _bad_filter(self._expression, error) from None
            self._programs[link_type] = program
        return program


def _bad_filter(expression: str, error: Exception) -> FilterError:
    shown = expression if len(expression) <= SHOWN_LETTERS else f"{expression[:SHOWN_LETTERS]}..."
    return FilterError(f"bad filter '{shown}': {error}; see pcap-filter(7)")


def _set_filter(reader: Any, expression: str) -> None:
    if not expression:
        return
    try:
        reader.setfilter(expression)
    except (pcapy.PcapError, ValueError) as error:  # as above
        raise _bad_filter(expression, error) from None
    _check_filter(expression, reader.datalink())


def _check_filter(expression: str, link_type: int) -> None:
    """Raises FilterError if libpcap would compile something else than what was asked for, without a word."""
    if link_type == LINUX_SLL2 and not _can_filter_sll2():
        raise FilterError(
            "this libpcap is too old to filter Linux cooked frames v2 (link type 276): leave the filter out,"
            " or install pcapy-ng with --no-binary so that it uses the system's libpcap"
        )


def _can_filter_sll2() -> bool:
    """Whether libpcap knows where the IP packet is; below 1.10 some compile a wrong filter without a word."""
    program = pcapy.compile(LINUX_SLL2, MAX_SNAPLEN, "tcp port 25", 1, 0)
    cooked = bytes.fromhex("0800 0000 00000001 0304 00 00 0000000000000000")
    addresses = bytes.fromhex("7f000001 7f000001")
    ports = bytes.fromhex("8000 0019") + bytes(16)

    def matches(protocol: int) -> bool:
        header = bytes.fromhex("45000028 00004000 40") + bytes([protocol, 0, 0])
        return bool(program.filter(cooked + header + addresses + ports))

    return matches(6) and not matches(17)


def _why_not_active(name: str, status: int, snaplen: int) -> str:
    """One line for what pcap_activate() returned; it says no more than the number."""
    if status == -5:
        return f"there is no interface {name}; there are: {', '.join(interfaces())}, {ANY}"
    if status == -8:
        return f"no right to capture on {name}: run {command()} with sudo (the mount will still be yours)"
    if status == -9:
        return f"interface {name} is down: sudo ip link set {name} up"
    if status == -11:
        return f"no right to make {name} promiscuous: use sudo, or -p to do without"
    try:
        pcapy.open_live(name, snaplen, 0, READ_TIMEOUT_MS).close()
    except pcapy.PcapError as error:
        return f"cannot capture on {name}: {error}"
    return f"cannot capture on {name} (libpcap's error {status}); is the buffer (-B) too large?"

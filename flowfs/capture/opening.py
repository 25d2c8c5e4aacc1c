"""Opens sources, and says in one line why one cannot be opened and what to do about it.

Knows libpcap's ways of failing: numbers without words, and words without names. Always true: whatever is
returned has a link type that the core can decode, and its filter is in place.
"""

import os
import stat
from typing import Any

import pcapy

from flowfs.config import BUFFER_KIB, MAX_SNAPLEN
from flowfs.core.decode import LINK_TYPES

from .sources import ANY, File, Interface, Source, Stream, interfaces

READ_TIMEOUT_MS = 10  # how long the kernel gathers packets; delivered 4–8 ms late at worst

LINUX_SLL2 = 276

DIRECTIONS = {"inout": 0, "in": 1, "out": 2}  # libpcap's PCAP_D_*

_LINK_NAMES = {
    6: "IEEE 802.5",
    9: "PPP",
    50: "PPP",
    51: "PPPoE",
    104: "Cisco HDLC",
    105: "802.11",
    119: "Prism",
    127: "802.11 radiotap",
    163: "802.11 AVS",
    189: "USB",
    195: "802.15.4",
    220: "USB",
    239: "NFLOG",
    251: "Bluetooth",
    253: "netlink",
}
_WARNINGS = {2: "cannot be made promiscuous", 3: "has not the time stamps asked for"}
_COMPRESSED = {b"\x1f\x8b": "zcat", b"BZ": "bzcat", b"\xfd7": "xzcat", b"\x28\xb5": "zstdcat"}


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
    _check_link_type(name, reader)
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


def open_file(path: str, number: int, *, filter: str = "") -> Source:  # noqa: A002  as above
    """Open a capture file, a FIFO, or standard input (`-`). Raises CaptureError and FilterError."""
    if path == "-":
        return _open_standard_input(number, filter)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CaptureError(f"{path} is a directory, not a capture file")
        if stat.S_ISREG(mode):
            return _open_regular(path, number, filter)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from None
    return Stream(path, number, _open_offline(path, path, filter))


def _open_standard_input(number: int, expression: str) -> Source:
    shown = "standard input"
    try:
        where = os.readlink("/proc/self/fd/0")
    except OSError:
        raise CaptureError("standard input is closed: pipe a capture in, as tcpdump -U -w - does") from None
    if os.isatty(0):
        raise CaptureError("standard input is a terminal: pipe a capture in, as tcpdump -U -w - does")
    # C's stdin has no buffer if PYTHONUNBUFFERED is set, and is 5 × slower then. A pipe can be opened again.
    again = where.startswith("pipe:") and os.access("/dev/fd/0", os.R_OK, effective_ids=True)
    return Stream("-", number, _open_offline("/dev/fd/0" if again else "-", shown, expression))


def _open_regular(path: str, number: int, expression: str) -> Source:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name = f"/dev/fd/{descriptor}"  # libpcap takes names in UTF-8 only
        start = os.pread(descriptor, 4, 0)
        return File(path, number, *(_open_offline(name, path, expression, start) for _ in range(2)))
    finally:
        os.close(descriptor)


def _open_offline(name: str, shown: str, expression: str, start: bytes = b"") -> Any:
    """A reader of the file called `name`, which people know as `shown` and which begins with `start`."""
    try:
        reader = pcapy.open_offline(name)
    except pcapy.PcapError as error:
        raise CaptureError(_why_no_capture(shown, start, str(error))) from None
    except ValueError:
        raise CaptureError(f"cannot read {shown}: libpcap takes names in UTF-8 only") from None
    _check_link_type(shown, reader)
    _set_filter(reader, expression)
    return reader


def _check_link_type(name: str, reader: Any) -> None:
    number = reader.datalink()
    if number not in LINK_TYPES:
        known = _LINK_NAMES.get(number, "an unknown link layer")
        raise CaptureError(
            f"{name} has frames of {known} (link type {number}); flowfs reads Ethernet, raw IP, Linux cooked,"
            " NULL and LOOP"
        )


def _set_filter(reader: Any, expression: str) -> None:
    if not expression:
        return
    try:
        reader.setfilter(expression)
    except (pcapy.PcapError, ValueError) as error:  # ValueError: characters that libpcap cannot take
        raise FilterError(f"bad filter '{expression}': {error}") from None
    if reader.datalink() == LINUX_SLL2 and not _can_filter_sll2():
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
        return f"no right to capture on {name}: run flowfs with sudo (the mount will still be yours)"
    if status == -9:
        return f"interface {name} is down: sudo ip link set {name} up"
    if status == -11:
        return f"no right to make {name} promiscuous: use sudo, or -p to do without"
    try:
        pcapy.open_live(name, snaplen, 0, READ_TIMEOUT_MS).close()
    except pcapy.PcapError as error:
        return f"cannot capture on {name}: {error}"
    return f"cannot capture on {name} (libpcap's error {status}); is the buffer (-B) too large?"


def _why_no_capture(shown: str, start: bytes, message: str) -> str:
    tool = next((tool for magic, tool in _COMPRESSED.items() if start.startswith(magic)), "")
    if tool:
        return f"{shown} is compressed: {tool} {shown} | flowfs mount MOUNTPOINT -r -"
    if message.endswith("only got 0"):
        return f"{shown} is empty, not a capture"
    if message.startswith("truncated"):
        return f"{shown} is cut short in its very header: no packets in it"
    if "unknown file format" in message:
        return f"{shown} is not a capture file (pcap or pcapng)"
    return f"cannot read {shown}: {message.removeprefix(shown + ': ')}"

"""Every setting of a mount, checked once.

Knows which values make sense, not where they came from nor what they are for. Always true of a Config: each
number is within its range, and the settings fit together. Every error is one line that names the option.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from .core.limits import (
    CHECKSUM_MODES,
    EVICT_POLICIES,
    KEEP_ENDS,
    KIB,
    MIB,
    SECOND_NS,
    UNLIMITED_BYTES,
    Limits,
)
from .templates import DEFAULT, Template, TemplateError, wants_links

ANY = "any"  # libpcap's name for all interfaces together
MAX_SNAPLEN = 262144  # libpcap's MAXIMUM_SNAPLEN
MIN_SNAPLEN = 64  # the headers of Ethernet, IPv4 and TCP
MAX_BUFFER_KIB = (1 << 31) // KIB - 1  # libpcap takes the bytes as an int
BUFFER_KIB = 64 * KIB  # 20 ms of a download on `lo`, at 1.5 GB/s, of which packets are there twice
MAX_BUDGET = (
    1 << 38
)  # the arena's links are C ints, one to each 256 bytes; what the machine has is asked later
MAX_FLOWS = 1 << 31
MIN_IDLE_NS, MAX_IDLE_NS = SECOND_NS // 10, 366 * 86400 * SECOND_NS

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(ms|s|m|min|h|d)?", re.ASCII)
_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": KIB * MIB, "t": MIB * MIB}
_NS_UNITS = {
    "ms": SECOND_NS // 1000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "min": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
    "d": 86400 * SECOND_NS,
}


class ConfigError(Exception):
    """A setting that cannot be; str() is one line with the option's name."""


@dataclass(frozen=True, slots=True)
class Config:
    """What `flowfs mount` was told. Raises ConfigError.

    `user`: who gets the mount, "" for the caller of sudo. `wait`: return once the files are loaded.
    `lock_memory`: keep all of it from swap. `tunnels`: look into IP packets that carry others. `archive`:
    the directory that flows are saved in, "" for none; `limits.archives` says so, too. `names`: the template
    of their names.
    """

    mountpoint: str
    interfaces: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    filter: str = ""
    snaplen: int = MAX_SNAPLEN
    buffer_kib: int = BUFFER_KIB
    promiscuous: bool = True
    direction: str = "inout"
    follow: bool = False
    tunnels: bool = True
    limits: Limits = field(default_factory=Limits)
    archive: str = ""
    names: str = DEFAULT
    mount_options: tuple[str, ...] = ()
    foreground: bool = False
    debug: bool = False
    lock_memory: bool = False
    wait: bool = True
    user: str = ""
    quiet: bool = False
    verbose: bool = False

    @property
    def source(self) -> str:
        """What is mounted, as fstab(5) names it; "" where that is standard input, or several files."""
        if self.interfaces:
            return ",".join(self.interfaces)
        return os.path.abspath(self.files[0]) if len(self.files) == 1 and self.files[0] != "-" else ""

    def __post_init__(self) -> None:
        limits = self.limits
        _within("-s", self.snaplen, MIN_SNAPLEN, MAX_SNAPLEN)
        _within("-B", self.buffer_kib, 1, MAX_BUFFER_KIB)
        _within("--max-memory", limits.payload_bytes, MIB, MAX_BUDGET, show_size)
        _within("--max-out-of-order", limits.out_of_order_bytes, 64 * KIB, MAX_BUDGET, show_size)
        _within("--max-table", limits.table_bytes, 64 * KIB, MAX_BUDGET, show_size)
        _within("--max-fragments", limits.fragment_bytes, MIB, MAX_BUDGET, show_size)
        _within("--max-flows", limits.max_flows, 0, MAX_FLOWS)
        _within("--idle-timeout", limits.idle_ns, MIN_IDLE_NS, MAX_IDLE_NS, show_duration)
        _within("--max-flow-bytes", limits.max_flow_bytes, 1, UNLIMITED_BYTES, show_size)
        _one_of("--evict", limits.evict, EVICT_POLICIES)
        _one_of("--keep", limits.keep, KEEP_ENDS)
        _one_of("--checksum", limits.checksum, CHECKSUM_MODES)
        if limits.keep != "head" and limits.max_flow_bytes == UNLIMITED_BYTES:
            raise ConfigError(f"--keep {limits.keep}: of how much? give --max-flow-bytes (-b), too")
        if "\0" in self.filter:
            raise ConfigError("FILTER: a filter has no zero bytes")
        if self.archive and not limits.archives:
            raise ConfigError("--archive: the limits do not know of it")
        try:
            Template(self.names)
        except TemplateError as error:
            raise ConfigError(f"--names {self.names!a}: {error}") from None
        if wants_links(self.names) and not limits.links:
            raise ConfigError("--names: the limits do not know of Ethernet addresses")
        self._check_sources()

    def _check_sources(self) -> None:
        if self.interfaces and self.files:
            raise ConfigError(
                "-i and -r exclude each other: an interface goes by the clock, a file by the times in it"
            )
        if not self.interfaces and not self.files:
            raise ConfigError("nothing to capture: give -i INTERFACE (-i any for all of them) or -r FILE")
        for option, names in (("-i", self.interfaces), ("-r", self.files)):
            if "" in names:
                raise ConfigError(f"{option}: the name is empty")
        twice = {name for name in self.interfaces if self.interfaces.count(name) > 1}
        if twice:
            raise ConfigError(f"-i {min(twice)} is given twice")
        if ANY in self.interfaces and len(self.interfaces) > 1:
            others = " ".join(f"-i {name}" for name in self.interfaces if name != ANY)
            raise ConfigError(
                f"-i {ANY} takes all interfaces, and would take their packets twice with {others}"
            )
        if self.follow and not self.files:
            raise ConfigError("--follow is about files (-r): an interface is followed as it is")
        if self.files.count("-") > 1:
            raise ConfigError("-r - is given twice: standard input can be read once")
        if self.files:
            self._check_without_interface()

    def _check_without_interface(self) -> None:
        defaults = (
            ("-s", self.snaplen, MAX_SNAPLEN),
            ("-B", self.buffer_kib, BUFFER_KIB),
            ("-p", self.promiscuous, True),
            ("--direction", self.direction, "inout"),
        )
        for option, value, default in defaults:
            if value != default:
                raise ConfigError(f"{option} is about interfaces (-i), and a file (-r) is read as it is")


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option} {value}: one of {', '.join(choices)}")


def _within(option: str, value: int, least: int, most: int, show: Callable[[int], str] = str) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{option} {show(value)}: must be from {show(least)} to {show(most)}")


# --- numbers as people write them ------------------------------------------------------------------


def size(option: str, text: str) -> int:
    """Bytes from "256M", "1GiB", "64k", "4096"; a unit is a power of 1024. Raises ConfigError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} {text}: not a size, such as 256M, 1GiB or 4096")
    return int(Decimal(found[1]) * _SIZE_UNITS[found[2].lower()])


def duration(option: str, text: str) -> int:
    """Nanoseconds from "10m", "30s", "1.5h", "500ms", "30". Raises ConfigError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} {text}: not a time, such as 10m, 30s or 1.5h")
    return int(Decimal(found[1]) * _NS_UNITS[found[2] or "s"])


def number(option: str, text: str) -> int:
    """A whole number. Raises ConfigError."""
    if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
        raise ConfigError(f"{option} {text}: not a whole number")
    return int(text)


def show_size(size_bytes: int) -> str:
    """256M, 1.5G, 4096: what size() reads."""
    for letter in "TGMK":
        unit = _SIZE_UNITS[letter.lower()]
        if size_bytes >= unit:
            return _short(size_bytes / unit) + letter
    return str(size_bytes)


def show_memory(size_bytes: int) -> str:
    """256 MiB, 1.5 GiB, 405 bytes: so much memory, in the units of the options that limit it.

    What comes by a network or is in files is told in MB, as everywhere.
    """
    for letter in "TGMK":
        unit = _SIZE_UNITS[letter.lower()]
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f}".removesuffix(".0") + f" {letter}iB"
    return f"{size_bytes} byte" + "s" * (size_bytes != 1)


def show_duration(time_ns: int) -> str:
    """10m, 30s, 0.1s: what duration() reads."""
    for letter in "dhm":
        if time_ns >= _NS_UNITS[letter]:
            return _short(time_ns / _NS_UNITS[letter]) + letter
    return _short(time_ns / SECOND_NS) + "s"


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")

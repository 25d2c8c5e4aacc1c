"""The `-o` options of a mount: ours, and what mount(8) passes on.

Owns how a list is split, which is done nowhere else: who hands an option on makes it a list by alone(). As
wherever mount(8) does: a comma within a value is written `\\,` or `\\054`, or the value stands in double
quotes.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..guessing import meant
from ..mountpoint import FILESYSTEM
from .modes import PRIVATE


class MountOptionError(ValueError):
    """An unknown `-o` option; str() is one line."""


# What mount(8) and fstab put in, and what holds here anyway. `dev`, `suid` and `exec` too: a flow is data.
_WITHOUT_EFFECT = frozenset(
    "rw defaults auto noauto user nouser users owner group nofail _netdev dev nodev suid nosuid exec noexec "
    "atime noatime relatime norelatime strictatime nostrictatime lazytime nolazytime diratime nodiratime "
    "async sync dirsync silent loud".split()
)
_ITEM = re.compile(r'(?:\\.|"[^"]*"|[^,])+', re.DOTALL)
_ESCAPES = re.compile(r"\\.", re.DOTALL)
_ESCAPE = re.compile(rb'\\(?:([0-3][0-7]{2})|([,\\"]))')
_BLANKS = " \t\n\r\f\v"
_SPECIAL = re.compile(rf'[,\\"{_BLANKS}]')
_FOR_OTHERS = re.compile(r"(x-|X-|comment=)")
_MOST_SOURCE = 1024  # letters; the kernel takes a page of them
_WORDS: Mapping[str, Mapping[str, Any]] = {
    "ro": {"read_only": True},
    "rw": {"read_only": False},
    "visible": {"visible": True},
    "allow_other": {"allow": "other"},
    "allow_root": {"allow": "root"},
}
_MAX_ID = (1 << 32) - 2  # the last one is "none": chown(2)
OPTIONS = (*_WORDS, "uid=", "gid=", "umask=", "fsname=")
"""Those that have an effect."""
_THERE_ARE = (
    "there are ro, rw, visible, allow_other, allow_root, uid=, gid=, umask= and fsname=, and for mount(8) the"
    " long options of flowfs mount, such as filter="
)

_OPENS_NOTHING = (
    "-o allow_other: the modes keep all but root out; umask=022, or umask=027,gid=GROUP, lets others in"
)
_SHUTS_OUT = (
    "-o uid=, gid= or umask= let nobody in without allow_other: only who mounts, whatever ls -l shows"
)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options of a mount. `read_only`: not even `rm` works; `visible`: `.flowfs` is listed.

    `allow`: who is let in besides the owner of the mount, everybody as far as the modes go or root alone.
    `uid`, `gid`: whose the files look like, None for the owner's. `umask` takes rights away from everybody's.
    `fsname`: what mount(8) and df(1) call it, "" for what is captured.
    """

    read_only: bool = False
    visible: bool = False
    allow: Literal["", "other", "root"] = ""
    uid: int | None = None
    gid: int | None = None
    umask: int = PRIVATE
    fsname: str = ""

    @classmethod
    def parse(cls, lists: Iterable[str]) -> MountOptions:
        """From `-o` lists such as "ro,nodev"; the last word counts. Raises MountOptionError."""
        told: dict[str, Any] = {}
        for name, value in split(lists):
            meaning = _meaning(name, value)
            if "allow" in meaning and told.get("allow", meaning["allow"]) != meaning["allow"]:
                raise MountOptionError("-o allow_other and allow_root exclude each other")
            told |= meaning
        options = cls(**told)
        if options.allow == "root" and not {"uid", "gid", "umask"}.isdisjoint(told):
            raise MountOptionError(
                "-o allow_root lets in the owner of the mount and root, whatever uid=, gid= or umask= say:"
                " these go with allow_other"
            )
        return options

    @property
    def checked(self) -> bool:
        """Whether the kernel checks the modes that are shown: where they keep somebody out."""
        return bool(self.allow or self.umask & 0o700)

    @property
    def contradiction(self) -> str:
        """What one option promises and another takes back, with what to do about it; "" for nothing."""
        private = self.umask & PRIVATE == PRIVATE
        if self.allow == "other" and self.uid is None and private:
            return _OPENS_NOTHING
        if not self.allow and not (self.uid is None and self.gid is None and private):
            return _SHUTS_OUT
        return ""

    def for_fuse(self, source: str = "") -> set[str]:
        """As libfuse takes them; `source` is what is captured.

        Without default_permissions where the kernel lets in the owner of the mount alone, so that writing to
        a file of mode 0400 comes to us and gets EROFS rather than EACCES. With it where others come, too:
        what they ask for is not always asked of us, since the kernel remembers names and attributes that
        somebody else was given, and of the groups of who asks we are told only the first. Then writing gets
        EACCES from who may not; EROFS from `ro`, which comes first.
        """
        options = {
            f"fsname={_fsname(self.fsname or source)}",
            f"subtype={FILESYSTEM}",
            "nosuid",
            "nodev",
            "noexec",
            "noatime",
        }
        if self.read_only:
            options.add("ro")
        if self.allow:
            options.add(f"allow_{self.allow}")
        if self.checked:
            options.add("default_permissions")
        return options


def split(lists: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each option's name, and its value if it has one, as they were meant. Raises MountOptionError."""
    for text in (found for given in lists for found in _ITEM.findall(given)):
        if _ESCAPES.sub("", text).count('"') % 2:
            raise MountOptionError(f"-o {text.strip(_BLANKS)}: a double quote that is not closed")
        name, equals, value = text.strip(_BLANKS).partition("=")
        if len(value) > 1 and value.startswith('"') and value.endswith('"'):
            value = value[1:-1]
        yield name, _plain(value) if equals else None


def alone(name: str, value: str | None) -> str:
    """A list of this option, which split() gives, alone."""
    if value is None:
        return name
    return f"{name}=" + _SPECIAL.sub(lambda of: f"\\{ord(of[0]):03o}", value)


def _plain(value: str) -> str:
    """Without escapes; a backslash before any other letter is pcap-filter(7)'s, as in `ip proto \\tcp`."""
    return os.fsdecode(_ESCAPE.sub(lambda of: of[2] or bytes([int(of[1], 8)]), os.fsencode(value)))


def _fsname(source: str) -> str:
    """libfuse parts options at commas that have no backslash before them, and pyfuse3 takes ASCII alone."""
    if not source.isascii() or not source.isprintable() or not 0 < len(source) <= _MOST_SOURCE:
        return FILESYSTEM
    return re.sub(r"([\\,])", r"\\\1", source)


def _meaning(name: str, given: str | None) -> Mapping[str, Any]:
    """The fields that one option sets. Raises MountOptionError."""
    if given is None and name in _WORDS:
        return _WORDS[name]
    option, value = name if given is None else f"{name}={given}", given or ""
    if name == "uid":
        return {"uid": _id(option, value, lambda: pwd.getpwnam(value).pw_uid, "user")}
    if name == "gid":
        return {"gid": _id(option, value, lambda: grp.getgrnam(value).gr_gid, "group")}
    if name == "fsname" and value:
        return {"fsname": value}
    if name == "umask":
        if not re.fullmatch(r"0*[0-7]{1,3}", value, re.ASCII):
            raise MountOptionError(f"-o {option}: not an octal number from 0 to 777, such as 027")
        return {"umask": int(value, 8)}
    if option and option not in _WITHOUT_EFFECT and not _FOR_OTHERS.match(option):
        raise MountOptionError(f"-o {option}: no such mount option; {_meant(name)}")
    return {}


def _meant(name: str) -> str:
    """What may have been meant; all that there are if that is not known."""
    is_name = name in OPTIONS or f"{name}=" in OPTIONS  # which was given a value, or none
    return ("" if is_name else meant(name, OPTIONS)) or _THERE_ARE


def _id(option: str, value: str, named: Callable[[], int], what: str) -> int:
    """A number as it is, or of a name."""
    try:
        number = int(value) if re.fullmatch(r"\d{1,10}", value, re.ASCII) else named()
    except (KeyError, ValueError):
        raise MountOptionError(f"-o {option}: no such {what}") from None
    if number > _MAX_ID:
        raise MountOptionError(f"-o {option}: no such {what}")
    return number

"""The `-o` options of a mount: ours, and what mount(8) passes on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..mountpoint import FILESYSTEM


class MountOptionError(ValueError):
    """An unknown `-o` option; str() is one line."""


# What mount(8) and fstab put in, and what holds here anyway. `dev`, `suid` and `exec` too: a flow is data.
_WITHOUT_EFFECT = frozenset(
    "rw defaults auto noauto user nouser users owner group nofail _netdev dev nodev suid nosuid exec noexec "
    "atime noatime relatime norelatime strictatime nostrictatime lazytime nolazytime diratime nodiratime "
    "async sync dirsync silent loud".split()
)
_FOR_OTHERS = re.compile(r"(x-|X-|comment=)")


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options of a mount. `read_only`: not even `rm` works; `visible`: `.flowfs` is listed."""

    read_only: bool = False
    visible: bool = False

    @classmethod
    def parse(cls, lists: Iterable[str]) -> MountOptions:
        """From `-o` lists such as "ro,nodev"; the last word counts. Raises MountOptionError."""
        read_only = visible = False
        for option in (part.strip() for text in lists for part in text.split(",")):
            if option in ("ro", "rw"):
                read_only = option == "ro"
            elif option == "visible":
                visible = True
            elif option in ("allow_other", "allow_root"):
                raise MountOptionError(
                    f"-o {option}: a mount is for its owner alone; -Z USER says who that is"
                )
            elif option and option not in _WITHOUT_EFFECT and not _FOR_OTHERS.match(option):
                raise MountOptionError(f"-o {option}: no such mount option; there are ro, rw and visible")
        return cls(read_only, visible)

    def for_fuse(self) -> set[str]:
        """As libfuse takes them.

        Without default_permissions, so that writing to a file of mode 0400 comes to us and gets EROFS rather
        than EACCES. Nobody but the owner of the mount comes as far as that: the kernel refuses all others.
        """
        options = {f"fsname={FILESYSTEM}", f"subtype={FILESYSTEM}", "nosuid", "nodev", "noexec", "noatime"}
        return options | {"ro"} if self.read_only else options

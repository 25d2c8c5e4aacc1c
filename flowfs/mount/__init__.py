"""The mount: requests of the kernel to the tree, and the tree's changes to the kernel. EDGE pyfuse3, trio.

A protocol adapter only: what there is says the tree, here it gets an errno, a timeout, a flag. `session`
is the mount's life, `operations` answers requests, `notifier` tells of changes, also the `waiters`, `streams`
writes flows into FIFOs, `options` reads `-o`, `modes` says what is shown of it.
"""

from ..mountpoint import MountError, mounted_at, unmount
from .options import MountOptionError, MountOptions
from .session import Mount

__all__ = ["Mount", "MountError", "MountOptionError", "MountOptions", "mounted_at", "unmount"]

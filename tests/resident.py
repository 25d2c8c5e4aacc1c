"""How much memory a process has, of that which it reserved."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(process: int | str = "self") -> int:
    """The second field of /proc/PID/statm (proc_pid_statm(5)), which counts pages."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

"""Flows are kept in a directory as they go, and when the mount ends; what could not be kept is counted.

Knows the engine (through `core.unsaved`) and names, no capture, no mount and no trio. `worker` is the thread
that decides and waits, `parts` what is under way, `part` a file that is being written, `place` the directory,
`journal` its flows.jsonl, `trouble` what is told of the disk, `system` what of Linux Python does not have.
"""

from .place import ArchiveError
from .worker import PATIENCE_S, Archive

__all__ = ["PATIENCE_S", "Archive", "ArchiveError"]

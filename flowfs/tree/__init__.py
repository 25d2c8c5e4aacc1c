"""What the directory looks like: names, inodes, attributes, generated files.

Knows the engine's files and no kernel: no FUSE, no trio, nothing that waits. `tree` is the directory, `names`
writes and reads the names in it; `control` is what `.flowfs` holds: `status`, `metrics`,
and `meta` of each flow.
"""

from .tree import MAX_NAME_BYTES, READ_BYTES, ROOT, Attributes, Opened, Reason, Space, Tree, TreeError

__all__ = [
    "MAX_NAME_BYTES",
    "READ_BYTES",
    "ROOT",
    "Attributes",
    "Opened",
    "Reason",
    "Space",
    "Tree",
    "TreeError",
]

"""How the program is called by whoever reads what it says: the first word of each command that it names.

`flowfs`, unless the environment says otherwise: contrib/run does, whose users have no `flowfs` in their PATH.
"""

import os

VARIABLE = "FLOWFS_COMMAND"


def command() -> str:
    """The command as it is typed in a shell: what has to be quoted is."""
    return os.environ.get(VARIABLE) or "flowfs"

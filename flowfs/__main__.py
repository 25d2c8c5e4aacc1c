"""The programs: `flowfs`, which is `python -m flowfs`, and `mount.flowfs`, which mount(8) calls."""

import os
import sys
import threading


def main() -> int:
    """Run the command line; returns the exit status, also that of a Ctrl-C in the middle of the imports."""
    try:
        from flowfs.cli import main as command

        return _leave(command())
    except KeyboardInterrupt:
        return 130


def mount_helper() -> int:
    """The same for mount(8)."""
    try:
        from flowfs.cli import mount_helper as command

        return _leave(command())
    except KeyboardInterrupt:
        return 8  # mount(8): user interrupt


def _leave(status: int) -> int:
    """End the process if nothing else goes on in it: somebody waits, and to take modules apart takes 6 ms.

    What cannot be written is left to the interpreter to say. Nothing here uses atexit, or leaves a file with
    bytes that are not written.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # ValueError: it is closed
        return status
    if threading.active_count() == 1:
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())

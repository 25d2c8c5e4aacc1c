"""The programs: `flowfs`, which is `python -m flowfs`, and `mount.flowfs`, which mount(8) calls."""

import sys


def main() -> int:
    """Run the command line; returns the exit status, also that of a Ctrl-C in the middle of the imports."""
    try:
        from flowfs.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130


def mount_helper() -> int:
    """The same for mount(8)."""
    try:
        from flowfs.cli import mount_helper as command

        return command()
    except KeyboardInterrupt:
        return 8  # mount(8): user interrupt


if __name__ == "__main__":
    sys.exit(main())

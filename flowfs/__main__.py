"""The program: `flowfs` and `python -m flowfs`."""

import sys


def main() -> int:
    """Run the command line; returns the exit status, also that of a Ctrl-C in the middle of the imports."""
    try:
        from flowfs.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

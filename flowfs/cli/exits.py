"""Exit statuses other than 0: ours, as the head of `cli` says, and those of mount(8) for what it calls."""

FAILED, USAGE, NO_CAPTURE, NO_MOUNT = 1, 2, 3, 4
SIGNALLED = 128  # and the number of the signal, as shells have it
INTERRUPTED = SIGNALLED + 2  # by Ctrl-C

MOUNT_8_USAGE, MOUNT_8_INTERRUPTED, MOUNT_8_FAILED = 1, 8, 32

"""Exit statuses, other than 0 and those that mount(8) wants. See the head of `cli`."""

FAILED, USAGE, NO_CAPTURE, NO_MOUNT = 1, 2, 3, 4
SIGNALLED = 128  # and the number of the signal, as shells have it
INTERRUPTED = SIGNALLED + 2  # by Ctrl-C

"""The memory in which Python makes objects, in pages as large as the kernel has them.

Connections and flows are objects, hundreds of MiB of them, and nearly all come one behind the other. In pages
of 4 KiB that is a fault for each two connections, and a miss in the processor's table of pages for most looks
at one. Nothing to do when interpreted, since it takes C to tell the interpreter.
"""


def enlarge() -> None:
    """From here on, in the whole process; for the main interpreter, whose lock is held.

    Of a large page half may be freed: that goes back to the kernel when it is short of memory, or with the
    other half.
    """

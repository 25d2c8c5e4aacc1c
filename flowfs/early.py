"""What is begun before the rest of the program is loaded: the core, and memory for what a file will fill.

trio, libpcap and FUSE take a tenth of a second to import; meanwhile another core has the kernel clear the
pages of the arena, which takes as long. Always true: nobody waits for the thread that does it.
"""

import gc
import os
import sys
from contextlib import suppress
from functools import partial
from threading import Thread

from .config import Config, ConfigError, show_size
from .core.engine import Engine, enlarge_pages
from .dissect import dissect

SWITCH_INTERVAL_S = 0.0002  # a thread that is busy lets go of the interpreter so often


def begin(config: Config) -> Engine:
    """The engine of a mount, and its memory on the way. Raises ConfigError if there is not so much.

    From here on busy threads let go of the interpreter soon, and the garbage collector rests: of what is
    imported nothing is garbage. Whoever has imported all of it sets the collector to work.
    """
    gc.disable()
    _check_memory(config)
    enlarge_pages()
    try:
        engine = Engine(config.limits, partial(dissect, tunnels=config.tunnels))
    except (OSError, MemoryError) as error:
        size = show_size(config.limits.payload_bytes)
        raise ConfigError(f"--max-memory {size}: the system does not give so much memory ({error})") from None
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if count := _expected_bytes(config):
        Thread(target=engine.prepare, args=(count,), name="prepare", daemon=True).start()
    return engine


def _check_memory(config: Config) -> None:
    limits = config.limits
    wanted = limits.payload_bytes + limits.out_of_order_bytes + limits.table_bytes + limits.fragment_bytes
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > there:
        raise ConfigError(
            f"--max-memory {show_size(limits.payload_bytes)}: with --max-out-of-order, --max-table and"
            f" --max-fragments that is {show_size(wanted)}, and this machine has {show_size(there)}"
        )


def _expected_bytes(config: Config) -> int:
    """How much the files take on the disk; 0 if nobody knows how little of them passes, or when it comes."""
    if config.filter or config.interfaces:
        return 0
    count = 0
    for name in config.files:
        with suppress(OSError):  # opening it will say so
            count += os.stat(name).st_size
    return count

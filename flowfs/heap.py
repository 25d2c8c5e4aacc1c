"""The C library's heap, which stays as small as what is in it.

Buffers of all sizes come and go between connections that last. Of the holes they leave not all are used
again, so that the heap would grow for as long as the mount lasts: by a tenth in some million connections.
"""

import ctypes

import trio

GIVE_BACK_S = 10


async def give_back() -> None:
    """Gives whole pages that nothing is in back to the kernel, again and again; takes milliseconds.

    malloc_trim(3), which glibc alone has.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    trim.argtypes = (ctypes.c_size_t,)
    while True:
        await trio.sleep(GIVE_BACK_S)
        await trio.to_thread.run_sync(trim, 0)

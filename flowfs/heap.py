"""The C library's heap, which stays as small as what is in it.

Buffers of all sizes come and go between connections that last. Of the holes they leave not all are used
again, so that the heap would grow for as long as the mount lasts: by a tenth in some million connections.
"""

import ctypes

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
if _malloc_trim is not None:
    _malloc_trim.argtypes = (ctypes.c_size_t,)


def trim() -> None:
    """Gives whole pages that nothing is in back to the kernel; takes milliseconds, in which malloc waits.

    malloc_trim(3), which glibc alone has. To be called now and then.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)

cimport cython
from .assembly cimport Room
from .defrag cimport Defrag
from .life cimport Lives
from .pending cimport Pool
from .store cimport Store


@cython.locals(pool=Pool)
cpdef dict gauges(object limits, Store store, Lives flows, Defrag defrag)

@cython.locals(free=cython.longlong, free_bytes=cython.longlong)
cpdef object free_flows(object limits, Store store, Lives flows)

cimport cython
from .flow cimport Flow
from .memory cimport dotted

cdef int OPEN

@cython.locals(lasts=cython.bint)
cpdef tuple row_of(Flow flow, long long hot_ns)

cpdef bytes ends_of(bytes key)

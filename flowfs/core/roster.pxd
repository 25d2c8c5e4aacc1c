cimport cython
from .flow cimport Flow
from .memory cimport dotted

cdef int OPEN
cdef long long STAT_BLOCK_BYTES, _PLAIN_KEY_BYTES


@cython.final
cdef class Roster:
    cdef long long first_inode
    cdef object mode
    cdef object lasting_s
    cdef object name_of
    cdef object attributes
    @cython.locals(lasts=cython.bint, name=bytes)
    cdef tuple entry(self, Flow flow, long long hot_ns)


cpdef bytes ends_of(bytes key)

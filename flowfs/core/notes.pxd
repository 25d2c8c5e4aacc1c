cimport cython

cdef int STORED, DUPLICATE, LATE, KEEPALIVE, AFTER_FIN, AFTER_CLOSE, PRE_START, WINDOW, OUT_OF_ORDER
cdef int MEMORY, REFUSED, RST, SYN, TENTATIVE, CHECKSUM, UNACKNOWLEDGING
cdef int UNKNOWN_TTL


@cython.final
cdef class Notes:
    cdef public list conflicts
    cdef public list ttls
    cdef public object urgent
    cdef public object fates

    cpdef add(self, int fate, long long count)
    cpdef bint has_room_for_conflict(self) except -1
    cpdef add_conflict(self, object conflict)
    cpdef bint has_room_for_ttl(self) except -1

    @cython.locals(first=cython.longlong, last=cython.longlong, known=cython.int)
    cpdef bint extends_ttl(self, long long start, long long end, int ttl) except -1

    cpdef add_ttl(self, long long start, long long end, int ttl)

    @cython.locals(start=cython.longlong, end=cython.longlong, ttl=cython.int)
    cpdef int ttl_at(self, long long offset, int usual) except -2

    cpdef bint has_room_for_urgent(self) except -1
    cpdef add_urgent(self, long long offset)
    cpdef shift(self, long long by)
    cpdef dict fates_by_name(self)

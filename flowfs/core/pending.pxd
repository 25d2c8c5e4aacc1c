cimport cython
from .evict cimport BySize

cdef long long CHUNK_OVERHEAD_BYTES, QUEUE_BYTES, RESYNC_SEGMENTS, SETTLE_SEGMENTS


cdef class Pool:
    cdef readonly long long limit_bytes
    cdef public long long used_bytes
    cdef BySize queues

    cpdef bint fits(self, long long charge_bytes) except -1
    cpdef object heaviest(self)


cdef class Pending:
    cdef Pool pool
    cdef readonly object owner
    cdef public bint tentative
    cdef readonly list offsets
    cdef readonly list chunks
    cdef readonly long long waiting_bytes
    cdef readonly long long charged_bytes

    cpdef long long first(self) except? -1
    cpdef long long first_end(self) except? -1
    cpdef long long end(self) except? -1

    cpdef long long cost(self, long long offset, long long count) except -1

    @cython.locals(index=cython.Py_ssize_t, end=cython.longlong)
    cpdef list insert(self, long long offset, bytes data)

    @cython.locals(
        position=cython.longlong, end=cython.longlong, start=cython.longlong, stop=cython.longlong,
        until=cython.longlong, conflicts=list
    )
    cdef list _insert_around(self, Py_ssize_t index, long long offset, bytes data)

    cpdef bint is_shown_by_several(self) except -1

    @cython.locals(index=cython.Py_ssize_t)
    cpdef bint begins_with(self, Py_ssize_t count) except -1

    @cython.locals(index=cython.Py_ssize_t)
    cpdef bint has(self, long long offset) except -1

    @cython.locals(index=cython.Py_ssize_t, first=cython.longlong)
    cpdef list missing(self, long long start, long long end, long long limit)

    @cython.locals(
        count=cython.Py_ssize_t, size=cython.longlong, beyond=cython.longlong, taken=list, last=bytes
    )
    cpdef list take_run(self, long long offset, long long limit)

    @cython.locals(dropped=cython.longlong, start=cython.longlong, data=bytes)
    cpdef long long drop_from(self, long long offset) except -1

    @cython.locals(dropped=cython.longlong, start=cython.longlong, data=bytes)
    cpdef long long drop_before(self, long long offset) except -1

    cpdef shift(self, long long by)
    cpdef long long clear(self) except -1
    cdef _put(self, Py_ssize_t index, long long offset, bytes data)

    @cython.locals(charged_bytes=cython.longlong)
    cdef _charge(self, long long count)

cimport cython


@cython.no_gc
cdef class Link:
    cdef readonly Queue queue
    cdef readonly Link older
    cdef readonly Link newer
    cdef public long long touched_ns
    cdef void unlinked(self) noexcept


cdef class Queue:
    cdef readonly Link oldest
    cdef readonly Link newest
    cdef readonly Link fresh
    cdef readonly long long length
    cpdef append(self, Link link)
    cpdef pass_over(self)
    cpdef replace(self, Link link, Link other)


@cython.locals(queue=Queue)
cpdef leave(Link link)

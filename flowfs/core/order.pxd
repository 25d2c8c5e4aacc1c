from .memory cimport untrack


cdef class Link:
    cdef readonly Queue queue
    cdef readonly Link older
    cdef readonly Link newer
    cdef void unlinked(self) noexcept


cdef class Queue:
    cdef readonly Link oldest
    cdef readonly Link newest
    cdef readonly long long length
    cpdef append(self, Link link)


@cython.locals(queue=Queue)
cpdef leave(Link link)

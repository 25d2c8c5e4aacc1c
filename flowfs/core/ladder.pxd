cimport cython
from .evict cimport Ranked

cdef long long _SPARE_RUNGS


cdef class Ladder:
    cdef bint is_sorted
    cdef readonly list members
    cdef long long[::1] rungs
    cdef int[::1] after
    cdef int[::1] before
    cdef int free
    cdef dict heads
    cdef dict tails
    cdef readonly list order
    cdef long long occupied

    @cython.locals(place=cython.int, behind=cython.int, following=cython.int)
    cpdef put(self, Ranked member, long long rung)

    @cython.locals(place=cython.int, behind=cython.int, following=cython.int)
    cpdef leave(self, Ranked member)

    cdef long long rung_of(self, Ranked member) noexcept

    @cython.locals(order=list, head=cython.int)
    cpdef object first(self)

    @cython.locals(following=cython.int)
    cpdef object second(self)

    cdef int _last_of(self, long long rung) except -1

    @cython.locals(other=Ranked)
    cdef int _appeared_before(self, Ranked member, int behind) except -1

    cdef _drop_empty_rungs(self)
    cdef int _take_place(self) except -1
    cdef _grow(self)

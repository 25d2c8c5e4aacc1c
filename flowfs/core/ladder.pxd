cimport cython
from .evict cimport Ranked
from .order cimport Link

cdef long long _SPARE_RUNGS


cdef class Ladder:
    cdef long long span
    cdef readonly list members
    cdef long long[::1] numbers
    cdef int[::1] after
    cdef int[::1] before
    cdef int free
    cdef dict heads
    cdef dict tails
    cdef readonly list order
    cdef long long occupied

    @cython.locals(place=cython.int, behind=cython.int, following=cython.int, rung=cython.longlong)
    cpdef put(self, Ranked member, long long number)

    @cython.locals(place=cython.int, behind=cython.int, following=cython.int)
    cpdef leave(self, Ranked member)

    cdef long long number_of(self, Ranked member) noexcept
    cdef replace(self, int place, Link other)

    @cython.locals(order=list, head=cython.int)
    cpdef object first(self)

    @cython.locals(following=cython.int)
    cpdef object second(self)

    cdef int _last_of(self, long long rung) except -1

    cdef _drop_empty_rungs(self)
    cdef int _take_place(self) except -1

    @cython.locals(
        count=cython.int, more=cython.int, place=cython.int, numbers="long long[::1]", before="int[::1]",
        after="int[::1]"
    )
    cdef _grow(self)

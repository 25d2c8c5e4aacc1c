cimport cython
from .memory cimport flag
from .order cimport Link, Queue, leave

cdef long long IDLE_VICTIM_NS


@cython.no_gc
cdef class Ranked(Link):
    cdef readonly long long held_bytes
    cdef readonly long long last_ns
    cdef readonly long long serial
    cdef readonly int opens
    cdef int place
    cdef flag ended
    cdef flag is_large
    cdef flag grows_held
    cdef void unranked(self) noexcept


@cython.final
@cython.no_gc
cdef class Packed(Link):
    cdef public object record


cdef class BySize:
    cdef list levels
    cdef dict members

    @cython.locals(level=cython.int, known=cython.int)
    cpdef put(self, object member, long long size)

    cpdef object heaviest(self)


cdef class Ranking:
    cdef readonly Queue closed
    cdef readonly Queue active
    cdef readonly Queue held
    cdef readonly long long held_open_bytes
    cdef long long growing_held
    cdef BySize large
    cdef long long large_bytes
    cdef long long touch_ns
    cdef readonly bint head_is_enough
    cdef public object bring_back

    cpdef add(self, Ranked flow)
    cpdef remove(self, Ranked flow)
    cpdef grew(self, Ranked flow, long long by_bytes)
    cpdef touch(self, Ranked flow, long long now_ns)

    @cython.locals(closed=Ranked, held=Ranked, idlest=Ranked)
    cpdef object victim(self, long long now_ns, long long held_limit_bytes, Ranked keep)

    @cython.locals(closed=Ranked, idlest=Ranked)
    cpdef object leaver(self, long long now_ns)

    cdef bint _can_give_its_head(self, Ranked flow) except -1
    cdef Ranked _oldest(self, Queue queue, Ranked keep)
    cdef Ranked _brought_back(self, object found)
    cdef long long going_on(self) noexcept
    cdef replace(self, Link there, Link other, Ranked flow)
    cpdef object oldest_closed(self)

    @cython.locals(large=cython.bint)
    cdef _weigh(self, Ranked flow)

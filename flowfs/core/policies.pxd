cimport cython
from .evict cimport Ranked, Ranking
from .ladder cimport Ladder
from .order cimport Link

cdef long long IDLE_VICTIM_NS, _SECOND_NS, _APPEARED_TOGETHER, _EACH_ITS_OWN


cdef class Ordered(Ranking):
    cdef Ladder ladder

    cdef long long number(self, Ranked flow) noexcept

    @cython.locals(place=cython.int)
    cpdef add(self, Ranked flow)

    cpdef remove(self, Ranked flow)
    cdef move(self, Ranked flow)
    cdef replace(self, Link there, Link other, Ranked flow)

    @cython.locals(first=Ranked, held=Ranked)
    cpdef object victim(self, long long now_ns, long long held_limit_bytes, Ranked keep)

    @cython.locals(first=Ranked)
    cpdef object leaver(self, long long now_ns)

    cdef bint _goes_whole(self, Ranked flow, long long now_ns) except -1
    cdef _weigh(self, Ranked flow)

    @cython.locals(first=Link)
    cdef Ranked _first(self, Ranked keep)


cdef class Oldest(Ordered):
    cdef long long number(self, Ranked flow) noexcept


cdef class Largest(Ordered):
    cdef long long number(self, Ranked flow) noexcept
    cdef bint _goes_whole(self, Ranked flow, long long now_ns) except -1
    cdef _weigh(self, Ranked flow)


cdef class LeastRecent(Ordered):
    cdef long long number(self, Ranked flow) noexcept
    cpdef touch(self, Ranked flow, long long now_ns)


cpdef Ranking ranking_of(str policy, long long large_bytes)

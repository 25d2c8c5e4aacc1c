cimport cython
from .evict cimport Ranked, Ranking

cdef long long IDLE_VICTIM_NS


cdef class Ordered(Ranking):
    cdef list heap

    cdef bint before(self, Ranked one, Ranked other) except -1

    cpdef add(self, Ranked flow)
    cpdef remove(self, Ranked flow)

    @cython.locals(first=Ranked, held=Ranked)
    cpdef object victim(self, long long now_ns, long long held_limit_bytes, Ranked keep)

    @cython.locals(first=Ranked)
    cpdef object leaver(self, long long now_ns)

    cdef bint _goes_whole(self, Ranked flow, long long now_ns) except -1
    cdef _weigh(self, Ranked flow)
    cdef Ranked _first(self, Ranked keep)
    cdef Ranked _second(self)

    cdef _enter(self, Ranked flow)

    @cython.locals(last=Ranked)
    cdef _leave(self, Ranked flow)

    @cython.locals(heap=list, place=cython.Py_ssize_t, child=cython.Py_ssize_t)
    cdef _move(self, Ranked flow)

    cdef _put(self, Ranked flow, Py_ssize_t place)


cdef class Oldest(Ordered):
    pass


cdef class Largest(Ordered):
    cdef bint before(self, Ranked one, Ranked other) except -1
    cdef bint _goes_whole(self, Ranked flow, long long now_ns) except -1
    cdef _weigh(self, Ranked flow)


cdef class LeastRecent(Ordered):
    cdef bint before(self, Ranked one, Ranked other) except -1
    cpdef add(self, Ranked flow)
    cpdef touch(self, Ranked flow, long long now_ns)

    @cython.locals(first=Ranked, active=Ranked)
    cdef Ranked _first(self, Ranked keep)


cpdef Ranking ranking_of(str policy, long long large_bytes)

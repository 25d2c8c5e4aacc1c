cimport cython
from .counters cimport Counters
from .flow cimport Flow
from .life cimport Lives
from .roster cimport Roster
from .store cimport Store

cdef long long _HOT_NS, NEVER_NS


cdef class Desk:
    cdef readonly object limits
    cdef readonly Counters counters
    cdef readonly Store store
    cdef readonly Lives flows
    cdef readonly object turn
    cdef readonly long long now_ns
    cdef readonly bint finished

    cpdef list entries_after(self, long long serial, long long count, Roster roster)

    cdef long long _hot_ns(self) noexcept

    cdef Flow _given(self, object found, bint names)

    cdef Flow _there(self, Flow flow)

    cdef Flow _readable(self, Flow flow)

cimport cython
from cpython.array cimport array
from .evict cimport Packed
from .flow cimport Flow, name_key
from .memory cimport push

cdef long long _MIN_ROWS


cdef class Register:
    cdef long long next_serial
    cdef readonly long long count
    cdef dict names
    cdef array serials
    cdef list rows
    cdef long long first_row
    cdef public long long appeared
    cdef public list grown
    cdef public list gone
    cdef readonly list freed
    cdef public list orphans
    cdef readonly list events
    cdef readonly long long events_lost

    cpdef keep_name(self, Flow flow)
    cpdef bint has_name(self, bytes key, long long generation) except -1
    cpdef object find(self, bytes key, long long generation)

    @cython.locals(row=cython.longlong)
    cpdef object get(self, long long serial)

    cpdef list list_after(self, long long serial, long long count)
    cpdef list serials_after(self, long long serial, long long count)

    @cython.locals(row=cython.longlong, found=list)
    cdef list _rows_after(self, long long serial, long long count)

    @cython.locals(flow=Flow)
    cdef Flow _enter(self, bytes key, long long generation, object owner)

    cdef _strike(self, Flow flow)
    cdef _drop_row(self, long long row)

    cpdef put_away(self, Flow flow, Packed packed)
    cpdef take_up(self, Packed packed, Flow flow)

    @cython.locals(key=bytes)
    cdef _rename(self, Flow flow, object found)

    @cython.locals(flow=Flow, kept=list, row=cython.Py_ssize_t)
    cdef _close_ranks(self)

    cdef _tell(self, Flow flow)
    cdef _tell_freed(self, Flow flow)

    cpdef tuple take_events(self)
    cdef _happened(self, int what, Flow flow, long long now_ns)

    @cython.locals(flow=Flow)
    cpdef list take_freed(self)

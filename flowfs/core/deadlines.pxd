cimport cython
from cpython.array cimport array
from .memory cimport item, push, put

cdef long long NEVER_NS


@cython.final
cdef class Deadlines:
    cdef array times_ns
    cdef array orders
    cdef list keys
    cdef long long put_so_far

    cpdef long long first_ns(self) noexcept
    cpdef put(self, long long time_ns, bytes key)

    @cython.locals(first=bytes, key=bytes, time_ns=cython.longlong, order=cython.longlong)
    cpdef bytes take(self)
    cpdef list entries(self)
    cpdef keep(self, list entries)

    @cython.locals(place=cython.Py_ssize_t)
    cdef _add(self, long long time_ns, long long order, bytes key)

    @cython.locals(count=cython.Py_ssize_t, place=cython.Py_ssize_t, below=cython.Py_ssize_t, other=cython.Py_ssize_t)
    cdef _let_sink(self, long long time_ns, long long order, bytes key)

    @cython.locals(there_ns=cython.longlong)
    cdef bint _goes_before(self, long long time_ns, long long order, Py_ssize_t place) noexcept
    cdef _move(self, Py_ssize_t place, Py_ssize_t to)
    cdef _set(self, Py_ssize_t place, long long time_ns, long long order, bytes key)

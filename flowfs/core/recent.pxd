cimport cython
from cpython.array cimport array
from .memory cimport is_key, item, mark_of, put
from .stream cimport Stream

cdef int _SHIFT
cdef Py_ssize_t _PAIR, _ALIGNED


@cython.final
cdef class Recent:
    cdef list slots
    cdef array marks

    @cython.locals(stream=Stream, mark=cython.longlong, slot=cython.Py_ssize_t)
    cdef Stream find(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t count, int vlan)

    @cython.locals(mark=cython.longlong, slot=cython.Py_ssize_t)
    cdef put(self, Stream stream)

    @cython.locals(slot=cython.Py_ssize_t)
    cdef drop(self, Stream stream)

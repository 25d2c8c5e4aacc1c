cimport cython
from .memory cimport is_key, slot_of
from .stream cimport Stream

cdef Py_ssize_t _ALIGNED


@cython.final
cdef class Recent:
    cdef list slots

    @cython.locals(stream=Stream)
    cdef Stream find(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t count, int vlan)

    cdef put(self, Stream stream)

    @cython.locals(slot=cython.Py_ssize_t)
    cdef drop(self, Stream stream)

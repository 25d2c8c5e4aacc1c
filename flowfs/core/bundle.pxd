cimport cython
from .memory cimport chunk, copy

cdef int _FULL


@cython.final
cdef class Bundle:
    cdef Py_ssize_t _at
    cdef int _bit
    cdef Py_ssize_t _bits_at
    cdef Py_ssize_t _count
    cdef bint _opened
    cdef unsigned char[::1] _view

    cpdef void begin(self) noexcept
    cpdef bytes packed(self)
    cpdef Py_ssize_t count(self) noexcept
    cpdef open(self, bytes data)

    @cython.locals(bit=cython.int)
    cpdef bint flag(self, bint value) noexcept

    cpdef long long number(self, long long value, long long usual) noexcept

    @cython.locals(rest=cython.ulonglong, at=cython.Py_ssize_t)
    cdef void _put(self, long long number) noexcept

    @cython.locals(
        rest=cython.ulonglong, part=cython.ulonglong, more=cython.int, shift=cython.int, at=cython.Py_ssize_t,
        half=cython.longlong
    )
    cdef long long _take(self) noexcept

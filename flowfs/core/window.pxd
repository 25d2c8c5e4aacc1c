cimport cython
from .memory cimport word

cdef int _END, _NOP, _SCALE, _TIMESTAMPS, _MAX_SCALE
cdef int ABSENT
cdef long long _USUAL

@cython.locals(found=cython.int, size=cython.int)
cdef Py_ssize_t _option(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int kind, int length
) noexcept

@cython.locals(at=cython.Py_ssize_t)
cpdef int scale_of(const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(at=cython.Py_ssize_t)
cpdef Py_ssize_t timestamps_at(const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept

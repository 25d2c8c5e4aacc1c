from .memory cimport publish


cdef class Turn:
    cdef readonly object _next
    cdef object _busy
    cdef readonly long long taken

cimport cython
from .memory cimport chunk, copy_past_caches, move, populate, same

cdef long long UNIT_BYTES
cdef int CLASSES
cdef int TOP_CLASS
cdef long long LARGEST_BLOCK_BYTES


@cython.locals(level=cython.int)
cpdef int size_class(long long wanted_bytes) noexcept


cdef class Arena:
    cdef readonly long long capacity_bytes
    cdef readonly long long used_bytes
    cdef unsigned char[::1] memory
    cdef long long units
    cdef unsigned char[::1] free_class
    cdef int[::1] next_free
    cdef int[::1] previous_free
    cdef int[::1] heads
    cdef unsigned int available
    cdef long long fresh_unit

    @cython.locals(split=cython.int, unit=cython.longlong, available=cython.uint)
    cpdef long long allocate(self, int level) noexcept

    @cython.locals(lowest=cython.int)
    cpdef int closest(self, int level, int steps) noexcept

    @cython.locals(unit=cython.longlong, buddy=cython.longlong)
    cpdef void release(self, long long position, int level) noexcept

    cpdef long long fresh_bytes(self) noexcept
    cpdef void prepare(self, Py_ssize_t position, Py_ssize_t count) noexcept
    cpdef void write(self, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept
    cpdef bytes read(self, Py_ssize_t position, Py_ssize_t count)
    cpdef void read_into(self, Py_ssize_t position, Py_ssize_t count, unsigned char[::1] to, Py_ssize_t at) noexcept
    cpdef bint holds(self, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept

    @cython.locals(head=cython.int)
    cdef void _link(self, long long unit, int level) noexcept

    @cython.locals(following=cython.int, previous=cython.int)
    cdef void _unlink(self, long long unit, int level) noexcept

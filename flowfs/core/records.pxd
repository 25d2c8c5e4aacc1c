cimport cython
from .memory cimport word, word_little

cdef long long CAPACITY, MAX_FRAME_BYTES, MAX_INTERFACES
cdef int MORE, FULL, OTHER, DAMAGED
cdef unsigned int SIMPLE_BLOCK, ENHANCED_BLOCK, OLD_BLOCK
cdef unsigned long long _SECOND_NS, _FINEST
cdef long long _LAST_SECOND
cdef unsigned int _SMALLEST_BLOCK_BYTES, _LARGEST_BLOCK_BYTES


@cython.final
cdef class Records:
    cdef unsigned int[::1] _meta
    cdef readonly object meta
    cdef readonly bint big_endian
    cdef readonly long long count
    cdef int stopped
    cdef readonly long long interfaces
    cdef readonly int link_type
    cdef int[::1] _link_types
    cdef unsigned long long[::1] _ticks
    cdef long long[::1] _offsets_s
    cdef unsigned int[::1] _snaplens

    @cython.locals(length=cython.longlong, frame=cython.Py_ssize_t)
    cpdef Py_ssize_t scan_pcap(self, const unsigned char* piece, Py_ssize_t start, Py_ssize_t end, int header_bytes)

    @cython.locals(kind=cython.uint, total=cython.uint)
    cpdef Py_ssize_t scan_pcapng(self, const unsigned char* piece, Py_ssize_t start, Py_ssize_t end)

    cpdef bint wants_more(self) except -1
    cpdef bint is_at_other_block(self) except -1

    @cython.locals(header_bytes=cython.int, room=cython.longlong, interface=cython.longlong, length=cython.longlong,
                   ticks=cython.ulonglong)
    cdef void _note_block(self, const unsigned char* piece, Py_ssize_t start, Py_ssize_t end, unsigned int kind) noexcept

    @cython.locals(each=cython.ulonglong, seconds=cython.longlong, rest=cython.ulonglong,
                   fraction=cython.ulonglong)
    cdef void _note_at(self, unsigned long long ticks, long long interface, long long offset, long long length) noexcept

    @cython.locals(row=cython.Py_ssize_t)
    cdef void _note(self, long long seconds, unsigned long long fraction, long long offset, long long length) noexcept

    cdef unsigned int _word(self, const unsigned char* piece, Py_ssize_t position) noexcept

    cdef unsigned int _half(self, const unsigned char* piece, Py_ssize_t position) noexcept

cimport cython

cdef int WHOLE, NO_FRAGMENT, CUT
cdef int _TCP, _FRAGMENT, _AUTHENTICATION
cdef int _IPV6_BYTES, _FRAGMENT_BYTES, _TCP_BYTES
cdef int _MAX_EXTENSIONS, _MAX_DATAGRAM_BYTES


@cython.final
cdef class Fragment:
    cdef readonly bytes key
    cdef readonly bytes source
    cdef readonly int version
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t end
    cdef readonly int offset
    cdef readonly bint more
    cdef readonly int header_bytes
    cdef readonly int next_at
    cdef readonly int following


@cython.locals(verdict=cython.int, count=cython.Py_ssize_t)
cpdef int read_fragment(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Fragment fragment
) except -1

@cython.locals(past=cython.Py_ssize_t)
cpdef bint is_too_long(Fragment fragment) except -1

cpdef int room_for_data(int header_bytes, int version) noexcept

@cython.locals(header_bytes=cython.int, total_bytes=cython.int, tag=bytes, flags=cython.int)
cdef int _read_ipv4(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Fragment fragment
) except -1

@cython.locals(
    payload_bytes=cython.int, end_here=cython.Py_ssize_t, passed=cython.int, at=cython.Py_ssize_t, tag=bytes,
    flags=cython.int
)
cdef int _read_ipv6(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Fragment fragment
) except -1

@cython.locals(at=cython.Py_ssize_t, position=cython.Py_ssize_t, passed=cython.int, header_bytes=cython.int)
cdef int _find_header(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, Fragment fragment) noexcept

@cython.locals(header_bytes=cython.int)
cdef bint _holds_chain(
    const unsigned char* base, Py_ssize_t position, Py_ssize_t end, int kind, int passed
) noexcept

cdef int _extension_bytes(int kind, int length) noexcept

@cython.locals(start=cython.Py_ssize_t, at=cython.Py_ssize_t, rest=bytes)
cpdef bytes header_of(const unsigned char* base, Fragment fragment)

@cython.locals(at=cython.int, length=cython.int)
cpdef bytes joined(bytes header, list chunks, Py_ssize_t data_bytes)

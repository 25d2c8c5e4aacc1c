cimport cython
from .assembly cimport NEVER
from .decode cimport ACK, SYN, WRONG, Segment
from .midway cimport Midway
from .seq cimport advance
from .stream cimport Connection, Stream

cdef int IDLE, OPEN
cdef long long FORGED_GAP_NS


cdef class Lone(Midway):
    cdef Stream _contest(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(connection=Connection)
    cdef Stream _begin_apart(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    cdef Stream _admit_instead(self, Stream stream, Segment segment, long long now_ns)

    @cython.locals(isn=cython.longlong)
    cdef bint _answers(self, Stream stream, Segment segment) except -1

    cdef _agrees(self, Connection connection)
    cdef bint _is_apart(self, Stream stream, Segment segment) except -1

    @cython.locals(rival=Connection, there=Stream)
    cdef bint _is_next_of_rival(self, Stream stream, Segment segment) except -1

    cdef bint _is_far(self, Stream stream, Segment segment) except -1
    cdef bint _is_copy(self, Stream stream, Segment segment, const unsigned char* base) except -1
    cdef bint _is_alone(self, Connection connection) noexcept
    cdef bint _may_have_ended(self, Connection connection) noexcept

    @cython.locals(incumbent=Connection, one=Stream, other=Stream, opens=cython.bint)
    cdef bint _is_silent(self, Connection rival, long long now_ns) except -1

    @cython.locals(incumbent=Connection, stream=Stream)
    cdef _replace(self, Connection rival, long long accepted_bytes, long long now_ns)

    @cython.locals(stream=Stream, there=Stream, known=cython.bint)
    cdef bint _has_same_side(self, Connection rival, Connection incumbent) except -1

cimport cython
from .assembly cimport NEVER
from .decode cimport ACK, RST, SYN, Segment
from .pending cimport Pending
from .rivals cimport Rivals
from .stream cimport Connection, Stream

cdef int OPEN
cdef long long FORGED_RST_NS, RESYNC_SEGMENTS, STALE_STAMP_NS


cdef class Midway(Rivals):
    @cython.locals(incumbent=Connection, rival_stream=Stream)
    cdef bint _begin_midway(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns) except -1

    cdef bint _is_outdated(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns) except -1

    cdef bint _is_copy(self, Stream stream, Segment segment, const unsigned char* base) except -1

    @cython.locals(first=Connection)
    cdef bint _has_two_with_syns(self, Connection incumbent) except -1

    cdef bint _is_midway(self, Connection rival) noexcept

    @cython.locals(peer=Stream)
    cdef bint _begins_far(self, Stream stream, Segment segment) except -1

    @cython.locals(peer=Stream, far_ack=cython.bint)
    cdef bint _is_far(self, Stream stream, Segment segment) except -1

    cdef bint _may_have_ended(self, Connection connection) noexcept
    cdef bint _is_of_rival(self, Stream rival_stream, Stream stream, Segment segment) except -1

    @cython.locals(peer=Stream)
    cdef bint _acknowledges_far(self, Stream stream, Segment segment) except -1

    @cython.locals(rival=Connection)
    cdef Stream _hear(
        self, Stream rival_stream, Stream stream, Segment segment, const unsigned char* base, long long now_ns
    )

    @cython.locals(acknowledged=cython.bint)
    cdef bint _takes_over(self, Connection rival, long long now_ns) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _is_silent(self, Connection rival, long long now_ns) except -1

    @cython.locals(tentative=Pending)
    cdef bint _is_acknowledged(self, Stream rival_stream) except -1

    @cython.locals(tentative=Pending)
    cdef bint _is_in_a_row(self, Stream rival_stream) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _stands(self, Connection rival, bint has_bytes) except -1

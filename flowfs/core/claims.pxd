cimport cython
from .assembly cimport NEVER
from .decode cimport ACK, Segment
from .stream cimport Connection, Stream
from .timeouts cimport Timeouts

cdef int OPEN
cdef long long FORGED_RST_NS, LONE_BYTES, RESYNC_SEGMENTS


cdef class Claims(Timeouts):
    cdef Stream _side(self, Connection rival, Stream stream)

    @cython.locals(rival=Connection, found=Stream, there=Stream, least=cython.longlong, away=cython.longlong)
    cdef Stream _rival_of(self, Stream stream, Segment segment)

    cdef bint _fits(self, Stream rival_stream, Segment segment) except -1

    @cython.locals(half_seen=cython.bint)
    cdef bint _is_of_rival(self, Stream rival_stream, Stream stream, Segment segment) except -1

    @cython.locals(peer=Stream, acks=cython.bint, far=cython.bint, far_ack=cython.bint)
    cdef bint _is_elsewhere(self, Stream stream, Segment segment, bint half_seen) except -1

    @cython.locals(here=cython.longlong, there=cython.longlong)
    cdef bint _is_nearer(self, Stream rival_stream, Stream stream, Segment segment) except -1

    @cython.locals(peer=Stream, own=cython.bint, acked=cython.longlong)
    cdef bint _has_own_number(self, Stream stream, Segment segment) except -1

    @cython.locals(away=cython.longlong)
    cdef long long _away(self, Stream stream, Segment segment) except -1

    @cython.locals(offset=cython.longlong)
    cdef bint _goes_on_here(self, Stream stream, Segment segment) except -1

    @cython.locals(rival=Connection)
    cdef bint _is_claimed(self, Stream rival_stream, Segment segment, long long now_ns) except -1

    @cython.locals(rival=Connection, incumbent=Connection)
    cdef bint _lacks_a_word(self, Stream rival_stream, long long now_ns) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _had_other_side(self, Connection rival) except -1

    @cython.locals(stream=Stream)
    cdef long long _ended_ns(self, Connection connection) except? -2

    cdef bint _is_unasked(self, Connection rival) except -1

    @cython.locals(other=Stream)
    cdef bint _agree(self, Connection rival, Segment segment) except -1

    cdef bint _has_spoken(self, Connection rival) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _is_half_seen(self, Connection rival) except -1

    @cython.locals(one=Stream, incumbent=Connection, said=cython.bint)
    cdef bint _stands(self, Connection rival, bint has_bytes) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _is_doubted(self, Connection rival) except -1

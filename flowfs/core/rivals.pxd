cimport cython
from .assembly cimport NEVER
from .decode cimport ACK, FIN, RST, SYN, WRONG, Segment
from .flows cimport Flows
from .order cimport Queue, leave
from .stream cimport Connection, Stream
from .timeouts cimport Timeouts

cdef int IDLE, OPEN
cdef long long FORGED_RST_NS, RESYNC_SEGMENTS


cdef class Rivals(Timeouts):
    @cython.locals(there=Stream)
    cdef Stream _challenge(self, Stream stream, long long isn, long long peer_isn, long long now_ns)

    @cython.locals(incumbent=Connection, first=Connection, rival=Connection, rival_stream=Stream, queue=Queue)
    cdef Stream _begin_rival(self, Stream stream, long long now_ns)

    cdef Queue _queue_with_room(self, long long now_ns)
    cdef _take_room(self, Connection rival, Connection incumbent, long long now_ns)

    @cython.locals(seen=cython.int)
    cdef Connection _weaker(self, Connection first, Connection second)

    @cython.locals(rival=Connection)
    cdef bint _has_begun_another(self, Connection incumbent) except -1

    cdef Stream _side(self, Connection rival, Stream stream)

    @cython.locals(rival=Connection, there=Stream)
    cdef Stream _rival_with(self, Stream stream, long long isn, long long peer_isn)

    cdef _dismiss(self, Connection rival)

    @cython.locals(incumbent=Connection)
    cdef _unlink(self, Connection rival)

    @cython.locals(rival=Connection, found=Stream, there=Stream, least=cython.longlong, ahead=cython.longlong)
    cdef Stream _rival_of(self, Stream stream, Segment segment)

    @cython.locals(rival=Connection, rival_stream=Stream)
    cdef Stream _contest(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(rival=Connection)
    cdef bint _is_claimed(self, Stream rival_stream, Segment segment, long long now_ns) except -1

    @cython.locals(rival=Connection, incumbent=Connection)
    cdef bint _lacks_a_word(self, Stream rival_stream, long long now_ns) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _had_other_side(self, Connection rival) except -1

    @cython.locals(stream=Stream)
    cdef long long _ended_ns(self, Connection connection) except? -2

    @cython.locals(rival=Connection, has_bytes=cython.bint, stands=cython.bint, accepted_bytes=cython.longlong)
    cdef Stream _hear(
        self, Stream rival_stream, Stream stream, Segment segment, const unsigned char* base, long long now_ns
    )

    cdef bint _is_unasked(self, Connection rival) except -1

    @cython.locals(other=Stream)
    cdef bint _agree(self, Connection rival, Segment segment) except -1

    cdef bint _has_spoken(self, Connection rival) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _is_half_seen(self, Connection rival) except -1

    @cython.locals(incumbent=Connection)
    cdef bint _is_doubted(self, Connection rival) except -1

    cdef bint _fits(self, Stream rival_stream, Segment segment) except -1

    @cython.locals(half_seen=cython.bint)
    cdef bint _is_of_rival(self, Stream rival_stream, Stream stream, Segment segment) except -1

    @cython.locals(peer=Stream, acks=cython.bint, far=cython.bint, far_ack=cython.bint)
    cdef bint _is_elsewhere(self, Stream stream, Segment segment, bint half_seen) except -1

    @cython.locals(other=Stream)
    cdef bint _is_next(self, Stream rival_stream, Segment segment) except -1

    @cython.locals(offset=cython.longlong, fin=cython.longlong)
    cdef long long _set_aside(self, Stream stream, Segment segment, const unsigned char* base) except? -1

    cdef _keep(self, Stream rival_stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cdef bint _goes_on_here(self, Stream stream, Segment segment) except -1

    @cython.locals(one=Stream, incumbent=Connection, said=cython.bint)
    cdef bint _stands(self, Connection rival, bint has_bytes) except -1

    @cython.locals(rival_stream=Stream, peer=Stream, incumbent=Connection, first=cython.longlong)
    cdef _replace(self, Connection rival, long long accepted_bytes, long long now_ns)

    cdef _untrack(self, Connection connection)
    cdef _close(self, Connection connection, int state, long long now_ns)
    @cython.locals(rival=Connection, doubted=cython.bint)
    cdef _cease(self, Connection connection, long long now_ns)

    cdef _forget(self, Connection connection, long long now_ns)

    @cython.locals(connection=Connection, rival=Connection)
    cpdef bint finish(self, long long now_ns, long long patience_bytes) except -1

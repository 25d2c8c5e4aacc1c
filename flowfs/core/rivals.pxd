cimport cython
from .assembly cimport NEVER
from .claims cimport Claims
from .decode cimport ACK, FIN, PSH, RST, SYN, WRONG, Segment
from .flows cimport Flows
from .notes cimport KEEPALIVE
from .order cimport Queue, leave
from .stream cimport Connection, Stream

cdef int IDLE


cdef class Rivals(Claims):
    @cython.locals(incumbent=Connection, there=Stream, key=bytes, reverse=bytes)
    cdef Stream _challenge(self, Stream stream, long long isn, long long peer_isn, long long now_ns)

    @cython.locals(incumbent=Connection, first=Connection, rival=Connection, rival_stream=Stream, queue=Queue)
    cdef Stream _begin_rival(self, Stream stream, long long now_ns)

    cdef Queue _queue_with_room(self, long long now_ns)

    cdef _take_room(self, Connection rival, Connection incumbent, long long now_ns)

    @cython.locals(more=cython.int)
    cdef Connection _weaker(self, Connection first, Connection second)

    @cython.locals(one=Stream, other=Stream, syns=cython.int)
    cdef int _seen(self, Connection rival) except -1

    @cython.locals(rival=Connection)
    cdef bint _has_begun_another(self, Connection incumbent) except -1

    @cython.locals(rival=Connection, there=Stream)
    cdef Stream _rival_with(self, Stream stream, long long isn, long long peer_isn)

    cdef _dismiss(self, Connection rival)

    @cython.locals(incumbent=Connection)
    cdef _unlink(self, Connection rival)

    @cython.locals(rival=Connection, rival_stream=Stream)
    cdef Stream _contest(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(rival=Connection, has_bytes=cython.bint, stands=cython.bint, accepted_bytes=cython.longlong)
    cdef Stream _hear(
        self, Stream rival_stream, Stream stream, Segment segment, const unsigned char* base, long long now_ns
    )

    @cython.locals(offset=cython.longlong, fin=cython.longlong)
    cdef long long _set_aside(self, Stream stream, Segment segment, const unsigned char* base) except? -1

    cdef _keep(self, Stream rival_stream, Segment segment, const unsigned char* base, long long now_ns)

    cdef bint _skips_probe(self, Stream rival_stream, Segment segment) except -1
    cdef _count_keepalive(self, Stream stream, Segment segment)

    @cython.locals(rival_stream=Stream, peer=Stream, incumbent=Connection, first=cython.longlong)
    cdef _replace(self, Connection rival, long long accepted_bytes, long long now_ns)

    cdef _untrack(self, Connection connection)

    cdef _close(self, Connection connection, int state, long long now_ns)

    @cython.locals(rival=Connection, doubted=cython.bint)
    cdef _cease(self, Connection connection, long long now_ns)

    cdef _forget(self, Connection connection, long long now_ns)

    @cython.locals(connection=Connection, rival=Connection)
    cpdef bint finish(self, long long now_ns, long long patience_bytes) except -1

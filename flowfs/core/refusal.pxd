cimport cython
from .assembly cimport NEVER
from .decode cimport ACK, SYN, WRONG, Segment
from .lone cimport Lone
from .notes cimport REFUSED
from .seq cimport distance
from .stream cimport Connection, Stream

cdef int OPEN
cdef long long _WINDOW_BYTES


cdef class Refusal(Lone):
    @cython.locals(incumbent=Connection, there=Stream, known=cython.bint, whole=cython.bint)
    cdef Stream _challenge(self, Stream stream, long long isn, long long peer_isn, long long now_ns)

    @cython.locals(
        incumbent=Connection, isn=cython.longlong, peer_isn=cython.longlong, whole=cython.bint, key=bytes,
        stream=Stream
    )
    cdef _forget(self, Connection connection, long long now_ns)

    @cython.locals(connection=Connection)
    cdef _remember_refused(self, Stream stream, long long isn, long long peer_isn, bint whole)

    cdef _forget_refused(self, Connection connection)

    @cython.locals(incumbent=Connection, began=cython.bint)
    cdef Stream _contest(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(incumbent=Connection, isn=cython.longlong, peer_isn=cython.longlong, half_seen=cython.bint)
    cdef bint _is_of_refused(self, Stream stream, Segment segment, bint began) except -1

    @cython.locals(peer=Stream)
    cdef bint _is_beyond(self, Stream stream, Segment segment) except -1

    cdef bint _is_behind(self, long long seq, long long isn) except -1

    @cython.locals(incumbent=Connection, first=Stream, there=Stream)
    cdef Stream _ask_again(
        self, Stream stream, Segment segment, const unsigned char* base, bint began, long long now_ns
    )

cimport cython
from .assembly cimport NEVER
from .decode cimport FIN, SYN, Segment
from .notes cimport AFTER_CLOSE
from .refusal cimport Refusal
from .stream cimport Connection, Stream

cdef int IDLE, OPEN, ENDED_BY_RST
cdef long long FORGED_RST_NS, REMEMBER_NS


cdef class Reopening(Refusal):
    @cython.locals(outdated=cython.bint, challenged=cython.bint, payload=cython.longlong, successor=Stream)
    cdef Stream _after_close(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(peer=Stream, doubted=Stream)
    cdef bint _goes_on(self, Stream stream, Segment segment, long long now_ns) except -1

    @cython.locals(peer=Stream, end=cython.longlong)
    cdef Stream _reset_that_overtook(self, Stream stream, Segment segment)

    @cython.locals(peer=Stream, acked=cython.longlong)
    cdef bint _unseen_side_goes_on(self, Stream stream, Segment segment, long long now_ns) except -1

    @cython.locals(connection=Connection)
    cdef _reopen(self, Stream stream, long long now_ns)

    cdef _adopt(self, Stream stream, long long now_ns)

    @cython.locals(opened=cython.bint)
    cdef bint _may_go_on(self, Connection connection, long long now_ns) except -1

    @cython.locals(connection=Connection, count=cython.longlong, lately=cython.bint)
    cdef bint _is_doubtful(self, Stream stream, Segment segment, long long now_ns) except -1

    @cython.locals(offset=cython.longlong, ripe=cython.bint)
    cdef _take_doubtful(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

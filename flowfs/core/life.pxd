cimport cython
from .assembly cimport NEVER
from .counters cimport Counters
from .decode cimport ACK, FIN, PSH, RST, SYN, URG, VALID, WRONG, Segment
from .notes cimport CHECKSUM, UNACKNOWLEDGING, UNKNOWN_TTL
from .notes cimport RST as OF_RST
from .order cimport Queue
from .reopening cimport Reopening
from .seq cimport advance, distance
from .store cimport Store
from .stream cimport Connection, Stream
from .uncommon cimport OddEnd

cdef int OPEN, ENDED_BY_RST


@cython.final
cdef class Lives(Reopening):
    cdef bint strict

    @cython.locals(stream=Stream)
    cpdef accept(self, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(payload=cython.longlong)
    cdef bint _doubts(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns) except -1

    @cython.locals(fin=cython.bint)
    cdef _take_doubted(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(side=Stream)
    cdef _settle(self, Stream stream, long long now_ns)

    cdef _resolve_syn_data(self, Stream stream, Segment segment, long long now_ns)

    @cython.locals(pointer=cython.longlong)
    cdef _urgent(self, Stream stream, Segment segment, const unsigned char* base)

    @cython.locals(data=bytes)
    cdef _take_old(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    cdef bint _is_probe(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns) except -1

    @cython.locals(cut=cython.longlong, parts=list)
    cdef _payload(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    @cython.locals(peer=Stream, taken=cython.bint)
    cdef bint _acknowledge(self, Stream stream, Segment segment, long long now_ns) except -1

    cdef bint _is_odd(self, Stream stream, Segment segment, long long now_ns) except -1

    @cython.locals(connection=Connection, peer=Stream, far=cython.bint)
    cdef bint _data(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns) except -1

    cdef void _note_source(self, Connection connection) noexcept

    @cython.locals(queue=Queue)
    cdef _count(self, Connection connection, Stream stream, long long now_ns)
    cdef _count_untaken(self, Connection connection, long long now_ns)
    cdef bint _is_for_other(self, Stream stream, long long ack) except -1

    @cython.locals(chosen=Stream)
    cdef Stream _control(self, Stream stream, Segment segment, const unsigned char* base, long long now_ns)

    cdef Stream _syn(self, Stream stream, Segment segment, long long now_ns)

    cdef bint _is_beginning(self, Stream stream) except -1

    @cython.locals(peer=Stream, acked_isn=cython.longlong, beyond=cython.longlong, offered=cython.bint)
    cdef Stream _syn_ack(self, Stream stream, Segment segment, long long now_ns)

    @cython.locals(rival=Connection, there=Stream, acked_isn=cython.longlong)
    cdef long long _acked_isn(self, Stream stream, Segment segment) noexcept

    @cython.locals(peer=Stream)
    cdef bint _is_of_another(self, Stream stream, long long isn, long long acked_isn) except -1
    cdef bint _is_offered(self, Stream stream, long long isn) except -1

    cdef Stream _syn_ack_after_close(self, Stream stream, Segment segment, long long now_ns)

    @cython.locals(rival_stream=Stream)
    cdef Stream _challenge_by_both(self, Stream stream, Segment segment, long long now_ns)

    @cython.locals(odd_end=OddEnd, peer=Stream, refuses=cython.bint)
    cdef _reset(self, Stream stream, Segment segment, long long now_ns)

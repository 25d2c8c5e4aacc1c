cimport cython
from .assembly cimport FAR_AWAY, NEVER, Assembly, Owner, Room
from .seq cimport advance, distance

cdef int _NOT_LOST, OPEN, ENDED_BY_FIN
cdef int ACK, CLOSE, LIMIT, ONE_WAY, SNAPLEN
cdef long long ACKED_HOLE_NS, ACKED_HOLE_PACKETS, MAX_CUTS, NOTE_BYTES, ONE_WAY_BYTES, ONE_WAY_NS
cdef long long RESYNC_SEGMENTS, SETTLE_NS, SETTLE_SEGMENTS
cdef long long _WINDOW_BYTES


@cython.final
cdef class Connection(Owner):
    cdef public long long closed_ns
    cdef public long long last_ns
    cdef public Stream one
    cdef public Stream other
    cdef public long long packets
    cdef public int state
    cdef public long long touched_ns
    cdef public bint tracked
    cdef void begin(self, long long generation, long long now_ns, int source) noexcept


@cython.final
cdef class Stream(Assembly):
    cdef public long long acked_ns
    cdef public long long acked_to
    cdef public long long base_seq
    cdef public Connection connection
    cdef public long long deadline_ns
    cdef public bint done
    cdef public long long far_ack
    cdef public int far_count
    cdef public long long far_next
    cdef public long long hint_high
    cdef public long long hint_low
    cdef public bint hinted
    cdef public long long isn
    cdef public long long other_isn
    cdef public bint over
    cdef public long long packet_limit
    cdef public long long packets
    cdef public Stream peer
    cdef public long long peer_ack
    cdef public long long scheduled_ns
    cdef public int settle_count
    cdef public bint settling
    cdef void begin(self, bytes key, Connection connection, Room room) noexcept

    @cython.locals(base=cython.longlong, low=cython.longlong)
    cpdef bint takes_isn(self, long long isn, long long now_ns) except -1

    cdef _is_whole(self)
    cpdef restart(self, long long isn)
    cpdef bint is_fresh(self) except -1
    cdef long long _offset(self, long long seq) noexcept
    cdef _anchor(self, long long low, long long now_ns)
    cdef _begin_settling(self, long long seq, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cdef _gather(self, bytes data, long long seq, long long now_ns)

    @cython.locals(low=cython.longlong)
    cdef _settle(self, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cdef _hint(self, long long ack)

    @cython.locals(offset=cython.longlong)
    cpdef receive(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long seq, long long now_ns)

    cpdef receive_syn_data(self, bytes data, long long now_ns)
    cpdef resolve_syn_data(self, bint accepted, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cpdef note_cut(self, long long seq, long long count)

    @cython.locals(offset=cython.longlong, known=cython.longlong)
    cpdef acknowledge(self, long long ack, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cpdef receive_fin(self, long long seq, long long now_ns)

    cdef _fin_acknowledged(self, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cpdef bint expects(self, long long seq) except -1

    @cython.locals(believed=cython.bint)
    cdef _receive_far(
        self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long offset, long long now_ns
    )

    @cython.locals(reason=cython.int)
    cpdef review(self, long long now_ns)

    cdef int _reason_to_give_up(self, long long end, long long now_ns) except -2

    @cython.locals(connection=Connection)
    cdef bint _acked_long_enough(self, long long end, long long now_ns) except -1

    cdef _check_done(self, long long now_ns)

    @cython.locals(end=cython.longlong)
    cpdef close(self, int state, long long now_ns)

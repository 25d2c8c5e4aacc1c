cimport cython
from .afar cimport Afar
from .assembly cimport FAR_AWAY, NEVER, Assembly, Room
from .exchange cimport Owner
from .flow cimport Flow
from .memory cimport flag
from .notes cimport DUPLICATE, SYN, UNKNOWN_TTL, WINDOW
from .seq cimport advance
from .uncommon cimport NO_ODD_ACKS, OddAcks, OddEnd

cdef int _NOT_LOST, OPEN, ENDED_BY_FIN, ENDED_BY_RST
cdef int ACK, CLOSE, ONE_WAY, SNAPLEN
cdef long long ACKED_HOLE_NS, ACKED_HOLE_PACKETS, LOWER_ACKS, WIDE_HOLE_BYTES, ONE_WAY_BYTES, ONE_WAY_NS
cdef long long MAX_COMPARED_HOLES, RESYNC_SEGMENTS, SETTLE_NS
cdef long long _WINDOW_BYTES


@cython.final
@cython.no_gc
cdef class Connection(Owner):
    cdef public long long closed_ns
    cdef public Connection incumbent
    cdef public long long last_ns
    cdef public Stream one
    cdef public Stream other
    cdef public long long packets
    cdef public long long refused_isn
    cdef public long long refused_peer_isn
    cdef public Connection rival
    cdef public int claims
    cdef public int state
    cdef public flag contested
    cdef public flag disputed
    cdef public flag lone
    cdef public flag refused_by_one
    cdef public flag refused_whole
    cdef public flag tracked
    cdef void begin(self, long long generation, long long now_ns, int source) noexcept
    cdef void review_dispute(self) noexcept


@cython.final
@cython.no_gc
cdef class Stream(Afar):
    cdef public long long ack_count
    cdef public long long acked_ns
    cdef public long long acked_to
    cdef public Connection connection
    cdef public long long doubted_fin
    cdef public OddAcks odd_acks
    cdef public long long other_isn
    cdef public long long packet_limit
    cdef public Stream peer
    cdef public long long scheduled_ns
    cdef public long long syn_bytes
    cdef public long long tail_missing_bytes
    cdef public int other_acks
    cdef public flag verified
    cdef void begin(self, bytes key, Connection connection, Room room) noexcept

    cdef _keep_alone(self, long long now_ns)
    cdef OddAcks own_acks(self)
    cdef bint has_odd_acks(self) noexcept
    cpdef restart(self, long long isn)
    @cython.locals(offset=cython.longlong)
    cpdef receive(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long seq, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cpdef receive_doubted(self, bytes data, long long seq, bint fin, long long now_ns)

    cpdef receive_syn_data(self, bytes data, long long now_ns)

    @cython.locals(dropped=cython.longlong)
    cpdef resolve_syn_data(self, long long accepted_bytes, long long now_ns)

    @cython.locals(
        flow=Flow, offset=cython.longlong, stop=cython.longlong, gap_start=cython.longlong, gap_end=cython.longlong
    )
    cdef bint has_already(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long seq) except -1

    @cython.locals(offset=cython.longlong)
    cpdef bint acknowledge(self, long long ack, long long now_ns) except -1

    cdef void _forget_low_acks(self) noexcept

    @cython.locals(odd_acks=OddAcks)
    cdef _acknowledge_less(self, long long offset, long long now_ns)

    @cython.locals(odd_acks=OddAcks, in_a_row=cython.bint)
    cdef bint is_doubted_for_ack(self, long long now_ns) except -1

    cdef bint lacks_any(self) noexcept
    cdef bint waits(self) noexcept

    @cython.locals(reason=cython.int)
    cpdef review(self, long long now_ns)

    @cython.locals(end=cython.longlong)
    cdef bint _shows_only_its_end(self) noexcept
    cdef _review_doubts(self, long long now_ns)

    cdef int _reason_to_give_up(self, long long end, long long now_ns) except -2

    @cython.locals(connection=Connection)
    cdef bint _acked_long_enough(self, long long end, long long now_ns) except -1

    @cython.locals(end=cython.longlong)
    cdef _miss_what_was_acknowledged(self)

    @cython.locals(missing=cython.longlong)
    cdef _miss_tail(self, long long end)

    @cython.locals(odd_end=OddEnd)
    cdef _check_done(self, long long now_ns)

    cpdef close(self, int state, long long now_ns)

    cdef _give_up_all_before_fin(self, long long now_ns)

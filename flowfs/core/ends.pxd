cimport cython
from .assembly cimport FAR_AWAY, NEVER, Room
from .exchange cimport Owner
from .memory cimport flag
from .notes cimport AFTER_FIN
from .pending cimport Pending
from .reach cimport Reach
from .uncommon cimport NO_ODD_END, OddEnd

cdef int OPEN
cdef long long ACKED_HOLE_NS, FORGED_RST_NS


@cython.no_gc
cdef class Ending(Reach):
    cdef public long long deadline_ns
    cdef public OddEnd odd_end
    cdef public long long packets
    cdef public flag done
    cdef public flag over
    cdef void endless(self, bytes key, Owner owner, Room room) noexcept
    cdef void forget_end(self) noexcept
    cdef OddEnd own_end(self)
    cdef bint has_odd_end(self) noexcept
    cdef void wake_at(self, long long when_ns) noexcept
    cdef long long fin_end(self) noexcept

    cdef long long away_from(self, long long seq) except? -2
    cdef long long away_from_acked(self, long long ack) except? -2

    @cython.locals(first=cython.longlong, last=cython.longlong, offset=cython.longlong)
    cdef long long _away(self, long long first, long long seq) except? -2

    cpdef receive_fin(self, long long seq, long long now_ns)
    cdef _take_fin(self, long long offset, long long now_ns)

    @cython.locals(odd_end=OddEnd)
    cdef _retract_fin(self, long long now_ns)
    @cython.locals(odd_end=OddEnd)
    cdef fin_unacknowledged(self, long long now_ns)
    cdef _is_not_done(self, long long now_ns)

    cdef doubt_behind_fin(self)
    cdef _wait_for_all(self, Pending tentative, long long now_ns)
    cdef let_go(self)

    @cython.locals(offset=cython.longlong)
    cpdef bint expects(self, long long seq) except -1

    @cython.locals(ahead=cython.longlong)
    cdef bint may_be_reset_at(self, long long seq) except -1

    @cython.locals(odd_end=OddEnd, offset=cython.longlong)
    cdef bint takes_reset(self, long long seq, long long now_ns) except -1

    @cython.locals(
        odd_end=OddEnd, known=cython.longlong, known_before=cython.longlong, goes_on=cython.bint, waited=cython.bint
    )
    cdef bint decide_reset(self, bint missing, long long now_ns) except -1

    cdef bint was_overtaken(self, long long offset) noexcept
    @cython.locals(odd_end=OddEnd)
    cdef doubt_reset(self, long long now_ns)

    cdef bint may_go_on(self, long long offset, long long count, bint lately) except -1

    cdef keep_late(self, bytes data, long long offset, long long fin)

    @cython.locals(offset=cython.longlong, known=cython.longlong, end=cython.longlong, claimed_ack=cython.longlong)
    cdef bint hear_late_ack(self, long long ack) except -1

    cdef bint count_late(self, long long offset, long long count, bint ripe) except -1
    @cython.locals(odd_end=OddEnd)
    cdef reopen(self, long long now_ns)
    cdef retract_end(self, long long now_ns)

    cdef adopt(self, long long now_ns)

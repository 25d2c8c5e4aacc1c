cimport cython
from .assembly cimport FAR_AWAY, NEVER, Room
from .doubt cimport Doubting
from .exchange cimport Owner
from .memory cimport flag
from .notes cimport PRE_START, WINDOW, Notes
from .pending cimport Pending
from .seq cimport advance, distance

cdef long long _LONE_BYTES, _WINDOW_BYTES
cdef long long RESYNC_SEGMENTS, SETTLE_SEGMENTS


@cython.no_gc
cdef class Pickup(Doubting):
    cdef public long long base_seq
    cdef public long long far_next
    cdef public long long hint_high
    cdef public long long hint_low
    cdef public long long isn
    cdef public int far_count
    cdef public int hint_count
    cdef public int settle_count
    cdef public flag hinted
    cdef public flag settling
    cdef void unknown(self, bytes key, Owner owner, Room room) noexcept

    cdef void forget_row(self) noexcept

    @cython.locals(base=cython.longlong, low=cython.longlong)
    cpdef bint takes_isn(self, long long isn, long long now_ns) except -1

    @cython.locals(lowest=cython.longlong, low=cython.longlong)
    cpdef bint may_have(self, long long isn) except -1

    cdef _is_whole(self)
    cpdef bint is_fresh(self) except -1
    cdef long long offset_of(self, long long seq) noexcept
    cdef begin_settling(self, long long seq, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cdef bint gather(self, bytes data, long long seq, long long now_ns) except -1

    cdef bint _gather_far(self, bytes data, long long seq, long long offset, long long now_ns) except -1
    cdef bint count_in_a_row(self, long long offset, long long count) noexcept

    @cython.locals(offset=cython.longlong)
    cdef hint(self, long long ack)

    cdef bint is_probe(self, long long seq, bint pushed) except -1
    cdef skip_probe(self, long long seq)

    @cython.locals(low=cython.longlong)
    cdef settle(self, long long now_ns)

    @cython.locals(low=cython.longlong)
    cdef long long _lowest(self) except? -2

    @cython.locals(index=cython.Py_ssize_t, start=cython.longlong, end=cython.longlong)
    cdef long long _lowest_data(self, Pending pending) except? -2

    cdef rebase(self, long long seq)

    @cython.locals(dropped=cython.longlong)
    cdef _drop_pre_start(self, long long end)

    cdef _anchor(self, long long low, long long now_ns)
    cdef fin_acknowledged(self, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cpdef note_cut(self, long long seq, long long count)

    @cython.locals(first=cython.longlong, start=cython.longlong, end=cython.longlong, low=cython.longlong,
                   high=cython.longlong)
    cdef list unseen(self, long long seq, long long count)

    @cython.locals(offset=cython.longlong)
    cdef bint was_acknowledged(self, long long ack) except -1

    @cython.locals(first=cython.longlong, start=cython.longlong, end=cython.longlong, low=cython.longlong,
                   high=cython.longlong, kept=cython.bint, notes=Notes)
    cdef note_ttl(self, int ttl, long long seq, list parts)

    @cython.locals(notes=Notes)
    cdef note_urgent(self, long long seq)

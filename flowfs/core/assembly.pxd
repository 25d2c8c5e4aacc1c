cimport cython
from .counters cimport Counters
from .exchange cimport Owner, TurnBudget
from .notes cimport (
    AFTER_FIN,
    DUPLICATE,
    KEEPALIVE,
    LATE,
    MEMORY,
    OUT_OF_ORDER,
    PRE_START,
    REFUSED,
    UNKNOWN_TTL,
    Notes,
)
from .memory cimport flag
from .pending cimport Pending, Pool
from .flow cimport Flow
from .store cimport Store

cdef long long NEVER
cdef long long FAR_AWAY
cdef int LIMIT, LOST_FOR_MEMORY, SNAPLEN
cdef long long CHUNK_OVERHEAD_BYTES, FLOW_OUT_OF_ORDER_BYTES, FLOW_OUT_OF_ORDER_SEGMENTS, MAX_CONFLICTS
cdef long long MAX_COMPARED_HOLES
cdef long long NOTE_BYTES, QUEUE_BYTES


@cython.final
cdef class Room:
    cdef readonly Counters counters
    cdef readonly Pool pool
    cdef readonly Store store
    cdef public long long noted_bytes
    cdef public long long note_limit_bytes
    cdef public int ttl
    cdef readonly TurnBudget turns
    cpdef bint charge(self, long long count) except -1


# Here and in what derives from it numbers of 32 bits stand behind the others, and flags behind these, so that
# they share places.
@cython.no_gc
cdef class Assembly:
    cdef public list cuts
    cdef public long long fin
    cdef public Flow flow
    cdef public long long hole_ns
    cdef public bytes key
    cdef public Notes notes
    cdef public long long noted_bytes
    cdef public long long origin
    cdef public Owner owner
    cdef public Pending pending
    cdef public long long rcv_nxt
    cdef public Room room
    cdef public long long share_bytes
    cdef public int side
    cdef public int ttl
    cdef public flag anchored
    cdef public flag fin_acked
    cdef public flag partial
    cdef public flag unverified
    cdef void empty(self, bytes key, Owner owner, Room room) noexcept

    @cython.locals(middle=cython.Py_ssize_t, known=cython.longlong)
    cpdef place(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long offset, long long now_ns)

    cdef bint _is_next(self, long long offset, long long end) except -1

    @cython.locals(counters=Counters, early=cython.longlong, unknown=cython.longlong, flow=Flow)
    cdef _receive_again(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long offset)

    @cython.locals(
        counters=Counters, stop=cython.longlong, gaps=list, count=cython.longlong, gap_start=cython.longlong,
        gap_end=cython.longlong
    )
    cdef _compare(self, Flow flow, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long offset)

    @cython.locals(counters=Counters, late=cython.longlong)
    cdef _count_uncompared(self, Flow flow, long long offset, long long stop)

    cpdef forget_notes(self)
    @cython.locals(notes=Notes, first_ttl=cython.int)
    cdef _conflict(self, long long offset, long long count)

    cpdef Notes noted(self)
    cdef bint charge_notes(self, long long count) except -1

    @cython.locals(notes=Notes)
    cpdef note(self, int fate, long long count)


    @cython.locals(share=cython.longlong, segments=cython.longlong)
    cdef bint is_too_much(self, Pending pending) except -1

    cdef bridge(self, long long end, int reason, long long now_ns)
    cdef lose_until(self, long long end, int reason, long long now_ns)
    cpdef mark_unverified(self)

    @cython.locals(pending=Pending, before=cython.longlong, known=cython.longlong)
    cpdef wait(self, bytes data, long long offset, long long now_ns)

    @cython.locals(pending=Pending)
    cpdef bint fits(self, long long offset, long long count) except -1

    @cython.locals(heaviest=Pending)
    cdef _wait_hard(self, bytes data, long long offset, long long now_ns)

    @cython.locals(pending=Pending, half_bytes=cython.longlong, half_segments=cython.longlong)
    cpdef relieve(self, long long now_ns)

    @cython.locals(pending=Pending, data=bytes)
    cpdef drain(self, long long now_ns)

    cdef tidy(self)

    @cython.locals(dropped=cython.longlong)
    cpdef drop_behind_fin(self)

    cpdef bint was_cut(self, long long end) except -1

    @cython.locals(end=cython.longlong)
    cpdef give_up(self, int reason, long long now_ns)

    cpdef bint is_credible(self, long long end) except -1

    @cython.locals(dropped=cython.longlong)
    cdef _drop_far(self, Pending pending)

    cpdef give_up_all(self, int reason, long long now_ns)

    @cython.locals(owner=Owner, flow=Flow, stored=cython.longlong)
    cpdef store_next(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long now_ns)

    cdef _take_turn(self, long long now_ns)
    cdef _refuse(self, long long count)

    @cython.locals(lacking=cython.longlong)
    cdef _leave_out(self, Flow flow, long long count)

    @cython.locals(owner=Owner, flow=Flow)
    cpdef lose(self, long long count, int reason, long long now_ns)

    @cython.locals(flow=Flow, owner=Owner, store=Store)
    cdef Flow _file(self, long long now_ns)

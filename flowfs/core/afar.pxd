cimport cython
from .assembly cimport FAR_AWAY, NEVER, Room
from .ends cimport Ending
from .exchange cimport Owner
from .notes cimport DUPLICATE, WINDOW
from .pending cimport Pending
from .uncommon cimport NOTHING_BEYOND, Beyond

cdef int LIMIT
cdef long long WENT_ON
cdef long long ACKED_HOLE_NS, FORGED_GAP_NS, REMEMBER_NS, _WINDOW_BYTES


@cython.no_gc
cdef class Afar(Ending):
    cdef public Pending afar
    cdef public Beyond beyond
    cdef public long long unseen_ns
    cdef void unbroken(self, bytes key, Owner owner, Room room) noexcept
    cdef Beyond own_beyond(self)
    cdef bint has_beyond(self) noexcept

    cdef bint can_be_acknowledged(self, long long offset) noexcept
    @cython.locals(offset=cython.longlong)
    cdef bint cannot_have_sent(self, long long ack) noexcept
    cdef hear_from_afar(self, long long ack, long long peer_packets)
    cdef bint _has_peer_spoken(self, long long peer_packets) noexcept
    @cython.locals(beyond=Beyond)
    cdef stay_afar(self, long long ack)

    @cython.locals(afar=Pending, beyond=Beyond, before=cython.longlong, known=cython.longlong)
    cdef hold_afar(self, bytes data, long long offset, long long peer_packets, long long now_ns)

    @cython.locals(afar=Pending, until_ns=cython.longlong)
    cpdef long long review_afar(self, long long peer_packets, long long now_ns) except -2

    @cython.locals(spoken=cython.bint)
    cdef end_afar(self, long long peer_packets, long long now_ns)

    @cython.locals(offset=cython.longlong)
    cdef bint is_probe_behind_gap(self, long long seq, bint pushed, long long now_ns) except -1

    cdef bint holds_near(self, long long seq) except -1
    cdef bint _is_shown(self, Pending afar, long long peer_packets) except -1

    @cython.locals(afar=Pending, beyond=Beyond, fin=cython.longlong)
    cdef _go_on_afar(self, long long now_ns)

    cdef drop_afar(self)
    cdef _let_go_afar(self, long long count)

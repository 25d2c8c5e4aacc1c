cimport cython
from .assembly cimport NEVER, Room
from .exchange cimport Owner
from .memory cimport flag, word
from .pickup cimport Pickup
from .seq cimport distance
from .window cimport ABSENT, scale_of, timestamps_at

cdef long long _WINDOW_BYTES
cdef long long _SHARE_BYTES, _WIDE_BYTES
cdef int _NO_SYN
cdef int LOWER_ECHOES


@cython.no_gc
cdef class Reach(Pickup):
    cdef public long long echo
    cdef public long long far_ack
    cdef public long long reach_bytes
    cdef public long long said_stamp
    cdef public long long stamp
    cdef public long long value
    cdef public int low_echoes
    cdef public int said_window
    cdef public int scale
    cdef public int syn_window
    cdef public flag answers
    cdef public flag closed
    cdef public flag offers_stamps
    cdef public flag paws
    cdef public flag reach_known
    cdef void unlimited(self, bytes key, Owner owner, Room room) noexcept

    cdef forget_syn(self)
    cdef _begin_at(self, long long window_bytes)

    @cython.locals(at=cython.Py_ssize_t)
    cdef read_syn(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int window, Reach peer)

    cdef bint has_syn(self) noexcept
    cdef advertise(self, long long window, Reach peer)
    cdef allow(self, long long window_bytes)
    @cython.locals(ahead=cython.longlong)
    cdef void heed(self, long long echo) noexcept

    @cython.locals(at=cython.Py_ssize_t)
    cdef bint is_old(self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end) except -1

    cdef void keep_time(self, Reach peer) noexcept
    cdef void say_time(self, long long value) noexcept

    cdef long long limit(self) noexcept
    @cython.locals(offset=cython.longlong)
    cdef bint is_within(self, long long seq) noexcept

    cdef bint is_foreign(self, long long seq) noexcept

    @cython.locals(offset=cython.longlong)
    cdef bint can_be_of(self, long long seq) noexcept

    @cython.locals(offset=cython.longlong)
    cdef bint is_apart(self, long long seq) except -1

    @cython.locals(end=cython.longlong)
    cdef long long known_end(self) noexcept

    cdef see_peer_wait(self, long long ack)
    cdef share_by_reach(self)

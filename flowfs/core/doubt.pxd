cimport cython
from .assembly cimport Assembly, Room
from .exchange cimport Owner
from .notes cimport TENTATIVE
from .pending cimport Pending


@cython.no_gc
cdef class Doubting(Assembly):
    cdef public long long peer_ack
    cdef public Pending tentative
    cdef void trusting(self, bytes key, Owner owner, Room room) noexcept

    cpdef doubt(self, bytes data, long long offset, long long now_ns)

    @cython.locals(known=cython.longlong)
    cdef set_apart(self, bytes data, long long offset)

    @cython.locals(tentative=Pending, before=cython.longlong)
    cdef _keep_apart(self, bytes data, long long offset)

    cdef _drop(self, long long count)

    @cython.locals(end=cython.longlong)
    cpdef confirm(self, long long now_ns)

    @cython.locals(tentative=Pending, stop=cython.longlong)
    cdef long long confirmed_end(self) except -1

    cpdef drop_outdated(self)
    cpdef drop_tentative(self)

    @cython.locals(stop=cython.longlong, start=cython.longlong, data=bytes)
    cdef bridge(self, long long end, int reason, long long now_ns)

    @cython.locals(data=bytes)
    cpdef trust(self, long long end, long long now_ns)

    cdef _store_doubted(self, bytes data, long long now_ns)

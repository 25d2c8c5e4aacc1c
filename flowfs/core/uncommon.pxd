cimport cython
from .assembly cimport NEVER


@cython.final
@cython.no_gc
cdef class OddEnd:
    cdef public long long claimed_ack
    cdef public long long fin_moved
    cdef public long long late_fin
    cdef public long long later_fin
    cdef public long long reset_at
    cdef public long long reset_end
    cdef public long long reset_known
    cdef public long long reset_ns
    cdef public long long reset_packets
    cdef public bint reset_overtook


@cython.final
@cython.no_gc
cdef class OddAcks:
    cdef public long long low_ack
    cdef public long long low_count
    cdef public long long low_limit
    cdef public long long low_ns
    cdef public long long strange_count
    cdef public long long strange_packets


@cython.final
@cython.no_gc
cdef class Beyond:
    cdef public long long ack_packets
    cdef public long long fin
    cdef public long long packets
    cdef public long long peer_packets
    cdef public long long said
    cdef public long long since_ns


cdef OddEnd NO_ODD_END
cdef OddAcks NO_ODD_ACKS
cdef Beyond NOTHING_BEYOND

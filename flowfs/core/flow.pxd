cimport cython
from cpython.array cimport array
from .evict cimport Ranked
from .memory cimport item

cdef long long NOWHERE
cdef long long UNLIMITED_BYTES
cdef long long CLASS_MASK


@cython.final
@cython.no_gc
cdef class Flow(Ranked):
    cdef long long row
    cdef readonly bytes key
    cdef readonly long long generation
    cdef public object owner
    cdef readonly long long size
    cdef readonly long long start
    cdef public long long first_ns
    cdef public long long changed_ns
    cdef readonly int state
    cdef public int source
    cdef readonly bint evicted
    cdef public bint watched
    cdef public bint named
    cdef bint cached
    cdef bint freed
    cdef public bint partial
    cdef public bint unverified
    cdef int tail_class
    cdef public long long limit_bytes
    cdef public bint saved
    cdef long long run_start
    cdef readonly object lost
    cdef long long tail_start
    cdef long long tail_end
    cdef long long tail_position
    cdef array extents
    cdef long long first_extent
    cdef void begin(self, long long serial, bytes key, long long generation, object owner) noexcept
    cdef long long tail_bytes(self) noexcept


cpdef long long extent_count(Flow flow) except -1

cpdef long long extent_block(Flow flow, long long index) except -1

@cython.locals(count=cython.longlong, row=cython.longlong, following=cython.longlong, extents=array)
cpdef tuple extent(Flow flow, long long index)

@cython.locals(low=cython.longlong, high=cython.longlong, middle=cython.longlong)
cpdef long long extent_of(Flow flow, long long offset) except -1

cpdef bytes name_key(bytes key, long long generation)

cimport cython
from cpython.array cimport array
from .evict cimport Ranked
from .memory cimport flag, item

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
    cdef public long long limit_bytes
    cdef long long run_start
    cdef readonly object lost
    cdef long long tail_start
    cdef long long tail_end
    cdef long long tail_position
    cdef array extents
    cdef long long first_extent
    cdef public int source
    cdef readonly signed char state
    cdef signed char tail_class
    cdef readonly flag evicted
    cdef public flag watched
    cdef public flag named
    cdef flag cached
    cdef flag freed
    cdef public flag partial
    cdef public flag unverified
    cdef public flag saved
    cdef void begin(self, long long serial, bytes key, long long generation, object owner) noexcept
    cdef long long tail_bytes(self) noexcept


cpdef long long extent_count(Flow flow) except -1

cpdef long long extent_block(Flow flow, long long index) except -1

@cython.locals(count=cython.longlong, row=cython.longlong, following=cython.longlong, extents=array)
cpdef tuple extent(Flow flow, long long index)

@cython.locals(low=cython.longlong, high=cython.longlong, middle=cython.longlong)
cpdef long long extent_of(Flow flow, long long offset) except -1

cpdef bytes name_key(bytes key, long long generation)

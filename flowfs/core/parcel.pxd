cimport cython
from cpython.array cimport array
from .arena cimport UNIT_BYTES
from .bundle cimport Bundle
from .flow cimport CLASS_MASK, NOWHERE, Flow, extent_count
from .memory cimport emptied, item, push

cdef int OPEN
cdef long long PACKED_EXTENTS, UNLIMITED_BYTES


cpdef bint may_pack(Flow flow) except -1
cpdef bint is_in_hand(Flow flow) noexcept

cpdef pass_file(
    Bundle bundle, Flow flow, long long began_ns, long long ended_ns, long long size, Flow known
)

@cython.locals(has_tail=cython.bint, unit=cython.longlong, capacity=cython.longlong)
cdef void _pass_tail(Bundle bundle, Flow flow, long long usual_unit) noexcept

@cython.locals(
    count=cython.longlong, known=array, made=array, start=cython.longlong, index=cython.longlong,
    reference=cython.longlong, level=cython.longlong, unit=cython.longlong
)
cdef _pass_extents(Bundle bundle, Flow flow)

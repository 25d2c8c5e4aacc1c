cdef long long SPACE_MASK
cdef long long HALF_SPACE
cpdef long long distance(long long seq, long long reference) noexcept
cpdef long long advance(long long seq, long long count) noexcept

# As seq.py has it, in place: it is asked several times a packet, of modules that cannot see into each other.
cdef inline long long distance(long long seq, long long reference) noexcept:
    return ((seq - reference + 0x80000000LL) & 0xFFFFFFFFLL) - 0x80000000LL


cdef inline long long advance(long long seq, long long count) noexcept:
    return (seq + count) & 0xFFFFFFFFLL

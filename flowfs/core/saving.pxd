cimport cython
from .arena cimport CLASSES, UNIT_BYTES
from .counters cimport Counters
from .evict cimport Ranking
from .flow cimport CLASS_MASK, Flow, extent, extent_count

cdef long long SAVE_SETTLE_NS


@cython.final
cdef class Draft:
    cdef readonly long long written
    cdef long long clean_bytes
    cdef long long clean_extents
    cdef readonly bint has_lost
    cdef bint is_begun
    cdef bint is_handed_over
    cdef long long taken


@cython.final
cdef class Saving:
    cdef Counters counters
    cdef readonly Ranking ranking
    cdef long long tail_bytes
    cdef readonly long long clean_bytes
    cdef readonly long long saved_flows
    cdef readonly dict drafts
    cdef object partly
    cdef object heads
    cdef readonly object ended
    cdef readonly object later
    cdef public list gone
    cdef readonly dict leaving
    cdef bint takes_draft
    cdef public long long serial

    cpdef end(self, Flow flow)
    @cython.locals(draft=Draft)
    cpdef dirty(self, Flow flow)
    @cython.locals(draft=Draft)
    cpdef trim(self, Flow flow, long long end, long long freed_bytes)
    @cython.locals(draft=Draft)
    cpdef take_out(self, Flow flow, bint wanted)
    @cython.locals(known=cython.longlong)
    cdef _lose_until(self, Flow flow, Draft draft, long long end)
    cdef _count_lost(self, Flow flow, Draft draft, long long begin, long long end)
    @cython.locals(draft=Draft)
    cpdef bint take(self, Flow flow, long long start, long long end) except -1
    @cython.locals(
        draft=Draft, index=cython.longlong, count=cython.longlong, reference=cython.longlong,
        following=cython.longlong, level=cython.longlong
    )
    cpdef wrote(self, Flow flow, long long end)
    @cython.locals(draft=Draft)
    cpdef save(self, Flow flow)
    cpdef hand_over(self, Flow flow)
    cpdef complete(self, Flow flow)
    cpdef forget(self, Flow flow)
    cpdef lose(self, Flow flow, long long begin, long long end)
    @cython.locals(draft=Draft)
    cpdef fail(self, Flow flow, long long begin, long long end)
    cpdef postpone(self, Flow flow)
    @cython.locals(draft=Draft)
    cpdef bint put_off(self, Flow flow) except -1
    @cython.locals(flow=Flow)
    cpdef resume(self)
    @cython.locals(flow=Flow)
    cpdef Flow next(self, long long now_ns, bint hurry, Flow victim)
    @cython.locals(draft=Draft)
    cpdef bint lacks(self, Flow flow) except -1
    @cython.locals(draft=Draft)
    cpdef object written(self, Flow flow)
    cdef bint knows(self, Flow flow) except -1
    cpdef begin(self, Flow flow)
    @cython.locals(flow=Flow)
    cpdef Flow head(self)
    cdef Draft _draft(self, Flow flow)
    cdef _count_in(self, Flow flow, Draft draft)
    cdef _count_out(self, Flow flow, Draft draft)

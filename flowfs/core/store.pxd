cimport cython
from cpython.array cimport array
from .arena cimport CLASSES, LARGEST_BLOCK_BYTES, UNIT_BYTES, Arena, size_class
from .counters cimport Counters
from .evict cimport Packed, Ranking
from .policies cimport ranking_of
from .flow cimport CLASS_MASK, NOWHERE, Flow, extent, extent_block, extent_count, extent_of
from .memory cimport clear, emptied, push
from .parcel cimport may_pack
from .register cimport Register
from .saving cimport Saving

cdef int _SMALLER_CLASSES
cdef int OPEN, NEW, EVICTED, REMOVED
cdef long long HURRY_SHARE, UNLIMITED_BYTES


cdef class Store(Register):
    cdef readonly Arena arena
    cdef Counters counters
    cdef long long max_flows
    cdef readonly Ranking ranking
    cdef readonly Saving saving
    cdef public long long now_ns
    cdef readonly long long head_bytes
    cdef readonly long long tail_bytes
    cdef bint keeps_tail
    cdef readonly long long pinned_bytes
    cdef public long long sessions
    cdef readonly long long pin_limit_bytes

    @cython.locals(flow=Flow)
    cpdef Flow create(self, bytes key, long long generation, object owner)

    cpdef set_state(self, Flow flow, int state, long long now_ns)
    cpdef open(self, Flow flow)
    cpdef release(self, Flow flow)
    cpdef evict(self, Flow flow)
    cpdef remove(self, Flow flow)
    cdef _take_out(self, Flow flow, bint wanted)

    @cython.locals(done=cython.Py_ssize_t, count=cython.longlong)
    cpdef long long append(
        self, Flow flow, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, long long now_ns
    ) except -1

    cpdef skip(self, Flow flow, long long count, int reason)

    @cython.locals(count=cython.longlong)
    cpdef bytes read(self, Flow flow, long long offset, long long size)

    @cython.locals(count=cython.longlong)
    cpdef long long read_into(self, Flow flow, long long offset, long long size, unsigned char[::1] to) except -1

    cpdef bint differs(
        self, Flow flow, long long offset, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
    ) except -1

    @cython.locals(count=cython.longlong)
    cdef long long _count(self, Flow flow, long long offset, long long size) except -1

    @cython.locals(
        at=cython.longlong, index=cython.longlong, start=cython.longlong, reference=cython.longlong,
        following=cython.longlong, count=cython.longlong
    )
    cdef _gather(self, Flow flow, long long offset, long long end, unsigned char[::1] to)

    cpdef save(self, Flow flow)
    cpdef unsave(self, Flow flow)
    cdef _dirty(self, Flow flow)
    cdef Ranking _ranking_of(self, Flow flow)

    cpdef long long open_flows(self) except -1
    cpdef bint may_pack(self, Flow flow) except -1
    cpdef put_away(self, Flow flow, Packed packed)
    cpdef take_up(self, Packed packed, Flow flow)

    @cython.locals(saving=Saving, free_bytes=cython.longlong)
    cpdef bint is_short(self, long long bytes_wanted, long long flows_wanted) except -1

    @cython.locals(
        room_bytes=cython.longlong, run_bytes=cython.longlong, level=cython.int, position=cython.longlong
    )
    cdef bint _extend(self, Flow flow, long long wanted_bytes) except -1

    @cython.locals(found=cython.int)
    cdef int _class_at_hand(self, Flow flow, int level) except -2

    @cython.locals(flow=Flow)
    cdef bint _make_room(self, Flow keep) except -1

    @cython.locals(saving=Saving, held_limit_bytes=cython.longlong, flow=Flow)
    cdef bint _make_clean_room(self, Flow keep) except -1

    cdef _evict_now(self, Flow flow)

    @cython.locals(leaver=Flow)
    cdef bint _make_flow_room(self) except -1

    @cython.locals(passed=cython.longlong)
    cdef _free_what_passed(self, Flow flow)

    @cython.locals(reference=cython.longlong, following=cython.longlong, freed=cython.longlong, trimmed=cython.longlong)
    cdef long long _trim_head(self, Flow flow) except -1

    @cython.locals(index=cython.longlong)
    cdef _free_blocks(self, Flow flow)

    @cython.locals(level=cython.int)
    cdef long long _release_block(self, long long reference) except -1

    cdef _shelve_tail(self, Flow flow)
    cdef _shelve(self, Flow flow, long long start, long long reference)

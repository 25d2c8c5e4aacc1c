cimport cython
from cpython.array cimport array
from .arena cimport CLASSES, LARGEST_BLOCK_BYTES, UNIT_BYTES, Arena, size_class
from .counters cimport Counters
from .evict cimport Ranking
from .policies cimport ranking_of
from .flow cimport CLASS_MASK, NOWHERE, Flow, extent, extent_block, extent_count, extent_of, name_key
from .memory cimport emptied, push
from .saving cimport Saving

cdef int _SMALLER_CLASSES
cdef long long _MIN_ROWS
cdef int OPEN
cdef long long HURRY_SHARE, UNLIMITED_BYTES


cdef class Store:
    cdef readonly Arena arena
    cdef Counters counters
    cdef long long max_flows
    cdef readonly Ranking ranking
    cdef readonly Saving saving
    cdef public long long now_ns
    cdef readonly long long head_bytes
    cdef readonly long long tail_bytes
    cdef bint keeps_tail
    cdef long long next_serial
    cdef readonly long long count
    cdef readonly long long pinned_bytes
    cdef readonly long long pin_limit_bytes
    cdef dict names
    cdef array serials
    cdef list rows
    cdef long long first_row
    cdef public long long appeared
    cdef public list grown
    cdef public list gone
    cdef readonly list freed
    cdef public list orphans

    @cython.locals(flow=Flow)
    cpdef Flow create(self, bytes key, long long generation, object owner)

    cpdef keep_name(self, Flow flow)
    cpdef Flow find(self, bytes key, long long generation)

    @cython.locals(row=cython.longlong)
    cpdef Flow get(self, long long serial)

    @cython.locals(row=cython.longlong, found=list, flow=Flow)
    cpdef list list_after(self, long long serial, long long count)

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

    @cython.locals(end=cython.longlong)
    cpdef bytes read(self, Flow flow, long long offset, long long size)

    cpdef bint differs(
        self, Flow flow, long long offset, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
    ) except -1

    @cython.locals(
        parts=list, index=cython.longlong, start=cython.longlong, reference=cython.longlong,
        following=cython.longlong, stop=cython.longlong, position=cython.longlong
    )
    cdef bytes _gather(self, Flow flow, long long offset, long long end)

    cpdef save(self, Flow flow)
    cpdef unsave(self, Flow flow)
    cdef _dirty(self, Flow flow)
    cdef Ranking _ranking_of(self, Flow flow)

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
    cdef _tell(self, Flow flow)
    cdef _tell_freed(self, Flow flow)

    @cython.locals(flow=Flow)
    cpdef list take_freed(self)

    cdef _drop_row(self, long long row)

    @cython.locals(flow=Flow, kept=list, row=cython.longlong)
    cdef _close_ranks(self)

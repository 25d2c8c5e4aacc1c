cimport cython
from cpython.array cimport array
from .counters cimport Counters
from .memory cimport flag, item, numbers, put, stretch
from .order cimport Link

cdef int NOBODY
cdef long long _BRIEF, _EACH, _ITEM_BYTES
cdef long long FIRST_TURNS, GROWN_TURNS_SHARE, MAX_TURNS, TURN_NS, TURN_SILENCE_NS, TURNS_BYTES
cdef array _NONE


@cython.final
cdef class TurnBudget:
    cdef readonly Counters counters
    cdef public long long limit_bytes
    cdef public long long used_bytes
    cdef bint take(self, long long count, long long limit_bytes) noexcept


@cython.no_gc
cdef class Owner(Link):
    cdef public long long first_ns
    cdef public long long generation
    cdef public bytes link
    cdef public long long session
    cdef public long long said_ns
    cdef public long long turn_count
    cdef public long long turns_gone
    cdef public long long opening_ns
    cdef public long long opening_place
    cdef public long long answer_ns
    cdef public long long answer_place
    cdef public array turns
    cdef public int files
    cdef public int other_source
    cdef public int source
    cdef public signed char speaker
    cdef public flag carried
    cdef void owns_nothing(self, long long generation, long long first_ns, int source) noexcept
    cdef void fall_silent(self) noexcept

    cpdef bint is_speaking(self, long long now_ns) noexcept
    cdef long long _began_ns(self) noexcept

    @cython.locals(first=cython.longlong, start=cython.longlong, end=cython.longlong)
    cpdef tuple turns_from(self, long long number)

    @cython.locals(place=cython.longlong)
    cpdef take_turn(self, int side, long long offset, long long now_ns, TurnBudget budget)

    @cython.locals(turns=array)
    cdef _add(self, long long place, long long now_ns, TurnBudget budget)
    cdef bint _has_room(self) except -1

    @cython.locals(turns=array, count=cython.longlong)
    cdef bint _grow(self, TurnBudget budget) except -1

    @cython.locals(turns=array, gone=cython.longlong, index=cython.longlong)
    cdef _forget_half(self, TurnBudget budget)

    cpdef forget_turns(self, TurnBudget budget)

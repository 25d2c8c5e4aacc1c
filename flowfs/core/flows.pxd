cimport cython
from .afar cimport WENT_ON
from .assembly cimport NEVER
from .counters cimport Counters
from .deadlines cimport Deadlines
from .decode cimport RST, SYN, Segment, reverse_key
from .dormant cimport Dormant, last_ns_of, take_apart
from .evict cimport Ranking
from .flow cimport Flow
from .order cimport Link, leave
from .sleepers cimport Sleepers
from .saving cimport Saving
from .store cimport Store
from .stream cimport Connection, Stream

cdef int OPEN, IDLE, ENDED_BY_FIN, ENDED_BY_RST
cdef long long CONNECTION_BYTES, SLEEPER_BYTES, IDLE_VICTIM_NS, REMEMBER_NS, _SPARE_DEADLINES
cdef int _LOOKS


cdef class Flows(Sleepers):
    cdef long long idle_ns
    cdef long long touch_ns
    cdef Deadlines deadlines
    cdef long long awaited
    cdef readonly long long due_ns

    @cython.locals(peer=Stream, connection=Connection)
    cdef _follow_up(self, Stream stream, long long now_ns)

    cdef _look_after(self, Stream stream, long long now_ns)
    @cython.locals(until_ns=cython.longlong)
    cdef _look_afar(self, Stream stream, long long now_ns)
    cdef _wake(self, Stream stream, long long deadline_ns, long long now_ns)

    cdef _let_sleep(self, Stream stream)
    cdef _bound_deadlines(self)
    @cython.locals(stream=Stream)
    cdef bint _is_awaited(self, bytes key, long long deadline_ns) except -1

    @cython.locals(used=cython.longlong, free=cython.longlong, middle=cython.longlong)
    cdef long long _free_generation(self, bytes key, bytes reverse, long long generation) except -1

    cdef bint _is_used(self, bytes key, bytes reverse, long long generation) except -1

    @cython.locals(key=bytes, reverse=bytes)
    cdef Stream _admit(self, Segment segment, long long now_ns)

    @cython.locals(stream=Stream)
    cdef Stream _open(self, bytes key, bytes reverse, long long generation, long long now_ns)

    cdef _enter(self, Stream stream)

    @cython.locals(connection=Connection, stream=Stream, peer=Stream)
    cdef Stream _pair(self, bytes key, bytes reverse, long long generation, long long now_ns)

    @cython.locals(connection=Connection)
    cdef bint _begins_anew(self, Stream stream, Segment segment, long long now_ns) except -1

    @cython.locals(old=Connection, key=bytes, reverse=bytes)
    cdef Stream _succeed(self, Stream stream, long long now_ns)

    @cython.locals(generation=cython.longlong)
    cdef Stream _begin_behind(self, Connection old, bytes key, bytes reverse, long long now_ns)

    @cython.locals(stream=Stream)
    cdef _close(self, Connection connection, int state, long long now_ns)

    @cython.locals(stream=Stream)
    cdef _untrack(self, Connection connection)

    cdef _cease(self, Connection connection, long long now_ns)

    cdef _dispose(self, Connection connection)

    cpdef collect(self)

    @cython.locals(connection=Connection)
    cdef _lose_file(self, Flow flow)

    cdef bint _has_room(self, long long now_ns) except -1
    cdef bint _finds_room(self, long long now_ns) except -1

    @cython.locals(saving=Saving)
    cdef bint _make_room(self, long long now_ns) except -1

    @cython.locals(flow=Flow)
    cdef bint _evict_closed(self, Ranking ranking) except -1

    @cython.locals(before_ns=cython.longlong, place=Link)
    cdef object _idlest(self, long long now_ns)

    @cython.locals(stream=Stream)
    cdef _forget(self, Connection connection, long long now_ns)

    @cython.locals(flow=Flow)
    cpdef clear(self)

    @cython.locals(stream=Stream, connection=Connection, asleep=cython.bint)
    cpdef bint finish(self, long long now_ns, long long patience_bytes) except -1

    @cython.locals(
        unproven=cython.longlong, places=cython.longlong, slept_bytes=cython.longlong,
        free_bytes=cython.longlong, saving=Saving
    )
    cpdef bint is_short(self, long long wanted) except -1

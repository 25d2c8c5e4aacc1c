cimport cython
from .deadlines cimport Deadlines
from .dormant cimport Dormant, last_ns_of
from .flows cimport Flows
from .order cimport Link, Queue
from .stream cimport Connection, Stream

cdef int IDLE
cdef long long HALF_OPEN_NS, LOOK_STEPS, REMEMBER_NS, STEPS_PER_SLICE, NEVER_NS, _TICK_NS


cdef class Timeouts(Flows):
    @cython.locals(steps=cython.longlong)
    cpdef bint catch_up(self, long long now_ns) except -1

    @cython.locals(due_ns=cython.longlong)
    cdef long long _next_due_ns(self) except -1

    @cython.locals(link=Link)
    cdef long long _oldest_due_ns(self, Queue queue, long long after_ns) except -1

    cdef long long _take_due(self, long long now_ns, long long steps) except? -1

    @cython.locals(deadline_ns=cython.longlong, stream=Stream)
    cdef _take_deadline(self, long long now_ns)

    @cython.locals(until_ns=cython.longlong)
    cdef _let_go_in_time(self, Stream stream, long long now_ns)

    @cython.locals(place=Link)
    cdef long long _expire(self, Queue queue, long long before_ns, long long now_ns, long long steps) except? -1

    @cython.locals(asleep=cython.bint, connection=Connection)
    cdef _end(self, object link, long long now_ns)

cimport cython
from .assembly cimport NEVER, Room
from .counters cimport Counters
from .decode cimport Segment, key_of, reverse_key, turned
from .flow cimport Flow
from .memory cimport is_low
from .notes cimport Notes
from .pending cimport Pool
from .recent cimport Recent
from .store cimport Store
from .stream cimport Connection, Stream

cdef int OPEN


cdef class Table:
    cdef Store store
    cdef Counters counters
    cdef readonly Room room
    cdef readonly dict entries
    cdef Recent recent
    cdef public int source
    cdef public object links
    cdef readonly object drops

    @cython.locals(stream=Stream, connection=Connection, low=cython.bint)
    cdef Stream whose(self, Segment segment, const unsigned char* base)

    cdef Connection _awaken(self, object record)

    @cython.locals(low=cython.bint)
    cdef bint _set_keys(self, Segment segment, bytes key) except -1

    @cython.locals(low=cython.bint)
    cpdef Stream stream_of(self, bytes key)

    @cython.locals(one=Stream)
    cdef Stream _direction(self, Connection connection, bint low)

    cdef _enter(self, Stream stream)
    cdef _strike(self, Connection connection)
    cdef _strike_key(self, bytes key)

    @cython.locals(key=bytes)
    cdef bytes _low_key(self, Connection connection)

    @cython.locals(stream=Stream, flow=Flow)
    cpdef object find(self, bytes key, long long generation)

    @cython.locals(stream=Stream, connection=Connection, notes=Notes)
    cpdef object about(self, Flow flow)

cdef str _role(Stream stream)

cimport cython
from .assembly cimport FAR_AWAY, NEVER, Room
from .bundle cimport Bundle
from .decode cimport turned
from .evict cimport Packed
from .exchange cimport NOBODY
from .flow cimport Flow, extent_count
from .notes cimport UNKNOWN_TTL
from .order cimport Link
from .parcel cimport is_in_hand, pass_file
from .seq cimport advance, distance
from .stream cimport Connection, Stream
from .uncommon cimport Beyond, OddAcks, OddEnd
from .window cimport ABSENT

cdef int OPEN
cdef long long GAPS_BYTES, LINK_BYTES, NUMBER_BYTES, PACKED_EXTENT_BYTES, PACKED_FILE_BYTES, SLEEPER_BYTES, SLEEPING_FILE_BYTES
cdef tuple _NOTHING_KEPT
cdef long long _SHARE_BYTES, _WINDOW_BYTES
cdef int _NO_SYN, _ONE, _OTHER, NAMED, WATCHED, SAVED, WHOLE
cdef long long _FAR_BELOW, _FARTHER_BELOW


@cython.final
@cython.no_gc
cdef class Dormant(Link):
    cdef readonly bytes key
    cdef public object one_flow
    cdef public object other_flow
    cdef readonly bytes packed
    cdef readonly tuple kept
    cdef public long long last_ns
    # As small as they can be: with these the record takes 112 bytes, a multiple of what memory is given by.
    cdef public unsigned short charged_bytes
    cdef public signed char files
    cdef readonly signed char closed
    cdef readonly signed char tracked
    cdef readonly signed char lacks
    cdef public unsigned char marks
    cdef void nothing(self) noexcept


cpdef bint may_sleep(Connection connection) except -1
cdef bint _is_quiet(Stream stream) noexcept

@cython.locals(one=Stream, other=Stream, record=Dormant, lost=tuple, kept=tuple)
cpdef Dormant sleep(Connection connection, Bundle bundle, bint packs)

@cython.locals(flow=Flow, packed=Packed)
cdef object _put_file(Bundle bundle, Stream stream, Dormant record, bint packs, int side)

cdef object _lost_of(object found, Flow flow)

@cython.locals(packed=Packed, flow=Flow, marks=cython.int)
cdef _take_file(Bundle bundle, Stream stream, Dormant record, object lost)

@cython.locals(connection=Connection, known=Flow, size=cython.longlong)
cdef _pass_file(Bundle bundle, Stream stream, Flow flow, Dormant record)

@cython.locals(connection=Connection, one=Stream, other=Stream, kept=tuple)
cpdef Connection wake(Dormant record, Room room, Bundle bundle)

@cython.locals(record=Dormant)
cpdef mark(Packed packed, int what)

@cython.locals(record=Dormant)
cpdef bint is_saved(Packed packed) except -1

@cython.locals(side=cython.int, freed_bytes=cython.longlong)
cdef long long lose_file(Dormant record, Flow flow) except -1

@cython.locals(record=Dormant, connection=Connection)
cpdef long long last_ns_of(object link) except? -1

@cython.locals(one=Stream, other=Stream)
cpdef take_apart(Connection connection)

@cython.locals(claims=cython.bint)
cdef bint _may_lack(Stream stream) noexcept

@cython.locals(one=Stream, other=Stream, isn=cython.longlong, peer_isn=cython.longlong)
cdef void _pass_connection(Bundle bundle, Connection connection) noexcept

@cython.locals(known=cython.bint)
cdef void _pass_turns(Bundle bundle, Connection connection) noexcept

cdef long long _pass_seq(Bundle bundle, long long seq, bint there, long long absent) noexcept
cdef long long _pass_near(Bundle bundle, long long seq, long long reference) noexcept
cdef long long _pass_offset(Bundle bundle, Stream stream, long long offset, long long usual) noexcept
cdef void _pass_stream(Bundle bundle, Stream stream) noexcept
cdef void _pass_pickup(Bundle bundle, Stream stream) noexcept
cdef void _pass_acks(Bundle bundle, Stream stream) noexcept
cdef void _pass_reach(Bundle bundle, Stream stream) noexcept

@cython.locals(ends=cython.bint)
cdef void _pass_end(Bundle bundle, Stream stream) noexcept
cdef void _pass_odd_acks(Bundle bundle, Stream stream, OddAcks acks) noexcept
cdef void _pass_odd_end(Bundle bundle, Stream stream, OddEnd end) noexcept
cdef void _pass_beyond(Bundle bundle, Stream stream, Beyond beyond) noexcept

cimport cython
from .arena cimport UNIT_BYTES
from .counters cimport Counters
from .decode cimport (
    BAD_FLAGS,
    BAD_HEADER,
    CUT_SHORT,
    FRAGMENT,
    NOT_TCP,
    RARE,
    SEGMENT,
    Segment,
    decode,
    decode_ip,
)
from .defrag cimport Defrag
from .desk cimport Desk
from .gauges cimport gauges
from .memory cimport fetch, let_others
from .pages cimport enlarge


cdef long long _SECOND_NS
cdef long long _MICROSECOND_NS
cdef long long BRIEF_PACKETS, SLICE_BYTES, SLICE_PACKETS, SLICES, TICK_NS, MAX_DATAGRAM_BYTES
cdef int SLICE_RARE
cdef int _RAW
cdef long long _FETCH_AHEAD
cdef long long _LEAP_NS


cpdef enlarge_pages()


cdef class Engine(Desk):
    cdef object dissect
    cdef readonly Defrag defrag
    cdef Segment segment
    cdef object links
    cdef readonly long long slice_bytes
    cdef readonly long long slice_packets
    cdef public object on_visit
    cdef long long turns_taken
    cdef bint visited
    cdef long long fraction_ns
    cdef long long leap_ns
    cdef long long leap_packets
    cdef long long frame_bytes
    cdef readonly long long cut_at_bytes
    cdef readonly long long longest_bytes

    @cython.locals(
        room_bytes=cython.longlong, rare=cython.int, counters=Counters, segment=Segment,
        row=cython.longlong, now_ns=cython.longlong, start=cython.longlong, end=cython.longlong,
        verdict=cython.int
    )
    cdef long long _feed_slice(
        self, const unsigned char* base, long long length, const unsigned int[::1] meta, long long packet,
        long long stop, long long count, int link_type
    ) except -1

    cpdef bint is_short(self) except -1

    cdef long long _wanted_bytes(self) except -1

    @cython.locals(packet=bytes, count=cython.int, vlan=cython.int)
    cdef int _take_rare(
        self, int verdict, const unsigned char* base, long long start, long long end, int link_type
    ) except -1

    @cython.locals(whole=bytes, through=cython.bint)
    cdef int _go_the_long_way(
        self, int verdict, bytes packet, int link_type, int vlan, int layers, bint tunnelled, bint aggregated
    ) except -1

    cdef _arrive(self, int verdict, bytes packet, bint tunnelled)

    cdef _count_cut(self, long long frame_bytes)

    @cython.locals(counters=Counters)
    cdef _count_verdict(self, int verdict)

    cdef bint _come_to(self, long long now_ns) except -1
    cdef bint _leaps(self, long long now_ns) except -1
    cdef _advance(self, long long now_ns)
    @cython.locals(more=cython.bint)
    cdef bint _catch_up(self) except -1

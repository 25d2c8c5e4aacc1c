cimport cython
from .counters cimport Counters
from .evict cimport BySize
from .fragment cimport CUT, WHOLE, Fragment, header_of, is_too_long, joined, read_fragment, room_for_data
from .order cimport Link, Queue, leave

cdef int FREE, DUPLICATE, DIFFERENT, CONFLICT


@cython.final
cdef class Source:
    cdef readonly bytes address
    cdef readonly Queue datagrams
    cdef readonly long long charged_bytes


@cython.final
cdef class Datagram(Link):
    cdef readonly bytes key
    cdef Source source
    cdef readonly long long deadline_ns
    cdef bytes header
    cdef list offsets
    cdef list chunks
    cdef long long waiting_bytes
    cdef long long data_bytes
    cdef readonly long long charged_bytes
    cdef readonly bint discarded

    @cython.locals(
        offset=cython.longlong, end=cython.longlong, index=cython.Py_ssize_t, before=cython.longlong,
        after=cython.longlong
    )
    cdef int relation(self, const unsigned char* base, Fragment fragment) except -1

    cdef bint _contradicts_end(self, long long end, bint more) except -1

    @cython.locals(
        position=cython.longlong, at=cython.Py_ssize_t, found=cython.int, start=cython.longlong, chunk=bytes,
        until=cython.longlong
    )
    cdef int _compare(
        self, const unsigned char* base, Fragment fragment, Py_ssize_t index, long long end
    ) except -1

    @cython.locals(index=cython.Py_ssize_t)
    cdef put(self, long long offset, bytes data, bint more)

    @cython.locals(count=cython.Py_ssize_t)
    cdef Py_ssize_t empty(self) except -1

    cdef Py_ssize_t _end_of(self, Py_ssize_t index) except -1


cdef class Defrag:
    cdef Counters counters
    cdef readonly long long limit_bytes
    cdef readonly long long share_bytes
    cdef long long light_bytes
    cdef readonly long long used_bytes
    cdef readonly long long waiting
    cdef Fragment fragment
    cdef readonly object ipv4
    cdef readonly object ipv6
    cdef readonly dict sources
    cdef BySize ranking

    @cython.locals(counters=Counters, fragment=Fragment, verdict=cython.int, datagram=Datagram)
    cpdef bytes take(
        self, const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, long long now_ns
    )

    @cython.locals(more=cython.bint)
    cpdef bint tick(self, long long now_ns) except -1

    @cython.locals(datagram=Datagram)
    cpdef clear(self)

    cdef object _table(self, int version)

    @cython.locals(datagram=Datagram)
    cdef Datagram _find(self, long long now_ns)

    @cython.locals(fragment=Fragment, source=Source, datagram=Datagram, timeout_ns=cython.longlong)
    cdef Datagram _begin(self, long long now_ns)

    @cython.locals(counters=Counters, relation=cython.int)
    cdef bint _accepts(self, Datagram datagram, const unsigned char* base) except -1

    @cython.locals(fragment=Fragment)
    cdef _keep(self, Datagram datagram, const unsigned char* base)

    @cython.locals(header=bytes, chunks=list)
    cdef bytes _whole(self, Datagram datagram)

    cdef bytes _given(self, bytes header, list chunks, long long count)

    @cython.locals(fragment=Fragment, header_bytes=cython.longlong)
    cdef long long _cost(self) except -1

    cdef bint _has_room(self, Datagram datagram) except -1

    @cython.locals(source=Source)
    cdef _make_room(self, bytes address, long long charge_bytes, int newcomers)

    cdef bint _fits(self, long long charge_bytes, int newcomers) except -1
    cdef _charge(self, Datagram datagram, long long charge_bytes)

    @cython.locals(charged_bytes=cython.longlong)
    cdef _weigh(self, Source source)

    @cython.locals(dropped=cython.longlong)
    cdef long long _discard(self, Datagram datagram) except -1

    @cython.locals(source=Source, count=cython.longlong)
    cdef long long _remove(self, Datagram datagram) except -1

    @cython.locals(count=cython.longlong, datagram=Datagram)
    cdef bint _expire(self, object table, long long now_ns) except -1

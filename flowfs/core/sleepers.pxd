cimport cython
from .bundle cimport Bundle
from .counters cimport Counters
from .decode cimport turned
from .dormant cimport NAMED, WATCHED, WHOLE, Dormant, lose_file, mark, may_sleep, sleep, take_apart, wake
from .evict cimport Packed
from .flow cimport Flow
from .memory cimport is_low
from .order cimport Link, Queue, leave
from .parcel cimport is_in_hand
from .roster cimport Roster
from .store cimport Store
from .stream cimport Connection, Stream
from .table cimport Table

cdef int OPEN
cdef long long CONNECTION_BYTES, NEVER_NS, _TICK_NS


cdef class Sleepers(Table):
    cdef readonly Queue half_open
    cdef readonly Queue one_way
    cdef readonly Queue active
    cdef readonly Queue spare
    cdef readonly Queue closed
    cdef readonly Queue filed
    cdef readonly long long live
    cdef readonly long long asleep
    cdef long long live_limit
    cdef long long spare_limit
    cdef long long half_open_limit
    cdef long long one_way_limit
    cdef readonly long long used_bytes
    cdef readonly long long limit_bytes
    cdef public long long drowsy_ns
    cdef object again
    cdef Bundle bundle

    cdef bint is_over(self, long long more_bytes) noexcept
    cdef bint _make_room(self, long long now_ns) except -1

    @cython.locals(dormant=Dormant, now_ns=cython.longlong, is_short=cython.bint, connection=Connection)
    cdef Connection _awaken(self, object record)

    @cython.locals(connection=Connection)
    cdef Connection _rouse(self, Dormant record)

    cdef _take_up(self, Flow flow, object found, object owner)

    @cython.locals(record=Dormant, flow=Flow, is_one=cython.bint)
    cpdef Flow bring_back(self, Packed packed)

    @cython.locals(link=Link, one=Stream, other=Stream, low_key=bytes, record=Dormant)
    cdef Dormant _put_down(self, Connection connection, object there, bint packs)

    @cython.locals(queue=Queue, record=Dormant)
    cdef bint _lay_down(self, Connection connection) except -1

    cdef _put_away(self, Flow flow, object found)

    @cython.locals(queue=Queue)
    cpdef lay_down_all(self)

    @cython.locals(before_ns=cython.longlong, queue=Queue, connection=Connection, since_ns=cython.longlong, key=bytes)
    cdef long long _drowse(self, long long now_ns, long long steps) except? -1

    @cython.locals(flow=Flow)
    cpdef Flow bring_back_to_go(self, Packed packed)

    @cython.locals(record=Dormant)
    cpdef put_back(self, Flow flow)
    cpdef settle(self, Flow flow)

    @cython.locals(flow=Flow)
    cdef bint _can_pack(self, object found) except -1

    @cython.locals(connection=Connection, new=Dormant)
    cdef Dormant _repack(self, Dormant record, bint packs)

    cdef _charge_again(self, Dormant record)

    @cython.locals(connection=Connection)
    cdef _look_again(self, bytes key, long long since_ns, long long now_ns)

    @cython.locals(queue=Queue, first_ns=cython.longlong, due_ns=cython.longlong)
    cdef long long _drowsy_due_ns(self) except? -1

    @cython.locals(record=Dormant, connection=Connection)
    cpdef object about(self, Flow flow)

    @cython.locals(record=Dormant, flow=Flow)
    cpdef object find(self, bytes key, long long generation)

    @cython.locals(connection=Connection, packed=Packed)
    cpdef Flow shown(self, object found)

    @cython.locals(record=Dormant, stream=Stream, flow=Flow)
    cdef Flow _unpacked(self, Packed packed, Connection connection)

    @cython.locals(flow=Flow)
    cpdef Flow given(self, object found, bint names, long long hot_ns)

    @cython.locals(connection=Connection, flow=Flow)
    cpdef list listed(self, list files, long long hot_ns, Roster roster)

    @cython.locals(file=Flow)
    cpdef tuple connection_of(self, Flow flow)
    cpdef drop(self, Connection copy)

    @cython.locals(flow=Flow)
    cpdef Flow file(self, object found)

    @cython.locals(connection=Connection, flow=Flow)
    cpdef tuple told(self, object found)

    cdef _lose_file_asleep(self, Dormant record, Flow flow)

    @cython.locals(connection=Connection)
    cdef _dispose_asleep(self, Dormant record)

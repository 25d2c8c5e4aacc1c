cimport cython
from .memory cimport adds_up, ones_sum, split_of, swapped, word

cdef int SEGMENT, NOT_TCP, RARE, UNKNOWN, BAD_HEADER, BAD_FLAGS, FRAGMENT, CUT_SHORT
cdef int FIN, SYN, RST, PSH, ACK, URG
cdef int UNCHECKED, VALID, OFFLOADED, WRONG
cdef int ETHERNET, RAW, RAW_BSD, NULL, LOOP, LINUX_SLL, LINUX_SLL2, IPV4_ONLY, IPV6_ONLY
cdef int _TYPE_IPV4, _TYPE_IPV6, _TYPE_VLAN, _TYPE_QINQ, _TYPE_QINQ_OLD, _TYPE_QINQ_OLDER
cdef int _TYPE_MPLS, _TYPE_MPLS_MULTICAST, _TYPE_PPPOE, _MAX_LLC_LENGTH
cdef int _PROTOCOL_TCP, _PROTOCOL_FRAGMENT
cdef int _PROTOCOL_IPV4, _PROTOCOL_UDP, _PROTOCOL_IPV6, _PROTOCOL_GRE, _PROTOCOL_AH
cdef int _PORT_VXLAN, _PORT_VXLAN_GPE, _PORT_VXLAN_LINUX, _PORT_GENEVE, _PORT_GTP_USER, _PORT_TEREDO


@cython.final
cdef class Segment:
    cdef public bytes key
    cdef public int key_bytes
    cdef public int key_split
    cdef public Py_ssize_t key_start
    cdef public bytes low_key
    cdef public long long seq
    cdef public long long ack
    cdef public int flags
    cdef public int window
    cdef public Py_ssize_t start
    cdef public Py_ssize_t end
    cdef public Py_ssize_t wire_end
    cdef public int vlan
    cdef public Py_ssize_t header
    cdef public Py_ssize_t options_end
    cdef public int ttl
    cdef public int checksum
    cdef public bint verify

    cdef bint is_taken(self) noexcept


cpdef int decode(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int link_type, Segment segment
) except -1

@cython.locals(kind=cython.int, vlan=cython.int, older=cython.bint)
cdef int _from_type(
    const unsigned char* base, Py_ssize_t at, Py_ssize_t position, Py_ssize_t end, Segment segment
) except -1

cdef bint _is_for_dissection(int kind) noexcept

cdef bint _is_bare(int link_type) noexcept

@cython.locals(version=cython.int)
cpdef int decode_ip(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Segment segment) except -1

@cython.locals(
    fragmented=cython.int, header_bytes=cython.int, total_bytes=cython.int, wire_end=cython.Py_ssize_t
)
cdef int _ipv4(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Segment segment) except -1

@cython.locals(following=cython.int, atomic=cython.bint, payload_bytes=cython.int, wire_end=cython.Py_ssize_t)
cdef int _ipv6(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, int vlan, Segment segment) except -1

cdef bint _may_carry_tcp(int protocol) noexcept
cdef int _fragment(Py_ssize_t start, int vlan, Segment segment) noexcept

cdef bint _checksum_holds(const unsigned char* base, Py_ssize_t start, int header_bytes) noexcept

cdef int _beside_tcp(const unsigned char* base, int protocol, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(port=cython.int)
cdef bint _is_tunnel(const unsigned char* base, Py_ssize_t position) noexcept

@cython.locals(end=cython.Py_ssize_t, data=cython.Py_ssize_t, flags=cython.int)
cdef int _tcp(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t frame_end, Py_ssize_t wire_end, int vlan,
    Py_ssize_t addresses, Segment segment
) except -1

@cython.locals(pseudo=cython.longlong, rest=cython.Py_ssize_t)
cdef int _checksum_of(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, Py_ssize_t addresses, Py_ssize_t address_bytes
) noexcept

cpdef bytes key_of(const unsigned char* base, Segment segment)
cdef bytes _with_vlan(bytes key, int vlan)
cpdef bytes reverse_key(const unsigned char* key, Py_ssize_t length, Py_ssize_t split)
cpdef bytes turned(bytes key)

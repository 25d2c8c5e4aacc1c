from cpython.array cimport array, clone, resize, resize_smart
from libc.string cimport memcmp, memcpy, memset


# True or False in a byte, where Cython's own takes four: there are millions of them. They stand side by side.
cdef extern from *:
    ctypedef bint flag "_Bool"


cdef inline void copy(
    unsigned char[::1] to, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
) noexcept:
    memcpy(&to[position], base + start, end - start)


# Payload is read much later, if at all, and is more than caches hold. Written past them it pushes nobody out, and
# the lines that it fills need not be read before: bulk takes 0.86 of the time. That a fence follows each copy
# would take all of this away again, so publish() is one for many.
cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    enum { flowfs_line_bytes = 64, flowfs_few_lines_bytes = 256 };  /* of which the first and last are not whole */
    #if defined(__SSE2__)
    #include <emmintrin.h>
    static inline void flowfs_fill_line(unsigned char *to, const unsigned char *from)
    {
        for (int i = 0; i < flowfs_line_bytes; i += 16)
            _mm_stream_si128((__m128i *) (to + i), _mm_loadu_si128((const __m128i *) (from + i)));
    }
    #define flowfs_fence() _mm_sfence()
    #else
    #define flowfs_fill_line(to, from) memcpy(to, from, flowfs_line_bytes)
    #define flowfs_fence() ((void) 0)
    #endif
    static inline void flowfs_copy_past_caches(unsigned char *to, const unsigned char *from, size_t count)
    {
        if (count >= flowfs_few_lines_bytes) {
            size_t rest = -(uintptr_t) to % flowfs_line_bytes;
            memcpy(to, from, rest);
            for (to += rest, from += rest, count -= rest; count >= flowfs_line_bytes; count -= flowfs_line_bytes) {
                flowfs_fill_line(to, from);
                to += flowfs_line_bytes;
                from += flowfs_line_bytes;
            }
        }
        memcpy(to, from, count);
    }
    """
    void flowfs_copy_past_caches(unsigned char* to, const unsigned char* start, size_t count) noexcept
    void flowfs_fence() noexcept


cdef inline void copy_past_caches(
    unsigned char[::1] to, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
) noexcept:
    flowfs_copy_past_caches(&to[position], base + start, end - start)


cdef inline void publish() noexcept:
    flowfs_fence()


cdef inline bytes chunk(unsigned char[::1] view, Py_ssize_t position, Py_ssize_t count):
    return (<const char*> &view[position])[:count]


cdef inline void move(
    unsigned char[::1] view, Py_ssize_t position, unsigned char[::1] to, Py_ssize_t at, Py_ssize_t count
) noexcept:
    memcpy(&to[at], &view[position], count)


cdef inline void clear(unsigned char[::1] to, Py_ssize_t at, Py_ssize_t count) noexcept:
    memset(&to[at], 0, count)


cdef inline bint same(
    unsigned char[::1] view, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
) noexcept:
    return memcmp(&view[position], base + start, end - start) == 0


# A write to each page that changes nothing, whoever else writes there. madvise() would hold the lock on the
# whole address space, for which every import of a library waits: 0.4 s where a host has to find the memory.
cdef extern from *:
    """
    enum { flowfs_page_bytes = 4096 };  /* or more */
    static inline void flowfs_touch(unsigned char *place)
    {
    #if defined(__GNUC__)
        __atomic_fetch_or(place, 0, __ATOMIC_RELAXED);
    #else
        (void) place;  /* nothing is lost but time */
    #endif
    }
    """
    const Py_ssize_t flowfs_page_bytes
    void flowfs_touch(unsigned char* place) noexcept nogil


cdef inline void populate(unsigned char[::1] view, Py_ssize_t position, Py_ssize_t count) noexcept:
    cdef unsigned char* place = &view[position]
    cdef unsigned char* end = place + count
    with nogil:
        while place < end:
            flowfs_touch(place)
            place += flowfs_page_bytes


cdef inline void let_others() noexcept:
    with nogil:
        pass


cdef extern from *:
    """
    #if defined(__GNUC__)
    /* The empty asm: GCC 12 leaves out functions that do nothing else. */
    #define flowfs_prefetch(place) do { __builtin_prefetch(place); __asm__ volatile (""); } while (0)
    #else
    #define flowfs_prefetch(place) ((void) (place))
    #endif
    """
    void flowfs_prefetch(const unsigned char* place) noexcept


cdef inline void fetch(const unsigned char* base, Py_ssize_t position) noexcept:
    flowfs_prefetch(base + position)
    flowfs_prefetch(base + position + 64)


cdef inline array emptied(array like):
    return clone(like, 0, False)


cdef inline int push(array to, long long value) except -1:
    cdef Py_ssize_t count = len(to)
    resize_smart(to, count + 1)
    to.data.as_longlongs[count] = value
    return 0


cdef inline long long item(array of, Py_ssize_t index) noexcept:
    return of.data.as_longlongs[index]


cdef inline array numbers(array like, Py_ssize_t count):
    return clone(like, count, False)


cdef inline int stretch(array of, Py_ssize_t count) except -1:
    return resize(of, count)


cdef inline void put(array to, Py_ssize_t index, long long value) noexcept:
    to.data.as_longlongs[index] = value


# Sums of 32-bit halves, of which a lane has room for 2**32; bytes are swapped once, at the end (RFC 1071,
# 2 (B)). Adding with carries takes a third longer than the vectors that every x86-64 has, and those 1.4 times
# as long as AVX2, which the loader chooses where it is there. Headers are too short for vectors to pay, and
# carry.
cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    typedef uint64_t flowfs_lanes __attribute__((vector_size(32)));
    #if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
    #define FLOWFS_AS_WIDE_AS_CAN_BE __attribute__((target_clones("avx2", "default")))
    #else
    #define FLOWFS_AS_WIDE_AS_CAN_BE
    #endif
    FLOWFS_AS_WIDE_AS_CAN_BE
    static uint64_t flowfs_wide_sum(const unsigned char *p, Py_ssize_t blocks)
    {
        flowfs_lanes all = {0}, high = {0}, more = {0}, more_high = {0}, x, y;
        uint64_t sum = 0;
        for (; blocks; blocks--, p += 64) {
            memcpy(&x, p, 32);
            memcpy(&y, p + 32, 32);
            all += x;
            high += x >> 32;
            more += y;
            more_high += y >> 32;
        }
        all += more;
        high += more_high;
        for (int i = 0; i < 4; i++)  /* what wrapped in `all` wraps back */
            sum += high[i] + (all[i] - (high[i] << 32));
        return sum;
    }
    /* With what is carried out of the highest bit added to the lowest: modulo 0xFFFF nothing is lost. */
    static inline uint64_t flowfs_plus(uint64_t one, uint64_t other)
    {
        uint64_t sum = one + other;
        return sum + (sum < one);
    }
    static inline uint64_t flowfs_eight(const unsigned char *p)
    {
        uint64_t word;
        memcpy(&word, p, 8);
        return word;
    }
    /* In the machine's order of bytes, not reduced. */
    static inline uint64_t flowfs_short_sum(const unsigned char *p, Py_ssize_t count)
    {
        uint64_t sum = 0;
        uint32_t word;
        uint16_t half;
        for (; count >= 8; count -= 8, p += 8)
            sum = flowfs_plus(sum, flowfs_eight(p));
        if (count & 4) {
            memcpy(&word, p, 4);
            sum = flowfs_plus(sum, word);
            p += 4;
        }
        if (count & 2) {
            memcpy(&half, p, 2);
            sum = flowfs_plus(sum, half);
            p += 2;
        }
        if (count & 1) {
            half = 0;
            memcpy(&half, p, 1);
            sum = flowfs_plus(sum, half);
        }
        return sum;
    }
    __attribute__((noinline))  /* so that short sums save no registers for its sake */
    static uint64_t flowfs_long_sum(const unsigned char *p, Py_ssize_t count)
    {
        Py_ssize_t wide = count & ~(Py_ssize_t) 63;
        return flowfs_plus(flowfs_wide_sum(p, wide >> 6), flowfs_short_sum(p + wide, count - wide));
    }
    static inline uint64_t flowfs_raw_sum(const unsigned char *p, Py_ssize_t count)
    {
        return count >= 128 ? flowfs_long_sum(p, count) : flowfs_short_sum(p, count);
    }
    /* Of a number of 16 bits; it is its own inverse. */
    static inline unsigned int flowfs_in_network_order(uint64_t half)
    {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        half = (half << 8 | half >> 8) & 0xFFFF;
    #endif
        return (unsigned int) half;
    }
    /* The sum of these and of a number whose four bytes would stand behind them. */
    static inline uint64_t flowfs_sum_of_all(
        const unsigned char *p, Py_ssize_t count, const unsigned char *more, Py_ssize_t more_count, uint32_t rest)
    {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        rest = rest << 24 | (rest & 0xFF00) << 8 | (rest >> 8 & 0xFF00) | rest >> 24;
    #endif
        return flowfs_plus(flowfs_plus(flowfs_raw_sum(p, count), flowfs_short_sum(more, more_count)), rest);
    }
    """
    unsigned long long flowfs_raw_sum(const unsigned char* start, Py_ssize_t count) noexcept
    unsigned long long flowfs_sum_of_all(
        const unsigned char* start, Py_ssize_t count, const unsigned char* more, Py_ssize_t more_count, unsigned int rest
    ) noexcept
    unsigned int flowfs_in_network_order(unsigned long long half) noexcept


cdef inline unsigned int ones_sum(const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept:
    return flowfs_in_network_order(flowfs_raw_sum(base + start, end - start) % 0xFFFF)


cdef inline bint adds_up(
    const unsigned char* base, Py_ssize_t start, Py_ssize_t end, Py_ssize_t more, Py_ssize_t more_end, Py_ssize_t rest
) noexcept:
    return flowfs_sum_of_all(base + start, end - start, base + more, more_end - more, rest) % 0xFFFF == 0


cdef extern from *:
    """
    static inline uint32_t flowfs_word(const unsigned char *p)
    {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
    }
    static inline uint32_t flowfs_word_little(const unsigned char *p)
    {
        return (uint32_t) p[3] << 24 | (uint32_t) p[2] << 16 | (uint32_t) p[1] << 8 | p[0];
    }
    """
    unsigned int flowfs_word(const unsigned char* place) noexcept
    unsigned int flowfs_word_little(const unsigned char* place) noexcept


cdef inline long long word(const unsigned char* base, Py_ssize_t position) noexcept:
    return flowfs_word(base + position)


cdef inline long long word_little(const unsigned char* base, Py_ssize_t position) noexcept:
    return flowfs_word_little(base + position)


cdef extern from "Python.h":
    bytes PyBytes_FromStringAndSize(const char* text, Py_ssize_t length)
    char* PyBytes_AS_STRING(object text)
    Py_ssize_t PyBytes_GET_SIZE(object text)


cdef inline bytes swapped(const unsigned char* key, Py_ssize_t length, Py_ssize_t split):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, length)
    cdef char* to = PyBytes_AS_STRING(made)
    memcpy(to, key + split, split)
    memcpy(to + split, key, split)
    memcpy(to + 2 * split, key + 2 * split + 2, 2)
    memcpy(to + 2 * split + 2, key + 2 * split, 2)
    memcpy(to + 2 * split + 4, key + 2 * split + 4, length - 2 * split - 4)
    return made


cdef inline Py_ssize_t split_of(bytes key) noexcept:
    return 4 if PyBytes_GET_SIZE(key) < 16 else 16


cdef inline bint is_low(bytes key) noexcept:
    cdef Py_ssize_t split = split_of(key)
    cdef const char* known = PyBytes_AS_STRING(key)
    cdef int differ = memcmp(known, known + split, split)
    return (differ if differ else memcmp(known + 2 * split, known + 2 * split + 2, 2)) <= 0


cdef extern from *:
    """
    /* Multiplying by an odd number carries every bit upwards. */
    static inline int64_t flowfs_mark(const unsigned char *p, Py_ssize_t count)
    {
        uint64_t sum = 0;
        for (; count >= 4; count -= 4, p += 4) {
            uint32_t word;
            memcpy(&word, p, 4);
            sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        }
        return (int64_t) sum;
    }
    /* Of whole words, of which there are three or nine: a call of memcmp takes longer. */
    static inline int flowfs_differ(const unsigned char *p, const unsigned char *q, Py_ssize_t count)
    {
        uint32_t one, other, differ = 0;
        for (; count >= 4; count -= 4, p += 4, q += 4) {
            memcpy(&one, p, 4);
            memcpy(&other, q, 4);
            differ |= one ^ other;
        }
        return differ != 0;
    }
    """
    long long flowfs_mark(const unsigned char* start, Py_ssize_t count) noexcept
    bint flowfs_differ(const unsigned char* one, const unsigned char* other, Py_ssize_t count) noexcept


cdef inline long long mark_of(const unsigned char* base, Py_ssize_t start, Py_ssize_t count) noexcept:
    return flowfs_mark(base + start, count)


cdef inline bint is_key(
    bytes key, const unsigned char* base, Py_ssize_t start, Py_ssize_t count, int vlan
) noexcept:
    cdef const unsigned char* known = <const unsigned char*> PyBytes_AS_STRING(key)
    if PyBytes_GET_SIZE(key) != (count + 2 if vlan else count) or flowfs_differ(known, base + start, count):
        return False
    return vlan == 0 or (known[count] << 8 | known[count + 1]) == vlan


cdef inline char* put_number(char* to, int number, int digits) noexcept:
    cdef int place = digits
    while place > 0:
        place -= 1
        to[place] = 48 + number % 10
        number //= 10
    return to + digits


cdef inline char* put_end(char* to, const unsigned char* address, const unsigned char* port) noexcept:
    cdef int octet = 0
    while octet < 4:
        to = put_number(to, address[octet], 3)
        to[0] = 46  # a dot
        to += 1
        octet += 1
    return put_number(to, port[0] << 8 | port[1], 5)


cdef inline bytes dotted(const unsigned char* key):
    cdef char name[43]
    cdef char* to = put_end(name, key, key + 8)
    to[0] = 45  # a hyphen
    put_end(to + 1, key + 4, key + 10)
    return name[:43]

from cpython.array cimport array, clone, resize_smart
from libc.string cimport memcmp, memcpy


cdef inline void copy(
    unsigned char[::1] to, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
) noexcept:
    memcpy(&to[position], base + start, end - start)


cdef inline bytes chunk(unsigned char[::1] view, Py_ssize_t position, Py_ssize_t count):
    return (<const char*> &view[position])[:count]


cdef inline bint same(
    unsigned char[::1] view, Py_ssize_t position, const unsigned char* base, Py_ssize_t start, Py_ssize_t end
) noexcept:
    return memcmp(&view[position], base + start, end - start) == 0


cdef inline array emptied(array like):
    return clone(like, 0, False)


cdef inline int push(array to, long long first, long long second) except -1:
    cdef Py_ssize_t count = len(to)
    resize_smart(to, count + 2)
    to.data.as_longlongs[count] = first
    to.data.as_longlongs[count + 1] = second
    return 0


cdef inline long long item(array of, Py_ssize_t index) noexcept:
    return of.data.as_longlongs[index]


cdef extern from "Python.h":
    void PyObject_GC_UnTrack(object thing)
    bytes PyBytes_FromStringAndSize(const char* text, Py_ssize_t length)
    char* PyBytes_AS_STRING(object text)


cdef inline bytes swapped(const unsigned char* key, Py_ssize_t length, Py_ssize_t split):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, length)
    cdef char* to = PyBytes_AS_STRING(made)
    memcpy(to, key + split, split)
    memcpy(to + split, key, split)
    memcpy(to + 2 * split, key + 2 * split + 2, 2)
    memcpy(to + 2 * split + 2, key + 2 * split, 2)
    memcpy(to + 2 * split + 4, key + 2 * split + 4, length - 2 * split - 4)
    return made


cdef inline void untrack(object thing) noexcept:
    PyObject_GC_UnTrack(thing)

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


cdef extern from "Python.h":
    void PyObject_GC_UnTrack(object thing)


cdef inline void untrack(object thing) noexcept:
    PyObject_GC_UnTrack(thing)

# Python asks for 1 MiB at a time, and a large page has 2: each second time it gets the other half of one.
# Called with the interpreter's lock held, as all that has to do with objects is.
cdef extern from *:
    """
    #if defined(__linux__)
    #include <stdint.h>
    #include <sys/mman.h>
    #endif
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
    enum { flowfs_large_bytes = 2 << 20, flowfs_half_bytes = flowfs_large_bytes / 2 };
    static char *flowfs_other_half = NULL;
    static void *flowfs_map(size_t count)
    {
        void *place = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return place == MAP_FAILED ? NULL : place;
    }
    static void flowfs_unmap(void *Py_UNUSED(context), void *place, size_t count)
    {
        munmap(place, count);
    }
    static void *flowfs_map_half(void *Py_UNUSED(context), size_t count)
    {
        char *place, *large;
        size_t before;
        if (count != flowfs_half_bytes)
            return flowfs_map(count);
        if (flowfs_other_half != NULL) {
            place = flowfs_other_half;
            flowfs_other_half = NULL;
            return place;
        }
        place = flowfs_map(2 * flowfs_large_bytes);
        if (place == NULL)
            return flowfs_map(count);
        before = (size_t) (-(uintptr_t) place % flowfs_large_bytes);
        large = place + before;
        if (before)
            munmap(place, before);
        munmap(large + flowfs_large_bytes, flowfs_large_bytes - before);
        (void) madvise(large, flowfs_large_bytes, MADV_HUGEPAGE);  /* a kernel may have none */
        flowfs_other_half = large + flowfs_half_bytes;
        return large;
    }
    static void flowfs_enlarge(void)
    {
        PyObjectArenaAllocator allocator = {NULL, flowfs_map_half, flowfs_unmap};
        PyObject_SetArenaAllocator(&allocator);
    }
    #else
    static void flowfs_enlarge(void) {}
    #endif
    """
    void flowfs_enlarge() noexcept


cdef inline void enlarge() noexcept:
    flowfs_enlarge()

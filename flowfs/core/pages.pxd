# Python asks for 1 MiB at a time, and a large page has 2: each second time it gets the other half of one.
# Such halves are given and taken back with the interpreter's lock held, as all that has to do with objects is.
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
        uintptr_t end;
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
        /* The last large page in it: the kernel goes downwards, so this one and the one before are one mapping. */
        end = ((uintptr_t) place + 2 * flowfs_large_bytes) / flowfs_large_bytes * flowfs_large_bytes;
        large = (char *) (end - flowfs_large_bytes);
        before = (size_t) (large - place);
        munmap(place, before);
        if (before < flowfs_large_bytes)
            munmap(large + flowfs_large_bytes, flowfs_large_bytes - before);
        (void) madvise(large, flowfs_large_bytes, MADV_HUGEPAGE);  /* a kernel may have none */
        flowfs_other_half = large + flowfs_half_bytes;
        return large;
    }
    static void flowfs_enlarge(void)
    {
        PyObjectArenaAllocator allocator;
        PyObject_GetArenaAllocator(&allocator);
        if (allocator.ctx != NULL)
            return;  /* not Python's own, which gives back by munmap, too */
        allocator.alloc = flowfs_map_half;
        allocator.free = flowfs_unmap;
        PyObject_SetArenaAllocator(&allocator);
    }
    #else
    static void flowfs_enlarge(void) {}
    #endif
    """
    void flowfs_enlarge() noexcept


cdef inline void enlarge() noexcept:
    flowfs_enlarge()

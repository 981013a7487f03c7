"""Asking for memory before it is needed, to be written soon."""

cdef extern from *:
    """
    #define pushcast_prefetch(p) __builtin_prefetch((p), 1)
    """
    void prefetch "pushcast_prefetch"(const void* p) noexcept nogil


cdef inline void prefetch_bytes(const void* p, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(0, size, 64):
        prefetch(<const char*>p + at)
